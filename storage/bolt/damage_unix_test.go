//go:build !windows

package bolt

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// reopened opens the database of a filled file.
func reopened(t *testing.T) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Path: filled(t)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func list(s *Store) error {
	return s.View(context.Background(), func(tx storage.Tx) error {
		for end := range int64(200) {
			k := storage.Key{End: end, Digest: storage.Digest{1, byte(end)}}
			if _, found, err := tx.Flows().Get(k); err != nil || !found {
				return errors.Join(err, errNoKey)
			}
		}
		return nil
	})
}

// Files that lose their end, or everything, below a running store. With unseen the fault itself is met, not the smaller size.
func TestDUR1_TruncatedWhileOpen(t *testing.T) {
	for name, c := range map[string]struct {
		size   int64
		unseen bool
	}{
		"to nothing":         {0, false},
		"to the metas":       {int64(2 * os.Getpagesize()), false},
		"to nothing, unseen": {0, true},
		"to metas, unseen":   {int64(2 * os.Getpagesize()), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := reopened(t)
			if err := list(s); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(s.Path(), c.size); err != nil {
				t.Fatal(err)
			}
			if c.unseen {
				s.size = 0
			}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if err := list(s); !errors.Is(err, storage.ErrDamaged) {
						t.Errorf("View = %v, want ErrDamaged", err)
					}
				})
				all.Go(func() {
					if err := s.Update(context.Background(), put("x")); !errors.Is(err, storage.ErrDamaged) {
						t.Errorf("Update = %v, want ErrDamaged", err)
					}
				})
			}
			all.Wait()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			before, _ := os.Stat(s.Path())
			if again, err := Open(context.Background(), Options{Path: s.Path()}); !errors.Is(err, storage.ErrDamaged) {
				if err == nil {
					_ = again.Close()
				}
				t.Errorf("Open = %v, want ErrDamaged", err)
			}
			if after, _ := os.Stat(s.Path()); after.Size() != before.Size() {
				t.Error("the file has been changed")
			}
		})
	}
}

// Pages that turn into garbage: no panic reaches a caller, and Check finds it.
func TestDUR1_GarbagePages(t *testing.T) {
	for _, garbage := range []byte{0x00, 0x5a, 0xff} {
		s := reopened(t)
		page := os.Getpagesize()
		f, err := os.OpenFile(s.Path(), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, 60*page)
		for i := range content {
			content[i] = garbage
		}
		if _, err := f.WriteAt(content, int64(3*page)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := list(s); err == nil {
			t.Errorf("garbage %x: a View found everything", garbage)
		}
		if err := s.Update(context.Background(), func(tx storage.Tx) error {
			if _, _, err := tx.Counters().Spend(storage.Key{End: 9}, 1, 9); err != nil {
				return err
			}
			return tx.Flows().Create(storage.Flow{Key: storage.Key{End: 9, Digest: storage.Digest{9}}})
		}); err == nil {
			t.Errorf("garbage %x: an Update succeeded", garbage)
		}
		if err := s.Check(context.Background()); !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("garbage %x: Check = %v", garbage, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("garbage %x: Close: %v", garbage, err)
		}
	}
}
