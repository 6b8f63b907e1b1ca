package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func open(t *testing.T, dir string) storage.Store {
	t.Helper()
	return enginetest.Open(t, dir)
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
	charge := func(tx storage.Tx, i int) (limit.Decision, error) {
		client := limit.Subject{Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Mailbox: storage.Digest{1}}
		charges := table.LimitsFor(limit.MailIP, client)
		return limiter.Spend(tx, now, append(charges, table.LimitsFor(limit.MailMailbox, client)...)...)
	}
	path := t.TempDir()
	store := open(t, path)
	var callers atomic.Int64
	permitted := together(t, store, 100, func(tx storage.Tx) (limit.Decision, error) { return charge(tx, int(callers.Add(1))) })
	if permitted != 5 {
		t.Errorf("%d permitted, want 5", permitted)
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
		verdict, err := charge(tx, 200)
		if err == nil && (verdict.Allowed || verdict.Name != limit.MailMailbox) {
			err = fmt.Errorf("after a restart: %+v", verdict)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = store.View(ctx, func(tx storage.Tx) error {
		_, err := limiter.Spend(tx, now, limit.Charge{Name: limit.RedeemIP, Subject: "x", Rates: table[limit.RedeemIP]})
		return err
	})
	if !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("a failing store: %v", err)
	}
}

// TestRL4_ASweepEndsNoWindowEarly sweeps a database every few minutes of two days while 20 ask at once after each sweep: what is
// permitted in each hour and in each day is exactly what the rates say.
func TestRL4_ASweepEndsNoWindowEarly(t *testing.T) {
	ctx, begin := context.Background(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ring, _, err := keyring.Open([][]byte{[]byte("a master key of tests, 32 bytes and more")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	limiter, table := &limit.Limiter{Ring: ring}, limit.Defaults()
	for name, words := range map[string][]string{limit.MailIP: {"2-H", "5-D"}, limit.MailMailbox: {"1000-D"}} {
		if err := table.Set(name, words...); err != nil {
			t.Fatal(err)
		}
	}
	store := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	subject := limit.Subject{Client: netip.MustParseAddr("192.0.2.1"), Mailbox: storage.Digest{1}}
	permitted := map[string]map[int64]int{"2-H": {}, "5-D": {}}
	for at := time.Duration(0); at < 48*time.Hour; at += 7 * time.Minute {
		now := begin.Add(at)
		if _, err := store.Sweep(ctx, now, 1000); err != nil {
			t.Fatal(err)
		}
		var usages []limit.Usage
		if err := store.View(ctx, func(tx storage.Tx) (err error) {
			usages, err = limiter.Usage(tx, now, table, subject)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		n := int(together(t, store, 20, func(tx storage.Tx) (limit.Decision, error) {
			return limiter.Spend(tx, now, append(table.LimitsFor(limit.MailIP, subject), table.LimitsFor(limit.MailMailbox, subject)...)...)
		}))
		for _, u := range usages {
			if counts, found := permitted[u.Rate]; found && u.Name == limit.MailIP {
				counts[u.Ends.Unix()] += n
			}
		}
	}
	for rate, want := range map[string]int{"2-H": 2, "5-D": 5} {
		for ends, n := range permitted[rate] {
			// Where the first and the last day are cut off, they may have too few hours for as much as a day permits.
			whole := ends >= begin.Add(24*time.Hour).Unix() && ends < begin.Add(48*time.Hour).Unix()
			if n > want || rate == "5-D" && n != want && whole {
				t.Errorf("%s: %d permitted in the window that ends at %s", rate, n, time.Unix(ends, 0).UTC())
			}
		}
	}
	if len(permitted["2-H"]) < 48 || len(permitted["5-D"]) < 2 {
		t.Errorf("%d hours and %d days in two days", len(permitted["2-H"]), len(permitted["5-D"]))
	}
	if _, err := store.Sweep(ctx, begin.Add(96*time.Hour), 1000); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Sweep(ctx, begin.Add(1000*time.Hour), 1000); n != 0 || err != nil {
		t.Errorf("%d counters are kept for days after their windows, %v", n, err)
	}
}

// together lets callers race for one step each and says how many of them were permitted.
func together(t *testing.T, store storage.Store, callers int, step func(storage.Tx) (limit.Decision, error)) int64 {
	t.Helper()
	var permitted atomic.Int64
	var wait sync.WaitGroup
	barrier := make(chan struct{})
	for range callers {
		wait.Go(func() {
			<-barrier
			var verdict limit.Decision
			err := store.Update(context.Background(), func(tx storage.Tx) (err error) {
				verdict, err = step(tx)
				return err
			})
			if err != nil {
				t.Error(err)
			} else if verdict.Allowed {
				permitted.Add(1)
			}
		})
	}
	close(barrier)
	wait.Wait()
	return permitted.Load()
}
