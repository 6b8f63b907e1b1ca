//go:build unix

package keyring

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestREST1_KeyFileUnderAnyUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077, 0o777} {
		path := filepath.Join(t.TempDir(), "keys", "master")
		old := syscall.Umask(mask)
		_, _, err := LoadOrCreateKeyFile(path, false)
		syscall.Umask(old)
		if err != nil {
			t.Fatalf("umask %o: %v", mask, err)
		}
		for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
			if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != want {
				t.Errorf("umask %o: %s has mode %v, %v", mask, p, fi.Mode(), err)
			}
		}
	}
}
