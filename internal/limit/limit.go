// Package limit counts what strangers may cause, over the counters of a storage transaction, so that a limit and the effect
// it permits are one step: exact under parallel requests and after a crash.
//
// A step takes all its limits at once with SpendAll: they are all looked at before one is written, so a refusal writes
// nothing and costs no sync of the disk, however often it is asked for.
package limit

import (
	"bytes"
	"cmp"
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
}

// Decision is the answer to an ask.
type Decision struct {
	Allowed bool
	// Name is the limit that refused; when several did, the one that ends last.
	Name string
	// RetryAt is when the last of the windows that refused ends; zero when Allowed.
	RetryAt time.Time
	// Slots are the counters that were taken, for Return.
	Slots []storage.Key

	names []string // of the limits that Slots belong to
}

// SlotsOf returns the counters that were taken for one limit.
func (v Decision) SlotsOf(name string) []storage.Key {
	var slots []storage.Key
	for i, slot := range v.Slots {
		if v.names[i] == name {
			slots = append(slots, slot)
		}
	}
	return slots
}

// Spend counts one for the subject under each of the rates, or under none.
func (l *Limiter) Spend(tx storage.Tx, now time.Time, name, subject string, rates Rates) (Decision, error) {
	return l.SpendAll(tx, now, Charge{Name: name, Subject: subject, Rates: rates})
}

// Check says whether Take would succeed, and counts nothing. It is for limits that count failures only.
func (l *Limiter) Check(tx storage.Tx, now time.Time, name, subject string, rates Rates) (Decision, error) {
	return l.CheckAll(tx, now, Charge{Name: name, Subject: subject, Rates: rates})
}

// SpendAll counts one for each ask under each of its rates, or nothing at all. Counters are written in the order of their
// keys, as every step does.
func (l *Limiter) SpendAll(tx storage.Tx, now time.Time, charges ...Charge) (Decision, error) {
	return l.Prepare(now, charges...).Spend(tx)
}

// CheckAll says whether SpendAll would succeed, and counts nothing.
func (l *Limiter) CheckAll(tx storage.Tx, now time.Time, charges ...Charge) (Decision, error) {
	return l.Prepare(now, charges...).Check(tx)
}

// Prepared are asks whose counters have been found. Finding them costs digests and needs no transaction; the transaction is
// everybody's bottleneck.
type Prepared struct{ counts []count }

// Prepare finds the counters of asks at one moment.
func (l *Limiter) Prepare(now time.Time, charges ...Charge) Prepared {
	var counts []count
	for _, charge := range charges {
		store := TxStore{Ring: l.Ring, Now: now, Name: cmp.Or(charge.counter, charge.Name), group: charge.group}
		for _, rate := range charge.Rates {
			counts = append(counts, count{charge.Name, rate, store.slot(charge.Subject, rate)})
		}
	}
	slices.SortFunc(counts, func(a, b count) int { return compare(a.slot.key, b.slot.key) })
	return Prepared{counts}
}

// Slots returns the counters, as Take does when it takes them.
func (p Prepared) Slots() []storage.Key {
	slots := make([]storage.Key, len(p.counts))
	for i, c := range p.counts {
		slots[i] = c.slot.key
	}
	return slots
}

// Spend is SpendAll.
func (p Prepared) Spend(tx storage.Tx) (Decision, error) {
	verdict, err := p.Check(tx)
	if err != nil || !verdict.Allowed {
		return verdict, err
	}
	verdict.Slots = make([]storage.Key, 0, len(p.counts))
	verdict.names = make([]string, 0, len(p.counts))
	for _, c := range p.counts {
		_, taken, err := tx.Counters().Spend(c.slot.key, 1, c.rate.Limit)
		if err != nil {
			return Decision{}, err
		}
		if !taken { // an engine with row locks: another step was faster than this one's peek
			for _, slot := range verdict.Slots {
				if _, err := tx.Counters().Refund(slot, 1); err != nil {
					return Decision{}, err
				}
			}
			return Decision{Name: c.name, RetryAt: c.slot.Ends()}, nil
		}
		verdict.Slots = append(verdict.Slots, c.slot.key)
		verdict.names = append(verdict.names, c.name)
	}
	return verdict, nil
}

// Check is CheckAll.
func (p Prepared) Check(tx storage.Tx) (Decision, error) {
	verdict := Decision{Allowed: true}
	for _, c := range p.counts {
		n, err := tx.Counters().Peek(c.slot.key)
		if err != nil {
			return Decision{}, err
		}
		if n >= c.rate.Limit {
			verdict.Allowed = false
			if ends := c.slot.Ends(); ends.After(verdict.RetryAt) {
				verdict.Name, verdict.RetryAt = c.name, ends
			}
		}
	}
	return verdict, nil
}

// Refund gives one back to each counter, as when a mailed link is used. Counters whose window is over do not mind.
func (l *Limiter) Refund(tx storage.Tx, slots []storage.Key) error {
	for _, slot := range sortedKeys(slots) {
		if _, err := tx.Counters().Refund(slot, 1); err != nil {
			return err
		}
	}
	return nil
}

// Usage is the state of one counter.
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
	// Ends is when the window ends.
	Ends time.Time
}

// Usage tells what has been counted for a subject, under every limit that counts it; for the zero Subject, the counters that
// many share (mail_strangers, and those of clients whose address is not known). A mailbox is counted under mail_address only
// together with a client.
func (l *Limiter) Usage(tx storage.Tx, now time.Time, table *Table, subject Subject) ([]Usage, error) {
	var usages []Usage
	for _, charge := range table.inspected(subject) {
		for _, c := range l.Prepare(now, charge).counts {
			n, err := tx.Counters().Peek(c.slot.key)
			if err != nil {
				return nil, err
			}
			usages = append(usages, Usage{
				Name: charge.Name, Rate: rateName(c.rate), Tier48: charge.tier48, Known: charge.Name == MailKnown || charge.counter == passwordKnown,
				Count: n, Limit: c.rate.Limit, Ends: c.slot.Ends(),
			})
		}
	}
	return usages, nil
}

// Reset forgets what Show tells, and says how many counters there were.
func (l *Limiter) Reset(tx storage.Tx, now time.Time, table *Table, subject Subject) (int, error) {
	reset := 0
	for _, c := range l.Prepare(now, table.inspected(subject)...).counts {
		existed, err := tx.Counters().Reset(c.slot.key)
		if err != nil {
			return 0, err
		}
		if existed {
			reset++
		}
	}
	return reset, nil
}

// count is one counter of an ask.
type count struct {
	name string
	rate limiter.Rate
	slot slot
}

func sortedKeys(slots []storage.Key) []storage.Key {
	return slices.SortedFunc(slices.Values(slots), compare)
}

func compare(a, b storage.Key) int {
	return cmp.Or(cmp.Compare(a.End, b.End), bytes.Compare(a.Digest[:], b.Digest[:]))
}
