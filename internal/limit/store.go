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
}

// slot returns the counter of key in the window that Now falls in.
func (s TxStore) slot(key string, rate limiter.Rate) storage.Key {
	period := max(int64(rate.Period/time.Second), 1)
	digest := s.Ring.MAC("limit", []byte(s.Name), []byte(key), binary.BigEndian.AppendUint64(nil, uint64(period)))
	offset := int64(binary.BigEndian.Uint64(digest[:8]) % uint64(period))
	into := (s.Now.Unix() - offset) % period
	if into < 0 {
		into += period
	}
	return storage.Key{End: s.Now.Unix() - into + period, Digest: digest}
}

// Get counts one. When the limit is reached it counts and writes nothing, and says Reached.
func (s TxStore) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Peek tells the count without counting; Reached means that one more would be refused.
func (s TxStore) Peek(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	slot := s.slot(key, rate)
	count, err := s.Counters.Peek(slot)
	if err != nil {
		return limiter.Context{}, err
	}
	return state(slot, rate, count, count >= rate.Limit), nil
}

// Increment counts n, all of it or nothing.
func (s TxStore) Increment(_ context.Context, key string, n int64, rate limiter.Rate) (limiter.Context, error) {
	slot := s.slot(key, rate)
	count, taken, err := s.Counters.Take(slot, n, rate.Limit)
	if err != nil {
		return limiter.Context{}, err
	}
	return state(slot, rate, count, !taken), nil
}

// Reset forgets the count of the current window.
func (s TxStore) Reset(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	slot := s.slot(key, rate)
	if _, err := s.Counters.Reset(slot); err != nil {
		return limiter.Context{}, err
	}
	return state(slot, rate, 0, false), nil
}

func state(slot storage.Key, rate limiter.Rate, count int64, reached bool) limiter.Context {
	return limiter.Context{Limit: rate.Limit, Remaining: max(rate.Limit-count, 0), Reset: slot.End, Reached: reached}
}
