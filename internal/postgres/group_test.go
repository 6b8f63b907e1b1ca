//go:build postgres

package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestDUR1_StepsWrittenTogether ends several steps in one message: whatever becomes of it, each step happens once, and what one of them has met is
// no concern of the others.
func TestDUR1_StepsWrittenTogether(t *testing.T) {
	p := server.NewProxy(t)
	s := open(t, postgres.Options{DSN: p.DSN(), Schema: pgtest.Schema()})
	beside := func(t *testing.T, sql string) func() {
		return func() { server.Exec(t, strings.ReplaceAll(sql, "{schema}", s.Schema())) }
	}
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T) func()
		// runs is how many times the first step and the others run.
		first, others int
	}{
		"nothing happens": {func(*testing.T) func() { return func() {} }, 1, 1},
		"the first has moved": {func(t *testing.T) func() {
			return beside(t, "insert into {schema}.epochs (key, ver) values (convert_to('m', 'UTF8') || decode(rpad(encode('the first has moved', 'hex'), 64, '0'), 'hex'), 1)")
		}, 2, 1},
		"the answer was lost":  {func(*testing.T) func() { return p.LoseAnswer }, 1, 1},
		"the message was lost": {func(*testing.T) func() { return p.LoseQuestion }, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var runs [3]int
			step := func(i int) func(storage.Tx) error {
				return func(tx storage.Tx) error {
					runs[i]++
					if i == 0 {
						if _, err := tx.Epochs().GetForUpdate(storage.MailboxEpoch(digest(name))); err != nil {
							return err
						}
					}
					_, _, err := tx.Counters().Spend(key(name), 1, 9)
					return errors.Join(err, tx.Tokens().Create(storage.Token{Key: key(name + string(rune('a'+i)))}))
				}
			}
			errs := s.WriteTogether(t.Context(), c.meanwhile(t), step(0), step(1), step(2))
			if err := errors.Join(errs...); err != nil || runs != [3]int{c.first, c.others, c.others} {
				t.Errorf("%v after %d runs", err, runs)
			}
			err := s.View(t.Context(), func(tx storage.Tx) error {
				n, err := tx.Counters().Peek(key(name))
				if n != 3 {
					t.Errorf("counted %d times", n)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSTO3_StepsThatDependOnOneRow ends a step that depends on the epoch of all sessions, while another one that does so as well is not
// committed: it does not wait.
func TestSTO3_StepsThatDependOnOneRow(t *testing.T) {
	s := open(t, postgres.Options{Schema: pgtest.Schema()})
	conn, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "select pg_advisory_lock_shared($1)", postgres.EpochLock(s.Schema(), storage.GlobalEpoch)); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx storage.Tx) error {
		_, err := tx.Epochs().GetForUpdate(storage.GlobalEpoch)
		return errors.Join(err, tx.Flows().Create(flow("written")))
	})
}

// TestDUR2_ABusyPool waits for a connection in vain: that says nothing about the database, and the connections that there are go on.
func TestDUR2_ABusyPool(t *testing.T) {
	s := open(t, postgres.Options{DSN: server.DSN(), Schema: pgtest.Schema(), Connections: 2})
	free, err := s.HoldConnections(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made := s.NewConnections()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = s.View(short, func(tx storage.Tx) error { _, _, err := tx.Meta().Get("x"); return err })
	free()
	if !errors.Is(err, storage.ErrUnreachable) || !strings.Contains(err.Error(), "raise connections") {
		t.Error(err)
	}
	update(t, s, func(tx storage.Tx) error { return tx.Meta().Put("x", nil) })
	if now := s.NewConnections(); now != made {
		t.Errorf("%d connections were made anew", now-made)
	}
}
