package module

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
)

// TestKEY1_SecretErrorsNameOneCause reads keys that are missing or unusable. An operator who obeys an error must not overwrite
// the key of a database.
func TestKEY1_SecretErrorsNameOneCause(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const newKey, oldKey = "openssl rand", "put back the key"
	t.Setenv("EMAIL_LINK_TEST_BLANK", " ")
	for name, c := range map[string]struct {
		value, want string
		// mend is set where the cause has advice of its own, with a database or without.
		mend string
	}{
		"missing file":    {"{file." + dir + "/none}", "/none does not exist", ""},
		"unreadable file": {"{file." + dir + "}", "cannot be read: is a directory", "name the file that holds the key"},
		"empty file":      {"{file." + write("empty", "\n") + "}", "/empty is empty", ""},
		"short file":      {"{file." + write("short", "short") + "}", "too short", ""},
		"regular file":    {"{file." + write("regular", strings.Repeat("a", 40)) + "}", "not random", ""},
		"unset variable":  {"{env.EMAIL_LINK_TEST_UNSET}", "EMAIL_LINK_TEST_UNSET is not set", ""},
		"blank variable":  {"{env.EMAIL_LINK_TEST_BLANK}", "EMAIL_LINK_TEST_BLANK is empty", ""},
		"no placeholder":  {"hunter2", "too short", ""},
	} {
		for _, database := range []string{filepath.Join(dir, "no.db"), write("some.db", "x")} {
			a := App{Secret: []string{c.value}, storage: &StorageBbolt{path: database}}
			err := a.Source.wrap("secret", a.readSecrets())
			advice := c.mend
			if advice == "" {
				advice = newKey
				if strings.HasSuffix(database, "some.db") {
					advice = oldKey
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), advice) ||
				advice != newKey && strings.Contains(err.Error(), newKey) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s, %s: %v, want %q and %q", name, filepath.Base(database), err, c.want, advice)
			}
		}
	}
}

// TestKEY1_SecretFileThatCannotBeRead makes sure that a key that is there is never advised to be made anew. A directory cannot be read
// by anyone, a file without permission by everyone but root.
func TestKEY1_SecretFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "key")
	if err := os.WriteFile(closed, []byte(strings.Repeat("key", 20)), 0o000); err != nil {
		t.Fatal(err)
	}
	causes := map[string]string{dir: syscall.EISDIR.Error() + "; name the file that holds the key, and see that this user can read it"}
	if f, err := os.Open(closed); err == nil {
		_ = f.Close() // root reads every file
	} else {
		causes[closed] = "permission denied; " + keyring.ReadableAdvice(closed)
	}
	for path, cause := range causes {
		a := App{Secret: []string{"{file." + path + "}"}, Source: &Source{Options: map[string][]string{"secret": {"Caddyfile:3"}}}}
		err := a.Source.wrap("secret", a.readSecrets())
		want := "Caddyfile:3: email_link: secret: value 1 of 1: the file " + path + " cannot be read: " + cause
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
