package doctor

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestMailFolder_ThatCannotBeWritten fails before the first mail does, and leaves nothing behind where it can.
func TestMailFolder_ThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "a file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{"a file": file, "below a file": filepath.Join(file, "mails")}
	if runtime.GOOS == "linux" { // not even root makes files there
		bad["proc"], bad["below proc"] = "/proc", "/proc/nope"
	}
	if os.Getuid() > 0 {
		closed := filepath.Join(dir, "closed")
		if err := os.Mkdir(closed, 0o500); err != nil {
			t.Fatal(err)
		}
		bad["read-only"] = closed
	}
	for name, folder := range bad {
		list := Offline(Facts{MailFolder: folder})
		if got := find(list, "mailer"); got.Result != Fail || !strings.Contains(got.Text, "no mail can be written into "+folder) || got.Fix == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	good := filepath.Join(dir, "mails")
	if got := find(Offline(Facts{MailFolder: filepath.Join(good, "of", "today")}), "mailer"); got.Result != Warn {
		t.Errorf("a folder that the first mail makes: %+v", got)
	}
	if err := os.Mkdir(good, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := find(Offline(Facts{MailFolder: good}), "mailer"); got.Result != Warn {
		t.Errorf("a folder that is there: %+v", got)
	}
	if left, err := os.ReadDir(good); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
