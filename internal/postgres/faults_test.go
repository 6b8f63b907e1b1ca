//go:build postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// compare looks at what steps have left that [writeUnderLoad] has run: what was acknowledged is there, what was answered as failed is not, and
// each that happened is counted once. It returns how many happened.
func compare(t *testing.T, s storage.Store, outcomes map[string]error) (happened int64) {
	t.Helper()
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
	return happened
}

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
	t.Logf("%d steps, %d happened", len(outcomes), compare(t, s, outcomes))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, own)
}

// silence is the environment variable that sets for how long packets are swallowed at least, such as 30s. Without it they are until each
// caller has been answered.
const silence = "PGTEST_SILENCE"

// TestDUR2_PacketsAreSwallowedUnderLoad passes nothing on and closes nothing: each call ends by itself, and when packets come through again, so
// do steps. What was acknowledged is there, what was answered as failed is not, and what is unknown happened once or never.
func TestDUR2_PacketsAreSwallowedUnderLoad(t *testing.T) {
	const callers = 8
	p := server.NewProxy(t)
	s := open(t, postgres.Options{DSN: p.DSN(), Schema: pgtest.Schema()})
	outcomes := map[string]error{}
	done, failed := make(chan string, 1), make(chan string, callers)
	stop := writeUnderLoad(s, callers, func(name string, err error) {
		outcomes[name] = err
		heard := done
		if err != nil {
			heard = failed
		}
		select {
		case heard <- name:
		default:
		}
	})
	<-done
	begun := time.Now()
	p.Silence(true)
	answered := map[string]bool{}
	for len(answered) < callers {
		caller, _, _ := strings.Cut(<-failed, ".")
		answered[caller] = true
	}
	t.Logf("all callers were answered after %s", time.Since(begun).Round(time.Millisecond))
	if err := s.View(t.Context(), func(tx storage.Tx) error { _, _, err := tx.Meta().Get("x"); return err }); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("View = %v, want ErrUnreachable", err)
	}
	if least, err := time.ParseDuration(os.Getenv(silence)); err == nil {
		time.Sleep(time.Until(begun.Add(least)))
	}
	for len(done) > 0 { // of steps whose answers were on their way
		<-done
	}
	begun = time.Now()
	p.Silence(false)
	<-done
	t.Logf("a step was done %s after packets came through", time.Since(begun).Round(time.Millisecond))
	stop()
	happened := compare(t, s, outcomes)
	unknown := 0
	for name, err := range outcomes {
		if errors.Is(err, storage.ErrUnknown) {
			unknown++
		}
		if errors.Is(err, storage.ErrLocked) {
			t.Errorf("%s: %v, by a session of this process that the server has not ended", name, err)
		}
	}
	t.Logf("%d steps, %d happened, %d unknown", len(outcomes), happened, unknown)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p.Cut() // as the server does when its probes fail
	nothingLeft(t, server)
	// The server has ended every connection of the time before, with what it may have had of a step.
	if again := compare(t, open(t, postgres.Options{Schema: s.Schema()}), outcomes); again != happened {
		t.Errorf("%d happened, and %d when the last connection had ended", happened, again)
	}
}

// TestDUR2_ALostSessionHoldsTheLockOfItsOwnProcess: the server does not learn that a connection has gone, and holds the lock for it. The
// process ends that session, takes the lock again and is not another process to itself meanwhile.
func TestDUR2_ALostSessionHoldsTheLockOfItsOwnProcess(t *testing.T) {
	p := server.NewProxy(t)
	schema := pgtest.Schema()
	s := open(t, postgres.Options{DSN: p.DSN(), Schema: schema})
	holder := func() string {
		return server.Value(t, fmt.Sprintf("select coalesce(max(pid::text), '') from pg_locks where locktype = 'advisory' and objsubid = 1 and granted and "+
			"(classid::bigint << 32 | objid::bigint) = %d", postgres.LockNumber(schema)))
	}
	look := func() error {
		return s.View(t.Context(), func(tx storage.Tx) error { _, _, err := tx.Meta().Get("x"); return err })
	}
	before := holder()
	p.Silence(true)
	if err := look(); !errors.Is(err, storage.ErrUnreachable) { // meanwhile the watch has given its connection up
		t.Errorf("View = %v, want ErrUnreachable", err)
	}
	p.Silence(false)
	for after := holder(); after == "" || after == before; after = holder() {
		if err := look(); errors.Is(err, storage.ErrLocked) {
			t.Fatalf("it takes itself for another process: %v", err)
		}
	}
}

// TestDUR1_AStepThatArrivesLate: the last message of a step is on its way for longer than its answer is awaited. The step is done again, and
// what arrives then is refused.
func TestDUR1_AStepThatArrivesLate(t *testing.T) {
	p := server.NewProxy(t)
	s := open(t, postgres.Options{DSN: p.DSN(), Schema: pgtest.Schema()})
	var arrive func()
	runs := 0
	update(t, s, func(tx storage.Tx) error {
		if _, _, err := tx.Counters().Spend(key("total"), 1, 9); err != nil {
			return err
		}
		if runs++; runs == 1 {
			arrive = p.Hold()
		}
		return nil
	})
	arrive()
	if err := s.View(t.Context(), func(tx storage.Tx) error {
		n, err := tx.Counters().Peek(key("total"))
		if n != 1 || runs != 2 {
			t.Errorf("it happened %d times in %d runs", n, runs)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// nothingLeft waits until no goroutine of a closed store runs, and none of its connections to the servers is open. The test's time limit ends
// the wait.
func nothingLeft(t *testing.T, servers ...*pgtest.Server) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		left := goroutines()
		for _, s := range servers {
			if one := s.Value(t, "select coalesce(string_agg(application_name || ' ' || query, '; '), '') from pg_stat_activity "+
				"where application_name like 'email_link%'"); one != "" {
				left = append(left, one)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Logf("still there: %s", strings.Join(left, "\n\n"))
			begun = time.Now()
		}
	}
}

// goroutines returns the stacks of those that run the engine or its driver.
func goroutines() (list []string) {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for one := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(one, "/jackc/") || strings.Contains(one, "internal/postgres.") {
			list = append(list, one)
		}
	}
	return list
}

// TestDUR2_AnOpeningThatFailsLeavesNothing opens what must not be opened, in each way that an opening can fail.
func TestDUR2_AnOpeningThatFailsLeavesNothing(t *testing.T) {
	server.Exec(t, "create role nothing login")
	t.Cleanup(func() { server.Exec(t, "drop role nothing") })
	newer, foreign, taken := pgtest.Schema(), pgtest.Schema(), pgtest.Schema()
	if err := open(t, postgres.Options{Schema: newer}).Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, "insert into "+newer+".migrations (number, writes) values (91, 91)")
	server.Exec(t, "create schema "+foreign+"; create table "+foreign+".invoices (n int)")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx context.Context
		o   postgres.Options
	}{
		"nothing listens":      {o: postgres.Options{DSN: "host=" + t.TempDir() + " user=gate dbname=postgres"}},
		"no such user":         {o: postgres.Options{DSN: server.DSN() + " user=no_such"}},
		"no right":             {o: postgres.Options{DSN: server.DSN() + " user=nothing", Schema: pgtest.Schema()}},
		"changes by hand":      {o: postgres.Options{Manual: true, Schema: pgtest.Schema()}},
		"a newer schema":       {o: postgres.Options{Schema: newer}},
		"a foreign schema":     {o: postgres.Options{Schema: foreign}},
		"another isolation":    {o: postgres.Options{DSN: server.DSN() + " default_transaction_isolation=serializable"}},
		"a caller that leaves": {ctx: gone, o: postgres.Options{Schema: pgtest.Schema()}},
	} {
		if c.o.DSN == "" {
			c.o.DSN = server.DSN()
		}
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		s, err := postgres.Open(c.ctx, c.o)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
		}
		nothingLeft(t, server)
	}
	// Beside the process that has the database.
	first := open(t, postgres.Options{Schema: taken})
	refused(t, postgres.Options{DSN: server.DSN(), Schema: taken}, "process")
	if s, err := postgres.OpenShared(t.Context(), postgres.Options{DSN: server.DSN(), Schema: taken}); err == nil {
		t.Error("a node beside a single process")
		_ = s.Close()
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, server)

	// Those of a pooler to the server stay.
	refused(t, postgres.Options{DSN: server.Pooler(t, "transaction"), NodeFile: "/dev/null/node", Schema: pgtest.Schema()}, "the id of this node")
	nothingLeft(t)
}
