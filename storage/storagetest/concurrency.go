package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// RunConcurrency checks what must hold when many callers meet. It is worth most under the race detector.
func RunConcurrency(t *testing.T, open Open) {
	runAll(t, open, map[string]func(*testing.T, storage.Store){
		"TOK1_OneOfManyConsumes":           testParallelConsume,
		"RL4_CountersAreExact":             testParallelSpend,
		"RL4_ResendsAreExact":              testParallelResend,
		"TOK8_CodeAttemptsAreExact":        testParallelCode,
		"SES3_OneTouchAMinute":             testParallelTouch,
		"EML3_OneAccountForAMailbox":       testParallelCreate,
		"MAIL4_EachMailIsLeasedOnce":       testParallelLease,
		"CompanionsThatFailHurtNobodyElse": testCompanions,
		"AViewIsASnapshot":                 testSnapshot,
		"CloseWaitsAndRefuses":             testParallelClose,
		"WhatAWriteDependsOnIsWhatItWas":   testParallelGuard,
		"AnEpochOfZeroIsGuarded":           testParallelEpoch,
		"SES1_OneChangeAtATime":            testParallelChanges,
	})
}

// RunNodes is [RunConcurrency] for an engine that lets several stores share one place at a time: open returns several on one new
// place, and the callers take turns on them.
func RunNodes(t *testing.T, open func(t testing.TB) []storage.Store) {
	RunConcurrency(t, func(t testing.TB) storage.Store { return &nodes{stores: open(t)} })
}

// nodes is one store to its callers, and hands each step to the next of several.
type nodes struct {
	stores []storage.Store
	calls  atomic.Uint64
}

func (n *nodes) next() storage.Store { return n.stores[n.calls.Add(1)%uint64(len(n.stores))] }

// View implements storage.Store, as the others do.
func (n *nodes) View(ctx context.Context, fn func(storage.Tx) error) error {
	return n.next().View(ctx, fn)
}

// Update runs fn on the next store.
func (n *nodes) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return n.next().Update(ctx, fn)
}

// Sweep sweeps by the next store.
func (n *nodes) Sweep(ctx context.Context, now time.Time, max int) (int, error) {
	return n.next().Sweep(ctx, now, max)
}

// Incarnation asks the next store.
func (n *nodes) Incarnation(ctx context.Context) (string, error) { return n.next().Incarnation(ctx) }

// Close closes every store.
func (n *nodes) Close() error {
	var errs []error
	for _, s := range n.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Subscribe implements storage.Store.
func (n *nodes) Subscribe(fn func(storage.Change)) (stop func()) {
	var mu sync.Mutex // each store calls one at a time
	var stops []func()
	for _, s := range n.stores {
		stops = append(stops, s.Subscribe(func(c storage.Change) {
			mu.Lock()
			defer mu.Unlock()
			fn(c)
		}))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// together starts n callers at one moment and waits for all.
func together(n int, call func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			call(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// tally counts the outcomes of n callers who run one step at one moment.
func tally[R comparable](t *testing.T, s storage.Store, n int, step func(tx storage.Tx, i int) (R, error)) map[R]int {
	t.Helper()
	var mu sync.Mutex
	outcomes := map[R]int{}
	together(n, func(i int) {
		var outcome R
		err := s.Update(context.Background(), func(tx storage.Tx) (err error) {
			outcome, err = step(tx, i)
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		outcomes[outcome]++
		if err != nil {
			t.Errorf("Update: %v", err)
		}
	})
	return outcomes
}

func testParallelConsume(t *testing.T, s storage.Store) {
	const n = 100
	k := key(now.Add(time.Hour), "t")
	update(t, s, func(tx storage.Tx) error { return tx.Tokens().Create(storage.Token{Key: k}) })
	got := tally(t, s, n, func(tx storage.Tx, _ int) (storage.TokenResult, error) {
		_, res, err := tx.Tokens().Consume(k, now)
		return res, err
	})
	equal(t, "results", got, map[storage.TokenResult]int{
		storage.TokenConsumed: 1, storage.TokenUsed: 1, storage.TokenReplayed: n - 2,
	})
}

func testParallelSpend(t *testing.T, s storage.Store) {
	const n, limit = 100, 7
	k := key(now.Add(time.Hour), "c")
	got := tally(t, s, n, func(tx storage.Tx, _ int) (bool, error) {
		_, taken, err := tx.Counters().Spend(k, 1, limit)
		return taken, err
	})
	equal(t, "taken", got, map[bool]int{true: limit, false: n - limit})
	wantCount(t, s, k, limit)
}

func testParallelResend(t *testing.T, s storage.Store) {
	const n = 50
	f := flow("f", now.Add(time.Hour))
	f.NextResend, f.ResendsLeft = now, 5
	createFlow(t, s, f)
	got := tally(t, s, n, func(tx storage.Tx, i int) (storage.ResendResult, error) {
		_, res, err := tx.Flows().ConsumeResend(f.Key, now, 0, digest(i))
		return res, err
	})
	equal(t, "without a wait", got, map[storage.ResendResult]int{storage.ResendConsumed: 5, storage.ResendSpent: n - 5})

	g := flow("g", now.Add(time.Hour))
	g.NextResend, g.ResendsLeft = now, 5
	createFlow(t, s, g)
	got = tally(t, s, n, func(tx storage.Tx, i int) (storage.ResendResult, error) {
		_, res, err := tx.Flows().ConsumeResend(g.Key, now, time.Minute, digest(i))
		return res, err
	})
	equal(t, "with a wait", got, map[storage.ResendResult]int{storage.ResendConsumed: 1, storage.ResendTooEarly: n - 1})
}

func testParallelCode(t *testing.T, s storage.Store) {
	const n, limit = 100, 5
	f := createFlow(t, s, flow("f", now.Add(time.Hour)))
	got := tally(t, s, n, func(tx storage.Tx, i int) (storage.CodeResult, error) {
		_, res, err := tx.Flows().AttemptCode(f.Key, now, digest("wrong", i), limit)
		return res, err
	})
	equal(t, "results", got, map[storage.CodeResult]int{storage.CodeWrong: limit, storage.CodeOff: n - limit})
	f.WrongCodes = limit
	wantFlow(t, s, f)
}

func testParallelTouch(t *testing.T, s storage.Store) {
	const n = 50
	se := createSession(t, s, session("s", "me", now.Add(24*time.Hour)))
	at := now.Add(time.Minute)
	var touched atomic.Int64
	together(n, func(int) {
		if recordUse(t, s, se.Key, at, time.Minute).Touched {
			touched.Add(1)
		}
	})
	equal(t, "touched", touched.Load(), int64(1))
}

func testParallelCreate(t *testing.T, s storage.Store) {
	const n = 50
	got := tally(t, s, n, func(tx storage.Tx, i int) (bool, error) {
		a := account(fmt.Sprint(i))
		a.Mailbox = digest("the one")
		return tx.Accounts().Create(a)
	})
	equal(t, "created", got, map[bool]int{true: 1, false: n - 1})
}

func testParallelLease(t *testing.T, s storage.Store) {
	const n, mails = 50, 37
	for i := range mails {
		enqueue(t, s, mail(fmt.Sprint(i), now, now.Add(time.Hour)))
	}
	var mu sync.Mutex
	seen := map[storage.MailID]int{}
	together(n, func(int) {
		var got []storage.Mail
		err := s.Update(context.Background(), func(tx storage.Tx) (err error) {
			got, err = tx.Outbox().Lease(storage.LaneDirect, now, now.Add(time.Minute), 3)
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("Update: %v", err)
		}
		for _, m := range got {
			if seen[m.ID]++; m.Attempts != 1 {
				t.Errorf("%d attempts", m.Attempts)
			}
		}
	})
	if len(seen) != mails {
		t.Errorf("%d of %d mails were leased", len(seen), mails)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("mail %s was leased %d times", id, times)
		}
	}
}

// testCompanions mixes steps that succeed, refuse, fail before and after writing, panic, and are cancelled while they wait.
// What is in the store afterwards is exactly what was acknowledged, and no step runs after its Update has returned.
func testCompanions(t *testing.T, s storage.Store) {
	const callers, rounds = 64, 25
	total := key(now.Add(time.Hour), "total")
	var acknowledged, late atomic.Int64
	together(callers, func(caller int) {
		for round := range rounds {
			ctx, cancel := context.WithCancel(context.Background())
			kind := (caller*31 + round*17) % 10
			var over atomic.Bool
			var err error
			panicked := caught(func() {
				err = s.Update(ctx, func(tx storage.Tx) error {
					if over.Load() {
						late.Add(1)
					}
					return companion(tx, kind, total, cancel)
				})
			})
			over.Store(true)
			cancel()
			switch {
			case kind == 2 && panicked != errTest, kind != 2 && panicked != nil: //nolint:errorlint // the very value
				t.Errorf("kind %d panicked with %v", kind, panicked)
			case (kind == 0 || kind == 1) && !errors.Is(err, errTest):
				t.Errorf("kind %d = %v, want its own error", kind, err)
			case kind > 2 && err != nil:
				t.Errorf("kind %d = %v", kind, err)
			case kind > 3:
				acknowledged.Add(1)
			}
		}
	})
	wantCount(t, s, total, acknowledged.Load())
	equal(t, "runs after the return", late.Load(), int64(0))
}

func companion(tx storage.Tx, kind int, total storage.Key, cancel func()) error {
	switch kind {
	case 0: // fails before it writes
		return errTest
	case 3: // refuses
		_, err := tx.Counters().Peek(total)
		return err
	case 4: // its context ends once it has begun
		cancel()
	}
	if _, taken, err := tx.Counters().Spend(total, 1, 1<<40); err != nil || !taken {
		return errors.Join(err, fmt.Errorf("taken: %v", taken))
	}
	switch kind {
	case 1:
		return errTest
	case 2:
		panic(errTest)
	}
	return nil
}

func testSnapshot(t *testing.T, s storage.Store) {
	a, b := key(now.Add(time.Hour), "a"), key(now.Add(time.Hour), "b")
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				err := s.View(context.Background(), func(tx storage.Tx) error {
					first, err1 := tx.Counters().Peek(a)
					second, err2 := tx.Counters().Peek(b)
					if first != second {
						t.Errorf("a View saw %d and %d", first, second)
					}
					return errors.Join(err1, err2)
				})
				if err != nil {
					t.Errorf("View: %v", err)
				}
			}
		})
	}
	together(8, func(int) {
		for range 50 {
			err := s.Update(context.Background(), func(tx storage.Tx) error {
				_, _, err1 := tx.Counters().Spend(a, 1, 1<<40)
				_, _, err2 := tx.Counters().Spend(b, 1, 1<<40)
				return errors.Join(err1, err2)
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	})
	done.Store(true)
	readers.Wait()
	wantCount(t, s, a, 400)
}

func testParallelClose(t *testing.T, s storage.Store) {
	const callers = 32
	k := key(now.Add(time.Hour), "c")
	inside, closing := make(chan struct{}), make(chan struct{})
	var once sync.Once
	together(callers+1, func(i int) {
		if i == callers {
			<-inside // a step is running now
			close(closing)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			return
		}
		for {
			err := s.Update(context.Background(), func(tx storage.Tx) error {
				once.Do(func() { close(inside); <-closing })
				_, _, err := tx.Counters().Spend(k, 1, 1<<40)
				return err
			})
			if errors.Is(err, storage.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("Update: %v", err)
				return
			}
		}
	})
}
