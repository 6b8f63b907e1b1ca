package flow

import (
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// notMeLifetime is for how long the "this wasn't me" of a mail ends a session: the mail may be read long after the sign-in from a new device that it
// is about, or after its code.
const notMeLifetime = MaxLinkTTL

// noticeNewDevice informs the owner of a sign-in by mail in a browser that is new to this mailbox, unless it is the one that asked for the mail. That
// is where codes are typed; and a thief who asks there and reads the mail would read this one too.
func (s *Service) noticeNewDevice(tx storage.Tx, e authentication, opened storage.Session, r redemption) error {
	if s.ownsFlow(e.site, e.requester.FlowCookie, r.flow, r.private) || s.isOwnersBrowser(e) {
		return nil
	}
	return s.enqueueNewDevice(tx, e, opened, r.flow.ID)
}

// enqueueNewDevice queues the mail about a sign-in from a new device. Its link "this wasn't me" ends the session that was opened, also after a
// further sign-in of the same browser has taken that session's place, and nothing else. The link belongs to a flow of its own that nothing but
// its time and its use end: what a thief does to the account meanwhile does not protect the session.
func (s *Service) enqueueNewDevice(tx storage.Tx, e authentication, opened storage.Session, flowID string) error {
	if e.site.NoMail {
		return nil
	}
	parsed, err := token.Parse(token.Random(e.now.Add(notMeLifetime)))
	if err != nil {
		return err
	}
	f := storage.Flow{
		Key: parsed.CookieKey(s.Ring, labelNewDevice, e.site.Origin), ID: token.NewID(), Site: e.site.Origin, Purpose: NewDevice,
		Mailbox: e.mailbox, Account: e.account.ID, Bound: true, Epochs: opened.Epochs, Started: e.now, State: storage.FlowOpen,
	}
	p := private{
		Email: e.account.Email, Device: cutDevice(e.requester.Device), Network: boundary.NetworkText(e.requester.Client), Session: opened.ID,
	}
	if f.Private, err = s.sealPrivate(f.Key, p); err != nil {
		return err
	}
	seed, end := token.NewSeed(), token.Ends(f.Key)
	cancel, err := s.storedToken(token.NewCancel(s.Ring, seed, NewDevice, f.Site, end), storage.TokenCancel, f)
	if err != nil {
		return err
	}
	m, err := s.newMail(outbox.Payload{
		To: e.account.Email, Name: e.account.Name, Account: e.account.ID, Base: e.site.base(), Locale: e.account.Language, Timezone: e.account.Timezone,
		Device: p.Device, Network: p.Network, FlowID: flowID, Notice: mailer.KindNewDevice, Seed: seed,
		RequestedAt: s.Clock.ToWall(e.now).Unix(), Ends: s.Clock.ToWall(end).Unix(),
	}, e.now, end)
	if err != nil {
		return err
	}
	m.Purpose, m.Site = outbox.Notice, f.Site
	if err := tx.Flows().Create(f); err != nil {
		return err
	}
	if err := tx.Tokens().Create(cancel); err != nil {
		return err
	}
	return tx.Outbox().Enqueue(m)
}
