//go:build postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/storagetest"
)

// openNodes opens one schema n times at once.
func openNodes(t testing.TB, o postgres.Options, n int) (list []*postgres.Shared) {
	t.Helper()
	if o.DSN == "" {
		o.DSN = server.DSN()
	}
	if o.Schema == "" {
		o.Schema = pgtest.Schema()
	}
	for range n {
		s, err := postgres.OpenShared(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil && !errors.Is(err, storage.ErrClosed) {
				t.Error(err)
			}
		})
		list = append(list, s)
	}
	return list
}

func TestNodes(t *testing.T) {
	storagetest.RunNodes(t, func(t testing.TB) (list []storage.Store) {
		for _, s := range openNodes(t, postgres.Options{Connections: 4}, 3) {
			list = append(list, s)
		}
		return list
	})
}

// publish ends an account's things at a store.
func publish(t testing.TB, s storage.Store, account string) {
	t.Helper()
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		return tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: account})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNODE1_ChangesReachTheOthers publishes a change of each kind at one node, with notices and without.
func TestNODE1_ChangesReachTheOthers(t *testing.T) {
	for name, o := range map[string]postgres.Options{"notified": {}, "alone": {NoNotify: true}, "pooled": {DSN: server.Pooler(t, "transaction")}} {
		t.Run(name, func(t *testing.T) {
			nodes := openNodes(t, o, 2)
			heard := make(chan storage.Change, 99)
			nodes[1].Subscribe(func(c storage.Change) { heard <- c })
			k := storage.Key{End: 1_900_000_000, Digest: storage.Digest{1, 2, 3}}
			for _, want := range []storage.Change{
				{Kind: storage.ChangeAccount, Account: "ada"},
				{Kind: storage.ChangeSession, Account: "ada", Key: k},
				{Kind: storage.ChangeToken, Account: "ada", Key: k},
				{Kind: storage.ChangeKeys},
				{Kind: storage.ChangeAll},
			} {
				if err := nodes[0].Update(t.Context(), func(tx storage.Tx) error { return tx.Changes().Publish(want) }); err != nil {
					t.Fatal(err)
				}
				if got := <-heard; got != want {
					t.Errorf("heard %+v, want %+v", got, want)
				}
			}
			nodes[1].Update(t.Context(), func(tx storage.Tx) error { return tx.Changes().Publish(storage.Change{Kind: storage.ChangeAll}) }) //nolint:errcheck // heard below
			publish(t, nodes[0], "last")
			if one, two := <-heard, <-heard; one.Kind != storage.ChangeAll || two.Account != "last" || len(heard) > 0 {
				t.Errorf("heard %+v and %+v and %d more: a node hears of its own changes once", one, two, len(heard))
			}
		})
	}
}

// TestNODE1_AChangeThatCommitsLateIsHeard lets the transaction of a change begin before those of later ones, and end after them.
func TestNODE1_AChangeThatCommitsLateIsHeard(t *testing.T) {
	schema := pgtest.Schema()
	nodes := openNodes(t, postgres.Options{Schema: schema}, 2)
	heard := make(chan storage.Change, 99)
	nodes[1].Subscribe(func(c storage.Change) { heard <- c })
	conn, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	late, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Exec(t.Context(), "insert into "+schema+".changes (node, kind, account) values ('elsewhere', 1, 'late')"); err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"one", "two", "three"} {
		publish(t, nodes[0], account)
		if got := <-heard; got.Account != account {
			t.Fatalf("heard %+v, want %s", got, account)
		}
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got.Account != "late" {
		t.Errorf("heard %+v", got)
	}
	publish(t, nodes[0], "four")
	if got := <-heard; got.Account != "four" {
		t.Errorf("heard %+v: what was heard before comes twice", got)
	}
}

// TestNODE1_ADatabaseThatIsGoneIsKnown stops a server: what is cached is fresh no more, and an outage that ends with the server's return.
func TestNODE1_ADatabaseThatIsGoneIsKnown(t *testing.T) {
	own, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	node := openNodes(t, postgres.Options{DSN: own.DSN(), ServeCached: time.Minute}, 1)[0]
	if _, out := node.Outage(); out || time.Until(node.FreshUntil()) > node.MaxLag() {
		t.Errorf("at the start: out %v, fresh until %v", out, node.FreshUntil())
	}
	if err := own.Kill(); err != nil {
		t.Log(err)
	}
	_, out := node.Outage()
	for ; !out; _, out = node.Outage() {
		time.Sleep(10 * time.Millisecond) // ends with the next poll
	}
	until, _ := node.Outage() // no poll is answered any more
	if fresh := node.FreshUntil(); until.Sub(fresh) != time.Minute {
		t.Errorf("served until %v after %v", until, fresh)
	}
	if err := own.Run(); err != nil {
		t.Fatal(err)
	}
	for ; out; _, out = node.Outage() {
		time.Sleep(10 * time.Millisecond) // ends with the first poll that is answered
	}
}

// TestNODE1_ADutyIsOneNodesAtATime runs one duty on two nodes at once, and after the death of one.
func TestNODE1_ADutyIsOneNodesAtATime(t *testing.T) {
	schema := pgtest.Schema()
	nodes := openNodes(t, postgres.Options{Schema: schema}, 2)
	var inner atomic.Bool
	ran, err := nodes[0].RunExclusive(t.Context(), "sweep", func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a duty without an end")
		}
		both, err := nodes[1].RunExclusive(ctx, "sweep", func(context.Context) error { inner.Store(true); return nil })
		other, err2 := nodes[1].RunExclusive(ctx, "another", func(context.Context) error { return nil })
		if both || !other {
			t.Errorf("beside it: %v, another duty %v", both, other)
		}
		return errors.Join(err, err2)
	})
	if err != nil || !ran || inner.Load() {
		t.Errorf("ran %v, %v; beside it %v", ran, err, inner.Load())
	}
	server.Exec(t, "insert into "+schema+".duties values ('sweep', 'dead', clock_timestamp() + interval '1 minute'), "+
		"('old', 'dead', clock_timestamp() - interval '1 second')")
	for name, want := range map[string]bool{"sweep": false, "old": true} {
		ran, err := nodes[0].RunExclusive(t.Context(), name, func(context.Context) error { return nil })
		if err != nil || ran != want {
			t.Errorf("%s of a dead node: ran %v, %v", name, ran, err)
		}
	}
}

func TestNODE1_NodesKnowEachOther(t *testing.T) {
	nodes := openNodes(t, postgres.Options{}, 2)
	for i, version := range []string{"v1", "v2"} {
		if err := nodes[i].Announce(t.Context(), storage.NodeInfo{Version: version, Config: "c", Secrets: []string{"ab", "cd"}}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := nodes[1].Nodes(t.Context())
	if err != nil || len(list) != 2 || list[0].Version != "v1" || list[1].Secrets[1] != "cd" || list[0].Self || !list[1].Self || list[0].Process == 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := nodes[0].Close(); err != nil {
		t.Fatal(err)
	}
	if list, err = nodes[1].Nodes(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("after one has gone: %+v, %v", list, err)
	}
}

// TestSTO1_NodesAndASingleProcessExclude: a process that follows no changes must not work beside those that rely on it, with a pooler in
// between or not.
func TestSTO1_NodesAndASingleProcessExclude(t *testing.T) {
	dsns := map[string]string{"direct": server.DSN(), "pooled": server.Pooler(t, "transaction")}
	for ofNode, nodeDSN := range dsns {
		for ofSingle, singleDSN := range dsns {
			t.Run(ofNode+" node, "+ofSingle+" process", func(t *testing.T) {
				t.Parallel() // each refusal takes its time
				schema := pgtest.Schema()
				node := openNodes(t, postgres.Options{DSN: nodeDSN, Schema: schema}, 1)[0]
				host, _ := os.Hostname()
				self := fmt.Sprintf("process %d on %s", os.Getpid(), host)
				if err := refused(t, postgres.Options{DSN: singleDSN, Schema: schema}, self); !errors.Is(err, storage.ErrLocked) {
					t.Errorf("a single process beside a node: %v", err)
				}
				if err := node.Close(); err != nil {
					t.Fatal(err)
				}
				single := open(t, postgres.Options{DSN: singleDSN, Schema: schema})
				s, err := postgres.OpenShared(t.Context(), postgres.Options{DSN: nodeDSN, Schema: schema})
				if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), self) {
					t.Errorf("a node beside a single process: %v", err)
					if err == nil {
						_ = s.Close()
					}
				}
				if err := single.Close(); err != nil {
					t.Fatal(err)
				}
				openNodes(t, postgres.Options{DSN: nodeDSN, Schema: schema}, 2)
			})
		}
	}
}

// TestSTO1_ASingleProcessThatLostItsLockWritesNothingBesideANode: its connections of the pool live on while a node takes the database.
func TestSTO1_ASingleProcessThatLostItsLockWritesNothingBesideANode(t *testing.T) {
	schema := pgtest.Schema()
	single := open(t, postgres.Options{Schema: schema})
	var owner string
	var s storage.Store
	for s == nil { // the single process tries to get its lock again once a second, and may be the first
		owner = scan[string](t, "select encode(owner, 'hex') from "+schema+".node")
		server.Exec(t, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and "+
			fmt.Sprintf("((classid::bigint << 32) | objid::bigint) = %d", postgres.LockNumber(schema)))
		node, err := postgres.OpenShared(t.Context(), postgres.Options{DSN: server.DSN(), Schema: schema})
		if err == nil {
			s = node
		} else if !errors.Is(err, storage.ErrLocked) {
			t.Fatal(err)
		}
	}
	defer func() { _ = s.Close() }()
	if now := scan[string](t, "select encode(owner, 'hex') from "+schema+".node"); now == owner {
		t.Error("the node has left the owner as it was")
	}
	err := single.Update(t.Context(), func(tx storage.Tx) error { return tx.Meta().Put("x", nil) })
	if !errors.Is(err, storage.ErrLocked) {
		t.Errorf("it writes: %v", err)
	}
}

// TestNODE1_ANodeOnAnotherServerLooksAgain: what was read is asked for again once a connection finds another incarnation of the database.
func TestNODE1_ANodeOnAnotherServerLooksAgain(t *testing.T) {
	schema := pgtest.Schema()
	node := openNodes(t, postgres.Options{Schema: schema}, 1)[0]
	if _, err := node.Incarnation(t.Context()); err != nil {
		t.Fatal(err)
	}
	heard := make(chan storage.Change, 999)
	node.Subscribe(func(c storage.Change) {
		select {
		case heard <- c:
		default:
		}
	})
	// The row of the first migration is another one, as in a copy that was put back, and the connections are new.
	server.Exec(t, "update "+schema+".migrations set number = number where number = 1")
	server.Exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'email_link'")
	if c := <-heard; c.Kind != storage.ChangeAll {
		t.Errorf("heard %+v", c)
	}
	if _, err := node.Incarnation(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, node, "ada") // it works on the new one
}

// TestREST2_PutBackUnderRunningNodes restores a dump of their own tables under two nodes: each forgets what it has read, and takes no step
// before it has asked what the database is now.
func TestREST2_PutBackUnderRunningNodes(t *testing.T) {
	schema := pgtest.Schema()
	nodes := openNodes(t, postgres.Options{Schema: schema}, 2)
	step := func(tx storage.Tx) error { return tx.Meta().Put("x", nil) }
	heard := make(chan int, 999)
	var was []string
	for i, node := range nodes {
		incarnation, err := node.Incarnation(t.Context())
		if err == nil {
			err = node.Update(t.Context(), step)
		}
		if err != nil {
			t.Fatal(err)
		}
		was = append(was, incarnation)
		node.Subscribe(func(c storage.Change) {
			if c.Kind == storage.ChangeAll {
				select {
				case heard <- i:
				default:
				}
			}
		})
	}
	dump := server.Tool(t, "pg_dump", "postgres", nil, "--format=custom", "--schema="+schema)
	server.Tool(t, "pg_restore", "postgres", dump, "--clean", "--if-exists", "--single-transaction")
	for told := map[int]bool{}; len(told) < len(nodes); {
		told[<-heard] = true
	}
	for i, node := range nodes {
		if i == 0 { // one of them, because a refusal takes its time
			if err := node.Update(t.Context(), step); !errors.Is(err, storage.ErrUnreachable) {
				t.Errorf("it takes a step on what was put back: %v", err)
			}
		}
		if now, err := node.Incarnation(t.Context()); err != nil || now == was[i] {
			t.Errorf("node %d: it is still %q, %v", i+1, now, err)
		}
		if err := node.Update(t.Context(), step); err != nil {
			t.Errorf("node %d after it has asked: %v", i+1, err)
		}
	}
}
