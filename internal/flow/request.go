package flow

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// maxDevice is the longest name of a device, in bytes.
const maxDevice = 64

// Request asks for a mail. It looks no account up: what it reads, writes and answers is the same for every address. Asking
// again from a browser with a live flow of the same purpose and mailbox continues that flow, and counts as a resend.
//
// Errors, in the order they are judged: ErrNoMail, *Invalid (purpose, email), *Limited, ErrClosed (signing up, by the
// address alone), ErrUnavailable. When it is too early for another mail of a live flow, or they are spent, the answer is the
// flow as it is, without an error.
func (s *Service) Request(ctx context.Context, site Site, asker Asker, in RequestInput) (Asked, error) {
	site = site.withDefaults()
	var (
		asked Asked
		rec   record
	)
	err := func() error {
		r, err := s.newRequest(site, asker, in)
		if err != nil {
			return err
		}
		rec.purpose = in.Purpose
		if in.Purpose == Activation && !site.SignUp.Admits(r.addr) {
			return s.refuseSignUp(ctx, &site, r)
		}
		return s.update(ctx, func(tx storage.Tx) (refused, err error) {
			asked, rec, refused, err = r.run(tx)
			return refused, err
		})
	}()
	s.tell(ctx, stepRequest, site, network(asker.Client), rec, err)
	if err != nil {
		return Asked{}, err
	}
	s.wake()
	return asked, nil
}

// request is one Request, with all that needs no transaction done before it: the transaction is everybody's bottleneck.
type request struct {
	s       *Service
	site    Site
	asker   Asker
	purpose string
	now     time.Time
	addr    address.Address
	mailbox storage.Digest
	subject limit.Subject
	limits  limit.Prepared
	// flow is the new flow, cookie its cookie, private its sealed half and draft its mail.
	flow    storage.Flow
	cookie  string
	private private
	draft   draft
}

func (s *Service) newRequest(site Site, asker Asker, in RequestInput) (*request, error) {
	if in.Purpose != Activation && in.Purpose != SignIn && (in.Purpose != Reset || !s.OffersPasswords(site)) {
		return nil, &Invalid{Field: "purpose", Code: "unknown"}
	}
	if site.NoMail || !site.mailsLink(in.Purpose) && !site.mailsCode(in.Purpose) {
		return nil, ErrNoMail
	}
	addr, err := address.Parse(in.Email)
	if err != nil {
		return nil, &Invalid{Field: "email", Code: "syntax", Err: err}
	}
	r := &request{
		s: s, site: site, asker: asker, purpose: in.Purpose, now: s.Clock.Now(), addr: addr, mailbox: addr.Mailbox(s.Ring),
		private: private{
			Email: addr.Typed(), ReturnTo: cleanReturnTo(in.ReturnTo), Device: cut(asker.Device, maxDevice),
			Locale: language(asker.Locale), Network: network(asker.Client), Origin: asker.Origin,
		},
	}
	r.subject = limit.Subject{
		Client: asker.Client, Mailbox: addr.LimitKey(s.Ring), Known: s.knows(site, asker.KnownCookie, r.mailbox, r.now),
	}
	client, mailbox := asksFor(&site, r.subject)
	r.limits = s.Limiter.Prepare(r.now, append(client, mailbox...)...)
	end := r.now.Add(site.lifetime(in.Purpose))
	r.cookie = token.Random(end)
	cookie, err := token.Parse(r.cookie)
	if err != nil {
		return nil, unavailable(err)
	}
	r.flow = storage.Flow{
		Key: s.flowKey(cookie, site.Origin, 0), ID: token.NewID(), Site: site.Origin, Purpose: in.Purpose, Mailbox: r.mailbox,
		Started: r.now, ResendsLeft: *site.Resends, NextResend: r.now.Add(site.ResendWait), State: storage.FlowOpen,
	}
	if r.flow.Private, err = s.sealPrivate(r.flow.Key, r.private); err != nil {
		return nil, unavailable(err)
	}
	if r.draft, err = s.draft(site, r.flow, r.private, addr, r.cookie, r.subject.Known, r.now); err != nil {
		return nil, unavailable(err)
	}
	r.flow.Codes = []storage.Digest{r.draft.code}
	return r, nil
}

// refuseSignUp answers an address that may not sign up here. Limits by client address come first, and nothing is counted.
func (s *Service) refuseSignUp(ctx context.Context, site *Site, r *request) error {
	return s.view(ctx, func(tx storage.Tx) (refused, err error) {
		client, _ := asksFor(site, r.subject)
		v, err := s.Limiter.PeekAll(tx, r.now, client...)
		if err != nil {
			return nil, err
		}
		if !v.OK {
			return limited(v), nil
		}
		return ErrClosed, nil
	})
}

// run is the step.
func (r *request) run(tx storage.Tx) (asked Asked, rec record, refused, err error) {
	rec.purpose = r.purpose
	h, found, err := r.s.current(tx, r.site, r.asker.FlowCookie, r.now)
	if err != nil {
		return asked, rec, nil, err
	}
	if found && h.Purpose == r.purpose && h.Mailbox == r.mailbox {
		return r.again(tx, h)
	}
	v, err := r.limits.Take(tx)
	if err != nil {
		return asked, rec, nil, err
	}
	if !v.OK {
		return asked, rec, limited(v), nil
	}
	f := r.flow
	f.MailIP = v.Of(limit.MailIP)
	if f.Epochs, err = epochs(tx, f.Mailbox, "", false); err != nil {
		return asked, rec, nil, err
	}
	f.Epochs.Account = 0
	if err := tx.Flows().Create(f); err != nil {
		return asked, rec, nil, err
	}
	if err := r.draft.write(tx); err != nil {
		return asked, rec, nil, err
	}
	rec.flow = f.ID
	err = rec.add(tx, storage.Event{
		Time: r.now, Name: eventAsked, Purpose: f.Purpose, Outcome: outcomeOK, Flow: f.ID, Site: f.Site, Client: r.private.Network,
	}, f.Key.Ends())
	return Asked{FlowCookie: r.cookie, Pending: r.s.pending(r.site, r.asker, f, r.private, r.addr)}, rec, nil, err
}

// again continues a live flow.
func (r *request) again(tx storage.Tx, h held) (asked Asked, rec record, refused, err error) {
	p, addr, err := r.s.openPrivate(h.Flow)
	if err != nil {
		return asked, rec, nil, err
	}
	f, rec, refused, err := r.s.again(tx, r.site, r.asker, h, p, addr, r.now)
	if err != nil {
		return asked, rec, nil, err
	}
	if l := new(Limited); errors.As(refused, &l) && (l.Name == LimitResend || l.Name == LimitResends) {
		refused = nil
	}
	return Asked{FlowCookie: h.Text, Pending: r.s.pending(r.site, r.asker, f, p, addr)}, rec, refused, nil
}
