package flow

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// sent returns an invitation without what is known of its inviter.
func (s *Service) sent(f storage.Flow, p private, state string) Sent {
	return Sent{
		ID: f.ID, Email: p.Email, Roles: p.Invite.Roles, Site: p.Invite.Site, Inviter: p.Invite.Inviter, Name: p.Invite.Name, Note: p.Invite.Note,
		Started: f.Started, Ends: f.Key.Ends(), Status: state, key: f.Key, at: f.Site,
	}
}

// countOpen returns how many open invitations an account has sent.
func (s *Service) countOpen(tx storage.Tx, inviter string) (open int, err error) {
	list, err := s.InvitationsOf(tx, inviter)
	for _, one := range list {
		if one.Status == InviteOpen {
			open++
		}
	}
	return open, err
}

// InvitationsOf returns what an account has sent and what has not expired, the last one first.
func (s *Service) InvitationsOf(tx storage.Tx, inviter string) ([]Sent, error) {
	list, err := tx.Invitations().ByInviter(inviter, maxInvitations)
	if err != nil {
		return nil, err
	}
	return s.readInvitations(tx, list)
}

// Invitations returns all invitations that have not expired, the last one first.
func (s *Service) Invitations(ctx context.Context) (all []Sent, err error) {
	for after := (storage.Key{}); ; {
		var list []storage.Invitation
		var page []Sent
		err := s.view(ctx, func(tx storage.Tx) (err error) {
			if list, err = tx.Invitations().List(after, maxInvitations); err != nil {
				return err
			}
			page, err = s.readInvitations(tx, list)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(list) < maxInvitations {
			break
		}
		after = list[len(list)-1].Key
	}
	slices.SortStableFunc(all, newestInvitation)
	return all, nil
}

func newestInvitation(a, b Sent) int {
	return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.ID, b.ID))
}

func (s *Service) readInvitations(tx storage.Tx, list []storage.Invitation) (all []Sent, err error) {
	now := s.Clock.Now()
	for _, i := range list {
		if !i.Key.Alive(now) {
			continue
		}
		f, found, err := tx.Flows().Get(i.Key)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		p, _, err := s.openPrivate(f)
		if err != nil {
			return nil, err
		}
		from, good, err := s.inviter(tx, f, p.Invite, false)
		if err != nil {
			return nil, err
		}
		state := map[storage.FlowState]string{storage.FlowRedeemed: InviteAccepted, storage.FlowCancelled: InviteRevoked}[f.State]
		if state == "" {
			state = InviteOpen
			if !good {
				state = InviteVoid
			}
		}
		one := s.sent(f, p, state)
		one.InviterEmail = from.Email
		all = append(all, one)
	}
	slices.SortStableFunc(all, newestInvitation)
	return all, nil
}

// RevokeIn ends the open invitation with an id, if the account has sent it. revoked is false if there is none.
func (s *Service) RevokeIn(tx storage.Tx, inviter, id string, by storage.Event) (revoked bool, err error) {
	list, err := tx.Invitations().ByInviter(inviter, maxInvitations)
	if err != nil {
		return false, err
	}
	for _, i := range list {
		if i.ID == id {
			return s.endInvitation(tx, i, by, &record{})
		}
	}
	return false, nil
}

// Revoke ends open invitations in the name of an operator: the one with an id, or all for an address. It returns those that it has ended.
func (s *Service) Revoke(ctx context.Context, which string, by storage.Operator) (revoked []Sent, err error) {
	all, err := s.Invitations(ctx)
	if err != nil {
		return nil, err
	}
	site, rec := Site{}, record{purpose: Invite}
	mailbox := storage.Digest{}
	if addr, err := address.Parse(which); err == nil {
		mailbox = addr.Mailbox(s.Ring)
	}
	err = s.update(ctx, func(tx storage.Tx) error {
		revoked, rec.events = nil, nil
		for _, one := range all {
			addr, err := address.Parse(one.Email)
			if err != nil || one.Status != InviteOpen || one.ID != which && addr.Mailbox(s.Ring) != mailbox {
				continue
			}
			ended, err := s.endInvitation(tx, storage.Invitation{Key: one.key, ID: one.ID, Inviter: one.Inviter}, storage.Event{Operator: by, Site: one.at}, &rec)
			if err != nil {
				return err
			}
			if ended {
				one.Status = InviteRevoked
				revoked = append(revoked, one)
			}
		}
		return nil
	})
	s.report(ctx, stepInvite, site, netip.Addr{}, rec, err)
	return revoked, err
}

// endInvitation ends an open invitation, and writes to the audit log who did.
func (s *Service) endInvitation(tx storage.Tx, i storage.Invitation, by storage.Event, rec *record) (ended bool, err error) {
	now := s.Clock.Now()
	if !i.Key.Alive(now) {
		return false, nil
	}
	if ended, err = tx.Flows().Finish(i.Key, storage.FlowCancelled, storage.Digest{}, storage.Key{}); err != nil || !ended {
		return false, err
	}
	by.Time, by.Name, by.Purpose, by.Outcome, by.Flow = now, eventCancelled, Invite, outcomeOK, i.ID
	by.Account = cmp.Or(by.Account, i.Inviter)
	return true, rec.add(tx, by, now.Add(storage.EventLifetime))
}

// EndInvitations ends the open invitations that an account has sent: another person has used it.
func (s *Service) EndInvitations(tx storage.Tx, inviter, site string) error {
	list, err := tx.Invitations().ByInviter(inviter, maxInvitations)
	for _, i := range list {
		if err == nil {
			_, err = s.endInvitation(tx, i, storage.Event{Account: inviter, Site: site}, &record{})
		}
	}
	return err
}
