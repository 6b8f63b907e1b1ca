package bolt

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/storagetest"
)

// open returns a new store in a directory of the test's own.
func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Path: filepath.Join(t.TempDir(), "email_link.db")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	storagetest.Run(t, func(t testing.TB) storage.Store { return open(t) })
}

func TestConcurrency(t *testing.T) {
	storagetest.RunConcurrency(t, func(t testing.TB) storage.Store { return open(t) })
}

// Every commit leaves the list of free pages out, and every Open after a kill does without it.
func TestDUR1_KilledWithoutAListOfFreePages(t *testing.T) {
	storagetest.RunDurability(t, storagetest.Durable{
		Open: func(dir string) (storage.Store, error) {
			s, err := Open(context.Background(), Options{Path: filepath.Join(dir, "email_link.db")})
			if err == nil {
				s.longList = 0
			}
			return s, err
		},
		Check: func(s storage.Store) error { return s.(*Store).Check(context.Background()) },
	})
}

func TestDUR1_KilledAtAnyMoment(t *testing.T) {
	storagetest.RunDurability(t, storagetest.Durable{
		Open: func(dir string) (storage.Store, error) {
			return Open(context.Background(), Options{Path: filepath.Join(dir, "email_link.db")})
		},
		Check: func(s storage.Store) error { return s.(*Store).Check(context.Background()) },
	})
}
