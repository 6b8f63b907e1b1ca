package flow

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/account"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// noticeLife is how long a notice to an account's owner is tried.
const noticeLife = 24 * time.Hour

// entry is a browser that has proven to act for an account.
type entry struct {
	site    Site
	asker   Asker
	now     time.Time
	account account.Account
	mailbox storage.Digest
	// method is what it was proven by.
	method string
}

// enter opens a session in place of the one that this browser has.
func (s *Service) enter(tx storage.Tx, done *Done, e entry) (err error) {
	in := session.OpenInput{
		Site: e.site.Origin, Mailbox: e.mailbox, Methods: []string{e.method}, Device: cut(e.asker.Device, maxDevice),
		Idle: e.site.SessionIdle, Absolute: e.site.SessionAbsolute,
	}
	if e.asker.Session != nil {
		in.Replaces = e.asker.Session.Session.Key
	}
	done.Account = e.account.ID
	done.KnownCookie = s.remember(e.site, e.asker.KnownCookie, e.mailbox, e.now)
	done.SessionCookie, done.Session, err = s.Sessions.Open(tx, e.account, in)
	return err
}

// noticeDevice tells the owner about a sign-in from a browser that has not signed in to this mailbox before.
func (s *Service) noticeDevice(tx storage.Tx, e entry, flowID string) error {
	if s.knows(e.site, e.asker.KnownCookie, e.mailbox, e.now) {
		return nil
	}
	return s.notice(tx, e, outbox.KindNewDevice, flowID)
}

// notice queues a mail that tells the account's owner what has happened, and from which browser.
func (s *Service) notice(tx storage.Tx, e entry, kind outbox.Kind, flowID string) error {
	if e.site.NoMail {
		return nil
	}
	m, err := s.mail(outbox.Payload{
		To: e.account.Email, Name: e.account.Name, Account: e.account.ID, Base: e.site.base(), Locale: e.account.Language,
		Device: cut(e.asker.Device, maxDevice), Network: boundary.NetworkText(e.asker.Client), FlowID: flowID, Notice: kind,
		RequestedAt: s.Clock.ShownAs(e.now).Unix(),
	}, e.now, e.now.Add(noticeLife))
	if err != nil {
		return err
	}
	m.Purpose, m.Site = outbox.Notice, e.site.Origin
	return tx.Outbox().Enqueue(m)
}

// recordEntry writes what has happened to an account without a flow.
func (s *Service) recordEntry(tx storage.Tx, rec *record, e entry, names ...string) error {
	for _, name := range names {
		if err := rec.add(tx, storage.Event{
			Time: e.now, Name: name, Purpose: rec.purpose, Outcome: e.method, Account: e.account.ID, Flow: rec.flow,
			Site: e.site.Origin, Client: boundary.NetworkText(e.asker.Client),
		}, e.now.Add(EventLife)); err != nil {
			return err
		}
	}
	return nil
}
