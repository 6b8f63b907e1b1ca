package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file that may not grow raises a signal, which a full disk does not.
func init() { beforeCaddy = func() { signal.Ignore(unix.SIGXFSZ) } }

// TestDUR1_FullDisk lets the database of a running gate grow no further, which fails at the same calls as a full disk: asking
// is unavailable, people who are signed in go on, and all is well again when there is room, without a restart.
func TestDUR1_FullDisk(t *testing.T) {
	t.Parallel()
	p := startProcess(t, setup{global: "sign_up open\n" + unlimited})
	c := p.client()
	p.signUp(c, "ada@example.com")
	email := ""
	asked := 0
	ask := func() int { // for much: the file may have grown by some megabytes just now, and has to be full soon
		asked++
		email = fmt.Sprintf("u%d@example.com", asked)
		status, _, _ := p.client().post("/email-link/sign-up", url.Values{"email": {email}, "return_to": {"/" + strings.Repeat("x", 2000)}})
		return status
	}
	info, err := os.Stat(p.db)
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	full := unix.Rlimit{Cur: uint64(info.Size()), Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &full, &old); err != nil {
		t.Fatal(err)
	}
	// A mail that has left leaves room behind, so asking may succeed in between: whatever it says is true.
	var accepted []string
	for refused := 0; refused < 6; {
		switch status := ask(); {
		case status == http.StatusServiceUnavailable:
			refused++
		case status == http.StatusSeeOther && asked < 5000:
			accepted = append(accepted, email)
			continue
		default:
			t.Fatalf("asking on a full disk: %d after %d", status, asked)
		}
		if status, body := c.get("/x"); status != http.StatusOK || body != "hello" {
			t.Errorf("signed in: %d %q", status, body)
		}
	}
	if status, _ := p.client().get("/x"); status != http.StatusUnauthorized {
		t.Errorf("anonymous: %d", status)
	}
	p.healthIs(http.StatusServiceUnavailable)
	// A sign-out is smaller than a sign-up: there may be room for it. Whatever it says is true.
	status, _, _ := c.post("/email-link/sign-out", url.Values{})
	alive, _ := c.get("/x")
	if !(status == http.StatusServiceUnavailable && alive == http.StatusOK) && !(status < 400 && alive == http.StatusUnauthorized) {
		t.Errorf("signing out says %d, and then a request %d", status, alive)
	}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &old, nil); err != nil {
		t.Fatal(err)
	}
	p.healthIs(http.StatusOK)
	if status := ask(); status != http.StatusSeeOther {
		t.Errorf("asking with room again: %d\n%s", status, p.out)
	}
	if _, _, _ = c.post("/email-link/sign-out", url.Values{}); c.session() != nil {
		t.Error("signing out with room again does not")
	}
	if status, _ := c.get("/x"); status != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	inbox := &inboxes{server: p.mails, links: map[string][]string{}}
	if inbox.wait(ctx, email) == "" {
		t.Error("with room again no mail leaves")
	}
	// A mail that could not be noted as tried is tried again within two minutes. The test does not wait for them.
	p.kill()
	if out := p.out.String(); !strings.Contains(out, `"level":"error"`) || strings.Contains(out, `"stacktrace"`) {
		t.Errorf("each refusal is one short line in the log:\n%s", out)
	}
	p.inspect(t, nil)
	p.start()
	for _, email := range accepted {
		if inbox.wait(ctx, email) == "" {
			t.Errorf("%s: asking was acknowledged and no mail came", email)
		}
	}
}
