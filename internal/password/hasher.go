package password

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// QueuePerPermit is how many hashes may wait for each permit: with the default cost and idle cores about half a second of
// waiting. Further requests are told to come back.
const QueuePerPermit = 32

// ErrBusy reports that too many hashes are waiting; see [BusyError].
var ErrBusy = errors.New("password: too many sign-ins at once")

// BusyError is the refusal to wait behind too many others: the answer is 503 with Retry-After. It is an [ErrBusy]. It tells
// nothing about the account, since unknown ones wait in the same queue.
type BusyError struct {
	// RetryAfter is when to come back: whole seconds, at least one.
	RetryAfter time.Duration
}

func (e *BusyError) Error() string { return ErrBusy.Error() }

// Is makes errors.Is(err, ErrBusy) hold.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// Options of a [Hasher]. The zero value is for production.
type Options struct {
	// Cost of new records, an argon2id one; zero is [Default].
	Cost Cost
	// Permits is how many hashes of the default cost run at once; 0 is one per core (GOMAXPROCS).
	Permits int
	// Queue is how many hashes may wait; 0 is [QueuePerPermit] for each permit.
	Queue int
	// Now is a time with a monotonic reading, nil is time.Now.
	Now func() time.Time
	// After sends after the duration, nil is time.After.
	After func(time.Duration) <-chan time.Time
}

// Hasher makes and checks records, a few at a time. It is safe for use by many goroutines.
type Hasher struct {
	cost    Cost
	permits int64
	queue   int64
	running *semaphore.Weighted
	waiting atomic.Int64
	now     func() time.Time
	after   func(time.Duration) <-chan time.Time
	// dummy costs what a record of ours does and matches nothing.
	dummy Record
	// watch is told the permits taken and given back, nil outside tests.
	watch func(permits int64)

	mu sync.Mutex
	// durations is how long a hash of each cost takes.
	durations map[Cost]time.Duration
	// coveredCosts are costs that were not measured, because a hash of theirs is no slower than one that was.
	coveredCosts map[Cost]bool
}

// NewHasher returns a hasher. It fails when the cost is not one for new records.
func NewHasher(o Options) (*Hasher, error) {
	if o.Cost == (Cost{}) {
		o.Cost = Default
	}
	if o.Cost.Kind != Argon2id {
		return nil, fmt.Errorf("password: new records are %s, not %s", Argon2id, o.Cost.Kind)
	}
	if err := o.Cost.check(); err != nil {
		return nil, err
	}
	if o.Permits <= 0 {
		o.Permits = runtime.GOMAXPROCS(0)
	}
	if o.Queue <= 0 {
		o.Queue = QueuePerPermit * o.Permits
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // spans only, by the monotonic reading: a clock that is set makes none longer
	}
	if o.After == nil {
		o.After = time.After
	}
	h := &Hasher{
		cost: o.Cost, permits: int64(o.Permits), queue: int64(o.Queue), running: semaphore.NewWeighted(int64(o.Permits)),
		now: o.Now, after: o.After, durations: make(map[Cost]time.Duration),
	}
	h.dummy = dummyRecord(o.Cost)
	return h, nil
}

// dummyRecord is a record of a random hash, which no password has. It is made without hashing anything.
func dummyRecord(c Cost) Record {
	r := Record{cost: c, salt: random(saltSize), sum: random(sumSize)}
	if c.Kind == Bcrypt || c.Kind == BcryptSHA256 {
		r.sum = fmt.Appendf(nil, "$2b$%02d$%s%s", c.N, bcryptBase64.EncodeToString(r.salt), bcryptBase64.EncodeToString(random(23)))
	}
	return r
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}

// Cost returns the cost of new records.
func (h *Hasher) Cost() Cost { return h.cost }

// Load says how many hashes wait for a permit.
func (h *Hasher) Load() (waiting int) { return int(h.waiting.Load()) }

// do runs one hash under its permits and says when it began. The end of ctx ends the waiting only: a hash that has begun is
// finished, and its permits are held until it is, so clients that leave cannot start more than may run.
func (h *Hasher) do(ctx context.Context, c Cost, hash func()) (began time.Time, err error) {
	n := c.weight(uint64(h.cost.N), h.permits)
	if !h.running.TryAcquire(n) {
		if err := h.wait(ctx, n); err != nil {
			return time.Time{}, err
		}
	}
	defer h.running.Release(n)
	if h.watch != nil {
		h.watch(n)
		defer h.watch(-n)
	}
	began = h.now()
	hash()
	return began, nil
}

// wait takes n permits in the order of coming, unless too many wait already.
func (h *Hasher) wait(ctx context.Context, n int64) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.queue {
		return &BusyError{h.retryAfter()}
	}
	return h.running.Acquire(ctx, n)
}

// Hash makes a record of a new password, which [Policy.Check] should have judged. Errors: [ErrInvalid], *[BusyError] and
// that of ctx while it waits.
func (h *Hasher) Hash(ctx context.Context, typed string) (r Record, err error) {
	normal, reason := Normalize(typed)
	if reason != "" || normal == "" {
		return Record{}, ErrInvalid
	}
	_, err = h.do(ctx, h.cost, func() { r = newRecord(h.cost, []byte(normal), random(saltSize)) })
	return r, err
}

// Verdict is the result of a check.
type Verdict struct {
	// OK is set when it is the password.
	OK bool
	// Upgrade is set when the record should be replaced by [Hasher.Hash] of what was typed: see [NeedsUpgrade]. It is false
	// for a password of which a bcrypt record has seen only the first 72 bytes, since the rest may be mistyped.
	Upgrade bool
}

// Verify checks what was typed against a record. For the zero record (no account, no password) it does the same work as for
// a record of the current cost and never answers OK; so does what cannot be a password. Answers to strangers go through
// [Hasher.Begin]. Errors: *[BusyError] and that of ctx while it waits.
func (h *Hasher) Verify(ctx context.Context, r Record, typed string) (Verdict, error) {
	v, _, _, err := h.verify(ctx, r, typed)
	return v, err
}

// verify says as well when the work began and how many hashes what was typed may take: two when its normal form is another.
// The number follows from what was typed alone.
func (h *Hasher) verify(ctx context.Context, r Record, typed string) (v Verdict, began time.Time, hashes int, err error) {
	checkable := !r.IsZero()
	if !checkable {
		r = h.dummy
	}
	forms := forms(typed)
	if len(forms) == 0 || typed == "" {
		checkable, forms = false, [][]byte{nil}
	}
	var matched []byte
	began, err = h.do(ctx, r.cost, func() {
		for _, form := range forms {
			start := h.now()
			ok := r.matches(form)
			h.recordDuration(r.cost, h.now().Sub(start))
			if ok && checkable {
				v.OK, matched = true, form
				return
			}
		}
	})
	if v.OK && NeedsUpgrade(r, h.cost) && !r.truncates(matched) {
		_, reason := Normalize(typed)
		v.Upgrade = reason == ""
	}
	return v, began, len(forms), err
}
