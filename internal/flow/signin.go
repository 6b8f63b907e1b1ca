package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/account"
	"github.com/caddy-email-link/caddy-email-link/account/embedded"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// passwordTries is how often a password is compared anew because the account changed while it was compared.
	passwordTries = 4
	// refusedLife is how long the audit log keeps a refused password: strangers can cause any number of them.
	refusedLife = 24 * time.Hour
)

// SignInInput is what a person fills in to sign in with a password.
type SignInInput struct {
	// Email is the address as typed.
	Email string
	// Password is the password as typed.
	Password string
	// ReturnTo is the path to go to afterwards, as in RequestInput.
	ReturnTo string
}

// SignIn signs in with a password.
//
// Errors: *Invalid (password: "not_offered", "missing"; email: "syntax"; password: "refused", the one answer for an unknown
// address, a wrong password, an account without one and a disabled one), *Limited (password_ip, password_mailbox), ErrDisabled
// (after the right password only), *password.BusyError, ErrUnavailable, that of ctx. Whatever the password was compared with,
// the answer comes at one fixed time.
func (s *Service) SignIn(ctx context.Context, site Site, asker Asker, in SignInInput) (Done, error) {
	site = site.withDefaults()
	in.ReturnTo = cleanReturnTo(in.ReturnTo)
	p := passwordSignIn{s: s, site: site, asker: asker, in: in, now: s.Clock.Now()}
	rec := record{purpose: SignIn}
	err := p.check()
	if err == nil {
		// The time runs from here, before anything is looked up.
		p.attempt = s.Passwords.Begin()
		rec, err = p.run(ctx)
	}
	s.settle(asker, p.done, rec, err)
	s.tell(ctx, stepPassword, site, boundary.NetworkText(asker.Client), rec, err)
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
	s     *Service
	site  Site
	asker Asker
	in    SignInInput
	now   time.Time
	addr  address.Address
	// asks are what a wrong password costs, rights what a right one does; early are those of rights that are looked at first.
	asks, early, rights []limit.Ask
	// notice is what the mail about an unknown browser costs, nil for a known one.
	notice  []limit.Ask
	attempt *password.Attempt
	// compared says that the answer waits for its time.
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
		Client: p.asker.Client, Mailbox: p.addr.LimitKey(p.s.Ring),
		Known: p.s.knows(p.site, p.asker.KnownCookie, p.addr.Mailbox(p.s.Ring), p.now),
	}
	p.asks = failsFor(&p.site, subject)
	p.early, p.rights = p.site.Limits.Rights(subject)
	if !subject.Known {
		p.notice = p.site.Limits.Notice(subject)
	}
	return nil
}

// failsFor returns what a refused password costs. Browsers that signed in to the mailbox before have a count of their own,
// shared with no stranger, as for mails.
func failsFor(site *Site, subject limit.Subject) []limit.Ask {
	asks := site.Limits.Asks(limit.PasswordMailbox, subject)
	if subject.Known {
		return asks
	}
	return append(asks, site.Limits.Asks(limit.PasswordIP, subject)...)
}

// run looks the account up, compares outside of any transaction, and then does everything else in one step, if the account is
// still what was looked up: a reset that comes between makes the comparison void.
func (p *passwordSignIn) run(ctx context.Context) (rec record, err error) {
	for range passwordTries {
		var known knowledge
		if known, err = p.look(ctx); err != nil {
			return record{purpose: SignIn}, err
		}
		verdict, err := p.attempt.Verify(ctx, known.Passwords.Current, p.in.Password)
		if err != nil {
			return record{purpose: SignIn}, err
		}
		p.compared = true
		var better password.Record
		if verdict.Upgrade && known.Account.Status == account.Active {
			if better, err = p.upgrade(ctx); err != nil {
				return record{purpose: SignIn}, err
			}
		}
		// Whoever hangs up now has guessed all the same.
		err = p.s.update(context.WithoutCancel(ctx), func(tx storage.Tx) (refused, err error) {
			p.done = Done{}
			rec, refused, err = p.step(tx, known, verdict.OK, better)
			return refused, err
		})
		if !errors.Is(err, errStale) {
			return rec, err
		}
	}
	return record{purpose: SignIn}, unavailable(errStale)
}

// errStale says that the account has changed since it was looked up.
var errStale = errors.New("flow: the account has changed meanwhile")

// knowledge is what a password is compared with.
type knowledge struct {
	embedded.Credentials
	found  bool
	epochs storage.Epochs
}

// look reads what there is, and refuses when the limits are spent.
func (p *passwordSignIn) look(ctx context.Context) (k knowledge, err error) {
	err = p.s.view(ctx, func(tx storage.Tx) (refused, err error) {
		if refused, err = p.s.spent(tx, p.now, slices.Concat(p.early, p.asks)); refused != nil || err != nil {
			return refused, err
		}
		k, err = p.s.know(tx, p.addr)
		return nil, err
	})
	return k, err
}

// spent says whether no more wrong passwords are permitted.
func (s *Service) spent(tx storage.Tx, now time.Time, asks []limit.Ask) (refused, err error) {
	v, err := s.Limiter.PeekAll(tx, now, asks...)
	if err != nil || v.OK {
		return nil, err
	}
	return limited(v), nil
}

// upgrade hashes the right password anew. The limits are asked first: where they were spent meanwhile the right password is
// to be told by nothing, not even by the time that this takes. Without a permit the old record does for another time.
func (p *passwordSignIn) upgrade(ctx context.Context) (better password.Record, err error) {
	if err := p.s.view(ctx, func(tx storage.Tx) (refused, err error) { return p.s.spent(tx, p.now, p.asks) }); err != nil {
		return better, err
	}
	if better, err = p.s.Passwords.Hash(ctx, p.in.Password); errors.Is(err, password.ErrBusy) {
		err = nil
	}
	return better, err
}

// know reads the account of a mailbox; the same is read where there is none.
func (s *Service) know(tx storage.Tx, addr address.Address) (k knowledge, err error) {
	if k.Credentials, k.found, err = s.Accounts.CredentialsByAddress(tx, addr); err != nil {
		return k, err
	}
	k.epochs, err = epochs(tx, addr.Mailbox(s.Ring), k.Account.ID, false)
	return k, err
}

// same says whether the account is what was known, by locked reads.
func (s *Service) same(tx storage.Tx, k knowledge) (bool, error) {
	e, err := epochs(tx, k.Mailbox, k.Account.ID, true)
	if err != nil || e != k.epochs {
		return false, err
	}
	c, found, err := s.Accounts.CredentialsForUpdate(tx, k.Account.ID)
	return found && c.Version == k.Version && c.Mailbox == k.Mailbox && c.Account.Status == k.Account.Status, err
}

// step judges the comparison. The limits come first: when they were spent meanwhile, also the right password is told nothing
// but that, so of any number of guesses at once no more are answered than the limits permit.
func (p *passwordSignIn) step(tx storage.Tx, k knowledge, right bool, better password.Record) (rec record, refused, err error) {
	s := p.s
	rec = record{purpose: SignIn, account: k.Account.ID}
	if !right {
		refused, err = s.refusePassword(tx, &rec, p.site, p.asker, p.now, p.asks, "password")
		return rec, refused, err
	}
	if refused, err = s.spent(tx, p.now, p.asks); refused != nil || err != nil {
		return rec, refused, err
	}
	told, refused, err := p.takeRight(tx, &rec)
	if refused != nil || err != nil {
		return rec, refused, err
	}
	if ok, err := s.same(tx, k); err != nil || !ok {
		return rec, errStale, err
	}
	if k.Account.Status != account.Active {
		return rec, ErrDisabled, nil
	}
	if !better.IsZero() {
		if err := s.Accounts.UpgradePassword(tx, k.Account.ID, better); err != nil {
			return rec, nil, err
		}
	}
	e := entry{site: p.site, asker: p.asker, now: p.now, account: k.Account, mailbox: k.Mailbox, method: methodPassword}
	p.done = Done{Purpose: SignIn, ReturnTo: p.in.ReturnTo}
	if err := s.enter(tx, &p.done, e); err != nil {
		return rec, nil, err
	}
	if told {
		if err := s.notice(tx, e, outbox.KindNewDevice, ""); err != nil {
			return rec, nil, err
		}
	}
	return rec, nil, s.recordEntry(tx, &rec, e, eventSignedIn)
}

// takeRight counts a right password, and refuses one too many. told says that the owner is told of it.
func (p *passwordSignIn) takeRight(tx storage.Tx, rec *record) (told bool, refused, err error) {
	rights := p.rights
	if len(p.notice) > 0 {
		v, err := p.s.Limiter.PeekAll(tx, p.now, p.notice...)
		if err != nil {
			return false, nil, err
		}
		if told = v.OK; told {
			rights = slices.Concat(rights, p.notice)
		} else {
			rec.dropped = v.Name
		}
	}
	refused, err = p.s.take(tx, p.now, rights)
	return told, refused, err
}

// take counts what is not refused.
func (s *Service) take(tx storage.Tx, now time.Time, asks []limit.Ask) (refused, err error) {
	v, err := s.Limiter.TakeAll(tx, now, asks...)
	if err != nil || v.OK {
		return nil, err
	}
	return limited(v), nil
}

// refusePassword counts a wrong password. It does the same whether there is an account or not.
func (s *Service) refusePassword(tx storage.Tx, rec *record, site Site, asker Asker, now time.Time, asks []limit.Ask, field string,
) (refused, err error) {
	if refused, err = s.take(tx, now, asks); refused != nil || err != nil {
		return refused, err
	}
	return &Invalid{Field: field, Code: "refused"}, rec.add(tx, storage.Event{
		Time: now, Name: eventDenied, Purpose: SignIn, Outcome: outcomeRefused, Account: rec.account, Site: site.Origin,
		Client: boundary.NetworkText(asker.Client),
	}, now.Add(refusedLife))
}
