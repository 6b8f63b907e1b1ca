package bolt

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// onlyTheDatabase checks that no temporary file is left.
func onlyTheDatabase(t *testing.T, s *Store) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(s.Path()))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}

func TestREST2_ABackupIsWholeAndMarked(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	a, b := storage.Key{End: 1, Digest: storage.Digest{1}}, storage.Key{End: 2, Digest: storage.Digest{2}}
	var done atomic.Bool
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for !done.Load() {
				err := s.Update(context.Background(), func(tx storage.Tx) error {
					_, _, err1 := tx.Counters().Spend(a, 1, 1<<40)
					_, _, err2 := tx.Counters().Spend(b, 1, 1<<40)
					return errors.Join(err1, err2)
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	for range 5 {
		var copied bytes.Buffer
		if err := s.Backup(context.Background(), &copied); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "restored.db")
		if err := os.WriteFile(path, copied.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		restored, err := Open(context.Background(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := restored.Check(context.Background()); err != nil {
			t.Error(err)
		}
		err = restored.View(context.Background(), func(tx storage.Tx) error {
			first, err1 := tx.Counters().Peek(a)
			second, err2 := tx.Counters().Peek(b)
			if first != second {
				t.Errorf("the copy holds %d and %d", first, second)
			}
			return errors.Join(err1, err2)
		})
		if err != nil || !has(t, restored, storage.MetaRestored) {
			t.Errorf("the copy is not marked, %v", err)
		}
		if err := restored.Close(); err != nil {
			t.Error(err)
		}
	}
	done.Store(true)
	writers.Wait()
	if has(t, s, storage.MetaRestored) {
		t.Error("the database itself is marked")
	}
	onlyTheDatabase(t, s)
}

// brokenWriter fails, and cancels first where it is told to.
type brokenWriter struct {
	cancel func()
	err    error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.cancel != nil {
		w.cancel()
	}
	return len(p), w.err
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.Backup(ctx, &brokenWriter{err: errTest}); !errors.Is(err, errTest) {
		t.Errorf("Backup = %v, want the writer's error", err)
	}
	onlyTheDatabase(t, s)
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		return tx.Meta().Put("large", make([]byte, 1<<20)) // more than one read
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(ctx, &brokenWriter{cancel: cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup = %v, want context.Canceled", err)
	}
	onlyTheDatabase(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(context.Background(), &bytes.Buffer{}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Backup = %v, want ErrClosed", err)
	}
	if err := s.Check(context.Background()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Check = %v, want ErrClosed", err)
	}
	onlyTheDatabase(t, s)
}
