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
	counts, total, err := s.counts(slot)
	c := slot.context(rate, total, total >= rate.Limit)
	c.Reset = slot.permitsAt(counts, total, rate.Limit)
	return c, err
}

// counts returns what the counters of a slot hold, that of now first, and their sum.
func (s TxStore) counts(slot slot) (counts []int64, total int64, err error) {
	counts = make([]int64, 1+len(slot.earlier))
	for i := range counts {
		key := slot.key
		if i > 0 {
			key = slot.earlier[i-1]
		}
		if counts[i], err = s.Counters.Peek(key); err != nil {
			return nil, 0, err
		}
		total += counts[i]
	}
	return counts, total, nil
}

// Increment counts n, all of it or nothing. When n does not fit, it writes nothing and reports Reached.
func (s TxStore) Increment(_ context.Context, key string, n int64, rate limiter.Rate) (limiter.Context, error) {
	slot, err := parseSlot(key)
	if err != nil {
		return limiter.Context{}, err
	}
	if len(slot.earlier) == 0 {
		count, spent, err := s.Counters.Spend(slot.key, n, rate.Limit)
		return slot.context(rate, count, !spent), err
	}
	counts, total, err := s.counts(slot)
	if err != nil {
		return limiter.Context{}, err
	}
	earlier := total - counts[0]
	count, spent, err := s.Counters.Spend(slot.key, n, rate.Limit-earlier)
	c := slot.context(rate, earlier+count, !spent)
	c.Reset = slot.permitsAt(counts, total, rate.Limit)
	return c, err
}

// Reset removes the count of the current window; Reached means that there was none.
func (s TxStore) Reset(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	slot, err := parseSlot(key)
	if err != nil {
		return limiter.Context{}, err
	}
	existed := false
	for _, key := range append([]storage.Key{slot.key}, slot.earlier...) {
		one, err := s.Counters.Reset(key)
		if err != nil {
			return limiter.Context{}, err
		}
		existed = existed || one
	}
	return slot.context(rate, 0, !existed), nil
}

// slot is one counter: its key in the store, and when its window ends. The window never ends after the key, so no sweep is too
// early. That of a rolling limit has windows of rollingWindow, and earlier has those before it, the newest first, which are counted with it.
type slot struct {
	key     storage.Key
	ends    int64 // in seconds since 1970
	earlier []storage.Key
}

const (
	keyLength  = 8 + len(storage.Digest{})
	slotLength = 8 + keyLength
)

// A rolling limit by the day counts in windows of a quarter of a day, and compares the sum of the window of now and of the four before it. So
// what is counted is counted for 24 hours at least, and for 30 at most.
const (
	rollingWindow  = groupPeriod / 4
	rollingWindows = 4
)

// permitsAt returns when a slot whose counters hold these counts permits one more than now, if it does not now: when enough of them have
// dropped out. limit is the most that they may hold.
func (s slot) permitsAt(counts []int64, total, limit int64) int64 {
	ends := s.ends
	for i := len(counts) - 1; i > 0; i-- {
		total -= counts[i]
		if counts[i] > 0 && total < limit {
			return ends
		}
		ends += rollingWindow
	}
	if len(counts) > 1 && total == 0 {
		return s.ends
	}
	return ends
}

// text returns the slot as a key of TxStore.
func (s slot) text() string {
	b := make([]byte, 0, slotLength+len(s.earlier)*keyLength)
	b = appendKey(binary.BigEndian.AppendUint64(b, uint64(s.ends)), s.key) //nolint:gosec // a pattern of bits
	for _, key := range s.earlier {
		b = appendKey(b, key)
	}
	return string(b)
}

func appendKey(b []byte, key storage.Key) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(key.End)), key.Digest[:]...) //nolint:gosec // a pattern of bits
}

// parseSlot reads what text has written.
func parseSlot(text string) (s slot, err error) {
	if len(text) < slotLength || (len(text)-slotLength)%keyLength != 0 {
		return s, fmt.Errorf("limit: %q is not a key that Prepare has derived", text)
	}
	b := []byte(text)
	s.ends = int64(binary.BigEndian.Uint64(b)) //nolint:gosec // a pattern of bits
	s.key = parseKey(b[8:])
	if b = b[slotLength:]; len(b) > 0 {
		s.earlier = make([]storage.Key, 0, len(b)/keyLength)
	}
	for ; len(b) > 0; b = b[keyLength:] {
		s.earlier = append(s.earlier, parseKey(b))
	}
	return s, nil
}

func parseKey(b []byte) (key storage.Key) {
	key.End = int64(binary.BigEndian.Uint64(b)) //nolint:gosec // a pattern of bits
	copy(key.Digest[:], b[8:])
	return key
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
	// rolling is set where rates by the day hold in any 24 hours; longer where the group has such a limit, for which its counters are kept a day longer.
	rolling, longer bool
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
	rolling := w.rolling && period == groupPeriod
	if rolling {
		period, length = rollingWindow, binary.BigEndian.AppendUint64(nil, rollingWindow)
	}
	digest := w.ring.MAC("limit group", []byte(w.group))
	shift := offset(digest, groupPeriod)
	keyOf := func(ends int64) storage.Key {
		own := w.ring.MAC("limit in group", name, of, length, binary.BigEndian.AppendUint64(nil, uint64(ends))) //nolint:gosec // a pattern of bits
		key := storage.Key{End: windowEnd(ends-1, shift, groupPeriod), Digest: digest}
		if w.longer {
			key.End += groupPeriod
		}
		copy(key.Digest[groupSize:], own[:])
		return key
	}
	s := slot{ends: windowEnd(w.now.Unix(), shift, period)}
	s.key = keyOf(s.ends)
	if rolling {
		for i := range int64(rollingWindows) {
			s.earlier = append(s.earlier, keyOf(s.ends-(i+1)*rollingWindow))
		}
	}
	return s
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
