package keyring

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestKEY1_AKeyFileThatMayNotBeRead names this cause and its cure, and nothing that would replace the key.
func TestKEY1_AKeyFileThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	errs := []error{keyFileError(path, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES})}
	if u.Uid != "0" { // root reads everything
		if err := os.WriteFile(path, []byte("key"), 0); err != nil {
			t.Fatal(err)
		}
		_, _, err := LoadOrCreateKeyFile(path, true)
		errs = append(errs, err)
	}
	for _, err := range errs {
		if err == nil || !errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) ||
			!strings.Contains(err.Error(), "the key file "+path+" cannot be read: permission denied; make it readable for the user Caddy runs as: chown "+u.Username+" "+path) ||
			strings.Contains(err.Error(), "random") {
			t.Errorf("got %v", err)
		}
	}
}
