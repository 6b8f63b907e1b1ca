package flow

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/work"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// pages are the pages whose forms take a solved proof of work, by the purpose of what they ask for. The form that takes a password is
// the one that asks for a mail to sign in.
var pages = map[string]string{SignIn: "sign-in", Activation: "sign-up", Reset: "reset"}

// failuresPerLevel is how many failed passwords, links and codes of a client make its challenges one level harder.
const failuresPerLevel = 10

// Challenge returns a proof of work that the form of a page takes in place of a limit that is spent: page is that of Limited.Page, mailbox
// that of Limited.Mailbox; any other text makes one that nothing takes. It gets harder with what the client's network has solved and
// failed lately, and never with what others did to the mailbox. It writes nothing.
//
// Errors: *Invalid (for), ErrUnavailable.
func (s *Service) Challenge(ctx context.Context, site Site, requester Requester, page, mailbox string) (c work.Challenge, err error) {
	site = site.withDefaults()
	known := false
	for _, p := range pages {
		known = known || p == page
	}
	if !known {
		return c, &Invalid{Field: "for", Code: "unknown"}
	}
	now, client := s.Clock.Now(), limit.Subject{Client: requester.Client}
	var level int64
	err = s.view(ctx, func(tx storage.Tx) error {
		if level, err = s.Limiter.Count(tx, now, site.Limits.LimitsFor(limit.WorkIP, client)...); err != nil {
			return err
		}
		failures, err := s.Limiter.Count(tx, now, append(site.Limits.LimitsFor(limit.PasswordIP, client), site.Limits.LimitsFor(limit.RedeemIP, client)...)...)
		level += failures / failuresPerLevel
		return err
	})
	if err != nil {
		return c, err
	}
	binding := work.Binding(s.Ring, site.Origin, page, mailbox, boundary.NetworkText(requester.Client))
	if c, err = work.New(s.Ring, now, binding, int(min(level, work.MaxLevel))); err != nil {
		return c, unavailable(err)
	}
	return c, nil
}

// solution is what a request may pay with in place of a limit that is spent.
type solution struct {
	s       *Service
	table   limit.Table
	subject limit.Subject
	now     time.Time
	// name is the limit of what it buys, page the page of the form.
	name, page string
	// sent is set when the request has a solution, valid when it solves a challenge for this request. once is then its counter.
	sent, valid bool
	once        storage.Key
}

// solution reads a request's proof of work. name is the limit of what it buys.
func (s *Service) solution(site *Site, requester Requester, name, purpose, text string, subject limit.Subject, now time.Time) solution {
	w := solution{s: s, table: site.Limits, subject: subject, now: now, name: name, page: pages[purpose], sent: text != ""}
	if w.sent {
		binding := work.Binding(s.Ring, site.Origin, w.page, w.mailbox(), boundary.NetworkText(requester.Client))
		w.once, w.valid = work.Verify(s.Ring, now, binding, text)
	}
	return w
}

func (w solution) mailbox() string { return work.Mailbox(w.s.Ring, w.subject.Mailbox) }

// charges are what the solution buys, and the solution itself.
func (w solution) charges() []limit.Charge { return w.table.Work(w.name, w.subject, w.once) }

// spend takes the solution for a mail, once and as long as there are slots. An unknown browser's mail spends its shares as any other.
func (w solution) spend(tx storage.Tx) (limit.Decision, error) {
	if !w.valid {
		return limit.Decision{}, nil
	}
	charges := w.charges()
	if !w.subject.Known {
		charges = append(charges, w.table.Shares(w.subject.Client)...)
	}
	return w.s.Limiter.Spend(tx, w.now, charges...)
}

// check reports whether spend would take the solution.
func (w solution) check(tx storage.Tx) (bool, error) {
	if !w.valid {
		return false, nil
	}
	d, err := w.s.Limiter.Check(tx, w.now, w.charges()...)
	return d.Allowed, err
}

// offer fills in how the refusal is bought off, if there are slots left. It counts nothing.
func (w solution) offer(tx storage.Tx, l *Limited) error {
	d, err := w.s.Limiter.Check(tx, w.now, w.table.Work(w.name, w.subject, storage.Key{})...)
	if err == nil && d.Allowed {
		l.Page, l.Mailbox = w.page, w.mailbox()
	}
	return err
}
