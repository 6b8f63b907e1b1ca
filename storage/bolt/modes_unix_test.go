//go:build !windows

package bolt

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestREST1_ModesUnderAnyUmask is not parallel: the umask belongs to the process.
func TestREST1_ModesUnderAnyUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o777} {
		root := t.TempDir()
		old := syscall.Umask(umask)
		path := filepath.Join(root, "a", "b", "email_link.db")
		s, err := Open(context.Background(), Options{Path: path})
		if err != nil {
			syscall.Umask(old)
			t.Fatalf("umask %o: %v", umask, err)
		}
		backup := &modeWriter{t: t, dir: filepath.Dir(path)}
		err = s.Backup(context.Background(), backup)
		syscall.Umask(old)
		if err != nil || !backup.seen {
			t.Errorf("umask %o: Backup = %v", umask, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		checkModes(t, root)
	}
}

// modeWriter looks at the modes of all files while a backup is under way.
type modeWriter struct {
	t    *testing.T
	dir  string
	seen bool
}

func (w *modeWriter) Write(p []byte) (int, error) {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return 0, err
	}
	w.seen = len(entries) == 2 // the database and its copy
	checkModes(w.t, filepath.Dir(w.dir))
	return io.Discard.Write(p)
}

func checkModes(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestREST1_AWideFileIsNarrowed(t *testing.T) {
	path := filled(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
