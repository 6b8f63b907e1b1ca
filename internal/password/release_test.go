package password

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stopwatch is a time that the test advances. Its timers go off when it gets there.
type stopwatch struct {
	mu     sync.Mutex
	now    time.Time
	timers []timer
	asked  []time.Duration
}

type timer struct {
	at time.Time
	c  chan time.Time
}

func newStopwatch() *stopwatch { return &stopwatch{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (s *stopwatch) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stopwatch) After(d time.Duration) <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, d)
	t := timer{s.now.Add(d), make(chan time.Time, 1)}
	s.timers = append(s.timers, t)
	return t.c
}

func (s *stopwatch) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
	for _, t := range s.timers {
		if !t.at.After(s.now) {
			select {
			case t.c <- s.now:
			default:
			}
		}
	}
}

// jump is After of a time that passes at once.
func (s *stopwatch) jump(d time.Duration) <-chan time.Time {
	c := s.After(d)
	s.Advance(d)
	return c
}

// slow is a hasher whose hashes of each cost take as long as told, by the stopwatch.
func slow(t *testing.T, s *stopwatch, permits int) *Hasher {
	t.Helper()
	h := newHasher(t, Options{Permits: permits, Now: s.Now, After: s.jump})
	h.durations[cheap], h.durations[Cost{Kind: Bcrypt, N: 5}] = 16*time.Millisecond, 250*time.Millisecond
	return h
}

func TestENUM2_OneMomentForEveryAnswer(t *testing.T) {
	bcrypt := parsed(t, knownAnswers[4].record)
	own := newRecord(cheap, []byte(pw), make([]byte, saltSize))
	for _, tt := range []struct {
		name, typed string
		record      Record
		hash        time.Duration
	}{
		{"unknown, pending or without a password", pw, Record{}, 16 * time.Millisecond},
		{"wrong, argon2id", "wrong horse", own, 16 * time.Millisecond},
		{"wrong, bcrypt", "wrong horse", bcrypt, 250 * time.Millisecond},
		{"right, bcrypt", pw, bcrypt, 250 * time.Millisecond},
		{"no password at all", "\x00", bcrypt, 250 * time.Millisecond},
		{"no password at all, unknown", "\x00", Record{}, 16 * time.Millisecond},
		{"a slow machine", "wrong horse", bcrypt, 270 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStopwatch()
			h := slow(t, s, 1)
			h.watch = func(n int64) {
				if n < 0 { // the hash has been done
					s.Advance(tt.hash)
				}
			}
			begun := s.Now()
			a := h.Begin()
			s.Advance(3 * time.Millisecond) // the account is looked up
			if _, err := a.Verify(t.Context(), tt.record, tt.typed); err != nil {
				t.Fatal(err)
			}
			if !h.running.TryAcquire(1) {
				t.Error("the permit is held while the answer waits")
			}
			if err := a.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Now().Sub(begun); got != 300*time.Millisecond {
				t.Errorf("answered after %v", got)
			}
		})
	}
}

func TestENUM2_UnderLoadTheMomentFollowsFromTheWaitingOnly(t *testing.T) {
	bcrypt := parsed(t, knownAnswers[4].record)
	for waited, want := range map[time.Duration]time.Duration{
		0:                      300 * time.Millisecond,
		25 * time.Millisecond:  300 * time.Millisecond,
		26 * time.Millisecond:  600 * time.Millisecond,
		290 * time.Millisecond: 600 * time.Millisecond,
		400 * time.Millisecond: 900 * time.Millisecond,
	} {
		for hash, r := range map[time.Duration]Record{16 * time.Millisecond: {}, 250 * time.Millisecond: bcrypt} {
			t.Run(fmt.Sprint(waited, hash), func(t *testing.T) {
				s := newStopwatch()
				h := slow(t, s, 1)
				h.watch = func(n int64) {
					if n > 0 {
						s.Advance(waited) // as if it had waited for the permit
					} else {
						s.Advance(hash)
					}
				}
				begun, a := s.Now(), h.Begin()
				if _, err := a.Verify(t.Context(), r, "wrong horse"); err != nil {
					t.Fatal(err)
				}
				if err := a.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := s.Now().Sub(begun); got != want {
					t.Errorf("answered after %v, want %v", got, want)
				}
			})
		}
	}
}

func TestENUM2_WhatIsTypedInAnotherFormWaitsAlike(t *testing.T) {
	const decomposed = "pa\u0308sswo\u0308rd 123"
	for hash, r := range map[time.Duration]Record{16 * time.Millisecond: {}, 250 * time.Millisecond: parsed(t, knownAnswers[4].record)} {
		s := newStopwatch()
		h := slow(t, s, 1)
		h.watch = func(n int64) {
			if n < 0 {
				s.Advance(2 * hash) // one for each form
			}
		}
		begun, a := s.Now(), h.Begin()
		if _, err := a.Verify(t.Context(), r, decomposed); err != nil {
			t.Fatal(err)
		}
		if err := a.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.Now().Sub(begun); got != 600*time.Millisecond {
			t.Errorf("%v answered after %v", r, got)
		}
	}
}

func TestENUM2_ALateAnswerWaitsForTheNextMultiple(t *testing.T) {
	s := newStopwatch()
	h := slow(t, s, 1)
	begun, a := s.Now(), h.Begin()
	s.Advance(301 * time.Millisecond)
	if err := a.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Now().Sub(begun); got != 600*time.Millisecond {
		t.Errorf("answered after %v", got)
	}
	if err := a.Wait(t.Context()); err != nil || len(s.asked) != 1 {
		t.Errorf("a second wait: %v, %v", err, s.asked)
	}
}

func TestENUM2_UnknownAccountsCostAHashOfTheConfiguredKind(t *testing.T) {
	h := newHasher(t, Options{})
	own := h.mustHash(t, pw)
	if h.dummy.Cost() != own.Cost() || len(h.dummy.salt) != len(own.salt) || len(h.dummy.sum) != len(own.sum) {
		t.Errorf("%v and %v", h.dummy, own)
	}
	var hashes int
	h.watch = func(n int64) {
		if n > 0 {
			hashes++
		}
	}
	for _, typed := range []string{pw, "", "\x00", "e\u0301", string(make([]byte, MaxBytes+1))} {
		for _, r := range []Record{{}, own} {
			hashes = 0
			if _, err := h.Verify(t.Context(), r, typed); err != nil || hashes != 1 {
				t.Errorf("%.10q, %v: %d hashes, %v", typed, r, hashes, err)
			}
		}
	}
}

func TestENUM2_NobodyIsWaitedFor(t *testing.T) {
	s := newStopwatch()
	h := newHasher(t, Options{Now: s.Now, After: s.After})
	ctx, leave := context.WithCancel(t.Context())
	a, done := h.Begin(), make(chan error)
	go func() { done <- a.Wait(ctx) }()
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestENUM2_TheMomentFollowsTheSlowestKindOfTheStore(t *testing.T) {
	s := newStopwatch()
	h := newHasher(t, Options{Permits: 1, Now: s.Now, After: s.jump})
	if got := h.Period(); got != Unmeasured {
		t.Errorf("at first: %v", got)
	}
	if err := h.Measure(t.Context(), Costs{{Kind: Argon2id, N: 4 << 20, R: 1, P: 1}}); err == nil {
		t.Error("4 GiB are measured")
	}
	bcrypt := Cost{Kind: Bcrypt, N: 5}
	if err := h.Measure(t.Context(), Costs{bcrypt, cheap, bcrypt}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Costs{cheap, bcrypt}, h.Costs()); diff != "" {
		t.Error(diff)
	}
	h.durations[bcrypt] = 250 * time.Millisecond
	if got := h.Period(); got != 300*time.Millisecond {
		t.Errorf("with bcrypt: %v", got)
	}
	// What is known is not measured again, a kind that is gone is forgotten, a new one is learnt when it is met.
	if err := h.Measure(t.Context(), Costs{bcrypt}); err != nil || h.durations[bcrypt] != 250*time.Millisecond {
		t.Errorf("%v, %v", h.durations, err)
	}
	if err := h.Measure(t.Context(), nil); err != nil || len(h.Costs()) != 1 {
		t.Errorf("%v, %v", h.Costs(), err)
	}
	if _, err := h.Verify(t.Context(), parsed(t, knownAnswers[4].record), "wrong horse"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Costs{cheap, bcrypt}, h.Costs()); diff != "" {
		t.Error(diff)
	}
}

// TestENUM2_FewCostsAreMeasured: a store may have records of hundreds of costs, and a start does not wait for hundreds of hashes.
func TestENUM2_FewCostsAreMeasured(t *testing.T) {
	s := newStopwatch()
	h := newHasher(t, Options{Permits: 1, Now: s.Now, After: s.jump})
	hashes, each := 0, 200*time.Millisecond
	h.watch = func(n int64) {
		if n > 0 {
			hashes++
		} else {
			s.Advance(each)
		}
	}
	measure := func(costs Costs, want int) {
		t.Helper()
		hashes = 0
		if err := h.Measure(t.Context(), costs); err != nil || hashes != want {
			t.Errorf("%d costs: %d hashes, want %d; %v", len(costs), hashes, want, err)
		}
	}
	rounds := Costs{{Kind: Bcrypt, N: 4}, {Kind: Bcrypt, N: 6}, {Kind: Bcrypt, N: 5}}
	for n := range uint32(500) {
		rounds = append(rounds, Cost{Kind: PBKDF2SHA256, N: MinIterations + n})
	}
	measure(rounds, 3*3) // the stopwatch stands still within a hash, so each is repeated: argon2id, bcrypt:6 and the last of PBKDF2
	if got := len(h.Costs()); got != 504 {
		t.Errorf("answers wait for %d costs", got)
	}
	for _, c := range []Cost{cheap, {Kind: Bcrypt, N: 6}, {Kind: PBKDF2SHA256, N: MinIterations + 499}} {
		if _, ok := h.durations[c]; !ok {
			t.Errorf("%v was not measured", c)
		}
	}
	measure(rounds, 0)

	// What is known to be no slower is not learned from a busy moment; a cost that nothing covers any more is measured.
	h.recordDuration(Cost{Kind: Bcrypt, N: 5}, time.Hour)
	if got := h.slowest(); got == time.Hour {
		t.Error("one slow moment of a cheap cost delays all answers")
	}
	measure(Costs{{Kind: Bcrypt, N: 5}}, 3)

	// None of these covers another one: more memory, fewer passes.
	var front Costs
	for n := range uint32(10) {
		front = append(front, Cost{Kind: Argon2i, N: 8 << n, R: 10 - n, P: 1})
	}
	measure(front, maxMeasured*3)
	measure(Costs{{Kind: Argon2i, N: 64, R: 1, P: 2}, {Kind: Argon2i, N: 64, R: 1, P: 1}, {Kind: Scrypt, N: 16, R: 8, P: 2}, {Kind: Scrypt, N: 16, R: 8, P: 1}}, 3*3)

	ctx, leave := context.WithCancel(t.Context())
	h.watch = func(int64) { leave() }
	if err := h.Measure(ctx, Costs{{Kind: Bcrypt, N: 4}}); !errors.Is(err, context.Canceled) || len(h.durations) != 1 {
		t.Errorf("a start that is ended: %v, %v", h.durations, err)
	}
}

func TestCostsThatAreRefused(t *testing.T) {
	for _, value := range []string{"x", "argon2id:4194304:1:1", "argon2id:1:1", "bcrypt:12:1:0", "pbkdf2-sha256:600000:0:1", "md5:1:0:0", "argon2id:-1:1:1"} {
		if c, err := ParseCost(value); err == nil {
			t.Errorf("%s: %v", value, c)
		}
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	h := newHasher(t, Options{Permits: 2, Queue: 64})
	for elapsed, want := range map[time.Duration]time.Duration{
		0: time.Second, 16 * time.Millisecond: time.Second, 250 * time.Millisecond: 9 * time.Second, 10 * time.Second: 30 * time.Second,
	} {
		h.durations[cheap] = elapsed
		if got := h.retryAfter(); got != want {
			t.Errorf("%v: %v, want %v", elapsed, got, want)
		}
	}
}
