package flow

import (
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// InvitedTo is what the page of an invitation shows.
type InvitedTo struct {
	// Inviter is the address of the account that has sent it, empty for an operator.
	Inviter string
	Roles   []string
	// Site is the origin that it is an invitation to.
	Site string
	// Name and Note are the operator's.
	Name, Note string
	// SignIn is set when the address has an account that this browser is not signed in to: it accepts the invitation only then. Account is set
	// when it is.
	SignIn, Account bool
}

// announce returns what a mail says of an invitation.
func announce(i invitation, inviter string) *outbox.Invitation {
	return &outbox.Invitation{Inviter: inviter, Roles: i.Roles, Site: i.Site}
}

// inviter returns the account that has sent an invitation, zero for an operator, and whether it and the database may still invite.
func (s *Service) inviter(tx storage.Tx, f storage.Flow, i *invitation, forUpdate bool) (from accounts.Account, ok bool, err error) {
	if i == nil {
		return from, false, nil
	}
	epoch, get := tx.Epochs().Get, tx.Accounts().Get
	if forUpdate {
		epoch, get = tx.Epochs().GetForUpdate, tx.Accounts().GetForUpdate
	}
	global, err := epoch(storage.GlobalEpoch)
	if err != nil || i.Inviter == "" {
		return from, err == nil && global == f.Epochs.Global, err
	}
	now, err := epoch(storage.AccountEpoch(i.Inviter))
	if err != nil {
		return from, false, err
	}
	r, found, err := get(i.Inviter)
	if err != nil || !found {
		return from, false, err
	}
	if from, _, err = s.Accounts.Get(tx, i.Inviter); err != nil {
		return from, false, err
	}
	return from, global == f.Epochs.Global && now == i.Epoch && r.Status == storage.StatusActive && containsAll(s.Invitable(from.Roles), i.Roles), nil
}

// validateInvitation reports whether an invitation may be accepted. a is the account that its address has, zero where there is none.
func (s *Service) validateInvitation(tx storage.Tx, f storage.Flow, p private, now time.Time, forUpdate bool) (a accounts.Account, ok bool, err error) {
	if f.State != storage.FlowOpen || !f.Key.Alive(now) {
		return a, false, nil
	}
	if _, ok, err = s.inviter(tx, f, p.Invite, forUpdate); err != nil || !ok {
		return a, false, err
	}
	get := tx.Accounts().ByMailbox
	if forUpdate {
		get = tx.Accounts().ByMailboxForUpdate
	}
	r, found, err := get(f.Mailbox)
	if err != nil || !found {
		return a, err == nil, err
	}
	a, found, err = s.Accounts.Get(tx, r.ID)
	return a, err == nil && found && a.Status == accounts.Active && accounts.CheckRoles(withRoles(a.Roles, p.Invite.Roles)) == nil, err
}

// withRoles returns the roles of both, each once.
func withRoles(have, more []string) []string {
	all := slices.Concat(have, more)
	slices.Sort(all)
	return slices.Compact(all)
}

// previewInvitation returns what the page says of the invitation that a link accepts, nil for every other link. A
// sign-up by invitation works for as long as there is one.
func (s *Service) previewInvitation(tx storage.Tx, requester Requester, l *linkTarget, p private, now time.Time) (*InvitedTo, error) {
	f, i := l.flow, p.Invite
	if p.Invited && l.valid && effect(f) == Activation {
		own, private, found, err := s.invitedTo(tx, f.Site, f.Mailbox, now, false)
		if l.valid = found; err != nil || !found {
			return nil, err
		}
		f, i = own, private.Invite
	}
	if i == nil || !l.valid {
		return nil, nil //nolint:nilnil // no invitation
	}
	from, _, err := s.inviter(tx, f, i, false)
	if err != nil {
		return nil, err
	}
	o := &InvitedTo{Inviter: from.Email, Roles: i.Roles, Site: i.Site, Name: i.Name, Note: i.Note}
	if l.flow.Purpose == Invite {
		l.flow.Account = l.account.ID // the press of the button is bound to whether there is an account
		o.Account = l.account.ID != ""
		o.SignIn = o.Account && !isSession(requester, l.account.ID)
	}
	return o, nil
}

func isSession(requester Requester, account string) bool {
	return requester.Session != nil && requester.Session.Session.Account == account
}

// invitedTo returns the newest invitation of a mailbox to a site that may be accepted.
func (s *Service) invitedTo(tx storage.Tx, site string, mailbox storage.Digest, now time.Time, forUpdate bool) (f storage.Flow, p private, found bool, err error) {
	list, err := tx.Invitations().ByMailbox(mailbox, maxInvitations)
	if err != nil {
		return f, p, false, err
	}
	for _, i := range list {
		one, there, err := tx.Flows().Get(i.Key)
		if err != nil {
			return f, p, false, err
		}
		if !there || one.Site != site || found && one.Started.Before(f.Started) {
			continue
		}
		private, _, err := s.openPrivate(one)
		if err != nil {
			return f, p, false, err
		}
		_, ok, err := s.validateInvitation(tx, one, private, now, forUpdate)
		if err != nil {
			return f, p, false, err
		}
		if ok {
			f, p, found = one, private, true
		}
	}
	return f, p, found, nil
}

// Invited implements [outbox.InvitationFinder].
func (s *Service) Invited(tx storage.Tx, site string, mailbox storage.Digest) (*outbox.Invitation, error) {
	f, p, found, err := s.invitedTo(tx, site, mailbox, s.Clock.Now(), false)
	if err != nil || !found {
		return nil, err
	}
	from, _, err := s.inviter(tx, f, p.Invite, false)
	return announce(*p.Invite, from.Email), err
}

// accept gives the roles of an invitation: to the account that its address has, or to a new one.
func (s *Service) accept(tx storage.Tx, r redemption, a accounts.Account) (accounts.Account, error) {
	if a.ID == "" {
		return s.createInvited(tx, r, r.private.Invite)
	}
	if !isSession(r.requester, a.ID) {
		return a, refuse(ErrSignedOut)
	}
	if alive, err := s.Sessions.Alive(tx, r.requester.Session); err != nil || !alive {
		return a, orRefuse(err, ErrSignedOut)
	}
	if err := s.Accounts.SetRoles(tx, a.ID, withRoles(a.Roles, r.private.Invite.Roles)); err != nil {
		return a, err
	}
	a, _, err := s.Accounts.Get(tx, a.ID)
	return a, err
}

// createInvited makes the account of an invited address.
func (s *Service) createInvited(tx storage.Tx, r redemption, i *invitation) (accounts.Account, error) {
	return s.Accounts.Create(tx, accounts.NewAccount{
		ID: r.newAccount, Address: r.addr, Name: r.name, Roles: i.Roles, Language: r.requesterLanguage(), Password: r.password,
	})
}

// requesterLanguage is the language of a new account: that of the browser which asked for the mail or, where none did, of the one that accepts.
func (r *redemption) requesterLanguage() string {
	if r.private.Invite != nil {
		return language(r.requester.Locale)
	}
	return r.private.Locale
}

// signUpInvited makes the account of a sign-up where invitations alone make accounts, and uses the invitation up.
func (s *Service) signUpInvited(tx storage.Tx, r *redemption) (a accounts.Account, err error) {
	f, p, found, err := s.invitedTo(tx, r.site.Origin, r.flow.Mailbox, r.now, true)
	if err != nil || !found {
		return a, orConflict(err)
	}
	if a, err = s.createInvited(tx, *r, p.Invite); err != nil {
		return a, err
	}
	if r.private.ReturnTo == "/" {
		r.private.ReturnTo = p.ReturnTo
	}
	if ok, err := tx.Flows().Finish(f.Key, storage.FlowRedeemed, r.by, storage.Key{}); err != nil || !ok {
		return a, orConflict(err)
	}
	return a, nil
}
