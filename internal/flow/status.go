package flow

import (
	"context"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Status says what this browser may know of its flow; false: it has none that has not expired. It changes nothing, and
// answers alike whatever happened to the flow elsewhere. The only error is ErrUnavailable.
func (s *Service) Status(ctx context.Context, site Site, requester Requester) (Pending, bool, error) {
	site = site.withDefaults()
	now := s.Clock.Now()
	var (
		pending Pending
		found   bool
	)
	err := s.view(ctx, func(tx storage.Tx) (err error) {
		var h currentFlow
		if h, found, err = s.current(tx, site, requester.FlowCookie, now); err != nil || !found {
			return err
		}
		pending = s.pending(site, requester, h.Flow, h.Private, h.Addr)
		return nil
	})
	if err != nil {
		return Pending{}, false, err
	}
	return pending, found, nil
}

// pending returns what a browser may know of the flow that it requested. Nothing of it depends on the account or on the flow's state.
func (s *Service) pending(site Site, requester Requester, f storage.Flow, p private, addr address.Address) Pending {
	pending := Pending{
		Purpose: f.Purpose, Address: addr.Display(), Typed: p.Email, ReturnTo: p.ReturnTo,
		ResendsLeft: f.ResendsLeft, NextResend: f.NextResend, Started: f.Started, End: f.Key.Ends(),
		CodeOff:  !site.mailsCode(f.Purpose) || f.WrongCodes >= MaxWrongCodes,
		SignedIn: p.App == nil && isSignedInto(requester.Session, f), App: p.App != nil,
		Reserve: p.Reserve,
	}
	if p.App != nil {
		pending.Form = p.App.Form
	}
	return pending
}

// isSignedInto reports whether a session is where the flow leads. A signed-in browser that requests a reset is not there yet; the
// birth of a flow may be known to the second only.
func isSignedInto(l *session.Live, f storage.Flow) bool {
	return l != nil && l.Session.Mailbox == f.Mailbox && (f.Purpose != Reset || l.Session.Created.Unix() > f.Started.Unix())
}
