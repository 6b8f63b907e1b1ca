package limit

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/ulule/limiter/v3"
)

// Ring makes keyed digests; *keyring.Ring is one.
type Ring interface {
	MAC(label string, parts ...[]byte) storage.Digest
}

var _ limiter.Store = TxStore{}

// TxStore is a limiter.Store over the counters of one transaction, at one moment. Contexts are not obeyed: the transaction
// has been started by somebody who obeys one.
//
// Windows are fixed. Each key has an offset of its own, taken from its digest, so that not all windows end together and
// nobody can tell when another one's does. What a counter is found by (name, subject, period) leaves the count of the rate
// out, so that a reload with another count keeps what has been counted.
type TxStore struct {
	Counters storage.Counters
	Ring     Ring
	Now      time.Time
	// Name is the limit that the keys belong to.
	Name string

	// group names the counters that those of this limit lie beside; empty: each lies where its own digest puts it.
	group string
}

// slot is where a counter is, and when its window ends: never after the end of its key, so that no sweep is too early.
type slot struct {
	key  storage.Key
	ends int64 // in seconds since 1970
}

// Ends returns the end of the window as a time.
func (s slot) Ends() time.Time { return time.Unix(s.ends, 0) }

// groupPeriod is how far apart the ends are that the counters of a group are kept until, in seconds: a day, the longest period
// that a rate can be written with.
const groupPeriod = 24 * 60 * 60

// groupSize is how many bytes of the digest the counters of a group share. The rest is a MAC of all that tells a counter from others.
const groupSize = 16

// slot returns the counter of key in the window that Now falls in.
//
// A group has one offset for all its windows, and its counters are kept until the first end of a day of that offset that is not
// before the end of their window. So those that are counted together have the same end and begin with the same bytes, and
// lie on one page of the store. Neither depends on which rates there are, so a reload with other rates moves no counter.
func (s TxStore) slot(key string, rate limiter.Rate) slot {
	period := max(int64(rate.Period/time.Second), 1)
	name, subject, length := []byte(s.Name), []byte(key), binary.BigEndian.AppendUint64(nil, uint64(period))
	if s.group == "" {
		digest := s.Ring.MAC("limit", name, subject, length)
		ends := windowEnd(s.Now.Unix(), offset(digest, period), period)
		return slot{key: storage.Key{End: ends, Digest: digest}, ends: ends}
	}
	digest := s.Ring.MAC("limit group", []byte(s.group))
	shift := offset(digest, groupPeriod)
	ends := windowEnd(s.Now.Unix(), shift, period)
	own := s.Ring.MAC("limit in group", name, subject, length, binary.BigEndian.AppendUint64(nil, uint64(ends))) //nolint:gosec // a pattern of bits
	copy(digest[groupSize:], own[:])
	return slot{key: storage.Key{End: windowEnd(ends-1, shift, groupPeriod), Digest: digest}, ends: ends}
}

// offset returns by how much the windows of a digest are shifted.
func offset(digest storage.Digest, period int64) int64 {
	return int64(binary.BigEndian.Uint64(digest[:8]) % uint64(period)) //nolint:gosec // less than period
}

// windowEnd returns the first end of a window after a moment, for windows of a period that are shifted by an offset.
func windowEnd(moment, offset, period int64) int64 {
	into := (moment - offset) % period
	if into < 0 {
		into += period
	}
	return moment - into + period
}

// Get counts one. When the limit is reached it counts and writes nothing, and says Reached.
func (s TxStore) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Peek tells the count without counting; Reached means that one more would be refused.
func (s TxStore) Peek(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	slot := s.slot(key, rate)
	count, err := s.Counters.Peek(slot.key)
	if err != nil {
		return limiter.Context{}, err
	}
	return limiterContext(slot, rate, count, count >= rate.Limit), nil
}

// Increment counts n, all of it or nothing.
func (s TxStore) Increment(_ context.Context, key string, n int64, rate limiter.Rate) (limiter.Context, error) {
	slot := s.slot(key, rate)
	count, taken, err := s.Counters.Spend(slot.key, n, rate.Limit)
	if err != nil {
		return limiter.Context{}, err
	}
	return limiterContext(slot, rate, count, !taken), nil
}

// Reset forgets the count of the current window.
func (s TxStore) Reset(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	slot := s.slot(key, rate)
	if _, err := s.Counters.Reset(slot.key); err != nil {
		return limiter.Context{}, err
	}
	return limiterContext(slot, rate, 0, false), nil
}

func limiterContext(slot slot, rate limiter.Rate, count int64, reached bool) limiter.Context {
	return limiter.Context{Limit: rate.Limit, Remaining: max(rate.Limit-count, 0), Reset: slot.ends, Reached: reached}
}
