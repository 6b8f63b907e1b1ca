//go:build postgres

package postgres_test

import (
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestDUR2_TheServerKilledTenTimes kills the server under load and starts it again: what was acknowledged is there, what was answered as failed
// is not, nothing happened twice, and nothing of the store is left when it is closed.
func TestDUR2_TheServerKilledTenTimes(t *testing.T) {
	const callers, kills = 8, 10
	own := pgtest.StartFor(t, "fsync=on")
	s := open(t, postgres.Options{DSN: own.DSN(), Schema: pgtest.Schema()})
	outcomes := map[string]error{}
	var lastDone atomic.Pointer[time.Time]
	stop := writeUnderLoad(s, callers, func(name string, err error) {
		if outcomes[name] = err; err == nil {
			now := time.Now()
			lastDone.Store(&now)
		}
	})
	worksAfter := func(since time.Time) time.Duration {
		for {
			if at := lastDone.Load(); at != nil && at.After(since) {
				return at.Sub(since)
			}
			time.Sleep(time.Millisecond)
		}
	}
	worksAfter(time.Now())
	for range kills {
		if err := own.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := own.Run(); err != nil {
			t.Fatal(err)
		}
		t.Logf("a step was done %s after the server was back", worksAfter(time.Now()).Round(time.Millisecond))
	}
	stop()
	happened := int64(0)
	err := s.View(t.Context(), func(tx storage.Tx) error {
		happened = 0
		for name, outcome := range outcomes {
			_, found, err := tx.Flows().Get(key(name))
			switch {
			case err != nil:
				return err
			case found:
				happened++
			}
			if !errors.Is(outcome, storage.ErrUnknown) && found != (outcome == nil) {
				t.Errorf("%s was answered with %v, and is there: %v", name, outcome, found)
			}
		}
		n, err := tx.Counters().Peek(key("total"))
		if n != happened {
			t.Errorf("%d are counted, %d are there", n, happened)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d steps, %d happened", len(outcomes), happened)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t)
}

// nothingLeft waits until no goroutine of a closed store runs. The test's time limit ends the wait.
func nothingLeft(t *testing.T) {
	t.Helper()
	for {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left := 0
		for one := range strings.SplitSeq(string(stacks), "\n\n") {
			if strings.Contains(one, "pgxpool.") || strings.Contains(one, "postgres.(*lock)") || strings.Contains(one, "postgres.(*resolver)") {
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
