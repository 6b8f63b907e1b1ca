package flow

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Cancel does what the link "this wasn't me" promises: it ends its one flow, and for LinkPreview.Mute mails to this mailbox that the
// same browser asks for from the same network do not leave. Browsers that are known for the mailbox, networks of the account's
// sessions, and every other flow, go on. Of a proof and of a sign-in from a new device it ends the session instead of muting, and the open
// invitations of the account.
// h is LinkPreview.H as the form sent it back.
//
// Errors: *Limited (redeem_ip), ErrDead, ErrChanged, ErrUnavailable.
func (s *Service) Cancel(ctx context.Context, site Site, requester Requester, text, h string) (Cancelled, error) {
	site = site.withDefaults()
	now := s.Clock.Now()
	var (
		done Cancelled
		rec  record
	)
	err := func() error {
		parsed, err := s.read(site, text, now)
		if err != nil {
			return err
		}
		return s.update(ctx, func(tx storage.Tx) error {
			done, rec = Cancelled{}, record{}
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
			case !o.Cancel:
				return refuse(ErrChanged)
			case !l.valid:
				return orRefuse(s.recordReplay(tx, site, requester, l, now, &rec), ErrDead)
			case subtle.ConstantTimeCompare([]byte(o.H), []byte(h)) != 1:
				return refuse(ErrChanged)
			}
			done = Cancelled{Purpose: o.Purpose, Masked: o.Masked}
			return s.cancel(tx, site, requester, l, now, &rec)
		})
	}()
	s.report(ctx, stepCancel, site, requester.Client, rec, err)
	if err != nil {
		return Cancelled{}, err
	}
	return done, nil
}

func (s *Service) cancel(tx storage.Tx, site Site, requester Requester, l linkTarget, now time.Time, rec *record) error {
	if p := l.flow.Purpose; p == Proof || p == NewDevice || l.purpose == AddressConsent {
		if err := s.disown(tx, site, l); err != nil {
			return err
		}
		return s.finishCancelled(tx, site, requester, l, now, rec)
	}
	p, mute := l.private, muteFor(requester, l.flow)
	if mute == outbox.MuteByOwner {
		if alive, err := s.Sessions.Alive(tx, requester.Session); err != nil {
			return err
		} else if !alive {
			mute = outbox.MuteByOthers
		}
	}
	if err := outbox.Mute(tx, s.Ring, l.addr.LimitKey(s.Ring), p.Network, p.Device, mute, now); err != nil {
		return err
	}
	if l.unstoredFlow {
		if err := s.storeFlow(tx, l.flow); err != nil {
			return err
		}
	}
	return s.finishCancelled(tx, site, requester, l, now, rec)
}

// disown ends a session that is not the owner's, and the open invitations of the account. Its browser counts as new from now on, and all others too:
// which of them are the thief's is not known. A session that opened from a new device and has ended since, by a sign-out say, has made that browser
// known: all that were opened after it end in its place.
func (s *Service) disown(tx storage.Tx, site Site, l linkTarget) error {
	account := l.flow.Account
	ended, err := s.Sessions.EndIn(tx, account, l.private.Session)
	if err != nil {
		return err
	}
	if !ended && l.flow.Purpose == NewDevice {
		if err := s.Sessions.EndSince(tx, account, l.flow.Started); err != nil {
			return err
		}
	}
	if err := s.Accounts.ForgetBrowsers(tx, account); err != nil && !errors.Is(err, accounts.ErrNotFound) {
		return err
	}
	return s.EndInvitations(tx, account, site.Origin)
}

// finishCancelled ends the flow of a pressed "this wasn't me", unless its code has, and uses its token up.
func (s *Service) finishCancelled(tx storage.Tx, site Site, requester Requester, l linkTarget, now time.Time, rec *record) error {
	if l.flow.State == storage.FlowOpen {
		if ok, err := tx.Flows().Finish(l.flow.Key, storage.FlowCancelled, l.token.Key.Digest, storage.Key{}); err != nil || !ok {
			return orConflict(err)
		}
	}
	if err := s.consumeToken(tx, l, now); err != nil {
		return err
	}
	return rec.add(tx, storage.Event{
		Time: now, Name: eventCancelled, Purpose: l.flow.Purpose, Outcome: outcomeOK, Account: l.flow.Account, Flow: l.flow.ID,
		Site: site.Origin, Client: boundary.NetworkText(requester.Client),
	}, now.Add(storage.EventLifetime))
}

// mayCancel reports whether the link "this wasn't me" of a flow does something. A reset and the like leave it alive, and whatever else a thief does;
// a restored backup ends it with its flow: nothing that it could end is there, and what has been asked for since then is not its own. That of a
// proof ends the session that asked, which the use of the code has left as it was.
func mayCancel(tx storage.Tx, f storage.Flow, now time.Time) (bool, error) {
	global, err := tx.Epochs().Get(storage.GlobalEpoch)
	open := f.State == storage.FlowOpen || f.Purpose == Proof && f.State == storage.FlowRedeemed
	return err == nil && open && f.Key.Alive(now) && f.Epochs.Global == global, err
}

// muteFor returns for how long a press of the button mutes the browser that asked.
func muteFor(requester Requester, f storage.Flow) time.Duration {
	if requester.Session != nil && requester.Session.Session.Mailbox == f.Mailbox {
		return outbox.MuteByOwner
	}
	return outbox.MuteByOthers
}
