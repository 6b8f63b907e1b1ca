package flow

import (
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// mailCost is what one mail to a mailbox is charged.
type mailCost struct {
	limiter *limit.Limiter
	table   limit.Table
	subject limit.Subject
	now     time.Time
	// usual are the charges of every mail, found before the transaction.
	usual limit.Prepared
}

func (s *Service) mailCost(site *Site, subject limit.Subject, now time.Time) mailCost {
	c := mailCost{limiter: s.Limiter, table: site.Limits, subject: subject, now: now}
	charges := site.Limits.LimitsFor(limit.MailMailbox, subject)
	if !subject.Known {
		charges = append(charges, c.network()...)
	}
	c.usual = s.Limiter.Prepare(now, charges...)
	return c
}

// client returns the limits that strangers elsewhere cannot spend. A browser that signed in to the mailbox before has none: a whole
// office may stand behind one address.
func (c mailCost) client() []limit.Charge {
	if c.subject.Known {
		return nil
	}
	return c.table.LimitsFor(limit.MailIP, c.subject)
}

// network returns the charges of the client and of its network, and its shares of what all networks share.
func (c mailCost) network() []limit.Charge {
	return slices.Concat(c.client(), c.table.LimitsFor(limit.MailAddress, c.subject), c.table.Shares(c.subject.Client))
}

// spend counts one mail. Where the mailbox's own limit is spent, which anybody can do, a known browser goes on with the reserve that
// no stranger can spend. For every other browser the account's sessions decide whether it has a part of the reserve, and only the mail
// worker may look them up: reserve is then set, and refused is what the browser is answered, whatever the worker finds.
func (c mailCost) spend(tx storage.Tx, mayReserve bool) (d, refused limit.Decision, reserve bool, err error) {
	d, err = c.usual.Spend(tx)
	switch {
	case err != nil || d.Allowed:
		return d, refused, false, err
	case c.subject.Known:
		d, err = c.limiter.Spend(tx, c.now, c.table.LimitsFor(limit.MailKnown, c.subject)...)
		return d, refused, false, err
	case !mayReserve:
		return d, refused, false, nil
	}
	refused = d
	if d, err = c.limiter.Spend(tx, c.now, c.network()...); err != nil || !d.Allowed {
		return refused, limit.Decision{}, false, err
	}
	return d, refused, true, nil
}
