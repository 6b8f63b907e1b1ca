//go:build postgres

package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// incarnation opens a database and returns what it is.
func incarnation(t *testing.T, o postgres.Options) string {
	t.Helper()
	s := open(t, o)
	name, err := s.Incarnation(t.Context())
	if err != nil || name == "" {
		t.Fatalf("%q, %v", name, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestREST2_EachWayBackIsAnotherIncarnation puts a database back in every way that a server's own tools know, into another database and into
// its own.
func TestREST2_EachWayBackIsAnotherIncarnation(t *testing.T) {
	s := pgtest.StartFor(t)
	o := postgres.Options{DSN: s.DSN()}
	was := incarnation(t, o)
	if again := incarnation(t, o); again != was {
		t.Errorf("without any restore it became %q", again)
	}
	s.Exec(t, "vacuum full")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if again := incarnation(t, o); again != was {
		t.Errorf("after a crash it became %q", again)
	}
	dump := s.Tool(t, "pg_dump", "postgres", nil, "--format=custom")
	s.Exec(t, "create database copied")
	s.Tool(t, "pg_restore", "copied", dump)
	if copied := incarnation(t, postgres.Options{DSN: s.DSN() + " dbname=copied"}); copied == was {
		t.Error("a copy in another database is not recognised")
	}
	s.Tool(t, "pg_restore", "postgres", dump, "--clean", "--if-exists")
	clean := incarnation(t, o)
	if clean == was {
		t.Error("a copy that replaced its original is not recognised")
	}
	s.Exec(t, "truncate email_link.migrations, email_link.meta, email_link.node, email_link.steps, email_link.epochs")
	s.Tool(t, "pg_restore", "postgres", dump, "--data-only", "--single-transaction")
	if rows := incarnation(t, o); rows == was || rows == clean {
		t.Error("rows that were put back are not recognised")
	}
}

// TestREST2_APromotedStandbyIsAnotherIncarnation asks right after the promotion, before any checkpoint.
func TestREST2_APromotedStandbyIsAnotherIncarnation(t *testing.T) {
	s := pgtest.StartFor(t)
	was := incarnation(t, postgres.Options{DSN: s.DSN()})
	kept := incarnation(t, postgres.Options{DSN: s.DSN(), KeepFailover: true})
	standby := s.Copy(t, "--write-recovery-conf")
	standby.RunFor(t)
	s.CatchUp(t, standby)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	standby.Exec(t, "select pg_promote()")
	if now := incarnation(t, postgres.Options{DSN: standby.DSN()}); now == was {
		t.Errorf("it is still %q", now)
	}
	if now := incarnation(t, postgres.Options{DSN: standby.DSN(), KeepFailover: true}); now != kept {
		t.Errorf("with `failover keep` %q became %q", kept, now)
	}
}

// TestREST2_ARecoveryToAPointInTimeIsAnotherIncarnation replays an archive of the log up to a named point.
func TestREST2_ARecoveryToAPointInTimeIsAnotherIncarnation(t *testing.T) {
	archive := pgtest.PublicDir(t)
	s := pgtest.StartFor(t, "archive_mode=on", "archive_command=cp %p "+archive+"/%f")
	o := postgres.Options{DSN: s.DSN()}
	was := incarnation(t, o)
	base := s.Copy(t)
	s.Exec(t, "select pg_create_restore_point('yesterday'); create table public.later ()")
	s.Exec(t, "select pg_switch_wal()")
	if err := s.Stop(); err != nil { // it archives what there is
		t.Fatal(err)
	}
	base.Signal(t, "recovery.signal")
	base.RunFor(t, "restore_command=cp "+archive+"/%f %p", "recovery_target_name=yesterday", "recovery_target_action=promote")
	base.Await(t, "select not pg_is_in_recovery()")
	base.Exec(t, "create table public.later ()") // it is not there: the recovery has ended before
	if now := incarnation(t, postgres.Options{DSN: base.DSN()}); now == was {
		t.Errorf("it is still %q", now)
	}
}

// TestREST2_PutBackUnderARunningGate restores a dump of this very process over its own tables: it is noticed without a restart and without a
// broken connection, and no step works on what was put back before the caller has asked what it is.
func TestREST2_PutBackUnderARunningGate(t *testing.T) {
	s := pgtest.StartFor(t)
	store := open(t, postgres.Options{DSN: s.DSN()})
	was, err := store.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	step := func(tx storage.Tx) error { return tx.Meta().Put("x", nil) }
	update(t, store, step)
	dump := s.Tool(t, "pg_dump", "postgres", nil, "--format=custom")
	changes := make(chan storage.Change, 9)
	store.Subscribe(func(c storage.Change) { changes <- c })
	s.Tool(t, "pg_restore", "postgres", dump, "--clean", "--if-exists", "--single-transaction")
	if c := <-changes; c.Kind != storage.ChangeAll {
		t.Errorf("notified of %v", c)
	}
	if err := store.Update(t.Context(), step); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("a step on what was put back: %v, want ErrUnreachable", err)
	}
	now, err := store.Incarnation(t.Context())
	if err != nil || now == was {
		t.Fatalf("it is still %q, %v", now, err)
	}
	update(t, store, step)
}

// TestREST2_AnotherServerMeanwhile: a store goes on with no other server before its caller has asked which one it is.
func TestREST2_AnotherServerMeanwhile(t *testing.T) {
	s := pgtest.StartFor(t)
	standby := s.Copy(t, "--write-recovery-conf")
	standby.RunFor(t)
	both := strings.Replace(s.DSN(), "host="+s.Dir, "host="+s.Dir+","+standby.Dir, 1) + " target_session_attrs=read-write"
	const kept = "kept"
	end, keep := open(t, postgres.Options{DSN: both}), open(t, postgres.Options{DSN: both, KeepFailover: true, Schema: kept})
	step := func(tx storage.Tx) error { return tx.Meta().Put("x", nil) }
	for _, store := range []*postgres.Store{end, keep} {
		if _, err := store.Incarnation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := store.Update(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	s.CatchUp(t, standby)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	standby.Exec(t, "select pg_promote()")
	for {
		err := keep.Update(t.Context(), step) // bounded, so this does not run hot
		if err == nil {
			break
		}
		t.Logf("with `failover keep`, until the standby is reached: %v", err)
	}
	if err := end.Update(t.Context(), step); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("a step on a promoted standby: %v, want ErrUnreachable", err)
	}
	if _, err := end.Incarnation(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := end.Update(t.Context(), step); err != nil {
		t.Errorf("when the caller knows: %v", err)
	}
}
