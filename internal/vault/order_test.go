package vault

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// noting is a store that notes in which order it is written to, and can refuse to be.
type noting struct {
	storage.Store
	calls []string
	fail  error
}

func (n *noting) Update(ctx context.Context, fn func(storage.Tx) error) error {
	n.calls = append(n.calls, "update")
	if n.fail != nil {
		return n.fail
	}
	return n.Store.Update(ctx, fn)
}

func (n *noting) Sweep(ctx context.Context, until time.Time, limit int) (int, error) {
	n.calls = append(n.calls, "sweep")
	return n.Store.Sweep(ctx, until, limit)
}

// expired stores counters that end one second after noon.
func expired(t *testing.T, s *Vault, n int) {
	t.Helper()
	err := s.Store.Update(t.Context(), func(tx storage.Tx) error {
		for i := range n {
			if _, _, err := tx.Counters().Spend(storage.Key{End: noon.Unix() + 1, Digest: storage.Digest{byte(i)}}, 1, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCLK1_TheClockIsPersistedBeforeTheSweep: what was swept stays over only where the time by which it was is known after the
// next start.
func TestCLK1_TheClockIsPersistedBeforeTheSweep(t *testing.T) {
	now := clock.NewFake(noon)
	s := open(t, filepath.Join(t.TempDir(), "test.db"), now.Clock(), master(1))
	defer closed(t, s)
	expired(t, s, 3)
	now.Advance(time.Minute)
	store := &noting{Store: s.Store, fail: storage.ErrUnknown}
	s.Store = store
	if n, err := s.Sweep(t.Context()); n != 0 || !errors.Is(err, storage.ErrUnknown) || slices.Contains(store.calls, "sweep") {
		t.Errorf("swept %d, %v, by %q though the clock was not persisted", n, err, store.calls)
	}
	store.calls, store.fail = nil, nil
	if n, err := s.Sweep(t.Context()); n != 3 || err != nil || !slices.Equal(store.calls, []string{"update", "sweep"}) {
		t.Errorf("swept %d, %v, by %q", n, err, store.calls)
	}
	s.Store = store.Store
}

// TestCLK1_NoSweepByAClockThatIsAheadAtTheStart starts with the wall clock two days ahead: until it has agreed with itself for a
// while nothing is deleted, neither by it nor for good when it falls back.
func TestCLK1_NoSweepByAClockThatIsAheadAtTheStart(t *testing.T) {
	for _, fallsBack := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "test.db")
		now := clock.NewFake(noon)
		s := open(t, path, now.Clock(), master(1))
		cookie, _ := signIn(t, s, "ada@example.com")
		closed(t, s)
		now.Set(noon.Add(48 * time.Hour))
		s = open(t, path, now.Restarted(), master(1))
		if n, err := s.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("swept %d in doubt, %v", n, err)
		}
		if fallsBack {
			now.Set(noon)
			closed(t, s)
			s = open(t, path, now.Restarted(), master(1))
			if !alive(t, s, cookie) {
				t.Error("a clock that was wrong for a while has ended a session for good")
			}
		} else {
			now.Advance(clock.Settle)
			_ = s.Clock.Now()
			if n, err := s.Sweep(t.Context()); n == 0 || err != nil {
				t.Errorf("swept %d when the clock had settled, %v", n, err)
			}
		}
		closed(t, s)
	}
}

// TestKEY1_NothingIsSealedBeforeItsMasterIsThere refuses the master key: nothing may have been written by then.
func TestKEY1_NothingIsSealedBeforeItsMasterIsThere(t *testing.T) {
	store := &noting{Store: openStore(t, filepath.Join(t.TempDir(), "test.db"))}
	defer func() { _ = store.Close() }()
	lost := errors.New("the key file could not be written")
	_, err := Open(t.Context(), Config{Store: store, Masters: func([]byte) ([][]byte, error) {
		store.calls = append(store.calls, "masters")
		return nil, lost
	}})
	if !errors.Is(err, lost) || !slices.Equal(store.calls, []string{"masters"}) {
		t.Errorf("%v after %q", err, store.calls)
	}
}
