//go:build postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func key(name string) storage.Key {
	k := storage.Key{End: noon.Add(time.Hour).Unix()}
	copy(k.Digest[:], name)
	return k
}

func digest(name string) (d storage.Digest) {
	copy(d[:], name)
	return d
}

func flow(name string) storage.Flow {
	return storage.Flow{Key: key(name), ID: name, Mailbox: digest("mailbox"), State: storage.FlowOpen, Started: noon, ResendsLeft: 3}
}

func session(name string) storage.Session {
	return storage.Session{Key: key(name), ID: name, Account: "me", Mailbox: digest("mailbox"), Seen: noon, IdleEnd: noon.Add(time.Hour)}
}

func update(t *testing.T, s storage.Store, fn func(storage.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// TestDUR1_WhatMovesMeanwhileRunsTheStepAgain commits another step between a step's reads and its end.
func TestDUR1_WhatMovesMeanwhileRunsTheStepAgain(t *testing.T) {
	a := storage.Account{ID: "a", Mailbox: digest("a"), Status: storage.StatusActive}
	epoch := storage.MailboxEpoch(digest("b"))
	for name, c := range map[string]struct {
		read, move func(storage.Tx) error
	}{
		"an account": {
			func(tx storage.Tx) error { _, _, err := tx.Accounts().GetForUpdate(a.ID); return err },
			func(tx storage.Tx) error {
				found, _, err := tx.Accounts().Get(a.ID)
				_, err2 := tx.Accounts().Replace(found)
				return errors.Join(err, err2)
			},
		},
		"an account that goes": {
			func(tx storage.Tx) error { _, _, err := tx.Accounts().ByMailboxForUpdate(a.Mailbox); return err },
			func(tx storage.Tx) error { _, err := tx.Accounts().Delete(a.ID); return err },
		},
		"a mailbox that gets an account": {
			func(tx storage.Tx) error { _, _, err := tx.Accounts().ByMailboxForUpdate(digest("c")); return err },
			func(tx storage.Tx) error {
				_, err := tx.Accounts().Create(storage.Account{ID: "c", Mailbox: digest("c")})
				return err
			},
		},
		"an epoch": {
			func(tx storage.Tx) error { _, err := tx.Epochs().GetForUpdate(storage.GlobalEpoch); return err },
			func(tx storage.Tx) error { _, err := tx.Epochs().Raise(storage.GlobalEpoch); return err },
		},
		"an epoch that was never raised": {
			func(tx storage.Tx) error { _, err := tx.Epochs().GetForUpdate(epoch); return err },
			func(tx storage.Tx) error { _, err := tx.Epochs().Raise(epoch); return err },
		},
		"a flow": {
			func(tx storage.Tx) error { _, _, err := tx.Flows().GetForUpdate(key("flow")); return err },
			func(tx storage.Tx) error { _, err := tx.Flows().Bind(key("flow"), "me", 1); return err },
		},
		"a code that was right": {
			func(tx storage.Tx) error {
				_, _, err := tx.Flows().AttemptCode(key("flow"), noon, digest("code"), 5)
				return err
			},
			func(tx storage.Tx) error {
				_, _, err := tx.Flows().AttemptCode(key("flow"), noon, digest("wrong"), 5)
				return err
			},
		},
		"a value": {
			func(tx storage.Tx) error { _, _, err := tx.Meta().GetForUpdate("there"); return err },
			func(tx storage.Tx) error { return tx.Meta().Put("there", []byte("2")) },
		},
		"a value that was not there": {
			func(tx storage.Tx) error { _, _, err := tx.Meta().GetForUpdate("absent"); return err },
			func(tx storage.Tx) error { return tx.Meta().Put("absent", nil) },
		},
		"a token": {
			func(tx storage.Tx) error { _, _, err := tx.Tokens().Consume(key("token"), noon); return err },
			func(tx storage.Tx) error { _, _, err := tx.Tokens().Consume(key("token"), noon); return err },
		},
		"the last of a limit": {
			func(tx storage.Tx) error { _, _, err := tx.Counters().Spend(key("counter"), 1, 3); return err },
			func(tx storage.Tx) error { _, _, err := tx.Counters().Spend(key("counter"), 3, 3); return err },
		},
		"a leased mail": {
			func(tx storage.Tx) error {
				_, err := tx.Outbox().Lease(storage.LaneDirect, noon, noon.Add(time.Hour), 1)
				return err
			},
			func(tx storage.Tx) error {
				_, err := tx.Outbox().Lease(storage.LaneDirect, noon, noon.Add(time.Hour), 1)
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := server.Open(t)
			defer func() { _ = s.Close() }()
			update(t, s, func(tx storage.Tx) error {
				_, err := tx.Accounts().Create(a)
				_, err2 := tx.Epochs().Raise(storage.GlobalEpoch)
				f := flow("flow")
				f.Codes = []storage.Digest{digest("code")}
				return errors.Join(err, err2, tx.Flows().Create(f), tx.Tokens().Create(storage.Token{Key: key("token")}),
					tx.Sessions().Create(session("session")), tx.Meta().Put("there", nil),
					tx.Outbox().Enqueue(storage.Mail{ID: storage.MailID{1}, Due: noon, End: noon.Add(time.Hour)}))
			})
			runs := 0
			update(t, s, func(tx storage.Tx) error {
				runs++
				if err := c.read(tx); err != nil {
					return err
				}
				if runs == 1 {
					update(t, s, c.move)
				}
				return tx.Meta().Put(fmt.Sprint("written in run ", runs), nil)
			})
			if runs != 2 {
				t.Errorf("%d runs", runs)
			}
			err := s.View(t.Context(), func(tx storage.Tx) error {
				_, first, err1 := tx.Meta().Get("written in run 1")
				_, second, err2 := tx.Meta().Get("written in run 2")
				if first || !second {
					t.Errorf("the first run wrote: %v, the second: %v", first, second)
				}
				return errors.Join(err1, err2)
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRL4_StepsThatAddToOneCounterDoNotUndoEachOther adds to a counter between a step's read and its end: both fit.
func TestRL4_StepsThatAddToOneCounterDoNotUndoEachOther(t *testing.T) {
	s := server.Open(t)
	defer func() { _ = s.Close() }()
	spend := func(tx storage.Tx) error { _, _, err := tx.Counters().Spend(key("counter"), 1, 9); return err }
	runs := 0
	update(t, s, func(tx storage.Tx) error {
		runs++
		if err := spend(tx); err != nil {
			return err
		}
		update(t, s, spend)
		return nil
	})
	err := s.View(t.Context(), func(tx storage.Tx) error {
		n, err := tx.Counters().Peek(key("counter"))
		if n != 2 || runs != 1 {
			t.Errorf("%d in %d runs", n, runs)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDUR1_AStepIsOverAtItsEnd uses what a step was given when it has returned.
func TestDUR1_AStepIsOverAtItsEnd(t *testing.T) {
	s := server.Open(t)
	defer func() { _ = s.Close() }()
	var kept storage.Tx
	update(t, s, func(tx storage.Tx) error {
		kept = tx
		_, _, err := tx.Meta().Get("x") // no server is needed to read it again
		return err
	})
	if _, _, err := kept.Meta().Get("x"); err == nil {
		t.Error("it reads on")
	}
	if err := kept.Meta().Put("x", nil); err == nil {
		t.Error("it writes on")
	}
}

// TestDUR1_ALostAnswerIsFoundOut loses the last message of a step on its way there, and its answer on the way back.
func TestDUR1_ALostAnswerIsFoundOut(t *testing.T) {
	p := server.NewProxy(t)
	s := open(t, postgres.Options{DSN: p.DSN(), Schema: pgtest.Schema()})
	for name, c := range map[string]struct {
		lose func()
		runs int
	}{"the message": {p.LoseQuestion, 2}, "the answer": {p.LoseAnswer, 1}} {
		runs := 0
		err := s.Update(t.Context(), func(tx storage.Tx) error {
			if err := tx.Prefetch(storage.Lookups{Counters: []storage.Key{key(name)}}); err != nil {
				return err
			}
			if _, _, err := tx.Counters().Spend(key(name), 1, 9); err != nil {
				return err
			}
			if runs++; runs == 1 {
				c.lose()
			}
			return nil
		})
		if err != nil || runs != c.runs {
			t.Errorf("%s was lost: %v after %d runs, want %d", name, err, runs, c.runs)
		}
		err = s.View(t.Context(), func(tx storage.Tx) error {
			n, err := tx.Counters().Peek(key(name))
			if n != 1 {
				t.Errorf("%s was lost: it happened %d times", name, n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDUR1_TheAnswerToAUseIsFoundOut loses the message of a step that records a use of a session, and its answer.
func TestDUR1_TheAnswerToAUseIsFoundOut(t *testing.T) {
	p := server.NewProxy(t)
	s := open(t, postgres.Options{DSN: p.DSN(), Schema: pgtest.Schema()})
	for name, lose := range map[string]func(){"the message": p.LoseQuestion, "the answer": p.LoseAnswer} {
		se := session(name)
		update(t, s, func(tx storage.Tx) error { return tx.Sessions().Create(se) })
		var got []storage.Touched
		lost := false
		update(t, s, func(tx storage.Tx) (err error) {
			if !lost {
				lost = true
				lose()
			}
			got, err = tx.Sessions().TouchAll([]storage.Touch{
				{Key: se.Key, Now: se.Seen.Add(time.Minute), IdleEnd: se.IdleEnd.Add(time.Minute), Every: time.Minute}, {Key: key("none"), Now: noon},
			})
			return err
		})
		if !got[0].Touched || !got[0].Session.Seen.Equal(se.Seen.Add(time.Minute)) || got[1].Touched || !got[1].Session.Key.IsZero() {
			t.Errorf("%s was lost: %+v", name, got)
		}
	}
}

// writeUnderLoad has callers take steps, each of which makes a flow and counts it, until stop is called. outcome is told what each step
// returned, one at a time.
func writeUnderLoad(s storage.Store, callers int, outcome func(name string, err error)) (stop func()) {
	over := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	for caller := range callers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				name := fmt.Sprint(caller, ".", n)
				err := s.Update(context.Background(), func(tx storage.Tx) error {
					_, _, err := tx.Counters().Spend(key("total"), 1, 1<<40)
					return errors.Join(err, tx.Flows().Create(flow(name)))
				})
				mu.Lock()
				outcome(name, err)
				mu.Unlock()
			}
		})
	}
	return func() {
		close(over)
		wg.Wait()
	}
}

// TestDUR1_EverySocketCut cuts all connections under load, again and again: what was acknowledged is there, and happened once.
func TestDUR1_EverySocketCut(t *testing.T) {
	const callers, cuts = 8, 50
	p := server.NewProxy(t)
	s := open(t, postgres.Options{DSN: p.DSN(), Schema: pgtest.Schema()})
	outcomes := map[string]error{}
	stop := writeUnderLoad(s, callers, func(name string, err error) { outcomes[name] = err })
	for range cuts {
		seen := p.Trips()
		for p.Trips() < seen+20 { // some steps come through between two cuts
			time.Sleep(time.Millisecond)
		}
		p.Cut()
	}
	stop()
	happened, unknown := compare(t, s, outcomes), 0
	for _, err := range outcomes {
		if errors.Is(err, storage.ErrUnknown) { // only where the bound of a call has passed, on a machine that does nothing for us
			unknown++
		}
	}
	t.Logf("%d steps, %d happened, %d unknown", len(outcomes), happened, unknown)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, server)
}
