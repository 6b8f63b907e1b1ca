package flow

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// beginDeletion disables the account, which ends everything that it has, and mails the link that undoes it. The account is gone at the end of that
// link's flow.
func (s *Service) beginDeletion(tx storage.Tx, rec *record, site Site, requester Requester, now time.Time) error {
	c, found, err := s.Accounts.CredentialsForUpdate(tx, rec.account)
	if err != nil || !found {
		return orRefuse(err, ErrSignedOut)
	}
	parsed, err := token.Parse(token.Random(now.Add(accounts.DeletionGrace)))
	if err != nil {
		return err
	}
	f := storage.Flow{
		Key: parsed.CookieKey(s.Ring, labelUndo, site.Origin), ID: token.NewID(), Site: site.Origin, Purpose: UndoDeletion,
		Mailbox: c.Mailbox, Account: c.Account.ID, Bound: true, Started: now, State: storage.FlowOpen,
	}
	p := private{Email: c.Account.Email, Device: cutDevice(requester.Device), Network: boundary.NetworkText(requester.Client)}
	if f.Private, err = s.sealPrivate(f.Key, p); err != nil {
		return err
	}
	if err := s.Accounts.BeginDeletion(tx, c.Account.ID, f.ID, f.Key.Ends()); err != nil {
		return err
	}
	if f.Epochs, err = storage.ReadEpochs(tx, f.Mailbox, f.Account, true); err != nil {
		return err
	}
	seed, end := token.NewSeed(), token.Ends(f.Key)
	undo, err := s.storedToken(token.New(s.Ring, seed, UndoDeletion, f.Site, end), storage.TokenLink, f)
	if err != nil {
		return err
	}
	m, err := s.newMail(outbox.Payload{
		To: c.Account.Email, Name: c.Account.Name, Account: c.Account.ID, Base: site.base(), Locale: c.Account.Language, Timezone: c.Account.Timezone,
		Device: p.Device, Network: p.Network, FlowID: f.ID, Notice: mailer.KindAccountDeleted, Seed: seed,
		RequestedAt: s.Clock.ToWall(now).Unix(), Ends: s.Clock.ToWall(end).Unix(),
	}, now, end)
	if err != nil {
		return err
	}
	m.Purpose, m.Site = outbox.Notice, f.Site
	if err := tx.Flows().Create(f); err != nil {
		return err
	}
	if err := tx.Tokens().Create(undo); err != nil {
		return err
	}
	if err := tx.Outbox().Enqueue(m); err != nil {
		return err
	}
	return rec.add(tx, s.deletionEvent(*rec, site, requester, now, "deleting"), now.Add(storage.EventLifetime))
}

func (s *Service) deletionEvent(rec record, site Site, requester Requester, now time.Time, outcome string) storage.Event {
	return storage.Event{
		Time: now, Name: eventChanged, Purpose: "account", Outcome: outcome, Account: rec.account, Flow: rec.flow, Site: site.Origin,
		Client: boundary.NetworkText(requester.Client),
	}
}

// validateUndo reports whether a link may undo the deletion of its account. It is the one link that a disabled account has: raised epochs of the
// account and its mailbox leave it alive. That of everything, which a restored backup raises, ends it, and so does whatever has kept the
// account.
func (s *Service) validateUndo(tx storage.Tx, f storage.Flow, now time.Time) (a accounts.Account, ok bool, err error) {
	global, err := tx.Epochs().Get(storage.GlobalEpoch)
	if err != nil || global != f.Epochs.Global || f.State != storage.FlowOpen || !f.Key.Alive(now) {
		return a, false, err
	}
	due, id, err := s.Accounts.Deletion(tx, f.Account)
	if err != nil || due.IsZero() || id != f.ID {
		return a, false, err
	}
	return s.Accounts.Get(tx, f.Account)
}

// Undo keeps an account that its owner has deleted, by the link of the mail about it. It opens no session, and does not enable an account that an
// operator has disabled meanwhile. h is LinkPreview.H as the form sent it back.
//
// Errors: *Limited (redeem_ip), ErrDead, ErrChanged, ErrUnavailable.
func (s *Service) Undo(ctx context.Context, site Site, requester Requester, text, h string) error {
	site = site.withDefaults()
	now := s.Clock.Now()
	var rec record
	err := func() error {
		parsed, err := s.read(site, text, now)
		if err != nil {
			return err
		}
		return s.update(ctx, func(tx storage.Tx) error {
			rec = record{}
			l, found, err := s.find(tx, site, parsed, now)
			if err != nil {
				return err
			}
			if !found {
				return s.refuseGuess(tx, &site, requester, now)
			}
			rec = record{purpose: l.flow.Purpose, account: l.flow.Account, flow: l.flow.ID}
			o, err := s.preview(tx, site, requester, &l, text, now)
			switch {
			case err != nil:
				return err
			case o.Purpose != UndoDeletion:
				return refuse(ErrChanged)
			case !l.valid:
				return orRefuse(s.recordReplay(tx, site, requester, l, now, &rec), ErrDead)
			case subtle.ConstantTimeCompare([]byte(o.H), []byte(h)) != 1:
				return refuse(ErrChanged)
			}
			return s.undo(tx, site, requester, l, now, &rec)
		})
	}()
	s.report(ctx, stepUndo, site, requester.Client, rec, err)
	return err
}

func (s *Service) undo(tx storage.Tx, site Site, requester Requester, l linkTarget, now time.Time, rec *record) error {
	if err := s.Accounts.UndoDeletion(tx, l.flow.Account); err != nil {
		return err
	}
	if ok, err := tx.Flows().Finish(l.flow.Key, storage.FlowRedeemed, l.token.Key.Digest, storage.Key{}); err != nil || !ok {
		return orConflict(err)
	}
	if err := s.consumeToken(tx, l, now); err != nil {
		return err
	}
	return rec.add(tx, s.deletionEvent(*rec, site, requester, now, "kept"), now.Add(storage.EventLifetime))
}
