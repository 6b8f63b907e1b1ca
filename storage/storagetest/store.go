package storagetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var storeTests = map[string]func(*testing.T, storage.Store){
	"AnErrorUndoesTheStep":          testErrorUndoes,
	"APanicUndoesTheStepAndIsKept":  testPanicUndoes,
	"ARefusalIsCommitted":           testRefusalCommits,
	"ViewIsReadOnly":                testViewReadOnly,
	"ContextIsObeyedBeforeTheStep":  testContext,
	"CloseIsForGood":                testClose,
	"ATxEndsWithItsStep":            testTxEnds,
	"AStepSeesItsOwnWrites":         testOwnWrites,
	"AViewPanicIsItsCallersOwn":     testViewPanic,
	"ARuntimeErrorIsStillOne":       testRuntimeError,
	"DuplicatesAreErrorsNotChanges": testDuplicates,
}

func testErrorUndoes(t *testing.T, s storage.Store) {
	k := key(now, "c")
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		if _, _, err := tx.Counters().Spend(k, 1, 9); err != nil {
			return err
		}
		return errTest
	})
	if !errors.Is(err, errTest) {
		t.Errorf("Update = %v, want the step's error", err)
	}
	wantCount(t, s, k, 0)
}

func wantCount(t *testing.T, s storage.Store, k storage.Key, want int64) {
	t.Helper()
	view(t, s, func(tx storage.Tx) error {
		got, err := tx.Counters().Peek(k)
		if got != want {
			t.Errorf("count = %d, want %d", got, want)
		}
		return err
	})
}

// caught runs f and returns what it panicked with.
func caught(f func()) (r any) {
	defer func() { r = recover() }()
	f()
	return nil
}

func testPanicUndoes(t *testing.T, s storage.Store) {
	k := key(now, "c")
	for _, write := range []bool{true, false} {
		r := caught(func() {
			_ = s.Update(context.Background(), func(tx storage.Tx) error {
				if write {
					if _, _, err := tx.Counters().Spend(k, 1, 9); err != nil {
						return err
					}
				}
				panic(errTest)
			})
		})
		if r != errTest { //nolint:errorlint // the very value
			t.Errorf("write %v: the panic arrived as %v", write, r)
		}
	}
	wantCount(t, s, k, 0)
	update(t, s, func(tx storage.Tx) error { _, _, err := tx.Counters().Spend(k, 1, 9); return err })
	wantCount(t, s, k, 1)
}

func testViewPanic(t *testing.T, s storage.Store) {
	r := caught(func() {
		_ = s.View(context.Background(), func(storage.Tx) error { panic(errTest) })
	})
	if r != errTest { //nolint:errorlint // the very value
		t.Errorf("the panic arrived as %v", r)
	}
	view(t, s, func(storage.Tx) error { return nil })
}

func testRuntimeError(t *testing.T, s storage.Store) {
	r := caught(func() {
		_ = s.Update(context.Background(), func(storage.Tx) error {
			none := make([]error, len(t.Name()))
			return none[len(t.Name())]
		})
	})
	if err, ok := r.(interface {
		error
		RuntimeError()
	}); !ok {
		t.Errorf("the panic arrived as %v", err)
	}
	update(t, s, func(tx storage.Tx) error { return tx.Meta().Put("x", nil) })
}

func testRefusalCommits(t *testing.T, s storage.Store) {
	k := key(now, "c")
	update(t, s, func(tx storage.Tx) error {
		if _, _, err := tx.Counters().Spend(k, 1, 9); err != nil {
			return err
		}
		_, res, err := tx.Tokens().Consume(key(now.Add(time.Hour), "none"), now)
		equal(t, "result", res, storage.TokenMissing)
		return err
	})
	wantCount(t, s, k, 1)
}

func testViewReadOnly(t *testing.T, s storage.Store) {
	f := flow("f", now.Add(time.Hour))
	se := session("s", "a", now.Add(time.Hour))
	m := mail("m", now, now.Add(time.Hour))
	tok := storage.Token{Key: key(now.Add(time.Hour), "t"), Kind: storage.TokenLink}
	mt := machineToken("m", now.Add(time.Hour))
	update(t, s, func(tx storage.Tx) error {
		_, err := tx.Accounts().Create(account("a"))
		return errors.Join(err, tx.Flows().Create(f), tx.Sessions().Create(se), tx.Outbox().Enqueue(m), tx.Tokens().Create(tok),
			tx.MachineTokens().Create(mt))
	})
	writes := map[string]func(storage.Tx) error{
		"Accounts.Create":     func(tx storage.Tx) error { _, err := tx.Accounts().Create(account("b")); return err },
		"Accounts.Replace":    func(tx storage.Tx) error { _, err := tx.Accounts().Replace(account("a")); return err },
		"Accounts.Delete":     func(tx storage.Tx) error { _, err := tx.Accounts().Delete("id-a"); return err },
		"Epochs.Raise":        func(tx storage.Tx) error { _, err := tx.Epochs().Raise(storage.GlobalEpoch); return err },
		"Flows.Create":        func(tx storage.Tx) error { return tx.Flows().Create(flow("g", now)) },
		"Flows.ConsumeResend": func(tx storage.Tx) error { _, _, err := tx.Flows().ConsumeResend(f.Key, now, 0, digest()); return err },
		"Flows.AttemptCode":   func(tx storage.Tx) error { _, _, err := tx.Flows().AttemptCode(f.Key, now, digest(), 5); return err },
		"Flows.Bind":          func(tx storage.Tx) error { _, err := tx.Flows().Bind(f.Key, "a", 1); return err },
		"Flows.Finish": func(tx storage.Tx) error {
			_, err := tx.Flows().Finish(f.Key, storage.FlowCancelled, digest(), storage.Key{})
			return err
		},
		"Tokens.Create":   func(tx storage.Tx) error { return tx.Tokens().Create(storage.Token{Key: key(now, "u")}) },
		"Tokens.Consume":  func(tx storage.Tx) error { _, _, err := tx.Tokens().Consume(tok.Key, now); return err },
		"Sessions.Create": func(tx storage.Tx) error { return tx.Sessions().Create(session("u", "a", now)) },
		"Sessions.TouchAll": func(tx storage.Tx) error {
			_, err := tx.Sessions().TouchAll([]storage.Touch{{Key: se.Key, Now: now, IdleEnd: now}})
			return err
		},
		"Sessions.Delete": func(tx storage.Tx) error { _, err := tx.Sessions().Delete(se.Key); return err },
		"MachineTokens.Create": func(tx storage.Tx) error {
			return tx.MachineTokens().Create(machineToken("u", now))
		},
		"Invitations.Create":   func(tx storage.Tx) error { return tx.Invitations().Create(invitation("u", "a", now)) },
		"MachineTokens.Revoke": func(tx storage.Tx) error { _, _, err := tx.MachineTokens().Revoke(mt.Key, now); return err },
		"Counters.Spend":       func(tx storage.Tx) error { _, _, err := tx.Counters().Spend(key(now, "c"), 1, 2); return err },
		"Counters.Refund":      func(tx storage.Tx) error { _, err := tx.Counters().Refund(key(now, "c"), 1); return err },
		"Counters.Reset":       func(tx storage.Tx) error { _, err := tx.Counters().Reset(key(now, "c")); return err },
		"Outbox.Enqueue":       func(tx storage.Tx) error { return tx.Outbox().Enqueue(mail("u", now, now)) },
		"Outbox.Lease": func(tx storage.Tx) error {
			_, err := tx.Outbox().Lease(storage.LaneDirect, now, now.Add(time.Microsecond), 1)
			return err
		},
		"Outbox.Move": func(tx storage.Tx) error {
			_, err := tx.Outbox().Move(m.ID, 0, storage.LaneLine, 1, now, "")
			return err
		},
		"Outbox.Finish":     func(tx storage.Tx) error { _, err := tx.Outbox().Finish(m.ID, 0); return err },
		"Outbox.Retry":      func(tx storage.Tx) error { _, err := tx.Outbox().Retry(m.ID, 0, now, ""); return err },
		"Outbox.DeadLetter": func(tx storage.Tx) error { _, err := tx.Outbox().DeadLetter(m.ID, 0, ""); return err },
		"Outbox.Requeue":    func(tx storage.Tx) error { _, err := tx.Outbox().Requeue(m.ID, now); return err },
		"Events.Append":     func(tx storage.Tx) error { return tx.Events().Append(storage.Event{}, now) },
		"Meta.Put":          func(tx storage.Tx) error { return tx.Meta().Put("x", nil) },
		"Meta.Delete":       func(tx storage.Tx) error { return tx.Meta().Delete("x") },
		"Meta.Put in a row": func(tx storage.Tx) error { _ = tx.Meta().Put("x", nil); return tx.Meta().Put("y", nil) },
	}
	for name, write := range writes {
		if err := s.View(context.Background(), write); !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("%s in a View = %v, want ErrReadOnly", name, err)
		}
	}
}

func testContext(t *testing.T, s storage.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	step := func(tx storage.Tx) error { ran = true; return tx.Meta().Put("never", nil) }
	for name, call := range map[string]func() error{
		"Update": func() error { return s.Update(ctx, step) },
		"View":   func() error { return s.View(ctx, step) },
		"Sweep":  func() error { _, err := s.Sweep(ctx, now, 10); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", name, err)
		}
	}
	if ran {
		t.Error("a step ran although its context was over")
	}

	ctx, cancel = context.WithCancel(context.Background())
	err := s.Update(ctx, func(tx storage.Tx) error {
		cancel() // from its first run on a step is not interrupted
		return tx.Meta().Put("x", []byte("y"))
	})
	if err != nil {
		t.Errorf("Update = %v, although the step had begun", err)
	}
}

func testClose(t *testing.T, s storage.Store) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	step := func(storage.Tx) error { return nil }
	for name, call := range map[string]func() error{
		"Update": func() error { return s.Update(ctx, step) },
		"View":   func() error { return s.View(ctx, step) },
		"Sweep":  func() error { _, err := s.Sweep(ctx, now, 10); return err },
		"Close":  s.Close,
	} {
		if err := call(); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
}

func testTxEnds(t *testing.T, s storage.Store) {
	var stored storage.Tx
	view(t, s, func(tx storage.Tx) error { stored = tx; return nil })
	if _, _, err := stored.Meta().Get("x"); err == nil {
		t.Error("a Tx of a View works after its end")
	}
	update(t, s, func(tx storage.Tx) error { stored = tx; return nil })
	if err := stored.Meta().Put("x", nil); err == nil {
		t.Error("a Tx of an Update works after its end")
	}
}

func testOwnWrites(t *testing.T, s storage.Store) {
	update(t, s, func(tx storage.Tx) error {
		for want := int64(1); want <= 3; want++ {
			got, taken, err := tx.Counters().Spend(key(now, "c"), 1, 9)
			if err != nil {
				return err
			}
			equal(t, "Spend", pair(got, taken), pair(want, true))
		}
		return nil
	})
}

func testDuplicates(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	for name, create := range map[string]func(storage.Tx) error{
		"flow":    func(tx storage.Tx) error { return tx.Flows().Create(flow("f", end)) },
		"token":   func(tx storage.Tx) error { return tx.Tokens().Create(storage.Token{Key: key(end, "t")}) },
		"session": func(tx storage.Tx) error { return tx.Sessions().Create(session("s", "a", end)) },
		"mail":    func(tx storage.Tx) error { return tx.Outbox().Enqueue(mail("m", now, end)) },
	} {
		update(t, s, create)
		var at error
		err := s.Update(context.Background(), func(tx storage.Tx) error {
			at = create(tx)
			return at
		})
		if !errors.Is(err, storage.ErrExists) || at != nil && !errors.Is(at, storage.ErrExists) {
			t.Errorf("a second %s under the same key = %v, and Update = %v; want ErrExists", name, at, err)
		}
	}
}
