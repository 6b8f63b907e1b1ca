package flow

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Resend asks for one more mail of the flow of this browser. All mails of a flow work until it ends.
//
// Until the flow expires it answers alike, whatever happened to the flow, the account or the mailbox elsewhere. Errors:
// ErrNoMail, ErrNoFlow, *Invalid (code: "off", where mails carry codes alone), *Limited (LimitResend: too early; LimitResends:
// spent, RetryAt is the flow's end; mail_ip),
// ErrUnavailable. With a *Limited the Pending is filled as well.
func (s *Service) Resend(ctx context.Context, site Site, requester Requester) (Pending, error) {
	site = site.withDefaults()
	now := s.Clock.Now()
	var (
		pending Pending
		rec     record
	)
	err := s.update(ctx, func(tx storage.Tx) error {
		pending, rec = Pending{}, record{}
		h, found, err := s.current(tx, site, requester.FlowCookie, now)
		if err != nil {
			return err
		}
		if !found {
			return refuse(ErrNoFlow)
		}
		if site.NoMail {
			return refuse(ErrNoMail)
		}
		f, r, err := s.resend(tx, site, requester, h, now)
		if err != nil && !isRefusal(err) {
			return err
		}
		rec, pending = r, s.pending(site, requester, f, h.Private, h.Addr)
		return err
	})
	s.report(ctx, stepResend, site, requester.Client, rec, err)
	if err == nil {
		s.wake()
	}
	return pending, err
}

// resend spends one resend of the flow that a browser holds and queues its mail. The mailbox's limits keep the mail back
// without a word: strangers may have spent them, and the page says the same as ever.
func (s *Service) resend(tx storage.Tx, site Site, requester Requester, h currentFlow, now time.Time) (f storage.Flow, rec record, err error) {
	f = h.Flow
	rec = record{purpose: f.Purpose, account: f.Account, flow: f.ID}
	switch {
	case codesAreOff(site, f):
		return f, rec, refuse(codeOff()) // the mail would have neither a link nor a code
	case f.ResendsLeft <= 0:
		return f, rec, refuse(&Limited{Name: LimitResends, RetryAt: f.Key.Ends()})
	case now.Before(f.NextResend):
		return f, rec, refuse(&Limited{Name: LimitResend, RetryAt: f.NextResend})
	}
	subject := limit.Subject{
		Client: requester.Client, Mailbox: h.Addr.LimitKey(s.Ring), Known: s.isKnownBrowser(site, requester.KnownCookie, f.Mailbox, now),
	}
	v, reserve, err := s.spendResend(tx, s.mailCost(&site, subject, now), h.Private.App == nil, &rec)
	if err != nil {
		return f, rec, err
	}
	if rec.share, err = s.noticeShare(tx, now, requester, v.Share); err != nil {
		return f, rec, err
	}
	alive, err := isActive(tx, f, now, false)
	if err != nil {
		return f, rec, err
	}
	m := mailInput{site: site, private: h.Private, addr: h.Addr, cookie: h.Text, known: subject.Known, reserve: reserve, now: now}
	if !alive {
		if f, m.private, err = s.successor(tx, h, v.SlotsOf(limit.MailIP)); err != nil {
			return f, rec, err
		}
	}
	if m.flow = f; h.Claims != nil {
		if m.claims, err = nextMail(h.Claims, f, m.private); err != nil {
			return f, rec, err
		}
	}
	d, err := s.newDraft(m)
	if err != nil {
		return f, rec, err
	}
	if f, err = s.countResend(tx, site, h, f, alive, d.code, now); err != nil {
		return f, rec, err
	}
	if rec.dropped == "" {
		d.queueUp(subject.Known, v.Share)
		if err := d.write(tx); err != nil {
			return f, rec, err
		}
	}
	rec.flow = f.ID
	outcome := outcomeOK
	if rec.dropped != "" {
		outcome = outcomeLimited
	}
	err = rec.add(tx, storage.Event{
		Time: now, Name: eventResent, Purpose: f.Purpose, Outcome: outcome, Account: f.Account, Flow: f.ID, Site: f.Site,
		Client: boundary.NetworkText(requester.Client),
	}, f.Key.Ends())
	return f, rec, err
}

// countResend counts a resend of the flow f: in its record where it is active, else in the new record of its successor. code is the
// digest of the new mail's code.
func (s *Service) countResend(tx storage.Tx, site Site, h currentFlow, f storage.Flow, active bool, code storage.Digest, now time.Time,
) (storage.Flow, error) {
	if h.Unstored {
		if err := s.storeFlow(tx, h.Flow); err != nil {
			return f, err
		}
	}
	if active {
		f, result, err := tx.Flows().ConsumeResend(f.Key, now, site.ResendWait, code)
		if err != nil || result != storage.ResendConsumed {
			return f, orConflict(err)
		}
		return f, nil
	}
	f.ResendsLeft--
	f.NextResend = now.Add(site.ResendWait)
	f.Codes = []storage.Digest{code}
	return f, tx.Flows().Create(f)
}

// codesAreOff reports whether a flow whose mails carry codes alone takes none any more. A new request then begins a new flow.
func codesAreOff(site Site, f storage.Flow) bool {
	return f.WrongCodes >= MaxWrongCodes && !site.mailsLink(f.Purpose)
}

// spendResend takes the limits of one more mail: the client's own are told, the mailbox's only noted.
func (s *Service) spendResend(tx storage.Tx, cost mailCost, mayReserve bool, rec *record) (v limit.Decision, reserve bool, err error) {
	v, err = s.Limiter.Check(tx, cost.now, cost.client()...)
	if err != nil {
		return v, false, err
	}
	if !v.Allowed {
		return v, false, refuse(limited(v))
	}
	v, _, reserve, err = cost.spend(tx, mayReserve)
	if err == nil && !v.Allowed {
		rec.dropped = v.Name
	}
	return v, reserve, err
}

// successor returns the next generation of a flow that has ended elsewhere: the same to the browser that asked, but born
// now. slots are what its redemption gives back. The caller stores it.
func (s *Service) successor(tx storage.Tx, h currentFlow, slots []storage.Key) (f storage.Flow, next private, err error) {
	f = storage.Flow{
		Key: s.flowKey(h.Cookie, h.Site, h.Generation+1), ID: token.NewID(), Site: h.Site, Purpose: h.Purpose, Mailbox: h.Mailbox,
		MailIP: slots, Started: h.Started, ResendsLeft: h.ResendsLeft, NextResend: h.NextResend, WrongCodes: h.WrongCodes,
		State: storage.FlowOpen,
	}
	if f.Epochs, err = storage.ReadEpochs(tx, f.Mailbox, "", false); err != nil {
		return f, next, err
	}
	next = h.Private
	next.Generation = h.Generation + 1
	if h.Claims == nil {
		f.Private, err = s.sealPrivate(f.Key, next)
	}
	return f, next, err
}
