package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// maxPasswordAttempts is how often a password is compared anew because the account changed while it was compared.
	maxPasswordAttempts = 4
	// refusedPasswordLifetime is how long the audit log keeps a refused password: strangers can cause any number of them.
	refusedPasswordLifetime = 24 * time.Hour
)

// SignInInput is what a person fills in to sign in with a password.
type SignInInput struct {
	// Email is the address as typed.
	Email string
	// Password is the password as typed.
	Password string
	// ReturnTo is the path to go to afterwards, as in RequestInput.
	ReturnTo string
	// Ephemeral is as in RequestInput.
	Ephemeral bool
	// Altcha is the solution of a Challenge, as in RequestInput.
	Altcha string
}

// SignIn signs in with a password.
//
// Errors: *Invalid (password: "not_offered", "missing"; email: "syntax"; password: "refused", the one answer for an unknown
// address, a wrong password, an account without one and a disabled one), *Limited (password_ip, password_mailbox), ErrDisabled
// (after the right password only), *password.BusyError, ErrUnavailable, that of ctx. Whatever the password was compared with,
// the answer comes at one fixed time.
func (s *Service) SignIn(ctx context.Context, site Site, requester Requester, in SignInInput) (Done, error) {
	site = site.withDefaults()
	in.ReturnTo = cleanReturnTo(in.ReturnTo)
	p := passwordSignIn{s: s, site: site, requester: requester, in: in, now: s.Clock.Now()}
	rec := record{purpose: SignIn}
	err := p.check()
	if err == nil {
		// The time runs from here, before anything is looked up.
		p.attempt = s.Passwords.Begin()
		rec, err = p.run(ctx)
	}
	s.report(ctx, stepPassword, site, requester.Client, rec, err)
	if err == nil {
		s.wake()
	}
	if p.compared {
		if late := p.attempt.Wait(ctx); late != nil && err == nil {
			err = late
		}
	}
	if err != nil {
		return Done{}, err
	}
	return p.done, nil
}

// passwordSignIn is one sign-in with a password.
type passwordSignIn struct {
	s         *Service
	site      Site
	requester Requester
	in        SignInInput
	now       time.Time
	addr      address.Address
	// failures are the limits of a wrong password, successes those of a right one; preCheck are those of successes that are checked before the comparison.
	failures, preCheck, successes []limit.Charge
	// noticeLimits is what the mail about a new device costs.
	noticeLimits []limit.Charge
	// work is what may pay for an attempt once failures are spent; paid is set when it does.
	work    solution
	paid    bool
	attempt *password.Attempt
	// compared is set when the answer waits for its time.
	compared bool
	done     Done
}

// check refuses what needs no look at the store.
func (p *passwordSignIn) check() (err error) {
	switch {
	case !p.s.OffersPasswords(p.site):
		return &Invalid{Field: "password", Code: "not_offered"}
	case p.in.Password == "":
		return &Invalid{Field: "password", Code: "missing"}
	}
	if p.addr, err = address.Parse(p.in.Email); err != nil {
		return &Invalid{Field: "email", Code: "syntax", Err: err}
	}
	subject := limit.Subject{
		Client: p.requester.Client, Mailbox: p.addr.LimitKey(p.s.Ring),
		Known: p.s.isKnownBrowser(p.site, p.requester.KnownCookie, p.addr.Mailbox(p.s.Ring), p.now),
	}
	p.s.requested(subject, p.addr)
	p.failures = failureLimits(&p.site, subject)
	p.work = p.s.solution(&p.site, p.requester, limit.PasswordWork, SignIn, p.in.Altcha, subject, p.now)
	p.preCheck, p.successes = p.site.Limits.SuccessLimits(subject)
	p.noticeLimits = p.site.Limits.SignInNotice(subject)
	return nil
}

// failureLimits returns what a refused password costs. Browsers that signed in to the mailbox before have a count of their own,
// shared with no stranger, as for mails.
func failureLimits(site *Site, subject limit.Subject) []limit.Charge {
	charges := site.Limits.LimitsFor(limit.PasswordMailbox, subject)
	if subject.Known {
		return charges
	}
	return append(charges, site.Limits.LimitsFor(limit.PasswordIP, subject)...)
}

// run looks the account up, compares outside of any transaction, and then does everything else in one step, if the account is
// still what was looked up: a reset that comes between makes the comparison void.
func (p *passwordSignIn) run(ctx context.Context) (rec record, err error) {
	for range maxPasswordAttempts {
		var known accountSnapshot
		if known, err = p.readAccount(ctx); err != nil {
			return record{purpose: SignIn}, err
		}
		verdict, err := p.attempt.Verify(ctx, known.Passwords.Current, p.in.Password)
		if err != nil {
			return record{purpose: SignIn}, err
		}
		p.compared = true
		var upgraded password.Record
		if verdict.Upgrade && known.Account.Status == accounts.Active {
			if upgraded, err = p.upgrade(ctx); err != nil {
				return record{purpose: SignIn}, err
			}
		}
		// A client that disconnects here still spends an attempt.
		err = p.s.update(context.WithoutCancel(ctx), func(tx storage.Tx) (err error) {
			p.done = Done{}
			rec, err = p.step(tx, known, verdict.OK, upgraded)
			return err
		})
		if !errors.Is(err, errStale) {
			return rec, err
		}
	}
	return record{purpose: SignIn}, unavailable(errStale)
}

// errStale reports that the account has changed since it was looked up.
var errStale = errors.New("flow: the account has changed meanwhile")

// accountSnapshot is what a password is compared with.
type accountSnapshot struct {
	accounts.Credentials
	found  bool
	epochs storage.Epochs
}

// readAccount reads what there is, and refuses when the limits are spent.
func (p *passwordSignIn) readAccount(ctx context.Context) (k accountSnapshot, err error) {
	err = p.s.view(ctx, func(tx storage.Tx) (err error) {
		if err := p.s.checkLimits(tx, p.now, p.preCheck); err != nil {
			return err
		}
		if err := p.checkFailures(tx); err != nil {
			return err
		}
		k, err = p.s.readSnapshot(tx, p.addr)
		return err
	})
	return k, err
}

// checkFailures refuses when no more wrong passwords are permitted, unless a proof of work pays for the attempt. It is then what the
// attempt is charged, whether the password is right or wrong.
func (p *passwordSignIn) checkFailures(tx storage.Tx) error {
	v, err := p.s.Limiter.Check(tx, p.now, p.failures...)
	if err != nil || v.Allowed {
		return err
	}
	paid, err := p.work.check(tx)
	if err != nil {
		return err
	}
	if !paid || p.paid {
		l := limited(v)
		return orRefuse(p.work.offer(tx, l), l)
	}
	p.failures, p.paid = p.work.charges(), true
	return nil
}

// checkLimits reports whether no more wrong passwords are permitted.
func (s *Service) checkLimits(tx storage.Tx, now time.Time, charges []limit.Charge) error {
	v, err := s.Limiter.Check(tx, now, charges...)
	if err != nil || v.Allowed {
		return err
	}
	return refuse(limited(v))
}

// upgrade hashes the right password anew. The limits are asked first: where they were spent meanwhile the right password is
// to be told by nothing, not even by the time that this takes. Without a permit the old record does for another time.
func (p *passwordSignIn) upgrade(ctx context.Context) (upgraded password.Record, err error) {
	if err := p.s.view(ctx, func(tx storage.Tx) error { return p.s.checkLimits(tx, p.now, p.failures) }); err != nil {
		return upgraded, err
	}
	if upgraded, err = p.s.Passwords.Hash(ctx, p.in.Password); errors.Is(err, password.ErrBusy) {
		err = nil
	}
	return upgraded, err
}

// readSnapshot reads the account of a mailbox. For a mailbox without one it reads as much.
func (s *Service) readSnapshot(tx storage.Tx, addr address.Address) (k accountSnapshot, err error) {
	if k.Credentials, k.found, err = s.Accounts.CredentialsByAddress(tx, addr); err != nil {
		return k, err
	}
	k.epochs, err = storage.ReadEpochs(tx, addr.Mailbox(s.Ring), k.Account.ID, false)
	return k, err
}

// unchanged reports whether the account is what was known, by locked reads.
func (s *Service) unchanged(tx storage.Tx, k accountSnapshot) (bool, error) {
	e, err := storage.ReadEpochs(tx, k.Mailbox, k.Account.ID, true)
	if err != nil || e != k.epochs {
		return false, err
	}
	c, found, err := s.Accounts.CredentialsForUpdate(tx, k.Account.ID)
	return found && c.Version == k.Version && c.Mailbox == k.Mailbox && c.Account.Status == k.Account.Status, err
}

// step judges the comparison. The limits come first: when they were spent meanwhile, also the right password is told nothing
// but that, so of any number of guesses at once no more are answered than the limits permit.
func (p *passwordSignIn) step(tx storage.Tx, k accountSnapshot, right bool, upgraded password.Record) (rec record, err error) {
	s := p.s
	rec = record{purpose: SignIn, account: k.Account.ID}
	if !right {
		return rec, s.refusePassword(tx, &rec, p.site, p.requester, p.now, p.failures, "password")
	}
	e := authentication{site: p.site, requester: p.requester, now: p.now, account: k.Account, mailbox: k.Mailbox, method: methodPassword, ephemeral: p.in.Ephemeral}
	if err := s.checkLimits(tx, p.now, p.failures); err != nil {
		return rec, err
	}
	notify, err := p.spendSuccess(tx, &rec, !s.isOwnersBrowser(e))
	if err != nil {
		return rec, err
	}
	if ok, err := s.unchanged(tx, k); err != nil || !ok {
		return rec, orRefuse(err, errStale)
	}
	if k.Account.Status != accounts.Active {
		return rec, refuse(ErrDisabled)
	}
	if !upgraded.IsZero() {
		if err := s.Accounts.UpgradePassword(tx, k.Account.ID, upgraded); err != nil {
			return rec, err
		}
	}
	p.done = Done{Purpose: SignIn, ReturnTo: p.in.ReturnTo}
	if err := s.openSession(tx, &p.done, e); err != nil {
		return rec, err
	}
	if notify {
		if err := s.enqueueNewDevice(tx, e, p.done.Session, ""); err != nil {
			return rec, err
		}
	}
	return rec, s.recordEvents(tx, &rec, e, eventSignedIn)
}

// spendSuccess counts a right password, and refuses one too many. notify reports that the owner of the account is notified, of a new device, as far
// as the limits of such mails permit.
func (p *passwordSignIn) spendSuccess(tx storage.Tx, rec *record, newDevice bool) (notify bool, err error) {
	successes := p.successes
	if p.paid {
		successes = slices.Concat(successes, p.failures)
	}
	if newDevice {
		v, err := p.s.Limiter.Check(tx, p.now, p.noticeLimits...)
		if err != nil {
			return false, err
		}
		if notify = v.Allowed; notify {
			successes = slices.Concat(successes, p.noticeLimits)
		} else {
			rec.dropped = v.Name
		}
	}
	return notify, p.s.spendLimits(tx, p.now, successes)
}

// spendLimits counts what is not refused.
func (s *Service) spendLimits(tx storage.Tx, now time.Time, charges []limit.Charge) error {
	v, err := s.Limiter.Spend(tx, now, charges...)
	if err != nil || v.Allowed {
		return err
	}
	return refuse(limited(v))
}

// refusePassword counts a wrong password. It does the same whether there is an account or not.
func (s *Service) refusePassword(tx storage.Tx, rec *record, site Site, requester Requester, now time.Time, charges []limit.Charge, field string,
) error {
	if err := s.spendLimits(tx, now, charges); err != nil {
		return err
	}
	err := rec.add(tx, storage.Event{
		Time: now, Name: eventDenied, Purpose: SignIn, Outcome: outcomeRefused, Account: rec.account, Site: site.Origin,
		Client: boundary.NetworkText(requester.Client),
	}, now.Add(refusedPasswordLifetime))
	return orRefuse(err, &Invalid{Field: field, Code: "refused"})
}
