package flow

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Bounds of invitations.
const (
	// MaxInviteTTL is the longest life of an invitation.
	MaxInviteTTL = 30 * 24 * time.Hour
	// MaxOpenInvitations is how many open invitations one account may have sent.
	MaxOpenInvitations = 20
	// maxInvitations is how many invitations of one account, or for one mailbox, are looked at.
	maxInvitations = 1000
)

// InviteRule lets accounts with a role invite others, who get some of the roles that it gives.
type InviteRule struct {
	By    string
	Gives []string
}

// invitation is what a flow of the purpose Invite holds under seal beside the address and the path that it leads to.
type invitation struct {
	// Inviter is the id of the account that has sent it, empty for an operator; Epoch is that of the account.
	Inviter string `json:"by,omitempty"`
	Epoch   uint64 `json:"epoch,omitempty"`
	// Roles are what the invited account gets, Site is the origin that it is invited to.
	Roles []string `json:"roles,omitempty"`
	Site  string   `json:"site"`
	// Name and Note are the operator's. No mail has them.
	Name string `json:"name,omitempty"`
	Note string `json:"note,omitempty"`
}

// InviteInput is what an invitation is made of.
type InviteInput struct {
	// Email is the address that is invited, in any spelling.
	Email string
	Roles []string
	// To is the origin that it is an invitation to, and ReturnTo the path that it leads to at the site where it is accepted. Default: that site,
	// and its first page.
	To, ReturnTo string
	// TTL is how long it may be accepted. Default: the site's lifetime of invitations. At most MaxInviteTTL.
	TTL time.Duration
	// Name and Note are shown where the invitation is accepted. Only an operator has them.
	Name, Note string
	// Print is set for a link that is handed over in another way than by mail.
	Print bool
	// Operator is who invites, for the audit log; zero where an account does.
	Operator storage.Operator
}

// Sent is an invitation as the one who has sent it, or an operator, sees it.
type Sent struct {
	ID    string
	Email string
	Roles []string
	Site  string
	// Inviter is the id of the account that has sent it, empty for an operator, and InviterEmail its address.
	Inviter, InviterEmail string
	Name, Note            string
	Started, Ends         time.Time
	// Status is one of the invitation states. To the account that has sent it all but InviteOpen are one.
	Status string
	// URL is the link, where it was to be printed.
	URL string

	key storage.Key
	at  string // the site where it is accepted
}

// States of invitations.
const (
	InviteOpen     = "open"
	InviteAccepted = "accepted"
	InviteRevoked  = "revoked"
	// InviteVoid is one whose inviter, or whose backup, has ended it.
	InviteVoid = "void"
)

// Invitable returns the roles that an account with some roles may give to those whom it invites, sorted.
func (s *Service) Invitable(roles []string) (gives []string) {
	for _, rule := range s.Invites {
		if slices.Contains(roles, rule.By) {
			gives = append(gives, rule.Gives...)
		}
	}
	slices.Sort(gives)
	return slices.Compact(gives)
}

// Invite invites an address in the name of an operator: no limit applies.
//
// Errors: *Invalid (email, name, note, role, ttl), ErrNoMail (unless Print), ErrDisabled (the address has a disabled account),
// *accounts.ReservedError, ErrUnavailable.
func (s *Service) Invite(ctx context.Context, site Site, in InviteInput) (sent Sent, err error) {
	site = site.withDefaults()
	var rec record
	err = func() error {
		d, err := s.newInvitation(site, in, "")
		if err != nil {
			return err
		}
		return s.update(ctx, func(tx storage.Tx) (err error) {
			rec = record{purpose: Invite}
			sent, err = s.storeInvitation(tx, d, accounts.Account{}, &rec)
			return err
		})
	}()
	s.report(ctx, stepInvite, site, netip.Addr{}, rec, err)
	if err != nil {
		return Sent{}, err
	}
	s.wake()
	return sent, nil
}

// CheckInvitation returns an error for an invitation that the step of its proof would refuse as things are, before a code is mailed for it. What it
// answers does not depend on whether the address has an account.
//
// Errors: ErrSignedOut, ErrNoMail, *Invalid (email: "several", "syntax", "own"; role; invitations: "too_many"), ErrUnavailable.
func (s *Service) CheckInvitation(ctx context.Context, site Site, requester Requester, act Act) error {
	if requester.Session == nil {
		return ErrSignedOut
	}
	from := requester.Session.Account
	d, err := s.newInvitation(site.withDefaults(), inviteInput(act), from.Language)
	if err == nil {
		err = s.mayInvite(d, from)
	}
	if err != nil {
		return err
	}
	return s.view(ctx, func(tx storage.Tx) error { return s.checkOpen(tx, from.ID) })
}

// inviteInput returns the invitation of an act.
func inviteInput(act Act) InviteInput {
	in := InviteInput{Email: act.Email}
	if i := act.Invitation; i != nil {
		in.Roles, in.To, in.ReturnTo = i.Roles, i.Site, i.ReturnTo
	}
	return in
}

// checkOpen refuses where an account has as many open invitations as it may have.
func (s *Service) checkOpen(tx storage.Tx, inviter string) error {
	open, err := s.countOpen(tx, inviter)
	if err == nil && open >= MaxOpenInvitations {
		return refuse(&Invalid{Field: "invitations", Code: "too_many"})
	}
	return err
}

// sendInvitation does the act of its kind.
func (s *Service) sendInvitation(tx storage.Tx, rec *record, site Site, requester Requester, act Act) error {
	sent := record{purpose: Invite}
	err := s.inviteIn(tx, site, requester, inviteInput(act), &sent)
	rec.events = append(rec.events, sent.events...)
	return err
}

// inviteIn invites an address in the name of a signed-in account, in the step that proves it. It refuses by what the account may give, by the
// number of its open invitations, and by the limits of the account and of the mailbox.
//
// Errors: *Invalid (email, role; invitations: "too_many"), ErrNoMail, ErrSignedOut, *Limited (mail_invite, mail_mailbox).
func (s *Service) inviteIn(tx storage.Tx, site Site, requester Requester, in InviteInput, rec *record) error {
	site = site.withDefaults()
	now := s.Clock.Now()
	// The version of the account's record is raised: of two that send at once, the second counts the first one's.
	r, found, err := tx.Accounts().GetForUpdate(requester.Session.Session.Account)
	if err != nil || !found || r.Status != storage.StatusActive {
		return orRefuse(err, ErrSignedOut)
	}
	from, _, err := s.Accounts.Get(tx, r.ID)
	if err != nil {
		return err
	}
	d, err := s.newInvitation(site, in, from.Language)
	if err == nil {
		err = s.mayInvite(d, from)
	}
	if err != nil {
		return refuse(err)
	}
	own, err := address.Parse(from.Email)
	if err != nil {
		return err
	}
	if err := s.checkOpen(tx, r.ID); err != nil {
		return err
	}
	charges := append(site.Limits.LimitsFor(limit.MailInvite, limit.Subject{Mailbox: own.LimitKey(s.Ring)}),
		site.Limits.LimitsFor(limit.MailMailbox, limit.Subject{Mailbox: d.addr.LimitKey(s.Ring)})...)
	if err := s.spendLimits(tx, now, charges); err != nil {
		return err
	}
	if _, err := tx.Accounts().Replace(r); err != nil {
		return err
	}
	d.network = boundary.NetworkText(requester.Client)
	_, err = s.storeInvitation(tx, d, from, rec)
	return err
}

// invitationDraft is an invitation whose inviter has not been looked up yet.
type invitationDraft struct {
	site    Site
	in      InviteInput
	flow    storage.Flow
	private private
	addr    address.Address
	now     time.Time
	network string
}

func (s *Service) newInvitation(site Site, in InviteInput, language string) (d invitationDraft, err error) {
	switch {
	case in.TTL < 0 || in.TTL > MaxInviteTTL:
		return d, &Invalid{Field: "ttl", Code: "too_long"}
	case site.NoMail && !in.Print:
		return d, ErrNoMail
	case len(address.List(in.Email)) > 1:
		return d, &Invalid{Field: "email", Code: "several"}
	}
	if d.addr, err = address.Parse(in.Email); err != nil {
		return d, &Invalid{Field: "email", Code: "syntax", Err: err}
	}
	for field, err := range map[string]error{
		"name": accounts.CheckName(in.Name), "note": accounts.CheckName(in.Note), "role": accounts.CheckRoles(in.Roles),
	} {
		if err != nil {
			return d, &Invalid{Field: field, Code: "syntax", Err: err}
		}
	}
	d.site, d.in, d.now = site, in, s.Clock.Now()
	end := d.now.Add(cmp.Or(in.TTL, site.lifetime(Invite)))
	cookie, err := token.Parse(token.Random(end))
	if err != nil {
		return d, unavailable(err)
	}
	d.flow = storage.Flow{
		Key: s.flowKey(cookie, site.Origin, 0), ID: token.NewID(), Site: site.Origin, Purpose: Invite, Mailbox: d.addr.Mailbox(s.Ring),
		Bound: true, Started: d.now, State: storage.FlowOpen,
	}
	roles := slices.Clone(in.Roles)
	slices.Sort(roles)
	d.private = private{
		Email: d.addr.Typed(), ReturnTo: cleanReturnTo(in.ReturnTo), Operator: true, Locale: language,
		Invite: &invitation{Roles: slices.Compact(roles), Site: cmp.Or(in.To, site.Origin), Name: in.Name, Note: in.Note},
	}
	return d, nil
}

// mayInvite returns the refusal of an invitation by what an account may give. Nobody invites the own address.
func (s *Service) mayInvite(d invitationDraft, from accounts.Account) error {
	own, err := address.Parse(from.Email)
	gives := s.Invitable(from.Roles)
	switch {
	case err != nil:
		return err
	case own.Mailbox(s.Ring) == d.flow.Mailbox:
		return &Invalid{Field: "email", Code: "own"}
	case len(d.private.Invite.Roles) == 0 || !containsAll(gives, d.private.Invite.Roles):
		return &Invalid{Field: "role", Code: "not_given"}
	}
	return nil
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

// storeInvitation is the step. from is the account that invites, zero for an operator.
func (s *Service) storeInvitation(tx storage.Tx, d invitationDraft, from accounts.Account, rec *record) (sent Sent, err error) {
	f, own := d.flow, *d.private.Invite
	d.private.Invite = &own // the step may run more than once
	if own.Inviter = from.ID; own.Inviter != "" {
		if own.Epoch, err = tx.Epochs().GetForUpdate(storage.AccountEpoch(own.Inviter)); err != nil {
			return sent, err
		}
	}
	if f.Epochs.Global, err = tx.Epochs().Get(storage.GlobalEpoch); err != nil {
		return sent, err
	}
	if from.ID == "" { // what an account sends does not depend on whether the address has one
		if err := s.checkInvitable(tx, d); err != nil {
			return sent, err
		}
	}
	if f.Private, err = s.sealPrivate(f.Key, d.private); err != nil {
		return sent, err
	}
	if err := tx.Flows().Create(f); err != nil {
		return sent, err
	}
	sent = s.sent(f, d.private, InviteOpen)
	if sent.URL, err = s.deliverInvitation(tx, d, f, from); err != nil {
		return sent, err
	}
	if err := tx.Invitations().Create(storage.Invitation{Key: f.Key, ID: f.ID, Inviter: own.Inviter, Mailbox: f.Mailbox}); err != nil {
		return sent, err
	}
	rec.account, rec.flow = from.ID, f.ID
	return sent, rec.add(tx, storage.Event{
		Time: d.now, Name: eventInvited, Purpose: Invite, Outcome: outcomeOK, Account: from.ID, Flow: f.ID, Site: f.Site, Client: d.network,
		Operator: d.in.Operator,
	}, d.now.Add(storage.EventLifetime))
}

// checkInvitable refuses an address that could not accept: that of a disabled account, and one that is kept for its earlier account.
func (s *Service) checkInvitable(tx storage.Tx, d invitationDraft) error {
	a, found, err := s.Accounts.ByAddress(tx, d.addr)
	switch {
	case err != nil || found && a.Status != accounts.Active:
		return orRefuse(err, ErrDisabled)
	case found:
		return nil
	}
	if err := s.Accounts.CheckFree(tx, d.flow.Mailbox, ""); err != nil {
		return orReserved(err)
	}
	return nil
}

// deliverInvitation stores the link, and queues its mail unless the link is to be printed.
func (s *Service) deliverInvitation(tx storage.Tx, d invitationDraft, f storage.Flow, from accounts.Account) (url string, err error) {
	if d.in.Print {
		end := token.Ends(f.Key)
		text := token.New(s.Ring, token.NewSeed(), Invite, f.Site, end)
		t, err := s.storedToken(text, storage.TokenLink, f)
		if err != nil {
			return "", err
		}
		return d.site.base() + "/link?t=" + text, tx.Tokens().Create(t)
	}
	m, err := s.newDraft(mailInput{
		site: d.site, flow: f, private: d.private, addr: d.addr, known: true, now: d.now, invite: announce(*d.private.Invite, from.Email),
	})
	if err != nil {
		return "", err
	}
	m.queueUp(true, limit.Share{})
	m.mail.Position = invitePosition
	return "", m.write(tx)
}

// invitePosition is behind the mails that people wait for.
const invitePosition = 1 << 30
