package limit

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/ulule/limiter/v3"
)

// Ring makes keyed digests; *keyring.Ring is one.
type Ring interface {
	MAC(label string, parts ...[]byte) storage.Digest
}

var _ limiter.Store = TxStore{}

// TxStore is a limiter.Store over the counters of one transaction. Its keys are those that [Limiter.Prepare] derives, before the
// transaction begins, from a limit, a subject and a time. It ignores contexts: the transaction has one.
type TxStore struct {
	Counters storage.Counters
}

// Get is Increment by one.
func (s TxStore) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Peek returns the count without changing it; Reached means that one more would be refused.
func (s TxStore) Peek(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	slot, err := parseSlot(key)
	if err != nil {
		return limiter.Context{}, err
	}
	count, err := s.Counters.Peek(slot.key)
	return slot.context(rate, count, count >= rate.Limit), err
}

// Increment counts n, all of it or nothing. When n does not fit, it writes nothing and reports Reached.
func (s TxStore) Increment(_ context.Context, key string, n int64, rate limiter.Rate) (limiter.Context, error) {
	slot, err := parseSlot(key)
	if err != nil {
		return limiter.Context{}, err
	}
	count, spent, err := s.Counters.Spend(slot.key, n, rate.Limit)
	return slot.context(rate, count, !spent), err
}

// Reset removes the count of the current window; Reached means that there was none.
func (s TxStore) Reset(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	slot, err := parseSlot(key)
	if err != nil {
		return limiter.Context{}, err
	}
	existed, err := s.Counters.Reset(slot.key)
	return slot.context(rate, 0, !existed), err
}

// slot is one counter: its key in the store, and when its window ends. The window never ends after the key, so no sweep is too
// early.
type slot struct {
	key  storage.Key
	ends int64 // in seconds since 1970
}

const slotLength = 8 + 8 + len(storage.Digest{})

// text returns the slot as a key of TxStore.
func (s slot) text() string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, slotLength), uint64(s.key.End)) //nolint:gosec // a pattern of bits
	b = binary.BigEndian.AppendUint64(b, uint64(s.ends))                               //nolint:gosec // a pattern of bits
	return string(append(b, s.key.Digest[:]...))
}

// parseSlot reads what text has written.
func parseSlot(text string) (s slot, err error) {
	if len(text) != slotLength {
		return s, fmt.Errorf("limit: %q is not a key that Prepare has derived", text)
	}
	b := []byte(text)
	s.key.End = int64(binary.BigEndian.Uint64(b))  //nolint:gosec // a pattern of bits
	s.ends = int64(binary.BigEndian.Uint64(b[8:])) //nolint:gosec // a pattern of bits
	copy(s.key.Digest[:], b[16:])
	return s, nil
}

func (s slot) context(rate limiter.Rate, count int64, reached bool) limiter.Context {
	return limiter.Context{Limit: rate.Limit, Remaining: max(rate.Limit-count, 0), Reset: s.ends, Reached: reached}
}

// windows derives the slots of one limit at one time.
//
// Windows are fixed. Each key has an offset of its own, taken from its digest, so that not all windows end together and a client
// cannot predict the end of another one's window. A slot is found by name, subject and period but not by the count of the rate,
// so a reload with another count keeps what has been counted.
type windows struct {
	ring Ring
	now  time.Time
	// name is the counter's.
	name string
	// group names the counters that those of this limit lie beside; empty: each lies where its own digest puts it.
	group string
}

// groupPeriod is how far apart the ends are that the counters of a group are kept until, in seconds: a day, the longest period
// that a rate can be written with.
const groupPeriod = 24 * 60 * 60

// groupSize is how many bytes of the digest the counters of a group share. The rest is a MAC of all that distinguishes a counter
// from the others.
const groupSize = 16

// slot returns the counter of a subject in the window that now falls in.
//
// A group has one offset for all its windows, and its counters are kept until the first end of a day of that offset that is not
// before the end of their window. So those that are counted together have the same end and begin with the same bytes, and
// lie on one page of the store. Neither depends on which rates there are, so a reload with other rates moves no counter.
func (w windows) slot(subject string, rate limiter.Rate) slot {
	period := max(int64(rate.Period/time.Second), 1)
	name, of, length := []byte(w.name), []byte(subject), binary.BigEndian.AppendUint64(nil, uint64(period))
	if w.group == "" {
		digest := w.ring.MAC("limit", name, of, length)
		ends := windowEnd(w.now.Unix(), offset(digest, period), period)
		return slot{key: storage.Key{End: ends, Digest: digest}, ends: ends}
	}
	digest := w.ring.MAC("limit group", []byte(w.group))
	shift := offset(digest, groupPeriod)
	ends := windowEnd(w.now.Unix(), shift, period)
	own := w.ring.MAC("limit in group", name, of, length, binary.BigEndian.AppendUint64(nil, uint64(ends))) //nolint:gosec // a pattern of bits
	copy(digest[groupSize:], own[:])
	return slot{key: storage.Key{End: windowEnd(ends-1, shift, groupPeriod), Digest: digest}, ends: ends}
}

// offset returns by how much the windows of a digest are shifted.
func offset(digest storage.Digest, period int64) int64 {
	return int64(binary.BigEndian.Uint64(digest[:8]) % uint64(period)) //nolint:gosec // less than period
}

// windowEnd returns the first end of a window after a time, for windows of a period that are shifted by an offset.
func windowEnd(at, offset, period int64) int64 {
	into := (at - offset) % period
	if into < 0 {
		into += period
	}
	return at - into + period
}
