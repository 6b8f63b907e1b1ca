package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// syncs replaces fsync and notes what is made durable, in order, with its size at that time. fail is what the nth sync answers.
func syncs(t *testing.T, nth int, fail error) *[]string {
	t.Helper()
	var list []string
	real := fsync
	t.Cleanup(func() { fsync = real })
	fsync = func(f *os.File) error {
		name := f.Name()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			name += " (empty)"
		}
		list = append(list, name)
		if len(list) == nth {
			return fail
		}
		return real(f)
	}
	return &list
}

// TestKEY1_AKeyFileIsDurableBeforeAnythingDependsOnIt: the database is sealed with the key as soon as the key is returned.
func TestKEY1_AKeyFileIsDurableBeforeAnythingDependsOnIt(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "data", "keys", "master")
	list := syncs(t, 0, nil)
	if _, created, err := LoadOrCreateKeyFile(path, false); err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	want := []string{root, filepath.Join(root, "data"), path, filepath.Join(root, "data", "keys")}
	if !slices.Equal(*list, want) {
		t.Errorf("made durable: %q, want %q", *list, want)
	}
	for nth := range want {
		path := filepath.Join(t.TempDir(), "data", "keys", "master")
		full := errors.New("no space left")
		syncs(t, nth+1, full)
		if _, created, err := LoadOrCreateKeyFile(path, false); !errors.Is(err, full) || created {
			t.Errorf("sync %d fails: created %v, %v", nth+1, created, err)
		}
		if _, err := os.Stat(path); err == nil && nth < len(want)-1 {
			t.Errorf("sync %d fails: a key file is left that may not last", nth+1)
		}
	}
}
