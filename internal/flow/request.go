package flow

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// maxDevice is the longest name of a device, in bytes.
const maxDevice = 64

// Request asks for a mail. It looks no account up: what it reads, writes and answers is the same for every address. Asking
// again from a browser with a live flow of the same purpose and mailbox continues that flow, and counts as a resend.
//
// Errors, in the order of the checks: ErrNoMail, *Invalid (purpose, email), *Limited, ErrClosed (signing up, by the
// address alone; where invitations make accounts, the mail worker finds out), ErrUnavailable. With a *Limited that has Reserve set the result is filled as well. When it is too early for another mail of a live
// flow, or its mails are spent, the answer is the flow as it is, without an error, unless a proof of work begins another one.
func (s *Service) Request(ctx context.Context, site Site, requester Requester, in RequestInput) (RequestResult, error) {
	site = site.withDefaults()
	var (
		result RequestResult
		rec    record
	)
	err := func() error {
		r, err := s.newRequest(site, requester, in)
		if err != nil {
			return err
		}
		rec.purpose = in.Purpose
		if in.Purpose == Activation && site.SignUp.Mode != SignUpInvite && !site.SignUp.Admits(r.addr) {
			return s.refuseSignUp(ctx, r)
		}
		return s.update(ctx, func(tx storage.Tx) (err error) {
			result, rec, err = r.run(tx)
			return err
		})
	}()
	s.report(ctx, stepRequest, site, requester.Client, rec, err)
	if l := new(Limited); err != nil && !(errors.As(err, &l) && l.Reserve) {
		return RequestResult{}, err
	}
	s.wake()
	return result, err
}

// request is one Request, with all that needs no transaction done before it, since only one runs at a time.
type request struct {
	s         *Service
	site      Site
	requester Requester
	purpose   string
	now       time.Time
	addr      address.Address
	mailbox   storage.Digest
	subject   limit.Subject
	cost      mailCost
	work      solution
	// private is the new flow's sealed half. flow is the flow, cookie its cookie and draft its mail where it is stored; a
	// stateless one has claims.
	private private
	flow    storage.Flow
	cookie  string
	draft   draft
	claims  *token.Claims
	// paid is set when a proof of work has paid for the mail: there is no slot of mail_ip to refund.
	paid bool
}

func (s *Service) newRequest(site Site, requester Requester, in RequestInput) (*request, error) {
	if in.Purpose != Activation && in.Purpose != SignIn && (in.Purpose != Reset || in.app == nil && !s.OffersPasswords(site)) {
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
		s: s, site: site, requester: requester, purpose: in.Purpose, now: s.Clock.Now(), addr: addr, mailbox: addr.Mailbox(s.Ring),
		private: private{
			Email: addr.Typed(), ReturnTo: cleanReturnTo(in.ReturnTo), Device: cutDevice(requester.Device),
			Locale: language(requester.Locale), Network: boundary.NetworkText(requester.Client), Origin: requester.Origin,
			App: in.app, Ephemeral: in.Ephemeral, Invited: in.app == nil && in.Purpose == Activation && site.SignUp.Mode == SignUpInvite,
		},
	}
	r.subject = limit.Subject{
		Client: requester.Client, Mailbox: addr.LimitKey(s.Ring), Known: s.isKnownBrowser(site, requester.KnownCookie, r.mailbox, r.now),
	}
	s.requested(r.subject, addr)
	r.cost = s.mailCost(&site, r.subject, r.now)
	r.work = s.solution(&site, requester, limit.MailWork, in.Purpose, in.Altcha, r.subject, r.now)
	if err := r.prepare(); err != nil {
		return nil, unavailable(err)
	}
	return r, nil
}

// prepare makes the flow, but for what the step reads.
func (r *request) prepare() (err error) {
	if r.claims, err = r.statelessClaims(); err != nil || r.claims != nil {
		return err
	}
	s, site := r.s, r.site
	r.cookie = token.Random(r.now.Add(site.lifetime(r.purpose)))
	cookie, err := token.Parse(r.cookie)
	if err != nil {
		return err
	}
	if site.Stateless {
		r.cookie = token.Pad(s.Ring, site.Origin, r.cookie)
	}
	r.flow = storage.Flow{
		Key: s.flowKey(cookie, site.Origin, 0), ID: token.NewID(), Site: site.Origin, Purpose: r.purpose, Mailbox: r.mailbox,
		Started: r.now, ResendsLeft: *site.Resends, NextResend: r.now.Add(site.ResendWait), State: storage.FlowOpen,
	}
	if r.flow.Private, err = s.sealPrivate(r.flow.Key, r.private); err != nil {
		return err
	}
	r.draft, err = s.newDraft(r.mailInput(r.flow, r.cookie, nil))
	r.flow.Codes = []storage.Digest{r.draft.code}
	return err
}

func (r *request) mailInput(f storage.Flow, cookie string, c *token.Claims) mailInput {
	return mailInput{
		site: r.site, flow: f, private: r.private, addr: r.addr, cookie: cookie, claims: c, known: r.subject.Known,
		reserve: r.private.Reserve, now: r.now,
	}
}

// refuseSignUp answers an address that may not sign up here. Limits by client address come first, and nothing is counted.
func (s *Service) refuseSignUp(ctx context.Context, r *request) error {
	return s.view(ctx, func(tx storage.Tx) error {
		v, err := s.Limiter.Check(tx, r.now, r.cost.client()...)
		if err != nil {
			return err
		}
		if !v.Allowed {
			return refuse(limited(v))
		}
		return refuse(ErrClosed)
	})
}

// run is the step.
func (r *request) run(tx storage.Tx) (result RequestResult, rec record, err error) {
	rec.purpose = r.purpose
	err = tx.Prefetch(storage.Lookups{Counters: r.cost.usual.Lookups(), Epochs: storage.EpochKeys(r.mailbox, "")})
	if err != nil {
		return result, rec, err
	}
	h, found, err := r.s.current(tx, r.site, r.requester.FlowCookie, r.now)
	if err != nil {
		return result, rec, err
	}
	if found && h.Purpose == r.purpose && h.Mailbox == r.mailbox && r.private.continues(h.Private) && !codesAreOff(r.site, h.Flow) {
		return r.continueFlow(tx, h, rec)
	}
	// Who sends a proof of work is not content with what the mail worker may find out, and one that is refused writes nothing.
	v, refused, reserve, err := r.cost.spend(tx, r.private.App == nil && !r.work.sent)
	switch {
	case err != nil:
		return result, rec, err
	case !v.Allowed:
		return r.payOrRefuse(tx, limited(v), rec)
	case !reserve:
		return r.beginFlow(tx, v, rec)
	}
	reserved, err := r.variant(func(r *request) { r.private.Reserve = true })
	if err != nil {
		return result, rec, err
	}
	if result, rec, err = reserved.beginFlow(tx, v, rec); err != nil {
		return result, rec, err
	}
	l := limited(refused)
	l.Reserve = true
	return result, rec, orRefuse(r.work.offer(tx, l), l)
}

// continueFlow sends one more mail of the flow that the browser holds. Where the mailbox's limit is spent a proof of work begins another flow, and
// without one the browser is answered as for a new flow: the mail leaves only in a network of the account's sessions.
func (r *request) continueFlow(tx storage.Tx, h currentFlow, rec record) (result RequestResult, _ record, err error) {
	spent, err := r.mailboxSpent(tx, h)
	if err != nil {
		return result, rec, err
	}
	if spent != nil && r.work.sent {
		return r.payOrRefuse(tx, spent, rec)
	}
	result, rec, err = r.resend(tx, h)
	if l := new(Limited); isRefusal(err) && errors.As(err, &l) { // the client's own limit
		return r.payOrRefuse(tx, l, rec)
	}
	if err != nil || spent == nil {
		return result, rec, err
	}
	spent.Reserve = rec.dropped == ""
	return result, rec, orRefuse(r.work.offer(tx, spent), spent)
}

// mailboxSpent returns the limit that holds one more mail of the browser's flow back; nil if none does, or if none is
// due and none is paid for by work.
func (r *request) mailboxSpent(tx storage.Tx, h currentFlow) (*Limited, error) {
	due := h.ResendsLeft > 0 && !r.now.Before(h.NextResend)
	if r.subject.Known || r.private.App != nil || !due && !r.work.sent {
		return nil, nil //nolint:nilnil // nothing is spent
	}
	v, err := r.s.Limiter.Check(tx, r.now, r.site.Limits.LimitsFor(limit.MailMailbox, r.subject)...)
	if err != nil || v.Allowed {
		return nil, err
	}
	return limited(v), nil
}

// payOrRefuse begins the flow where a proof of work pays for what a limit refuses, and offers one where none was sent that does. An app
// has forms of its own, which take none.
func (r *request) payOrRefuse(tx storage.Tx, l *Limited, rec record) (result RequestResult, _ record, err error) {
	if r.private.App != nil {
		return result, rec, refuse(l)
	}
	v, err := r.work.spend(tx)
	if err != nil {
		return result, rec, err
	}
	if !v.Allowed {
		return result, rec, orRefuse(r.work.offer(tx, l), l)
	}
	bought, err := r.variant(func(r *request) { r.paid = true })
	if err != nil {
		return result, rec, err
	}
	return bought.beginFlow(tx, limit.Decision{Share: v.Share}, rec)
}

// variant returns the request with a flow that differs. The step may run more than once, so the request itself stays as it is.
func (r *request) variant(change func(*request)) (*request, error) {
	v := *r
	change(&v)
	return &v, v.prepare()
}

// beginFlow begins the flow that has been prepared.
func (r *request) beginFlow(tx storage.Tx, v limit.Decision, rec record) (RequestResult, record, error) {
	var err error
	if rec.share, err = r.s.noticeShare(tx, r.now, r.requester, v.Share); err != nil {
		return RequestResult{}, rec, err
	}
	e, err := storage.ReadEpochs(tx, r.mailbox, "", false)
	if err != nil {
		return RequestResult{}, rec, err
	}
	begin := r.begin
	if r.claims != nil {
		begin = r.beginStateless
	}
	f, cookie, err := begin(tx, e, v, &rec)
	if err != nil {
		return RequestResult{}, rec, err
	}
	rec.flow = f.ID
	return RequestResult{FlowCookie: cookie, Pending: r.s.pending(r.site, r.requester, f, r.private, r.addr)}, rec, nil
}

// begin stores the new flow and queues its mail.
func (r *request) begin(tx storage.Tx, e storage.Epochs, v limit.Decision, rec *record) (f storage.Flow, cookie string, err error) {
	f = r.flow
	f.MailIP, f.Epochs = v.SlotsOf(limit.MailIP), e
	if err := tx.Flows().Create(f); err != nil {
		return f, "", err
	}
	d := r.draft
	d.queueUp(r.subject.Known, v.Share)
	if err := d.write(tx); err != nil {
		return f, "", err
	}
	return f, r.cookie, rec.add(tx, r.requestedEvent(f), f.Key.Ends())
}

// beginStateless queues the mail and stores nothing else of the flow. What it seals holds the epochs, so it is sealed here.
func (r *request) beginStateless(tx storage.Tx, e storage.Epochs, v limit.Decision, rec *record) (f storage.Flow, cookie string, err error) {
	c := withEpochs(r.claims, e)
	if cookie, err = c.Cookie(r.s.Ring); err != nil {
		return f, "", err
	}
	f = r.s.fromClaims(r.site, c, r.s.flowKey(c.FID.Cookie(r.s.Ring, c.Expires), r.site.Origin, 0), r.mailbox)
	d, err := r.s.newDraft(r.mailInput(f, cookie, c))
	if err != nil {
		return f, "", err
	}
	d.queueUp(r.subject.Known, v.Share)
	if err := errors.Join(d.write(tx), announceStateless(tx, c)); err != nil {
		return f, "", err
	}
	rec.events = append(rec.events, r.requestedEvent(f)) // for the log alone
	return f, cookie, nil
}

func (r *request) requestedEvent(f storage.Flow) storage.Event {
	return storage.Event{
		Time: r.now, Name: eventRequested, Purpose: f.Purpose, Outcome: outcomeOK, Flow: f.ID, Site: f.Site, Client: r.private.Network,
	}
}

// resend continues a live flow.
func (r *request) resend(tx storage.Tx, h currentFlow) (result RequestResult, rec record, err error) {
	f, rec, err := r.s.resend(tx, r.site, r.requester, h, r.now)
	if l := new(Limited); errors.As(err, &l) && (l.Name == LimitResend || l.Name == LimitResends) {
		err = nil
	}
	if err != nil {
		return result, rec, err
	}
	return RequestResult{FlowCookie: h.Text, Pending: r.s.pending(r.site, r.requester, f, h.Private, h.Addr)}, rec, nil
}
