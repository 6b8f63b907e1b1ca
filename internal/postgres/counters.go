package postgres

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var errNegative = errors.New("postgres: a negative amount")

// counter is a count as a step sees it. It is not compared by version at the end but by outcome: what the step has added still has to fit,
// so that steps that add to one counter do not undo each other.
type counter struct {
	// n is the count that the step sees, stored the one that was read.
	n, stored int64
	// least and most bound the stored count at which every amount that the step has refunded and spent fits.
	least, most int64
	write       bool
}

type counters struct{ *tx }

// texts of the statements on counters.
type counterTexts struct{ get, list, put, add string }

func newCounterTexts(schema string) counterTexts {
	table := schema + ".counters"
	return counterTexts{
		get:  "select ends, digest, n from " + table + " where ends = $1 and digest = $2",
		list: "select ends, digest, n from " + table + " where (ends, digest) > ($1, $2) order by ends, digest limit $3",
		put:  "insert into " + table + " (ends, digest, n) values ($1, $2, $3)",
		// The rows are locked in the order of the arrays.
		add: "with u as (select * from unnest($1::timestamptz[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[]) as u (ends, digest, delta, least, most)), " +
			"changed as (insert into " + table + " as c (ends, digest, n) select ends, digest, delta from u " +
			"on conflict (ends, digest) do update set n = c.n + excluded.n returning ends, digest, n) " +
			"select " + schema + ".must(bool_and(n >= 0 and n - delta between least and most)) from changed join u using (ends, digest)",
	}
}

func (t *tx) collectCounter(answer pgx.Rows) error {
	var k storage.Key
	var n int64
	if err := answer.Scan(endTo{&k}, digestTo{&k.Digest}, &n); err != nil {
		return err
	}
	if n < 0 {
		return fmt.Errorf("%w: a counter out of range", storage.ErrDamaged)
	}
	t.counter(k, n)
	return nil
}

// counter notes a count as it was read, unless the step has it already.
func (t *tx) counter(k storage.Key, n int64) *counter {
	if known := t.counts[k]; known != nil {
		return known
	}
	if t.counts == nil {
		t.counts = map[storage.Key]*counter{}
	}
	c := &counter{n: n, stored: n, most: math.MaxInt64}
	t.counts[k] = c
	return c
}

func (t counters) read(k storage.Key) (*counter, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	if !validKey(k) {
		return &counter{}, nil
	}
	if c := t.counts[k]; c != nil {
		return c, nil
	}
	if err := t.query(t.store.counters.get, keyArgs(k), t.collectCounter); err != nil {
		return nil, err
	}
	return t.counter(k, 0), nil
}

// Spend adds n when the sum stays within limit. It looks first: a refusal writes nothing and locks nothing.
func (t counters) Spend(k storage.Key, n, limit int64) (count int64, taken bool, err error) {
	if err := t.changeable(); err != nil {
		return 0, false, err
	}
	if n < 0 {
		return 0, false, errNegative
	}
	if !validKey(k) {
		return 0, false, errNoKey
	}
	c, err := t.read(k)
	if err != nil {
		return 0, false, err
	}
	if c.n > limit-n || limit < n { // limit-n does not overflow where limit is at least n
		return c.n, false, nil
	}
	if n == 0 {
		return c.n, true, nil
	}
	// The count now is stored plus what the step has added: at the end that is the count then, plus the same.
	c.most = min(c.most, limit-n-(c.n-c.stored))
	c.n += n
	c.write, t.dirty = true, true
	return c.n, true, nil
}

// Peek returns the count.
func (t counters) Peek(k storage.Key) (int64, error) {
	c, err := t.read(k)
	if err != nil {
		return 0, err
	}
	return c.n, nil
}

// Refund gives n back, never below zero.
func (t counters) Refund(k storage.Key, n int64) (int64, error) {
	if err := t.changeable(); err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, errNegative
	}
	c, err := t.read(k)
	if err != nil || c.n == 0 || n == 0 {
		if err != nil {
			return 0, err
		}
		return c.n, nil
	}
	if n > c.n || c.write { // a refund that is cut off at zero, or comes beside something else, depends on the very count
		c.exactly()
	} else {
		c.least = n
	}
	c.n = max(0, c.n-n)
	c.write, t.dirty = true, true
	return c.n, nil
}

// Reset removes the counter.
func (t counters) Reset(k storage.Key) (existed bool, err error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	c, err := t.read(k)
	if err != nil || c.n == 0 {
		return false, err
	}
	c.exactly()
	c.n, c.write, t.dirty = 0, true, true
	return true, nil
}

// exactly makes the step depend on the count that it has read.
func (c *counter) exactly() { c.least, c.most = c.stored, c.stored }

// after returns what two steps depend on that are written as one, first c and then d. ok is false where the count that was read does not suit
// both.
func (c counter) after(d *counter) (both counter, ok bool) {
	added := c.n - c.stored
	c.n += d.n - d.stored
	c.least = max(c.least, d.least-added)
	if d.most < math.MaxInt64 {
		c.most = min(c.most, d.most-added)
	}
	return c, c.least <= c.stored && c.stored <= c.most
}

// flush queues what the counters need, in the order of their keys.
func (t counters) flush(b *pgx.Batch) {
	var keys []storage.Key
	for k, c := range t.counts {
		if c.write {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return
	}
	slices.SortFunc(keys, compareKeys)
	n := len(keys)
	ends, digests, numbers := make([]time.Time, n), make([][]byte, n), make([]int64, 3*n)
	deltas, least, most := numbers[:n], numbers[n:2*n], numbers[2*n:]
	for i, k := range keys {
		c := t.counts[k]
		ends[i], digests[i] = k.Ends(), k.Digest[:]
		deltas[i], least[i], most[i] = c.n-c.stored, c.least, c.most
	}
	b.Queue(t.store.counters.add, ends, digests, deltas, least, most)
}
