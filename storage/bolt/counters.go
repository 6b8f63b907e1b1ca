package bolt

import (
	"fmt"
	"math"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type counters struct{ *tx }

// read returns the key and the count of a counter.
func (t counters) read(k storage.Key) (key []byte, count int64, err error) {
	key, v, err := t.getKeyed(bCounters, k)
	if err != nil {
		return nil, 0, err
	}
	n, err := readNumber(v)
	if err == nil && n > math.MaxInt64 {
		err = fmt.Errorf("%w: a counter out of range", storage.ErrDamaged)
	}
	return key, int64(n), err //nolint:gosec // the range is checked
}

// Spend adds n when the sum stays within limit.
func (t counters) Spend(k storage.Key, n, limit int64) (count int64, taken bool, err error) {
	if !t.writable {
		return 0, false, storage.ErrReadOnly
	}
	if n < 0 {
		return 0, false, errNegative
	}
	key, count, err := t.read(k)
	if err != nil {
		return 0, false, err
	}
	if key == nil {
		return 0, false, errNoKey
	}
	if count > limit-n || limit < n { // limit-n does not overflow where limit is at least n
		return count, false, nil
	}
	if n == 0 {
		return count, true, nil
	}
	return count + n, true, t.put(bCounters, key, appendNumber(nil, uint64(count+n))) //nolint:gosec // not negative
}

// Peek returns the count.
func (t counters) Peek(k storage.Key) (int64, error) {
	_, count, err := t.read(k)
	return count, err
}

// Refund gives n back, never below zero.
func (t counters) Refund(k storage.Key, n int64) (int64, error) {
	if !t.writable {
		return 0, storage.ErrReadOnly
	}
	if n < 0 {
		return 0, errNegative
	}
	key, count, err := t.read(k)
	if err != nil || count == 0 || n == 0 {
		return count, err
	}
	if n >= count {
		return 0, t.del(bCounters, key)
	}
	return count - n, t.put(bCounters, key, appendNumber(nil, uint64(count-n))) //nolint:gosec // not negative
}

// Reset removes the counter.
func (t counters) Reset(k storage.Key) (existed bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	key, v, err := t.getKeyed(bCounters, k)
	if err != nil || v == nil {
		return false, err
	}
	return true, t.del(bCounters, key)
}
