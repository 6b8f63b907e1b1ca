//go:build postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// additive is a change that only adds, as each one does.
const additive = "alter table %[1]s.sessions add column colour text not null default 'red'; create table %[1]s.shades (n integer primary key);\n"

// atWork runs steps on a store until stop is called, and returns after the first. None fails.
func atWork(t *testing.T, s storage.Store, name string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	begun := make(chan struct{})
	wg.Go(func() {
		for done := 0; ctx.Err() == nil || done == 0; done++ {
			one := name + fmt.Sprint(done)
			err := s.Update(context.Background(), func(tx storage.Tx) error {
				if _, err := tx.Epochs().GetForUpdate(storage.GlobalEpoch); err != nil {
					return err
				}
				return tx.Sessions().Create(session(one))
			})
			if err == nil {
				err = s.View(context.Background(), func(tx storage.Tx) error {
					_, found, err := tx.Sessions().Get(key(one))
					if err == nil && !found {
						err = errors.New("it is not there")
					}
					return err
				})
			}
			if err != nil {
				t.Errorf("%s: %v", one, err)
			}
			if done == 0 {
				close(begun)
			}
		}
	})
	<-begun
	return func() {
		cancel()
		wg.Wait()
	}
}

// TestSTO4_ARollingChangeOfTheSchema: the next build changes the schema while this one is at work, and each goes on beside what the other
// has written, forth and back.
func TestSTO4_ARollingChangeOfTheSchema(t *testing.T) {
	o := postgres.Options{DSN: server.DSN(), Schema: pgtest.Schema()}
	old := open(t, o)
	stop := atWork(t, old, "old")
	if _, err := postgres.OpenNext(t.Context(), o, additive, 0); !errors.Is(err, storage.ErrLocked) {
		t.Fatalf("beside the old one: %v, want ErrLocked", err)
	}
	server.Exec(t, "select colour from "+o.Schema+".sessions, "+o.Schema+".shades") // it has changed the schema
	update(t, old, func(tx storage.Tx) error { return tx.Sessions().Create(session("after")) })
	stop()
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for round := range 2 { // an upgrade, back, and the upgrade again
		next, err := postgres.OpenNext(t.Context(), o, additive, 0)
		if err != nil {
			t.Fatal(err)
		}
		update(t, next, func(tx storage.Tx) error { return tx.Sessions().Create(session(fmt.Sprint("new", round))) })
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
		old := open(t, o)
		for _, name := range []string{"old0", fmt.Sprint("new", round)} {
			if err := old.View(t.Context(), func(tx storage.Tx) error {
				_, found, err := tx.Sessions().Get(key(name))
				if !found {
					t.Errorf("the old build does not find %s", name)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		update(t, old, func(tx storage.Tx) error { return tx.Sessions().Create(session(fmt.Sprint("back", round))) })
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
	}

	// One change later the first build may not write any more.
	latest, err := postgres.OpenNext(t.Context(), postgres.Options{DSN: server.DSN(), Schema: pgtest.Schema()}, additive, postgres.Newest()+1)
	if err != nil {
		t.Fatal(err)
	}
	if err := latest.Close(); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, fmt.Sprintf("update %s.migrations set writes = %d where number = %d", o.Schema, postgres.Newest()+1, postgres.Newest()+1))
	if err := refused(t, o, "use the newer build", fmt.Sprintf("its change %d", postgres.Newest()+1)); !errors.Is(err, storage.ErrNewer) {
		t.Errorf("%v, want ErrNewer", err)
	}
	if next, err := postgres.OpenNext(t.Context(), o, additive, postgres.Newest()+1); err != nil {
		t.Error(err)
	} else if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// TestSTO4_AChangeByHand applies what the next build prints with psql, while this one is at work, by a user who owns nothing at run time.
func TestSTO4_AChangeByHand(t *testing.T) {
	o := postgres.Options{DSN: server.DSN(), Schema: pgtest.Schema(), Manual: true}
	refused(t, o, "(it has 0 of "+fmt.Sprint(postgres.Newest())+")", "migrations manual", "caddy email-link schema")
	sql, err := o.Statements()
	if err != nil {
		t.Fatal(err)
	}
	psql := func(text string) {
		t.Helper()
		server.Tool(t, "psql", "postgres", []byte(text), "-q", "-v", "ON_ERROR_STOP=1")
	}
	psql(sql)
	old := open(t, o)
	stop := atWork(t, old, "old")
	_, err = postgres.OpenNext(t.Context(), o, additive, 0)
	if want := fmt.Sprintf("(it has %d of %d)", postgres.Newest(), postgres.Newest()+1); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("before it: %v, want %q", err, want)
	}
	for range 2 { // a second time it changes nothing
		psql(postgres.NextStatements(o, additive))
	}
	update(t, old, func(tx storage.Tx) error { return tx.Sessions().Create(session("after")) })
	stop()
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := postgres.OpenNext(t.Context(), o, additive, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// signal sends for each line of a log that tells of another try.
type signal chan<- struct{}

func (s signal) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "trying again") {
		s <- struct{}{}
	}
	return len(line), nil
}

// TestSTO4_AChangeWaitsForTablesInUse: a long dump, or another start, delays a start and does not end it, and what is changed is changed whole.
func TestSTO4_AChangeWaitsForTablesInUse(t *testing.T) {
	o := postgres.Options{DSN: server.DSN(), Schema: pgtest.Schema()}
	if err := open(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(context.Background()) }()
	if _, err := reader.Exec(t.Context(), "begin; lock table "+o.Schema+".sessions in access share mode", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	again, opened := make(chan struct{}, 99), make(chan error, 1)
	o.Log = slog.New(slog.NewTextHandler(signal(again), nil))
	go func() {
		next, err := postgres.OpenNext(context.Background(), o, additive, 0)
		if err == nil {
			err = next.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("while the table is in use: %v", err)
	case <-again: // the first try has given up
	}
	if _, err := reader.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}
