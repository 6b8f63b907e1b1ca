package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// ChangeInput is what a signed-in person fills in to change the password.
type ChangeInput struct {
	// Current is the password in force, New the one to come.
	Current, New string
}

// OffersPasswords reports whether people sign in with passwords at this site.
func (s *Service) OffersPasswords(site Site) bool { return s.Passwords != nil && site.Methods.Password }

// HasPassword reports whether the account that this browser is signed in to has a password. Errors: ErrSignedOut, ErrUnavailable.
func (s *Service) HasPassword(ctx context.Context, requester Requester) (bool, error) {
	if requester.Session == nil {
		return false, ErrSignedOut
	}
	var has bool
	err := s.view(ctx, func(tx storage.Tx) (err error) {
		c, _, err := s.Accounts.Credentials(tx, requester.Session.Session.Account)
		has = !c.Passwords.Current.IsZero()
		return err
	})
	return has, err
}

// ChangePassword changes the password of the account that this browser is signed in to, given the one in force. Everything
// else of the account ends – sessions, links, flows – and this browser gets a new session.
//
// Errors: ErrSignedOut; *Invalid (password: "not_offered" and the codes of password.Reasons; current: "missing", "none" when
// the account has no password, which a reset sets, and "refused"); *Limited (password_mailbox), *password.BusyError,
// ErrUnavailable, that of ctx.
func (s *Service) ChangePassword(ctx context.Context, site Site, requester Requester, in ChangeInput) (Done, error) {
	site = site.withDefaults()
	c := passwordChange{s: s, site: site, requester: requester, in: in, now: s.Clock.Now()}
	rec, err := c.run(ctx)
	s.report(ctx, stepChange, site, requester.Client, rec, err)
	if err != nil {
		return Done{}, err
	}
	s.wake()
	return c.done, nil
}

type passwordChange struct {
	s         *Service
	site      Site
	requester Requester
	in        ChangeInput
	now       time.Time
	// failures are the limits of a wrong password, successes those of a right one.
	failures, successes []limit.Charge
	done                Done
}

// run compares and hashes outside of any transaction, and does the rest in one step, if the account is still what it was.
func (c *passwordChange) run(ctx context.Context) (rec record, err error) {
	switch {
	case !c.s.OffersPasswords(c.site):
		return rec, &Invalid{Field: "password", Code: "not_offered"}
	case c.requester.Session == nil:
		return rec, ErrSignedOut
	case c.in.Current == "":
		return rec, &Invalid{Field: "current", Code: "missing"}
	}
	for range maxPasswordAttempts {
		known, err := c.readAccount(ctx)
		if err != nil {
			return rec, err
		}
		// What needs no look at the old passwords is told before they are: otherwise a password that cannot be set would be
		// a way to try old ones.
		if reason := c.site.Passwords.Check(c.in.New, c.site.about(known.Account.Email, known.Account.Name)); reason != "" {
			return rec, &Invalid{Field: "password", Code: string(reason)}
		}
		validation, err := c.validate(ctx, known)
		if err != nil {
			return rec, err
		}
		err = c.s.update(context.WithoutCancel(ctx), func(tx storage.Tx) (err error) {
			c.done = Done{}
			rec, err = c.step(tx, known, validation)
			return err
		})
		if !errors.Is(err, errStale) {
			return rec, err
		}
	}
	return rec, unavailable(errStale)
}

// readAccount reads the account of the session, and refuses when the limits are spent. Wrong passwords of a signed-in browser
// count as those of a known browser: no stranger can spend them.
func (c *passwordChange) readAccount(ctx context.Context) (k accountSnapshot, err error) {
	err = c.s.view(ctx, func(tx storage.Tx) (err error) {
		alive, err := c.s.Sessions.Alive(tx, c.requester.Session)
		if err != nil || !alive {
			return orRefuse(err, ErrSignedOut)
		}
		k.Credentials, k.found, err = c.s.Accounts.Credentials(tx, c.requester.Session.Session.Account)
		if err != nil || !k.found {
			return orRefuse(err, ErrSignedOut)
		}
		if k.epochs, err = storage.ReadEpochs(tx, k.Mailbox, k.Account.ID, false); err != nil {
			return err
		}
		if k.Passwords.Current.IsZero() {
			return refuse(&Invalid{Field: "current", Code: "none"})
		}
		addr, err := address.Parse(k.Account.Email)
		if err != nil {
			return err
		}
		subject := limit.Subject{Client: c.requester.Client, Mailbox: addr.LimitKey(c.s.Ring), Known: true}
		c.failures = failureLimits(&c.site, subject)
		_, c.successes = c.site.Limits.SuccessLimits(subject)
		return c.s.checkLimits(tx, c.now, slices.Concat(c.failures, c.successes))
	})
	return k, err
}

// changeValidation is what came of the comparisons.
type changeValidation struct {
	matches bool
	reason  password.Reason
	// record is that of the new password, zero unless the current one is right and the new one accepted.
	record password.Record
}

// validate compares the current password, and then the new one with the old ones.
func (c *passwordChange) validate(ctx context.Context, k accountSnapshot) (j changeValidation, err error) {
	verdict, err := c.s.Passwords.Verify(ctx, k.Passwords.Current, c.in.Current)
	if err != nil || !verdict.OK {
		return j, err
	}
	j.matches = true
	j.reason, err = c.s.Passwords.Check(ctx, c.site.Passwords, c.in.New, c.site.about(k.Account.Email, k.Account.Name), k.Passwords)
	if err != nil || j.reason != "" {
		return j, err
	}
	j.record, err = c.s.Passwords.Hash(ctx, c.in.New)
	return j, err
}

// step does it. As at a sign-in the limits come first.
func (c *passwordChange) step(tx storage.Tx, k accountSnapshot, j changeValidation) (rec record, err error) {
	s := c.s
	rec = record{purpose: SignIn, account: k.Account.ID}
	if !j.matches {
		return rec, s.refusePassword(tx, &rec, c.site, c.requester, c.now, c.failures, "current")
	}
	if err := s.checkLimits(tx, c.now, c.failures); err != nil {
		return rec, err
	}
	if err := s.spendLimits(tx, c.now, c.successes); err != nil {
		return rec, err
	}
	if j.reason != "" {
		return rec, refuse(&Invalid{Field: "password", Code: string(j.reason)})
	}
	if ok, err := s.unchanged(tx, k); err != nil || !ok {
		return rec, orRefuse(err, errStale)
	}
	if alive, err := s.Sessions.Alive(tx, c.requester.Session); err != nil || !alive {
		return rec, orRefuse(err, ErrSignedOut)
	}
	if err := s.Accounts.SetPassword(tx, k.Account.ID, j.record, c.site.Passwords); err != nil {
		return rec, err
	}
	e := authentication{site: c.site, requester: c.requester, now: c.now, account: k.Account, mailbox: k.Mailbox, method: methodPassword}
	e.ephemeral = c.site.isEphemeral(c.requester.Session.Session)
	c.done = Done{Purpose: SignIn, ReturnTo: "/", PasswordSet: true}
	if err := s.openSession(tx, &c.done, e); err != nil {
		return rec, err
	}
	if err := s.enqueueNotice(tx, e, mailer.KindPasswordChanged, ""); err != nil {
		return rec, err
	}
	return rec, s.recordEvents(tx, &rec, e, eventChanged)
}
