package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

func open(t *testing.T, path string) *bolt.Store {
	t.Helper()
	store, err := bolt.Open(context.Background(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestRL4_ExactUnderParallelRequestsAndAfterARestart lets 100 steps race for five slots, several limits at once, and asks
// again after the store has been reopened.
func TestRL4_ExactUnderParallelRequestsAndAfterARestart(t *testing.T) {
	ctx, now := context.Background(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ring, _, err := keyring.Open([][]byte{[]byte("a master key of tests, 32 bytes and more")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	limiter := &limit.Limiter{Ring: ring}
	table := limit.Defaults()
	if err := table.Set(limit.MailMailbox, "5-D"); err != nil {
		t.Fatal(err)
	}
	ask := func(tx storage.Tx, i int) (limit.Verdict, error) {
		client := limit.Subject{Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Mailbox: storage.Digest{1}}
		asks := table.Asks(limit.MailIP, client)
		return limiter.TakeAll(tx, now, append(asks, table.Asks(limit.MailMailbox, client)...)...)
	}
	path := filepath.Join(t.TempDir(), "limits", "test.db")
	store := open(t, path)
	var permitted atomic.Int64
	var wait sync.WaitGroup
	barrier := make(chan struct{})
	errs := make(chan error, 100)
	for i := range 100 {
		wait.Go(func() {
			<-barrier
			var verdict limit.Verdict
			err := store.Update(ctx, func(tx storage.Tx) (err error) {
				verdict, err = ask(tx, i)
				return err
			})
			if err == nil && verdict.OK {
				permitted.Add(1)
			}
			errs <- err
		})
	}
	close(barrier)
	wait.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := permitted.Load(); n != 5 {
		t.Errorf("%d permitted, want 5", n)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = open(t, path)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	err = store.View(ctx, func(tx storage.Tx) error { // a refusal writes nothing, so a View can tell it
		verdict, err := ask(tx, 200)
		if err == nil && (verdict.OK || verdict.Name != limit.MailMailbox) {
			err = fmt.Errorf("after a restart: %+v", verdict)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = store.View(ctx, func(tx storage.Tx) error {
		_, err := limiter.Take(tx, now, limit.RedeemIP, "x", table.RedeemIP)
		return err
	})
	if !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("a failing store: %v", err)
	}
}
