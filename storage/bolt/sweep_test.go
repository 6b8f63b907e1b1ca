package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestSweepBoundsTheWorkOfATransaction proves that records which change pages of their own count for more, together with others.
func TestSweepBoundsTheWorkOfATransaction(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	const (
		ofOne    = sweepChunk / sessionParts
		sessions = 2*ofOne + 1
		tokens   = sweepChunk
	)
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		for i := range uint64(tokens) {
			var d storage.Digest
			binary.BigEndian.PutUint64(d[:], i+1)
			k := storage.Key{End: 1, Digest: d}
			if i < sessions {
				if err := tx.Sessions().Create(storage.Session{Key: k, Account: "me"}); err != nil {
					return err
				}
			}
			if err := tx.Tokens().Create(storage.Token{Key: k, Kind: storage.TokenLink, Flow: k}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		t.Helper()
		err := s.View(context.Background(), func(st storage.Tx) error {
			return st.(*tx).scan(bSessions, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	commits := 0
	s.commit = func(btx *bbolt.Tx) error { commits++; return btx.Commit() }
	const beside = sweepChunk % sessionParts // tokens for which there is room beside as many sessions as go
	for i, want := range []int{ofOne + beside, ofOne + beside, 1 + sweepChunk - sessionParts} {
		if n, err := s.Sweep(context.Background(), time.Unix(1, 0), want); n != want || err != nil || commits != i+1 {
			t.Fatalf("Sweep = %d, %v after %d transactions; want %d", n, err, commits, want)
		}
		if n, want := left(), max(sessions-(i+1)*ofOne, 0); n != want {
			t.Fatalf("%d sessions left after %d transactions, want %d", n, commits, want)
		}
	}
	if n, err := s.Sweep(context.Background(), time.Unix(1, 0), 10_000); n != sessionParts-2*beside || err != nil {
		t.Errorf("the last Sweep = %d, %v", n, err)
	}
	if err := s.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestSweepRemovesTheTimesOfEvents sweeps all events and an invitation: none leaves an entry in an index, which would grow for good.
func TestSweepRemovesTheTimesOfEvents(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	at := time.Unix(1_800_000_000, 5)
	err := s.Update(t.Context(), func(tx storage.Tx) error {
		return errors.Join(
			tx.Events().Append(storage.Event{Time: at, Account: "ada"}, at.Add(time.Hour)),
			tx.Events().Append(storage.Event{}, at.Add(time.Minute)),
			tx.Invitations().Create(storage.Invitation{Key: storage.Key{End: at.Unix(), Digest: storage.Digest{1}}, ID: "i", Inviter: "ada", Mailbox: storage.Digest{2}}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(t.Context(), at.Add(time.Hour), 9); n != 3 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
	err = s.View(t.Context(), func(st storage.Tx) error {
		left := func(k, _ []byte) (bool, error) {
			t.Errorf("the entry %x is left", k)
			return true, nil
		}
		return errors.Join(st.(*tx).scan(bEventTimes, nil, left), st.(*tx).scan(bEventAccounts, nil, left), st.(*tx).scan(bInvitationIndex, nil, left))
	})
	if err != nil {
		t.Fatal(err)
	}
}
