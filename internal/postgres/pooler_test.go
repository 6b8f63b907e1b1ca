//go:build postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/storagetest"
)

// TestDUR1_ThroughPgBouncer runs the suites of the engine through PgBouncer in transaction mode.
func TestDUR1_ThroughPgBouncer(t *testing.T) {
	dsn := server.Pooler(t, "transaction")
	opened := func(t testing.TB) storage.Store {
		t.Helper()
		s, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, Schema: pgtest.Schema()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("Store", func(t *testing.T) { storagetest.Run(t, opened) })
	t.Run("Concurrency", func(t *testing.T) { storagetest.RunConcurrency(t, opened) })
}

// TestDUR1_DurabilityThroughPgBouncer kills processes that write through PgBouncer. The same node opens the database at once.
func TestDUR1_DurabilityThroughPgBouncer(t *testing.T) {
	const given = "PGTEST_POOLER" // the child uses the pooler of its parent
	dsn := os.Getenv(given)
	if dsn == "" {
		dsn = server.Pooler(t, "transaction")
		t.Setenv(given, dsn)
	}
	storagetest.RunDurability(t, storagetest.Durable{Open: func(dir string) (storage.Store, error) {
		h := fnv.New32()
		_, _ = h.Write([]byte(dir))
		return openAfter(postgres.Options{DSN: dsn, Schema: fmt.Sprintf("pooled_%d", h.Sum32()), NodeFile: filepath.Join(dir, "node")})
	}})
}

func TestSTO2_APoolerThatBreaksTransactionsIsRefused(t *testing.T) {
	err := refused(t, postgres.Options{DSN: server.Pooler(t, "statement"), Schema: pgtest.Schema()}, "a pooler", "pool_mode = transaction")
	if err == nil {
		return
	}
	open(t, postgres.Options{DSN: server.Pooler(t, "transaction"), Schema: pgtest.Schema()}) // what the error says to write
	open(t, postgres.Options{DSN: server.Pooler(t, "session"), Schema: pgtest.Schema()})
	refused(t, postgres.Options{DSN: server.DSN() + " default_query_exec_mode=simple_protocol"}, "default_query_exec_mode", "leave it out")
}

// TestSTO1_BehindAPoolerTheBeatDecides: no lock of a session holds there.
func TestSTO1_BehindAPoolerTheBeatDecides(t *testing.T) {
	dsn, schema, dir := server.Pooler(t, "transaction"), pgtest.Schema(), t.TempDir()
	of := func(node string) postgres.Options {
		return postgres.Options{DSN: dsn, Schema: schema, NodeFile: filepath.Join(dir, node)}
	}
	first := open(t, of("one"))
	host, _ := os.Hostname()
	name := fmt.Sprintf("process %d on %s", os.Getpid(), host)
	direct := postgres.Options{DSN: server.DSN(), Schema: schema}
	var wg sync.WaitGroup // each waits for a process that is just ending
	for what, o := range map[string]postgres.Options{"another node": of("two"), "another process of the node": of("one"), "without a pooler": direct} {
		wg.Go(func() {
			if err := refused(t, o, name, "10s after its last sign"); !errors.Is(err, storage.ErrLocked) {
				t.Errorf("%s: %v, want ErrLocked", what, err)
			}
		})
	}
	wg.Wait()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	held := open(t, direct) // a process that has ended has freed it
	if err := refused(t, of("one"), name); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("behind a pooler: %v, want ErrLocked", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}

	// A process that was killed has left its beat and a file that is free.
	first = open(t, of("one"))
	left := rowOf(t, schema)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, left+", beat = clock_timestamp() + interval '1 hour'")
	refused(t, of("two"), name)
	again := open(t, of("one"))
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, left+", beat = '2000-01-01'")
	open(t, of("two"))
	if !scan[bool](t, "select beat > '2001-01-01' from "+schema+".node") {
		t.Error("its beat is the one from before")
	}
}

// rowOf returns a statement that puts the row of the node back as it is now.
func rowOf(t *testing.T, schema string) string {
	t.Helper()
	id := scan[string](t, "select id from "+schema+".node")
	owner := scan[string](t, "select encode(owner, 'hex') from "+schema+".node")
	return "update " + schema + ".node set id = '" + id + "', owner = '\\x" + owner + "'"
}

// scan asks the server for one value.
func scan[T any](t *testing.T, sql string) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// TestSTO1_ADisplacedProcessWritesNothing: another process has taken the database while this one could not reach it, and this one does not
// know it yet.
func TestSTO1_ADisplacedProcessWritesNothing(t *testing.T) {
	for name, dsn := range map[string]string{"direct": server.DSN(), "pooled": server.Pooler(t, "transaction")} {
		t.Run(name, func(t *testing.T) {
			schema := pgtest.Schema()
			s := open(t, postgres.Options{DSN: dsn, Schema: schema})
			changes := make(chan storage.Change, 9)
			s.Subscribe(func(c storage.Change) { changes <- c })
			write := func(tx storage.Tx) error { return tx.Meta().Put("x", nil) }
			update(t, s, write)
			err := s.Update(t.Context(), func(tx storage.Tx) error {
				server.Exec(t, "update "+schema+".node set owner = 'another', id = 'another', host = 'elsewhere', pid = 42, beat = clock_timestamp() + interval '1 hour'")
				return tx.Meta().Put("y", nil)
			})
			if !errors.Is(err, storage.ErrLocked) {
				t.Errorf("a step beside another process = %v, want ErrLocked", err)
			}
			if c := <-changes; c.Kind != storage.ChangeAll {
				t.Errorf("notified of %v", c)
			}
			if n := scan[int](t, "select count(*) from "+schema+".meta"); n != 1 {
				t.Errorf("%d values are there, want the one from before", n)
			}
			if err := s.View(t.Context(), func(storage.Tx) error { return nil }); !errors.Is(err, storage.ErrLocked) {
				t.Errorf("View = %v, want ErrLocked", err)
			}
			for err = errors.New(""); !strings.Contains(err.Error(), "process 42 on elsewhere"); err = s.Update(t.Context(), write) {
				time.Sleep(10 * time.Millisecond) // until the watch has found out which one
			}
			server.Exec(t, "update "+schema+".node set beat = null") // it ends
			for s.Update(t.Context(), write) != nil {
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}
