package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// newInvitationPath is the page on which people invite others.
const newInvitationPath = accountPath + "/invitations/new"

// roleField begins the names of the form's check boxes, one for each role.
const roleField = "role."

// maxShownInvitations is how many invitations the page lists, of which flow.MaxOpenInvitations may be open; JSON lists them all.
const maxShownInvitations = 2 * flow.MaxOpenInvitations

// givenRoles returns the roles that this person may give to those whom they invite; with none they cannot invite.
func (x *exchange) givenRoles() []string { return x.Flows.Invitable(x.Live.Account.Roles) }

// invitationForm is the form of an invitation.
func (x *exchange) invitationForm() {
	if x.refuseSignedOut() {
		return
	}
	roles := x.givenRoles()
	f := templates.InvitationForm{}
	if len(roles) == 1 {
		f.Chosen = roles
	}
	switch {
	case x.json && len(roles) > 0:
		x.methodNotAllowedOr(newInvitationPath)
	case x.Site.NoMail && len(roles) > 0:
		x.refuse(http.StatusForbidden, templates.MailOff)
	default:
		x.showInvitationForm(problem{status: http.StatusOK}, f)
	}
}

// showInvitationForm shows the form with what was typed in it.
func (x *exchange) showInvitationForm(p problem, f templates.InvitationForm) {
	roles := x.givenRoles()
	if len(roles) == 0 {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	o, err := x.Self.Overview(x.r.Context(), x.Live)
	if err != nil {
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
		return
	}
	f.Email, f.Current, f.Problem = x.Live.Account.Email, x.passwords() && o.Password, p.words()
	f.Lifetime = cmp.Or(x.Site.Lifetimes.Invite, flow.DefaultInvite)
	for _, r := range roles {
		f.Roles = append(f.Roles, templates.CheckBox{Name: r, Checked: slices.Contains(f.Chosen, r)})
	}
	for _, origin := range x.invitationSites() {
		f.Sites = append(f.Sites, templates.SiteChoice{Origin: origin, Name: x.Site.invitedTo(origin), Chosen: origin == f.Site})
	}
	x.refuseOn(p, f)
}

// invitationSites returns the sites that this person may invite to: with a portal those that the person may open, or itself where that is none.
func (x *exchange) invitationSites() []string {
	if sites := x.openSites(); len(sites) > 0 {
		return sites
	}
	return []string{x.Site.Origin}
}

// invite sends an invitation, for a proof. Its address, site and roles are sealed with it.
func (x *exchange) invite() {
	if x.refuseSignedOut() {
		return
	}
	roles := x.givenRoles()
	if len(roles) == 0 {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	names := []string{"email", "site", "role", "current", usernameField}
	for _, r := range roles {
		names = append(names, roleField+r)
	}
	fields, ok := x.readAccountForm("", names...)
	if !ok {
		return
	}
	act, p := x.readInvitation(fields, roles)
	x.formAgain = func(p problem) { x.showInvitationForm(p, typedInvitation(act)) }
	if p.code == "" {
		if err := x.Flows.CheckInvitation(x.r.Context(), x.Site.Site, x.requester(), act); err != nil {
			p = x.problemOfAddress(err, fields["email"])
		}
	}
	if p.code != "" {
		x.refuseAct(p)
		return
	}
	x.act(act, fields["current"])
}

// typedInvitation returns the form with the values of an act.
func typedInvitation(act flow.Act) templates.InvitationForm {
	return templates.InvitationForm{Typed: act.Email, Site: act.Invitation.Site, Chosen: act.Invitation.Roles}
}

// readInvitation reads the form. p says what is wrong with it.
func (x *exchange) readInvitation(fields map[string]string, roles []string) (act flow.Act, p problem) {
	i := &flow.NewInvitation{Site: fields["site"], Roles: strings.Fields(fields["role"])}
	for _, r := range roles {
		if fields[roleField+r] == "1" && !slices.Contains(i.Roles, r) {
			i.Roles = append(i.Roles, r)
		}
	}
	sites := x.invitationSites()
	if i.Site == "" && len(sites) == 1 {
		i.Site = sites[0]
	}
	act = flow.Act{Kind: flow.SendInvitation, Email: strings.TrimSpace(fields["email"]), Invitation: i}
	switch {
	case act.Email == "":
		return act, problem{status: http.StatusBadRequest, code: templates.MissingEmail, field: "email"}
	case !slices.Contains(sites, i.Site):
		return act, problem{status: http.StatusBadRequest, code: templates.BadForm, field: "site"}
	}
	if x.isPortal() && i.Site != x.Site.Origin {
		i.ReturnTo = x.path(openPath) + "?app=" + url.QueryEscape(i.Site)
	}
	return act, problem{}
}

// invited answers that an invitation has been sent. The page of the account names it.
func (x *exchange) invited() {
	if x.json {
		x.replyOK(http.StatusOK, map[string]string{"status": accountInvited})
		return
	}
	x.redirect(x.path(accountPath) + "?" + accountInvited)
}

// revokeInvitation ends an open invitation that the account has sent.
func (x *exchange) revokeInvitation() {
	if fields, ok := x.readAccountForm("", "invitation"); ok {
		x.accountDone(x.Self.RevokeInvitation(x.r.Context(), x.Live, fields["invitation"], x.actor()), accountWithdrawn, "")
	}
}

// invitationFacts fills the part of the page that is about invitations.
func (x *exchange) invitationFacts(f *templates.Account, list []selfservice.Invitation) {
	f.NewInvitation = len(x.givenRoles()) > 0 && !x.Site.NoMail
	shown := list[:min(len(list), maxShownInvitations)]
	for _, i := range shown {
		f.Invitations = append(f.Invitations, templates.AccountInvitation{
			ID: i.ID, Email: displayed(i.Email), Site: x.Site.invitedTo(i.Site), Roles: i.Roles, Sent: i.Sent, Ends: i.Ends, Open: i.Open,
		})
	}
	f.MoreInvitations = len(list) - len(shown)
	if x.r.URL.RawQuery == accountInvited && len(shown) > 0 && shown[0].Open {
		f.Invited = f.Invitations[0].Email
	}
}
