package flow

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// noticeLifetime is how long a notice to an account's owner is tried.
const noticeLifetime = 24 * time.Hour

// authentication is a browser that has proven to act for an account.
type authentication struct {
	site      Site
	requester Requester
	now       time.Time
	account   accounts.Account
	mailbox   storage.Digest
	// method is what it was proven by.
	method string
	// ephemeral is set when the session is to end with the browser.
	ephemeral bool
	// newAddress is what a notice of a change of the address tells, empty where its mailbox may not know it.
	newAddress string
}

// EphemeralLifetime is how long a session lives at most that is to end with the browser: some browsers bring their tabs back, cookies included.
const EphemeralLifetime = 24 * time.Hour

// isEphemeral reports whether a session was opened to end with the browser: it is shorter than the site's others. Where those are as short,
// nothing tells the two apart, and it is not.
func (s *Site) isEphemeral(session storage.Session) bool {
	return s.SessionAbsolute > EphemeralLifetime && session.Key.Ends().Sub(session.Created) <= EphemeralLifetime
}

// openSession opens a session in place of the one that this browser has.
func (s *Service) openSession(tx storage.Tx, done *Done, e authentication) (err error) {
	in := session.OpenInput{
		Site: e.site.Origin, Mailbox: e.mailbox, Methods: []string{e.method}, Device: cutDevice(e.requester.Device), Client: e.requester.Client,
		Idle: e.site.SessionIdle, Absolute: e.site.SessionAbsolute,
	}
	if e.ephemeral {
		in.Idle, in.Absolute = min(in.Idle, EphemeralLifetime), min(in.Absolute, EphemeralLifetime)
	}
	if e.requester.Session != nil {
		in.Replaces = e.requester.Session.Session.Key
	}
	done.Account, done.Owner = e.account.ID, e.account
	done.Ephemeral = e.ephemeral
	if !e.ephemeral {
		done.KnownCookie = s.rememberBrowser(e.site, e.requester.KnownCookie, e.mailbox, e.now)
	}
	done.SessionCookie, done.Session, err = s.Sessions.Open(tx, e.account, in)
	return err
}

// enqueueNotice queues a mail that informs the account's owner of what has happened, and from which browser.
func (s *Service) enqueueNotice(tx storage.Tx, e authentication, kind mailer.Kind, flowID string) error {
	if e.site.NoMail {
		return nil
	}
	m, err := s.newMail(outbox.Payload{
		To: e.account.Email, Name: e.account.Name, Account: e.account.ID, Base: e.site.base(), Locale: e.account.Language, Timezone: e.account.Timezone,
		Device: cutDevice(e.requester.Device), Network: boundary.NetworkText(e.requester.Client), FlowID: flowID, Notice: kind,
		Address:     e.newAddress,
		RequestedAt: s.Clock.ToWall(e.now).Unix(),
	}, e.now, e.now.Add(noticeLifetime))
	if err != nil {
		return err
	}
	m.Purpose, m.Site = outbox.Notice, e.site.Origin
	return tx.Outbox().Enqueue(m)
}

// recordEvents writes what has happened to an account. What a step changes is the password; the line says so as those of owners and operators do,
// by what was changed and how, and not by the purpose of the flow.
func (s *Service) recordEvents(tx storage.Tx, rec *record, e authentication, names ...string) error {
	for _, name := range names {
		event := storage.Event{
			Time: e.now, Name: name, Purpose: rec.purpose, Outcome: e.method, Account: e.account.ID, Flow: rec.flow,
			Site: e.site.Origin, Client: boundary.NetworkText(e.requester.Client),
		}
		if name == eventChanged && (IsAddressPurpose(rec.purpose) || rec.purpose == Invite) {
			event.Outcome = outcomeChanged
		} else if name == eventChanged {
			event.Purpose, event.Outcome = purposePassword, outcomeChanged
			if rec.purpose == Reset {
				event.Outcome = outcomeReset
			}
		}
		if err := rec.add(tx, event, e.now.Add(storage.EventLifetime)); err != nil {
			return err
		}
	}
	return nil
}
