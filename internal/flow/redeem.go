package flow

import (
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/account"
	"github.com/caddy-email-link/caddy-email-link/account/embedded"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Methods of a session, as in amr.
const (
	methodLink = "link"
	methodCode = "code"
)

// noticeLife is how long the notice of a new device is tried.
const noticeLife = 24 * time.Hour

// judge says whether a flow may be redeemed, and for which account; an activation has none. It is asked twice in a step: with plain reads before anything is
// written, and with reads that guard what follows.
func (s *Service) judge(tx storage.Tx, site Site, f storage.Flow, now time.Time, forUpdate bool) (a account.Account, ok bool, err error) {
	if f.Site != site.Origin || !f.Bound {
		return a, false, nil
	}
	if ok, err = living(tx, f, now, forUpdate); err != nil || !ok {
		return a, false, err
	}
	if f.Purpose == Activation {
		get := tx.Accounts().ByMailbox
		if forUpdate {
			get = tx.Accounts().ByMailboxForUpdate
		}
		_, taken, err := get(f.Mailbox)
		return a, err == nil && !taken && f.Account == "", err
	}
	if f.Purpose != SignIn || f.Account == "" {
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
	return a, err == nil && found && a.Status == account.Active, err
}

// redemption is what ends a flow well.
type redemption struct {
	site  Site
	asker Asker
	now   time.Time
	flow  storage.Flow
	// private and addr are the flow's.
	private private
	addr    address.Address
	// name is the new account's, for an activation.
	name string
	// method is what proved the mailbox; by is the digest of the token or code.
	method string
	by     storage.Digest
	// consume takes the token or code in the step; anything but success undoes the step.
	consume func(tx storage.Tx) error
}

// redeem applies a flow that judge has found good with plain reads. Whatever turns out different now undoes the step.
func (s *Service) redeem(tx storage.Tx, r redemption) (done Done, rec record, err error) {
	rec = record{purpose: r.flow.Purpose, flow: r.flow.ID}
	if err := s.Limiter.Return(tx, r.flow.MailIP); err != nil {
		return done, rec, err
	}
	a, ok, err := s.judge(tx, r.site, r.flow, r.now, true)
	if err != nil {
		return done, rec, err
	}
	if !ok {
		return done, rec, errMoved
	}
	if r.flow.Purpose == Activation {
		a, err = s.Accounts.Create(tx, embedded.NewAccount{
			Address: r.addr, Name: r.name, Language: r.private.Locale,
		})
		if err != nil {
			return done, rec, err
		}
	}
	f, found, err := tx.Flows().GetForUpdate(r.flow.Key)
	if err != nil {
		return done, rec, err
	}
	if !found || f.State != storage.FlowOpen {
		return done, rec, errMoved
	}
	if err := r.consume(tx); err != nil {
		return done, rec, err
	}
	in := session.OpenInput{
		Site: r.site.Origin, Mailbox: r.flow.Mailbox, Methods: []string{r.method}, Device: cut(r.asker.Device, maxDevice),
		Idle: r.site.SessionIdle, Absolute: r.site.SessionAbsolute,
	}
	if r.asker.Session != nil {
		in.Replaces = r.asker.Session.Session.Key
	}
	done = Done{Purpose: r.flow.Purpose, ReturnTo: r.private.ReturnTo, Account: a.ID}
	if done.SessionCookie, done.Session, err = s.Sessions.Open(tx, a, in); err != nil {
		return done, rec, err
	}
	if ok, err := tx.Flows().Finish(r.flow.Key, storage.FlowRedeemed, r.by, done.Session.Key); err != nil || !ok {
		return done, rec, orMoved(err)
	}
	if err := s.notice(tx, r, a); err != nil {
		return done, rec, err
	}
	done.KnownCookie = s.remember(r.site, r.asker.KnownCookie, r.flow.Mailbox, r.now)
	rec.account = a.ID
	return done, rec, s.recordRedeemed(tx, &rec, r)
}

func orMoved(err error) error {
	if err != nil {
		return err
	}
	return errMoved
}

func (s *Service) recordRedeemed(tx storage.Tx, rec *record, r redemption) error {
	for _, name := range [...]string{eventConfirmed, eventSignedIn} {
		if err := rec.add(tx, storage.Event{
			Time: r.now, Name: name, Purpose: r.flow.Purpose, Outcome: r.method, Account: rec.account, Flow: r.flow.ID,
			Site: r.site.Origin, Client: network(r.asker.Client),
		}, r.now.Add(EventLife)); err != nil {
			return err
		}
	}
	return nil
}

// notice queues the mail about a sign-in from a browser that has not signed in to this mailbox before. An account that the
// flow has just made gets none; any other is older than the flow, since a new account ends all flows of its mailbox.
func (s *Service) notice(tx storage.Tx, r redemption, a account.Account) error {
	if r.site.NoMail || r.flow.Purpose != SignIn ||
		s.knows(r.site, r.asker.KnownCookie, r.flow.Mailbox, r.now) {
		return nil
	}
	m, err := s.mail(outbox.Payload{
		To: a.Email, Name: a.Name, Account: a.ID, Base: r.site.base(), Locale: a.Language,
		Device: cut(r.asker.Device, maxDevice), Network: network(r.asker.Client), FlowID: r.flow.ID,
		Asked: s.Clock.ShownAs(r.now).Unix(),
	}, r.now, r.now.Add(noticeLife))
	if err != nil {
		return err
	}
	m.Purpose, m.Site = outbox.Notice, r.site.Origin
	return tx.Outbox().Enqueue(m)
}

// settle tells the session cache, after the commit, about a session that was replaced. A commit whose outcome is unknown may
// have happened.
func (s *Service) settle(asker Asker, done Done, err error) {
	happened := err == nil && !done.Already || errors.Is(err, storage.ErrUnknown)
	if happened && asker.Session != nil {
		s.Sessions.Gone(asker.Session.Session.Key, asker.Session.Session.Account)
	}
}
