package selfservice

import (
	"context"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// invitations returns those that an account has sent.
func (s *Service) invitations(tx storage.Tx, id string) (list []Invitation, err error) {
	all, err := s.Flows.InvitationsOf(tx, id)
	for _, one := range all {
		list = append(list, Invitation{
			ID: one.ID, Email: one.Email, Site: one.Site, Roles: one.Roles, Sent: s.wall(one.Started), Ends: s.wall(one.Ends),
			Open: one.Status == flow.InviteOpen,
		})
	}
	slices.SortStableFunc(list, func(a, b Invitation) int {
		switch {
		case a.Open == b.Open:
			return 0
		case a.Open:
			return -1
		default:
			return 1
		}
	})
	return list, err
}

// RevokeInvitation ends an open invitation that the account has sent. Errors: [session.ErrEnded] if the session that asks has ended,
// [ErrNotFound], and the store's.
func (s *Service) RevokeInvitation(ctx context.Context, l *session.Live, id string, c Client) error {
	e := storage.Event{Name: "cancelled", Purpose: flow.Invite, Outcome: "ok", Account: l.Account.ID, Site: c.Site, Client: c.Network}
	revoked := false
	err := s.Store.Update(ctx, func(tx storage.Tx) error {
		alive, err := s.Sessions.Alive(tx, l)
		if err != nil {
			return err
		}
		if !alive {
			return session.ErrEnded
		}
		revoked, err = s.Flows.RevokeIn(tx, l.Account.ID, id, storage.Event{Site: c.Site, Client: c.Network})
		return err
	})
	if err != nil {
		return err
	}
	if !revoked {
		return ErrNotFound
	}
	e.Flow = id
	s.report(ctx, l, e)
	return nil
}
