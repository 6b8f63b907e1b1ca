// Package limit counts what clients may cause, over the counters of a storage transaction, so that a limit and the effect it
// permits are one step: exact under parallel requests and after a crash.
//
// The arithmetic is ulule/limiter's: [TxStore] is a limiter.Store over a transaction, and what a counter answers is a
// limiter.Context. What spans several rates has the words of rate limiters that do the same: a [Charge] is checked, spent and
// refunded, and the answer is a [Decision]. A step spends all its charges at once: all counters are read before one is written, so
// a refusal writes nothing and costs no sync of the disk, however often it is asked for.
//
// Each limit is one entry of the table in descriptors.go.
package limit

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/ulule/limiter/v3"
)

// Limiter counts under one key ring.
type Limiter struct {
	Ring Ring
}

// Charge is one thing to be counted: a subject under a limit. Rates that are empty permit everything.
type Charge struct {
	// Name is the limit's, for logs and metrics.
	Name string
	// Subject is what is counted; it reaches the store as a keyed digest only.
	Subject string
	Rates   Rates

	counter string // the counter's name where it is not Name
	group   string // the counters that this one's lie beside, if any
	tier48  bool   // the second tier of an IPv6 address
	mailbox bool   // the subject is a mailbox, not a client
	rolling bool   // rates by the day hold in any 24 hours
	// once is the counter of what is spent once, zero for everything else; it has neither subject nor rates.
	once storage.Key
	soft bool // a share of a budget: it refuses nothing, see Share
}

// Decision is the answer to one or more charges.
type Decision struct {
	Allowed bool
	// Name is the limit that refused; when several did, the one that ends last.
	Name string
	// RetryAt is when the last of the windows that refused ends; zero when Allowed.
	RetryAt time.Time
	// ByMailbox is set when that limit counts a mailbox, which other people's requests can spend.
	ByMailbox bool
	// Slots are the counters that were spent, for Refund.
	Slots []storage.Key
	// Share says what became of the charges that are shares of a budget.
	Share Share

	names []string // of the limits that Slots belong to
}

// SlotsOf returns the counters that were spent for one limit.
func (d Decision) SlotsOf(name string) []storage.Key {
	var slots []storage.Key
	for i, slot := range d.Slots {
		if d.names[i] == name {
			slots = append(slots, slot)
		}
	}
	return slots
}

// Spend counts one for each charge under each of its rates, or nothing at all. Counters are written in the order of their keys,
// as every step does.
func (l *Limiter) Spend(tx storage.Tx, now time.Time, charges ...Charge) (Decision, error) {
	return l.Prepare(now, charges...).Spend(tx)
}

// Check reports whether Spend would be allowed, and counts nothing. It is for limits that count failures only.
func (l *Limiter) Check(tx storage.Tx, now time.Time, charges ...Charge) (Decision, error) {
	return l.Prepare(now, charges...).Check(tx)
}

// Prepared are charges whose counters have been found. Finding them costs digests and needs no transaction, and transactions run
// one at a time.
type Prepared struct{ counts []count }

// Prepare finds the counters of charges at one time.
func (l *Limiter) Prepare(now time.Time, charges ...Charge) Prepared {
	var counts []count
	for _, charge := range charges {
		w := windows{
			ring: l.Ring, now: now, name: cmp.Or(charge.counter, charge.Name), group: charge.group, rolling: charge.rolling,
			longer: charge.mailbox && charge.group != "",
		}
		for _, rate := range charge.Rates {
			slot := w.slot(charge.Subject, rate)
			counts = append(counts, count{charge.Name, rate, slot.key, slot.earlier, slot.text(), charge.mailbox, charge.soft})
		}
		if once := charge.once; !once.IsZero() {
			counts = append(counts, count{charge.Name, limiter.Rate{Limit: 1}, once, nil, slot{key: once, ends: once.End}.text(), false, false})
		}
	}
	slices.SortFunc(counts, func(a, b count) int { return compare(a.key, b.key) })
	return Prepared{counts}
}

// Slots returns the counters, as Spend does when it is allowed.
func (p Prepared) Slots() []storage.Key {
	slots := make([]storage.Key, len(p.counts))
	for i, c := range p.counts {
		slots[i] = c.key
	}
	return slots
}

// Lookups returns the counters that Spend reads: Slots, and the earlier ones of rolling limits.
func (p Prepared) Lookups() []storage.Key {
	slots := p.Slots()
	for _, c := range p.counts {
		slots = append(slots, c.earlier...)
	}
	return slots
}

// Spend is Limiter.Spend.
func (p Prepared) Spend(tx storage.Tx) (Decision, error) {
	decision, used, err := p.check(tx)
	if err != nil || !decision.Allowed {
		return decision, err
	}
	store := TxStore{tx.Counters()}
	decision.Slots = make([]storage.Key, 0, len(p.counts))
	decision.names = make([]string, 0, len(p.counts))
	for i, c := range p.counts {
		if c.soft && !decision.Share.Paid {
			continue
		}
		rate := c.rate
		rate.Limit = p.limit(i, used)
		got, err := store.Increment(context.Background(), c.slot, 1, rate)
		if err != nil {
			return Decision{}, err
		}
		if got.Reached { // an engine with row locks: another step was faster than this one's check
			if err := p.undo(tx, &decision, c.soft); err != nil {
				return Decision{}, err
			}
			if c.soft {
				decision.Share = Share{Turn: decision.Share.Turn, RetryAt: time.Unix(got.Reset, 0)}
				continue
			}
			return Decision{Name: c.name, RetryAt: time.Unix(got.Reset, 0), ByMailbox: c.mailbox}, nil
		}
		decision.Slots = append(decision.Slots, c.key)
		decision.names = append(decision.names, c.name)
	}
	return decision, nil
}

// undo gives back what a decision has spent so far; of shares alone, if soft is set.
func (p Prepared) undo(tx storage.Tx, decision *Decision, soft bool) error {
	for _, c := range p.counts {
		i := slices.Index(decision.Slots, c.key)
		if i < 0 || soft && !c.soft {
			continue
		}
		if _, err := tx.Counters().Refund(c.key, 1); err != nil {
			return err
		}
		decision.Slots, decision.names = slices.Delete(decision.Slots, i, i+1), slices.Delete(decision.names, i, i+1)
	}
	return nil
}

// Check is Limiter.Check.
func (p Prepared) Check(tx storage.Tx) (Decision, error) {
	decision, _, err := p.check(tx)
	return decision, err
}

// check also returns what each counter holds.
func (p Prepared) check(tx storage.Tx) (decision Decision, used []int64, err error) {
	store := TxStore{tx.Counters()}
	decision, used = Decision{Allowed: true}, make([]int64, len(p.counts))
	for i, c := range p.counts {
		got, err := store.Peek(context.Background(), c.slot, c.rate)
		if err != nil {
			return Decision{}, nil, err
		}
		used[i] = got.Limit - got.Remaining
		if got.Reached && !c.soft {
			decision.Allowed = false
			if ends := time.Unix(got.Reset, 0); ends.After(decision.RetryAt) {
				decision.Name, decision.RetryAt, decision.ByMailbox = c.name, ends, c.mailbox
			}
		}
	}
	if decision.Allowed {
		decision.Share, err = p.share(used)
	}
	return decision, used, err
}

// Refund gives one back to each counter, as when a mailed link is used. It does nothing to counters whose window has ended.
func (l *Limiter) Refund(tx storage.Tx, slots []storage.Key) error {
	for _, slot := range slices.SortedFunc(slices.Values(slots), compare) {
		if _, err := tx.Counters().Refund(slot, 1); err != nil {
			return err
		}
	}
	return nil
}

// Count returns the largest count of the charges' counters.
func (l *Limiter) Count(tx storage.Tx, now time.Time, charges ...Charge) (most int64, err error) {
	store := TxStore{tx.Counters()}
	for _, c := range l.Prepare(now, charges...).counts {
		got, err := store.Peek(context.Background(), c.slot, limiter.Rate{Limit: math.MaxInt64})
		if err != nil {
			return 0, err
		}
		most = max(most, got.Limit-got.Remaining)
	}
	return most, nil
}

// Usage is what one counter holds.
type Usage struct {
	// Name is the limit's.
	Name string
	// Rate is one of its rates, "5-H".
	Rate string
	// Tier48 marks the second tier of an IPv6 address, its /48.
	Tier48 bool
	// Known marks the counter of known browsers.
	Known bool
	Count int64
	Limit int64
	// Ends is when the window ends; under a rolling limit, when the first of what is counted is 24 hours old.
	Ends time.Time
}

// Usage returns what has been counted for a subject, under every limit that counts it; for the zero Subject, the counters that
// many clients share (mail_unknown, and those of clients whose address is not known). A mailbox is counted under mail_address
// only together with a client.
func (l *Limiter) Usage(tx storage.Tx, now time.Time, table Table, subject Subject) ([]Usage, error) {
	store := TxStore{tx.Counters()}
	var usages []Usage
	for _, charge := range table.inspected(subject) {
		for _, c := range l.Prepare(now, charge).counts {
			// Under the largest limit what remains shows a count that is above the limit, too: after a reload with a smaller one.
			got, err := store.Peek(context.Background(), c.slot, limiter.Rate{Limit: math.MaxInt64})
			if err != nil {
				return nil, err
			}
			usages = append(usages, Usage{
				Name: charge.Name, Rate: rateName(c.rate), Tier48: charge.tier48,
				Known: charge.Name == MailKnown || charge.counter == passwordKnown,
				Count: got.Limit - got.Remaining, Limit: c.rate.Limit, Ends: time.Unix(got.Reset, 0),
			})
		}
	}
	return usages, nil
}

// Reset removes the counters that Usage returns, and returns how many there were.
func (l *Limiter) Reset(tx storage.Tx, now time.Time, table Table, subject Subject) (int, error) {
	store := TxStore{tx.Counters()}
	reset := 0
	for _, c := range l.Prepare(now, table.inspected(subject)...).counts {
		got, err := store.Reset(context.Background(), c.slot, c.rate)
		if err != nil {
			return 0, err
		}
		if !got.Reached {
			reset++
		}
	}
	return reset, nil
}

// count is one counter of a charge; slot is its key in a TxStore.
type count struct {
	name string
	rate limiter.Rate
	key  storage.Key
	// earlier are the counters that are added to the one under key.
	earlier []storage.Key
	slot    string
	// mailbox is the charge's.
	mailbox bool
	soft    bool
}

func compare(a, b storage.Key) int {
	return cmp.Or(cmp.Compare(a.End, b.End), bytes.Compare(a.Digest[:], b.Digest[:]))
}
