package limit

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/ulule/limiter/v3"
)

// A share is what one network may spend of a budget that all share: [MailNetwork] of [MailUnknown]. It is spent when a mail is requested,
// before it is known whom the mail is for, and it never refuses a request: what is not within it has to wait.
//
// A network may spend its share of what the others have left, not of the whole: with the default rates the first one a tenth of 500, the next
// one a tenth of 450, and each always one. So networks that come early cannot spend the whole budget before the others have come: where ten of them try, a third of it is
// left, and to spend it all takes some fifty.

// Share says what became of the charges that are shares of a budget. The zero value is that of charges without any, but for Paid.
type Share struct {
	// Paid is set when they were all spent; otherwise none was, and RetryAt is when the last window that refused ends.
	Paid    bool
	RetryAt time.Time
	// Turn is the place of this charge among those of its network in the shortest window, from 1; it is 0 without a share.
	Turn int64
	// NetworkSpent is the rate of the network that refused, empty if none did; HalfSpent is the rate of the whole of which half
	// has been spent with this charge, empty if it has not.
	NetworkSpent, HalfSpent string
	// Spent is how many mails the network has had at NetworkSpent. Its share is a tenth of what the others have left, so these may be few.
	Spent int64

	period time.Duration // that of NetworkSpent
}

// Shares returns what a mail costs of the budget that all unknown browsers share.
func (t Table) Shares(client netip.Addr) []Charge {
	s := Subject{Client: client}
	return append(t.LimitsFor(MailNetwork, s), t.LimitsFor(MailUnknown, s)...)
}

// limit returns the count that a counter may reach now.
func (p Prepared) limit(i int, used []int64) int64 {
	c := p.counts[i]
	if !c.soft || c.name != MailNetwork {
		return c.rate.Limit
	}
	for j, whole := range p.counts {
		if whole.name == MailUnknown && whole.rate.Period == c.rate.Period {
			others := max(used[j]-used[i], 0) // an operator may have reset one of the two
			left := max(whole.rate.Limit-others, 0)
			return max(1, min(c.rate.Limit, whole.rate.Limit)*left/whole.rate.Limit)
		}
	}
	return c.rate.Limit
}

// share decides about the shares by what the counters hold.
func (p Prepared) share(used []int64) (Share, error) {
	s := Share{Paid: true}
	var shortest time.Duration
	for i, c := range p.counts {
		if !c.soft {
			continue
		}
		if c.name == MailNetwork && (shortest == 0 || c.rate.Period < shortest) {
			shortest, s.Turn = c.rate.Period, used[i]+1
		}
		if c.name == MailUnknown && used[i]+1 == (c.rate.Limit+1)/2 {
			s.HalfSpent = rateName(c.rate)
		}
		if used[i] < p.limit(i, used) {
			continue
		}
		slot, err := parseSlot(c.slot)
		if err != nil {
			return Share{}, err
		}
		s.Paid = false
		if ends := time.Unix(slot.ends, 0); ends.After(s.RetryAt) {
			s.RetryAt = ends
		}
		if c.name == MailNetwork && c.rate.Period > s.period {
			s.NetworkSpent, s.Spent, s.period = rateName(c.rate), used[i], c.rate.Period
		}
	}
	if !s.Paid {
		s.HalfSpent = ""
	}
	return s, nil
}

const (
	// maxNotices is how many networks are named in an hour that have spent their share.
	maxNotices    = 10
	noticeCounter = "mail_network told"
)

// NoticeSpent returns the name of a network of which the operator is to be told now that it has spent its share: each once in each of its
// windows, and maxNotices in an hour. It is empty if none is.
func (l *Limiter) NoticeSpent(tx storage.Tx, now time.Time, client netip.Addr, s Share) (network string, err error) {
	if s.NetworkSpent == "" {
		return "", nil
	}
	network = networkName(client)
	v, err := l.Spend(tx, now,
		Charge{Name: MailNetwork, counter: noticeCounter, group: sharesGroup, Subject: network, Rates: Rates{{Period: s.period, Limit: 1}}},
		Charge{Name: MailNetwork, counter: noticeCounter, group: sharesGroup, Subject: sharedSubject, Rates: Rates{{Period: time.Hour, Limit: maxNotices}}},
	)
	if err != nil || !v.Allowed {
		return "", err
	}
	return network, nil
}

// Log warns the operator: that a network has spent its share, if one is named, and that half of the whole is spent. log may be nil.
func (s Share) Log(ctx context.Context, log *slog.Logger, network string) {
	if log == nil {
		return
	}
	if network != "" {
		log.LogAttrs(ctx, slog.LevelWarn, "a network has spent its share of mails: more of them wait, except those to accounts",
			slog.String("event", "denied"), slog.String("outcome", "limited"), slog.String("limit", MailNetwork),
			slog.String("rate", s.NetworkSpent), slog.Int64("spent", s.Spent), slog.String("client", network))
	}
	if s.HalfSpent != "" {
		log.LogAttrs(ctx, slog.LevelWarn, "half of the mails that unknown browsers may request are spent: above all of them more wait, except those to accounts",
			slog.String("event", "denied"), slog.String("outcome", "limited"), slog.String("limit", MailUnknown),
			slog.String("rate", s.HalfSpent))
	}
}

// Complete derives the rates of shares that are not configured, and returns an error for configured ones that are above their whole.
// configured reports whether a limit has rates of its own.
//
// A network's share that is not configured is a tenth of mail_unknown, and at least 1; no other one is above its whole.
func (t Table) Complete(configured func(name string) bool) error {
	if !configured(MailNetwork) && configured(MailUnknown) {
		t[MailNetwork] = t[MailUnknown].tenth()
	}
	for _, d := range descriptors {
		if d.whole == "" {
			continue
		}
		fit := t[d.Name].within(t[d.whole])
		if configured(d.Name) && fit.String() != t[d.Name].String() {
			return fmt.Errorf("limit %s %s is above %s %s, of which it is a share; write 'limit %s %s' or a larger 'limit %s'",
				d.Name, t[d.Name], d.whole, t[d.whole], d.Name, fit, d.whole)
		}
		t[d.Name] = fit
	}
	return nil
}

// tenth returns the rates with a tenth of each count, rounded down, but at least 1.
func (r Rates) tenth() Rates {
	share := slices.Clone(r)
	for i := range share {
		share[i].Limit, share[i].Formatted = max(1, share[i].Limit/10), ""
	}
	return share
}

// within returns the rates with each count at most what the whole permits in its period.
func (r Rates) within(whole Rates) Rates {
	fit := slices.Clone(r)
	for i := range fit {
		for _, w := range whole {
			if most := mostIn(w, fit[i].Period); fit[i].Limit > most {
				fit[i].Limit, fit[i].Formatted = most, ""
			}
		}
	}
	return fit
}

// mostIn returns how much a rate permits in a period.
func mostIn(rate limiter.Rate, period time.Duration) int64 {
	if windows := int64((period + rate.Period - 1) / rate.Period); windows > 1 {
		return rate.Limit * windows
	}
	return rate.Limit
}
