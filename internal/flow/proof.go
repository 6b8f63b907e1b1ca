package flow

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Act is something on an account that a session alone does not prove, with its values.
type Act = outbox.Act

// NewInvitation is what an act of the kind SendInvitation invites to.
type NewInvitation = outbox.NewInvitation

// Kinds of acts.
const (
	// Export hands out everything that the gate knows of the account.
	Export = "export"
	// MakeToken makes the machine token of Act.Token, whose text is shown once.
	MakeToken = "token"
	// Delete disables the account, and deletes it a while later unless its owner undoes that. The step of the proof does it.
	Delete = "delete"
	// NewAddress begins the change of the account's address to that of Act.Email. It is done by BeginAddressChange.
	NewAddress = "address"
	// SendInvitation invites Act.Email to what Act.Invitation describes. The step of the proof does it.
	SendInvitation = "invite"
)

// Perform does an act in the step that proves it. It may run more than once; only what it did last counts. It refuses by [Refuse]; any
// other error undoes the step, and the proof is as it was.
type Perform func(tx storage.Tx, act Act) error

// PendingProof is an act that waits for the code of its mail.
type PendingProof struct {
	Act Act
	// Address is the mailbox that the code was mailed to, for people to read.
	Address string
	// Started and End are the first and last time of the proof, see Pending.
	Started, End time.Time
	// CodeOff is set after MaxWrongCodes wrong ones.
	CodeOff bool
}

// RequestProof mails a code for one act, which is sealed with it, to the owner of the account that this browser is signed in to. It
// returns the value of the proof cookie, which lives until PendingProof.End. Where the account has a password here, that is its proof.
//
// Errors: ErrSignedOut, ErrNoMail, *Invalid (current: "missing", where a password is asked for), *Limited (mail_proof), ErrUnavailable.
func (s *Service) RequestProof(ctx context.Context, site Site, requester Requester, act Act) (cookie string, p PendingProof, err error) {
	site = site.withDefaults()
	now := s.Clock.Now()
	var rec record
	err = func() error {
		switch {
		case requester.Session == nil:
			return ErrSignedOut
		case site.NoMail:
			return ErrNoMail
		}
		return s.update(ctx, func(tx storage.Tx) (err error) {
			rec = record{purpose: Proof}
			cookie, p, err = s.beginProof(tx, site, requester, act, now, &rec)
			return err
		})
	}()
	s.report(ctx, stepProof, site, requester.Client, rec, err)
	if err != nil {
		return "", PendingProof{}, err
	}
	s.wake()
	return cookie, p, nil
}

func (s *Service) beginProof(tx storage.Tx, site Site, requester Requester, act Act, now time.Time, rec *record,
) (cookie string, p PendingProof, err error) {
	alive, err := s.Sessions.Alive(tx, requester.Session)
	if err != nil || !alive {
		return "", p, orRefuse(err, ErrSignedOut)
	}
	c, found, err := s.Accounts.Credentials(tx, requester.Session.Session.Account)
	if err != nil || !found {
		return "", p, orRefuse(err, ErrSignedOut)
	}
	if s.OffersPasswords(site) && !c.Passwords.Current.IsZero() {
		return "", p, refuse(&Invalid{Field: "current", Code: "missing"})
	}
	addr, err := address.Parse(c.Account.Email)
	if err != nil {
		return "", p, err
	}
	if err := s.spendLimits(tx, now, site.Limits.LimitsFor(limit.MailProof, limit.Subject{Mailbox: addr.LimitKey(s.Ring)})); err != nil {
		return "", p, err
	}
	cookie = token.Random(now.Add(notMeLifetime))
	parsed, err := token.Parse(cookie)
	if err != nil {
		return "", p, err
	}
	f := storage.Flow{
		Key: parsed.CookieKey(s.Ring, labelProof, site.Origin), ID: token.NewID(), Site: site.Origin, Purpose: Proof, Mailbox: c.Mailbox,
		Account: c.Account.ID, Bound: true, Started: now, State: storage.FlowOpen,
	}
	private := private{
		Email: addr.Typed(), Device: cutDevice(requester.Device), Locale: language(requester.Locale), Network: boundary.NetworkText(requester.Client),
		Act: act, Session: requester.Session.Session.ID, CodeEnds: now.Add(site.lifetime(Proof)).Unix(),
	}
	if f.Private, err = s.sealPrivate(f.Key, private); err != nil {
		return "", p, err
	}
	if f.Epochs, err = storage.ReadEpochs(tx, f.Mailbox, f.Account, false); err != nil {
		return "", p, err
	}
	d, err := s.newDraft(mailInput{site: site, flow: f, private: private, addr: addr, cookie: cookie, known: true, now: now})
	if err != nil {
		return "", p, err
	}
	f.Codes = []storage.Digest{d.code}
	if err := tx.Flows().Create(f); err != nil {
		return "", p, err
	}
	d.queueUp(true, limit.Share{})
	if err := d.write(tx); err != nil {
		return "", p, err
	}
	rec.account, rec.flow = f.Account, f.ID
	return cookie, pendingProof(f, private, addr), rec.add(tx, storage.Event{
		Time: now, Name: eventRequested, Purpose: Proof, Outcome: outcomeOK, Account: f.Account, Flow: f.ID, Site: f.Site, Client: private.Network,
	}, f.Key.Ends())
}

func pendingProof(f storage.Flow, p private, addr address.Address) PendingProof {
	return PendingProof{Act: p.Act, Address: addr.Display(), Started: f.Started, End: p.codeEnd(f), CodeOff: f.WrongCodes >= MaxWrongCodes}
}

// codeEnd returns the last time of the code of a flow: its own, for a proof, else that of the flow.
func (p private) codeEnd(f storage.Flow) time.Time {
	if p.CodeEnds == 0 {
		return f.Key.Ends()
	}
	return time.Unix(p.CodeEnds, 0).UTC()
}

// PendingProof returns what the code that this browser waits for would do. Errors: ErrNoFlow, ErrSignedOut, ErrUnavailable.
func (s *Service) PendingProof(ctx context.Context, site Site, requester Requester, cookie string) (p PendingProof, err error) {
	err = s.view(ctx, func(tx storage.Tx) error {
		f, private, addr, err := s.findProof(tx, site, requester, cookie, s.Clock.Now(), false)
		p = pendingProof(f, private, addr)
		return err
	})
	if err != nil {
		return PendingProof{}, err
	}
	return p, nil
}

// findProof returns the open proof of a cookie that the session of this browser has asked for. It refuses a browser without one.
func (s *Service) findProof(tx storage.Tx, site Site, requester Requester, cookie string, now time.Time, forUpdate bool,
) (f storage.Flow, p private, addr address.Address, err error) {
	if requester.Session == nil {
		return f, p, addr, refuse(ErrSignedOut)
	}
	parsed, parseErr := token.Parse(cookie)
	if parseErr != nil {
		return f, p, addr, refuse(ErrNoFlow)
	}
	get := tx.Flows().Get
	if forUpdate {
		get = tx.Flows().GetForUpdate
	}
	f, found, err := get(parsed.CookieKey(s.Ring, labelProof, site.Origin))
	if err != nil || !found || f.Purpose != Proof {
		return f, p, addr, orRefuse(err, ErrNoFlow)
	}
	if p, addr, err = s.openPrivate(f); err != nil {
		return f, p, addr, err
	}
	open, err := isActive(tx, f, now, forUpdate)
	if err != nil || !open || !now.Before(p.codeEnd(f)) || p.Session != requester.Session.Session.ID || f.Account != requester.Session.Session.Account {
		return f, p, addr, orRefuse(err, ErrNoFlow)
	}
	alive, err := s.Sessions.Alive(tx, requester.Session)
	if err != nil || !alive {
		return f, p, addr, orRefuse(err, ErrSignedOut)
	}
	return f, p, addr, nil
}

// SubmitProof performs the act that was sealed with a code, in the step that takes it. An attempt is counted before the code is
// compared; after MaxWrongCodes wrong ones the proof takes none.
//
// Errors: *Invalid (code: "syntax" is not counted, "wrong", "off"), ErrNoFlow, ErrSignedOut, *Limited (redeem_ip), ErrUnavailable.
func (s *Service) SubmitProof(ctx context.Context, site Site, requester Requester, cookie, code string, perform Perform) error {
	site = site.withDefaults()
	now := s.Clock.Now()
	var rec record
	err := func() error {
		digits, ok := token.NormalizeCode(code)
		if !ok {
			return &Invalid{Field: "code", Code: "syntax"}
		}
		digest := token.CodeDigest(s.Ring, cookie, digits)
		return s.update(ctx, func(tx storage.Tx) error {
			rec = record{purpose: Proof}
			return s.redeemProof(tx, site, requester, cookie, digest, now, perform, &rec)
		})
	}()
	s.report(ctx, stepProof, site, requester.Client, rec, err)
	if err == nil {
		s.wake()
	}
	return err
}

func (s *Service) redeemProof(tx storage.Tx, site Site, requester Requester, cookie string, digest storage.Digest, now time.Time, perform Perform,
	rec *record,
) error {
	charges := site.Limits.LimitsFor(limit.RedeemIP, limit.Subject{Client: requester.Client})
	if err := s.checkLimits(tx, now, charges); err != nil {
		return err
	}
	f, p, _, err := s.findProof(tx, site, requester, cookie, now, true)
	if err != nil {
		return err
	}
	rec.account, rec.flow = f.Account, f.ID
	f, result, err := tx.Flows().AttemptCode(f.Key, now, digest, MaxWrongCodes)
	switch {
	case err != nil:
		return err
	case result == storage.CodeWrong:
		return orRefuse(s.spendLimits(tx, now, charges), wrongCode(f.WrongCodes))
	case result == storage.CodeOff:
		return refuse(codeOff())
	case result != storage.CodeRight:
		return refuse(ErrNoFlow)
	}
	if ok, err := tx.Flows().Finish(f.Key, storage.FlowRedeemed, digest, storage.Key{}); err != nil || !ok {
		return orConflict(err)
	}
	if err := s.perform(tx, rec, site, requester, now, p.Act, perform); err != nil {
		return err
	}
	return s.recordProof(tx, rec, site, requester, now, p.Act, methodCode)
}

// perform does an act that was proven.
func (s *Service) perform(tx storage.Tx, rec *record, site Site, requester Requester, now time.Time, act Act, perform Perform) error {
	if err := perform(tx, act); err != nil {
		return err
	}
	switch act.Kind {
	case Delete:
		return s.beginDeletion(tx, rec, site, requester, now)
	case SendInvitation:
		return s.sendInvitation(tx, rec, site, requester, act)
	default:
		return nil
	}
}

// recordProof writes to the audit log that an act was proven and done.
func (s *Service) recordProof(tx storage.Tx, rec *record, site Site, requester Requester, now time.Time, act Act, method string) error {
	e := storage.Event{
		Time: now, Account: rec.account, Flow: rec.flow, Site: site.Origin, Client: boundary.NetworkText(requester.Client),
	}
	e.Name, e.Purpose, e.Outcome = eventConfirmed, Proof, method
	if err := rec.add(tx, e, now.Add(storage.EventLifetime)); err != nil {
		return err
	}
	if act.Kind != Export { // what another act has changed is in the events of its own step
		return nil
	}
	e.Name, e.Purpose, e.Outcome = eventExported, "account", outcomeOK
	return rec.add(tx, e, now.Add(storage.EventLifetime))
}

// ProveByPassword performs an act for the password of the account that this browser is signed in to, in the step that judges it.
//
// Errors: ErrSignedOut, *Invalid (current: "missing", "none" where the account has no password here, "refused"), *Limited
// (password_mailbox), *password.BusyError, ErrUnavailable, that of ctx.
func (s *Service) ProveByPassword(ctx context.Context, site Site, requester Requester, password string, act Act, perform Perform) error {
	site = site.withDefaults()
	c := passwordChange{s: s, site: site, requester: requester, in: ChangeInput{Current: password}, now: s.Clock.Now()}
	rec, err := c.prove(ctx, act, perform)
	s.report(ctx, stepProof, site, requester.Client, rec, err)
	if err == nil {
		s.wake()
	}
	return err
}

func (c *passwordChange) prove(ctx context.Context, act Act, perform Perform) (rec record, err error) {
	switch {
	case c.requester.Session == nil:
		return rec, ErrSignedOut
	case !c.s.OffersPasswords(c.site):
		return rec, &Invalid{Field: "current", Code: "none"}
	case c.in.Current == "":
		return rec, &Invalid{Field: "current", Code: "missing"}
	}
	for range maxPasswordAttempts {
		known, err := c.readAccount(ctx)
		if err != nil {
			return rec, err
		}
		verdict, err := c.s.Passwords.Verify(ctx, known.Passwords.Current, c.in.Current)
		if err != nil {
			return rec, err
		}
		err = c.s.update(context.WithoutCancel(ctx), func(tx storage.Tx) error {
			rec = record{purpose: Proof, account: known.Account.ID}
			return c.proveStep(tx, known, verdict.OK, act, perform, &rec)
		})
		if !errors.Is(err, errStale) {
			return rec, err
		}
	}
	return rec, unavailable(errStale)
}

// proveStep judges the comparison. As at a sign-in the limits come first.
func (c *passwordChange) proveStep(tx storage.Tx, k accountSnapshot, right bool, act Act, perform Perform, rec *record) error {
	s := c.s
	if !right {
		return s.refusePassword(tx, rec, c.site, c.requester, c.now, c.failures, "current")
	}
	if err := s.checkLimits(tx, c.now, c.failures); err != nil {
		return err
	}
	if err := s.spendLimits(tx, c.now, c.successes); err != nil {
		return err
	}
	if ok, err := s.unchanged(tx, k); err != nil || !ok {
		return orRefuse(err, errStale)
	}
	alive, err := s.Sessions.Alive(tx, c.requester.Session)
	if err != nil || !alive || k.Account.Status != accounts.Active {
		return orRefuse(err, ErrSignedOut)
	}
	if err := s.perform(tx, rec, c.site, c.requester, c.now, act, perform); err != nil {
		return err
	}
	return s.recordProof(tx, rec, c.site, c.requester, c.now, act, methodPassword)
}
