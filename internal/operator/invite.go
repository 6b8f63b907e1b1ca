package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// InvitationInput invites somebody.
type InvitationInput struct {
	Email string   `json:"email"`
	Roles []string `json:"roles,omitempty"`
	// Site is the origin that it is an invitation to. Empty: the portal, or the only one there is.
	Site string `json:"site,omitempty"`
	// TTL is how long it may be accepted. Zero: the configured lifetime of invitations.
	TTL time.Duration `json:"ttl,omitempty"`
	// Name and Note are shown where the invitation is accepted, and in no mail.
	Name string `json:"name,omitempty"`
	Note string `json:"note,omitempty"`
	// Print asks for a link in the place of a mail.
	Print bool `json:"print,omitempty"`
}

// Invitation is one invitation that has not expired.
type Invitation struct {
	ID    string   `json:"id"`
	Email string   `json:"email"`
	Roles []string `json:"roles,omitempty"`
	Site  string   `json:"site"`
	// By is the address of the account that has sent it, empty for an operator.
	By   string `json:"by,omitempty"`
	Name string `json:"name,omitempty"`
	Note string `json:"note,omitempty"`
	// Status is "open", "accepted", "revoked", or "void" where its inviter may not give it any more or a backup was restored.
	Status string    `json:"state"`
	Sent   time.Time `json:"sent"`
	Ends   time.Time `json:"ends"`
	// URL is the link, set only in the answer that prints it. Warnings say what may be a mistake.
	URL      string   `json:"url,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Invite implements Operations.
func (svc *Service) Invite(ctx context.Context, in InvitationInput) (Invitation, error) {
	if err := checkOneAddress(in.Email); err != nil {
		return Invitation{}, err
	}
	if in.TTL < 0 || in.TTL > flow.MaxInviteTTL {
		days := flow.MaxInviteTTL / (24 * time.Hour)
		return Invitation{}, invalid("--ttl: an invitation works for %d days at most; write --ttl %dd", days, days)
	}
	site, returnTo, err := svc.signInSite(in.Site)
	if err != nil {
		return Invitation{}, err
	}
	to := site.Origin
	if named, err := svc.site(in.Site); in.Site != "" && err == nil {
		to = named.Origin
	}
	sent, err := svc.Flows.Invite(ctx, site, flow.InviteInput{
		Email: in.Email, Roles: in.Roles, To: to, ReturnTo: returnTo, TTL: in.TTL, Name: in.Name, Note: in.Note, Print: in.Print,
		Operator: storage.Operator(CallerOf(ctx)),
	})
	if err != nil {
		return Invitation{}, inviteError(err, in)
	}
	made := svc.toInvitation(sent)
	made.Warnings = svc.unknownRoles(in.Roles)
	return made, nil
}

// checkOneAddress refuses a list of addresses in the place of one.
func checkOneAddress(email string) error {
	if list := address.List(email); len(list) > 1 {
		return invalid("%q is more than one address: invite one at a time, beginning with 'caddy email-link invite %s'", email, list[0])
	}
	return nil
}

func inviteError(err error, in InvitationInput) error {
	var fault *flow.Invalid
	var reason *accounts.InvalidError
	reserved := reservedConflict(err, in.Email)
	switch {
	case reserved != nil:
		return reserved
	case errors.Is(err, flow.ErrNoMail):
		return conflict("this gate sends no mail: add --print, and hand the link over yourself")
	case errors.Is(err, flow.ErrDisabled):
		return conflict("the account of %s is disabled; 'caddy email-link accounts enable' lets it in again", in.Email)
	case errors.As(err, &fault) && fault.Field == "email":
		return invalid("the address cannot be used: %v", fault.Err)
	case errors.As(err, &fault) && errors.As(fault.Err, &reason): // which calls the note a name
		return invalid("--%s cannot be used: it %s", fault.Field, reason.Reason)
	case errors.As(err, &fault) && fault.Err != nil:
		return invalid("--%s cannot be used: %v", fault.Field, fault.Err)
	}
	return err
}

// unknownRoles returns a sentence for each role that the configuration does not name: it may be mistyped.
func (svc *Service) unknownRoles(roles []string) (warnings []string) {
	for _, r := range roles {
		if slices.Contains(svc.Roles, r) {
			continue
		}
		w := fmt.Sprintf("no site of this configuration requires the role %q", r)
		if len(svc.Roles) > 0 {
			w += ": " + meant(r, svc.Roles) + "there are " + strings.Join(svc.Roles, ", ")
		}
		warnings = append(warnings, w)
	}
	return warnings
}

func (svc *Service) toInvitation(s flow.Sent) Invitation {
	return Invitation{
		ID: s.ID, Email: s.Email, Roles: s.Roles, Site: s.Site, By: s.InviterEmail, Name: s.Name, Note: s.Note, Status: s.Status,
		Sent: svc.displayTime(s.Started), Ends: svc.displayTime(s.Ends), URL: s.URL,
	}
}

// Invitations implements Operations.
func (svc *Service) Invitations(ctx context.Context) ([]Invitation, error) {
	return svc.toInvitations(svc.Flows.Invitations(ctx))
}

// RevokeInvitations implements Operations.
func (svc *Service) RevokeInvitations(ctx context.Context, which string) ([]Invitation, error) {
	list, err := svc.toInvitations(svc.Flows.Revoke(ctx, which, storage.Operator(CallerOf(ctx))))
	if err == nil && len(list) == 0 {
		err = notFound("there is no open invitation %s; 'caddy email-link invite list' shows those that there are", which)
	}
	return list, err
}

func (svc *Service) toInvitations(list []flow.Sent, err error) ([]Invitation, error) {
	shown := make([]Invitation, 0, len(list))
	for _, one := range list {
		shown = append(shown, svc.toInvitation(one))
	}
	return shown, err
}
