package flow

import (
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Methods of a session, as in amr.
const (
	methodLink     = "link"
	methodCode     = "code"
	methodPassword = "pwd"
)

// effect returns the purpose that redeeming a flow has: a sign-up whose mailbox had an account when the mail worker, or the step that a code is
// typed in, looked is a sign-in to that account.
func effect(f storage.Flow) string {
	if f.Purpose == Activation && f.Account != "" {
		return SignIn
	}
	return f.Purpose
}

// validate reports whether a flow may be redeemed, and for which account; an activation has none. Whether the address of a sign-up is invited it
// leaves to its callers: a wrong code is to cost as much for every address. It is asked twice in a step: with
// plain reads before anything is written, and with reads that guard what follows. A flow that an app has started has no account
// either.
func (s *Service) validate(tx storage.Tx, site Site, f storage.Flow, p private, now time.Time, forUpdate bool,
) (a accounts.Account, ok bool, err error) {
	if f.Site != site.Origin || !f.Bound {
		return a, false, nil
	}
	if f.Purpose == UndoDeletion {
		return s.validateUndo(tx, f, now)
	}
	if f.Purpose == Invite {
		return s.validateInvitation(tx, f, p, now, forUpdate)
	}
	if ok, err = isActive(tx, f, now, forUpdate); err != nil || !ok {
		return a, false, err
	}
	if p.App != nil {
		return a, f.Account == "" && !p.App.NoAccount, nil
	}
	if f.Purpose == Activation {
		get := tx.Accounts().ByMailbox
		if forUpdate {
			get = tx.Accounts().ByMailboxForUpdate
		}
		if _, taken, err := get(f.Mailbox); err != nil || f.Account == "" {
			return a, err == nil && !taken, err
		}
	}
	switch {
	case f.Account == "":
		return a, false, nil
	case f.Purpose == SignIn:
	case f.Purpose == Reset && s.OffersPasswords(site):
	case f.Purpose == Activation && now.Before(site.signInEnds(f)):
	default:
		return a, false, nil
	}
	get := tx.Accounts().Get
	if forUpdate {
		get = tx.Accounts().GetForUpdate
	}
	record, found, err := get(f.Account)
	if err != nil || !found || record.Status != storage.StatusActive || record.Mailbox != f.Mailbox {
		return a, false, err
	}
	a, found, err = s.Accounts.Get(tx, f.Account)
	return a, err == nil && found && a.Status == accounts.Active, err
}

// redemption is what ends a flow well.
type redemption struct {
	site      Site
	requester Requester
	now       time.Time
	flow      storage.Flow
	// unstoredFlow is set when the flow is not in the store yet.
	unstoredFlow bool
	// private and addr are the flow's.
	private private
	addr    address.Address
	// name is the new account's, for an activation.
	name string
	// password is the record of the new password, zero where none is set.
	password password.Record
	// method is what proved the mailbox; by is the digest of the token or code.
	method string
	by     storage.Digest
	// newAccount is the id of the account that an activation may make.
	newAccount string
	// consume takes the token or code in the step; anything but success undoes the step.
	consume func(tx storage.Tx) error
}

// redeem applies a flow that validate has accepted with plain reads. What is different now rolls the step back.
func (s *Service) redeem(tx storage.Tx, r redemption) (done Done, rec record, err error) {
	purpose := effect(r.flow)
	rec = record{purpose: purpose, flow: r.flow.ID}
	ahead := storage.Lookups{Counters: r.flow.MailIP}
	if r.requester.Session != nil {
		ahead.Sessions = []storage.Key{r.requester.Session.Session.Key}
	}
	if (purpose == Activation || purpose == Invite) && r.private.App == nil {
		r.newAccount = accounts.LookUpNew(&ahead)
		ahead.Meta = append(ahead.Meta, accounts.ReservationName(r.flow.Mailbox))
	}
	if err := tx.Prefetch(ahead); err != nil {
		return done, rec, err
	}
	if err := s.Limiter.Refund(tx, r.flow.MailIP); err != nil {
		return done, rec, err
	}
	a, ok, err := s.validate(tx, r.site, r.flow, r.private, r.now, true)
	if err != nil {
		return done, rec, err
	}
	if !ok {
		return done, rec, errConflict
	}
	existing := a.ID != "" && purpose == Invite
	if a, err = s.apply(tx, &r, a); errors.Is(err, accounts.ErrTaken) { // the account that has given the mailbox up may take it back
		err = refuse(ErrDead)
	}
	if err != nil {
		return done, rec, err
	}
	if err := s.lock(tx, r); err != nil {
		return done, rec, err
	}
	if err := r.consume(tx); err != nil {
		return done, rec, err
	}
	e := authentication{site: r.site, requester: r.requester, now: r.now, account: a, mailbox: r.flow.Mailbox, method: r.method, ephemeral: r.private.Ephemeral}
	done = Done{Purpose: purpose, ReturnTo: r.private.ReturnTo, PasswordSet: !r.password.IsZero(), App: r.private.App != nil}
	switch {
	case done.App:
		err = s.openHandoff(tx, &done, r)
	case existing: // it is accepted by whom is signed in
		done.AlreadySignedIn, done.Account, done.Owner, done.Session = true, a.ID, a, r.requester.Session.Session
	case purpose == Reset && !r.site.SignInAfterReset:
		done.Reset, done.Account = true, a.ID
		done.KnownCookie = s.rememberBrowser(r.site, r.requester.KnownCookie, r.flow.Mailbox, r.now)
	default:
		err = s.openSession(tx, &done, e)
	}
	if err != nil {
		return done, rec, err
	}
	if ok, err := tx.Flows().Finish(r.flow.Key, storage.FlowRedeemed, r.by, done.Session.Key); err != nil || !ok {
		return done, rec, orConflict(err)
	}
	rec.account = a.ID
	return done, rec, s.recordRedemption(tx, &rec, r, e, done)
}

// lock makes sure that the flow is in the store and open, and stays so until the end of the step.
func (s *Service) lock(tx storage.Tx, r redemption) error {
	if r.unstoredFlow {
		return s.storeFlow(tx, r.flow)
	}
	f, found, err := tx.Flows().GetForUpdate(r.flow.Key)
	if err != nil || !found || f.State != storage.FlowOpen {
		return orConflict(err)
	}
	return nil
}

// apply makes the account of an activation, and sets the password of a reset, which ends everything that the account had. A
// password that was chosen at an activation is in the same record as the account: no password was set before the mailbox was proven.
// What an app has started is the app's to apply.
func (s *Service) apply(tx storage.Tx, r *redemption, a accounts.Account) (accounts.Account, error) {
	if r.private.App != nil {
		return a, nil
	}
	switch effect(r.flow) {
	case Invite:
		return s.accept(tx, *r, a)
	case Activation:
		if r.private.Invited {
			return s.signUpInvited(tx, r)
		}
		return s.Accounts.Create(tx, accounts.NewAccount{
			ID:      r.newAccount,
			Address: r.addr, Name: r.name, Language: r.private.Locale, Password: r.password,
		})
	case Reset:
		return a, s.Accounts.SetPassword(tx, a.ID, r.password, r.site.Passwords)
	default:
		return a, nil
	}
}

// recordRedemption notifies the owner of what the flow has done, and writes it to the audit log. An account that the flow has just made gets no mail
// about it.
func (s *Service) recordRedemption(tx storage.Tx, rec *record, r redemption, e authentication, done Done) (err error) {
	names := []string{eventConfirmed}
	if done.App {
		return s.recordEvents(tx, rec, e, names...)
	}
	switch effect(r.flow) {
	case Invite:
		if done.AlreadySignedIn {
			names = append(names, eventChanged)
		}
	case SignIn:
		err = s.noticeNewDevice(tx, e, done.Session, r)
	case Reset:
		names = append(names, eventChanged)
		err = s.enqueueNotice(tx, e, mailer.KindPasswordChanged, r.flow.ID)
	}
	if err != nil {
		return err
	}
	if done.SessionCookie != "" {
		names = append(names, eventSignedIn)
	}
	return s.recordEvents(tx, rec, e, names...)
}

func orConflict(err error) error {
	if err != nil {
		return err
	}
	return errConflict
}
