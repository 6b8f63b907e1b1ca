package keyring

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestREST1_KeyFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "keys", "master")
	masters, created, err := LoadOrCreateKeyFile(path, false)
	if err != nil || !created || len(masters) != 1 || len(masters[0]) != 32 {
		t.Fatalf("got %d masters, created %v, %v", len(masters), created, err)
	}
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		fi, err := os.Stat(p)
		if err != nil || fi.Mode() != want {
			t.Errorf("%s: mode %v, want %v (%v)", p, fi.Mode(), want, err)
		}
	}
	if w := KeyFileWarning(path); w != "" {
		t.Errorf("warning %q", w)
	}
	again, created, err := LoadOrCreateKeyFile(path, true)
	if err != nil || created || !bytes.Equal(again[0], masters[0]) {
		t.Errorf("second load: created %v, %v", created, err)
	}
}

func TestKEY1_MissingKeyBesideADatabaseIsARefusal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "master")
	_, created, err := LoadOrCreateKeyFile(path, true)
	var missing *MissingKeyError
	if !errors.As(err, &missing) || created {
		t.Fatalf("got created %v, %v", created, err)
	}
	missing.Fingerprint = "00ff00ff00ff00ff"
	for _, want := range []string{path, "00ff00ff00ff00ff"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was created")
	}
}

func TestKEY1_UnusableKeyFiles(t *testing.T) {
	for name, content := range map[string]string{
		"empty":    "",
		"short":    "0011223344\n",
		"comments": "# nothing\n\n",
		"huge":     strings.Repeat("x", 2*maxKeyFile),
	} {
		path := filepath.Join(t.TempDir(), "master")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, exists := range []bool{true, false} {
			_, created, err := LoadOrCreateKeyFile(path, exists)
			if err == nil || created || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: created %v, %v", name, created, err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, _, err := LoadOrCreateKeyFile(t.TempDir(), false); err == nil {
		t.Error("a directory was accepted")
	}
}

func TestKeyFileWithOlderKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master")
	text := "# the newest first\n" + strings.Repeat("0123456789abcdef", 4) + "\r\n\n" + strings.Repeat("fedcba9876543210", 4) + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	masters, _, err := LoadOrCreateKeyFile(path, true)
	if err != nil || len(masters) != 2 || masters[0][0] != 0x01 || masters[1][0] != 0xfe {
		t.Errorf("got %x, %v", masters, err)
	}
	if w := KeyFileWarning(path); !strings.Contains(w, "0644") || !strings.Contains(w, path) {
		t.Errorf("warning %q", w)
	}
}

func TestKeyFileWarnsOfAnOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master")
	if _, _, err := LoadOrCreateKeyFile(path, false); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // the point of the test
		t.Fatal(err)
	}
	if w := KeyFileWarning(path); !strings.Contains(w, "0777") {
		t.Errorf("warning %q", w)
	}
}

func TestKeyFileCreatedByManyAtOnceIsOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "master")
	const n = 8
	var (
		wg      sync.WaitGroup
		barrier = make(chan struct{})
		created [n]bool
	)
	for i := range n {
		wg.Go(func() {
			<-barrier
			// A loser may read the file before the winner has written it: a refusal, never a second key.
			_, created[i], _ = LoadOrCreateKeyFile(path, false)
		})
	}
	close(barrier)
	wg.Wait()
	count := 0
	for _, c := range created {
		if c {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d of %d created the key", count, n)
	}
}
