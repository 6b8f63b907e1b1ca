package password

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

const (
	// Margin is what is added to the slowest hash for the time at which answers go out.
	Margin = 50 * time.Millisecond
	// Unmeasured is that moment before any hash has been measured.
	Unmeasured = 500 * time.Millisecond
	// maxRetryAfter bounds what a busy hasher answers.
	maxRetryAfter = 30 * time.Second
	// measured is how long [Hasher.Measure] repeats one cost, three times at most.
	measured = 100 * time.Millisecond
	// maxMeasured is how many costs of one kind [Hasher.Measure] measures, the costliest first.
	maxMeasured = 4
)

// Attempt is one sign-in with a password whose answer goes out at a fixed moment, whatever the answer is:
//
//	a := hasher.Begin()             // when the request arrives, before the account is looked up
//	v, err := a.Verify(ctx, r, pw)  // r is the zero record where there is no account
//	…                               // the permit has been given back
//	a.Wait(ctx)                     // then answer
//
// The moment is the time of the slowest hash among the records plus [Margin]. When the hash had to wait for its permit, it is the
// first whole multiple of that time which leaves room for any hash: it follows from the waiting and from what was typed, never
// from the account. Under load a record that takes several permits may wait longer for them, until its owner signs in and it
// is replaced.
type Attempt struct {
	h       *Hasher
	start   time.Time
	period  time.Duration
	release time.Time
}

// Begin starts the time of an attempt.
func (h *Hasher) Begin() *Attempt {
	a := &Attempt{h: h, start: h.now(), period: h.Period()}
	a.release = a.start.Add(a.period)
	return a
}

// Verify is [Hasher.Verify].
func (a *Attempt) Verify(ctx context.Context, r Record, typed string) (Verdict, error) {
	v, began, hashes, err := a.h.verify(ctx, r, typed)
	if err == nil {
		a.release = a.after(began.Add(time.Duration(hashes)*(a.period-Margin) + Margin/2))
	}
	return v, err
}

// after is the first whole multiple of the period that is not before t.
func (a *Attempt) after(t time.Time) time.Time {
	n := max(int64((t.Sub(a.start)+a.period-1)/a.period), 1)
	return a.start.Add(time.Duration(n * int64(a.period)))
}

// Wait returns when the answer may go out, or with the error of ctx when the client no longer waits. An answer that is
// late goes out at the next whole multiple of the time.
func (a *Attempt) Wait(ctx context.Context) error {
	now := a.h.now()
	if now.After(a.release) {
		a.release = a.after(now)
	}
	d := a.release.Sub(now)
	if d <= 0 {
		return nil
	}
	select {
	case <-a.h.after(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Period is the time from a request to its answer: the slowest hash plus [Margin].
func (h *Hasher) Period() time.Duration {
	slowest := h.slowest()
	if slowest == 0 {
		return Unmeasured
	}
	return slowest + Margin
}

func (h *Hasher) slowest() (d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, elapsed := range h.durations {
		d = max(d, elapsed)
	}
	return d
}

// retryAfter is about the time until a full queue is empty.
func (h *Hasher) retryAfter() time.Duration {
	d := h.slowest() * time.Duration(h.queue/h.permits+1)
	return min(max(d.Truncate(time.Second)+time.Second, time.Second), maxRetryAfter)
}

// recordDuration notes the time of a cost that has not been measured: an account was imported meanwhile.
func (h *Hasher) recordDuration(c Cost, elapsed time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.durations[c]; !known && !h.coveredCosts[c] {
		h.durations[c] = elapsed
	}
}

// Measure makes the current cost and these the ones that answers wait for, and measures those that are new. Call it at
// start with the costs of the store's records, and again when some were imported or the last of a kind is gone. It takes up
// to a second for each dear cost, and measures few: not those that ask for no more than another one of their kind, since the
// slowest alone decides, and [maxMeasured] of a kind at most. Some programs give each record a number of rounds of its own.
// Errors: of a cost out of bounds, *[BusyError], that of ctx; what was measured before the last two is kept.
func (h *Hasher) Measure(ctx context.Context, costs Costs) error {
	set := costliestFirst(append(Costs{h.cost}, costs...))
	for _, c := range set {
		if err := c.check(); err != nil {
			return err
		}
	}
	keep, below, count := map[Cost]time.Duration{}, map[Cost]bool{}, map[Kind]int{}
	var err error
	for _, c := range set {
		elapsed, known := h.knownDuration(c)
		switch {
		case known:
			keep[c] = elapsed
		case c.covered(keep) || count[c.Kind] == maxMeasured:
			below[c] = true
		case err == nil:
			if elapsed, err = h.measure(ctx, c); err == nil {
				keep[c] = elapsed
				count[c.Kind]++
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.durations, h.coveredCosts = keep, below
	return err
}

// costliestFirst returns each cost once, of each kind the one with the most work first.
func costliestFirst(costs Costs) Costs {
	slices.SortFunc(costs, func(a, b Cost) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), cmp.Compare(b.work(), a.work()), cmp.Compare(b.N, a.N), cmp.Compare(b.R, a.R), cmp.Compare(b.P, a.P))
	})
	return slices.Compact(costs)
}

// covered reports whether a cost asks for no more than one that was measured.
func (c Cost) covered(by map[Cost]time.Duration) bool {
	for other := range by {
		if other.Kind != c.Kind || other.N < c.N || other.R < c.R || other.P < c.P {
			continue
		}
		if other.P == c.P || c.Kind == Scrypt { // lanes of argon2 run side by side: more of them are no slower
			return true
		}
	}
	return false
}

func (h *Hasher) knownDuration(c Cost) (elapsed time.Duration, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	elapsed, known = h.durations[c]
	return elapsed, known
}

// measure returns the time of one hash, the longest of up to three.
func (h *Hasher) measure(ctx context.Context, c Cost) (longest time.Duration, err error) {
	r, total := dummyRecord(c), time.Duration(0)
	for range 3 {
		if err := ctx.Err(); err != nil {
			return 0, err // a free permit is given to the next caller
		}
		var elapsed time.Duration
		_, err := h.do(ctx, c, func() {
			start := h.now()
			r.matches([]byte("a password to measure with"))
			elapsed = h.now().Sub(start)
		})
		if err != nil {
			return 0, err
		}
		longest, total = max(longest, elapsed), total+elapsed
		if total > measured {
			break
		}
	}
	return longest, nil
}

// Costs returns the costs that answers wait for, those met since the last [Hasher.Measure] included, in a stable order: the
// value to keep beside the records.
func (h *Hasher) Costs() Costs {
	h.mu.Lock()
	defer h.mu.Unlock()
	set := make(Costs, 0, len(h.durations)+len(h.coveredCosts))
	for c := range h.durations {
		set = append(set, c)
	}
	for c := range h.coveredCosts {
		set = append(set, c)
	}
	slices.SortFunc(set, func(a, b Cost) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), cmp.Compare(a.N, b.N), cmp.Compare(a.R, b.R), cmp.Compare(a.P, b.P))
	})
	return set
}
