package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// confirmPage says what the parked token would do.
func (x *exchange) confirmPage() {
	if x.confirmEntry(false) {
		return
	}
	if page, ok := addressDone[x.r.URL.RawQuery]; ok {
		x.page(http.StatusOK, page)
		return
	}
	x.showParked(problem{status: http.StatusOK}, "")
}

// showParked shows the page of the parked token, with what went wrong before.
func (x *exchange) showParked(p problem, name string) {
	if x.Cookies.Token == "" {
		x.noParkedToken()
		return
	}
	preview, err := x.Flows.Open(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Token)
	switch {
	case errors.Is(err, flow.ErrDead):
		x.deadLink()
		return
	case err != nil:
		x.refuseWith(x.problemOf(err))
		return
	case preview.Destination != "" && !x.json:
		x.clearCookie(boundary.TokenCookie)
		x.redirect(preview.Destination)
		return
	}
	if x.json && p.status == http.StatusOK {
		x.replyOK(http.StatusOK, previewBody(preview))
		return
	}
	x.refuseOn(p, x.previewFacts(preview, p, name))
}

// noParkedToken is /confirm of a browser that has opened no link. Where people sign in at a portal, what was parked is an entry, unless the
// browser has a flow that an app has started.
func (x *exchange) noParkedToken() {
	led := x.Site.Led && x.Cookies.Flow == ""
	switch {
	case x.json:
		x.refuse(http.StatusNotFound, templates.NoFlow)
	case led && x.Live != nil: // the button was pressed twice
		x.redirect("/")
	default:
		none := templates.ConfirmNone{Flow: x.Cookies.Flow != "" && x.Site.Methods.WithDefaults().Code, Portal: led}
		if x.Live != nil && !none.Flow {
			none.SignedInAs = x.Live.Account.Email
		}
		x.page(http.StatusOK, none)
	}
}

// previewFacts fills the page. Only the browser that asked sees the whole address; in another one a password manager does not
// get it either, and keeps the new password at the first sign-in with it.
func (x *exchange) previewFacts(o flow.LinkPreview, p problem, name string) templates.PageFacts {
	account, username := o.Masked, ""
	if o.SameBrowser {
		account, username = o.Address, o.Username
	}
	result := x.Clock.ToWall(o.Started)
	if o.Cancel {
		return templates.ConfirmCancel{
			Token: o.H, Mute: o.Mute, Account: o.Masked, Asked: result, Device: o.Device, Problem: p.words(),
			Proof:     o.Purpose == flow.Proof || o.Purpose == flow.AddressConsent,
			NewDevice: o.Purpose == flow.NewDevice,
		}
	}
	if o.Purpose == flow.UndoDeletion {
		return templates.ConfirmUndo{Token: o.H, Account: account, Ends: x.Clock.ToWall(o.End), Problem: p.words()}
	}
	if flow.IsAddressPurpose(o.Purpose) {
		return x.confirmAddressFacts(o, p)
	}
	page := templates.Confirm{
		Token: o.H, Account: account, SignUp: o.Purpose == flow.Activation, AskName: o.AskName, Name: name, Asked: result,
		Device: o.Device, SameBrowser: o.SameBrowser, Code: !o.CodeOff, SignedInAs: o.OtherAccount, Problem: p.words(),
	}
	if i := o.Invitation; i != nil {
		page.Invite = &templates.Invitation{Inviter: i.Inviter, Site: x.Site.invitedTo(i.Site), Roles: strings.Join(i.Roles, ", "), Note: i.Note, Account: i.Account}
		page.SignIn, page.Code = i.SignIn, page.Code && o.Purpose != flow.Invite
		if page.Name == "" && p.code == "" {
			page.Name = i.Name
		}
	}
	page.Reset, page.AskPassword, page.MinLength, page.Username = o.Purpose == flow.Reset, o.AskPassword, o.MinLength, username
	if o.ReturnTo != "/" {
		page.ReturnTo = o.ReturnTo
	}
	if site, path := x.appAt(o.ReturnTo); site != nil {
		_, host, _ := strings.Cut(site.Origin, "://")
		page.ReturnTo = strings.TrimSuffix(host+path, "/")
	}
	if page.App = o.App; o.App {
		page.SignedInAs = "" // that session goes on
	}
	return page
}

// invitedTo returns what people call the site that they are invited to.
func (s *Site) invitedTo(origin string) string {
	if origin == s.Origin && s.Name != "" {
		return s.Name
	}
	return s.nameOf(origin)
}

// invitationBody is an invitation as JSON.
type invitationBody struct {
	// Inviter is the address of the account that has sent it; an operator has none.
	Inviter string   `json:"inviter,omitempty"`
	Site    string   `json:"site"`
	Roles   []string `json:"roles,omitempty"`
	Name    string   `json:"name,omitempty"`
	Note    string   `json:"note,omitempty"`
	// SignIn is set when it is accepted by a session of the account that the address has.
	SignIn bool `json:"sign_in,omitempty"`
}

// confirmBody is /confirm as JSON.
type confirmBody struct {
	H       string `json:"h"`
	Purpose string `json:"purpose"`
	Cancel  bool   `json:"cancel,omitempty"`
	Account string `json:"account"`
	Site    string `json:"site"`
	Device  string `json:"device,omitempty"`
	Network string `json:"network,omitempty"`
	// SameBrowser is set when this browser asked; Other is another account it is signed in to, masked.
	SameBrowser  bool   `json:"same_browser"`
	OtherAccount string `json:"signed_in_as,omitempty"`
	AskName      bool   `json:"ask_name,omitempty"`
	// AskPassword is set when a new password of MinLength characters or more can be sent along; purpose reset needs one.
	AskPassword bool   `json:"ask_password,omitempty"`
	MinLength   int    `json:"min_length,omitempty"`
	ReturnTo    string `json:"return_to,omitempty"`
	// Destination is set, and H is not, when the link has been used and this browser holds the session or hand-over it opened.
	Destination string `json:"destination,omitempty"`
	// App is set when an app has started the flow: it ends in a hand-over and not in a session here.
	App bool `json:"app,omitempty"`
	// NewAddress is the address that the account is to have, where the link goes to its present one.
	NewAddress string `json:"new_address,omitempty"`
	// Invitation is set when it accepts one.
	Invitation *invitationBody `json:"invitation,omitempty"`
}

func previewBody(o flow.LinkPreview) confirmBody {
	b := confirmBody{
		H: o.H, Purpose: o.Purpose, Cancel: o.Cancel, Account: o.Masked, Site: o.Site, Device: o.Device, Network: o.Network,
		SameBrowser: o.SameBrowser, OtherAccount: o.OtherAccount, AskName: o.AskName, AskPassword: o.AskPassword,
		MinLength: o.MinLength, ReturnTo: o.ReturnTo, Destination: o.Destination, App: o.App,
		NewAddress: o.NewAddress,
	}
	if i := o.Invitation; i != nil {
		b.Invitation = &invitationBody{Inviter: i.Inviter, Site: i.Site, Roles: i.Roles, Name: i.Name, Note: i.Note, SignIn: i.SignIn}
	}
	if (o.SameBrowser || flow.IsAddressPurpose(o.Purpose)) && !o.Cancel {
		b.Account = o.Address
	}
	return b
}

// confirm does what the page said, if it is still what is parked.
func (x *exchange) confirm() {
	if x.confirmEntry(true) {
		return
	}
	names := []string{"h", "name"}
	if x.passwords() {
		names = append(names, "password", usernameField)
	}
	fields, err := x.form(names...)
	if err != nil {
		x.refuseForm(err)
		return
	}
	if x.Cookies.Token == "" {
		if x.json {
			x.noParkedToken()
			return
		}
		x.redirect(x.path("/confirm"))
		return
	}
	preview, err := x.Flows.Open(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Token)
	if err == nil && preview.Cancel {
		x.confirmCancel(fields["h"])
		return
	}
	if err == nil && preview.Purpose == flow.UndoDeletion {
		x.undoDeletion(fields["h"])
		return
	}
	if err == nil && flow.IsAddressPurpose(preview.Purpose) {
		x.confirmAddress(fields["h"])
		return
	}
	if err != nil && !errors.Is(err, flow.ErrDead) {
		x.refuseWith(x.problemOf(err))
		return
	}
	// A dead link goes on to Confirm, too: the first replay by POST is an event.
	done, err := x.Flows.Confirm(x.r.Context(), x.Site.Site, x.requester(), flow.ConfirmInput{
		Token: x.Cookies.Token, H: fields["h"], Name: fields["name"], Password: fields["password"],
	})
	if err != nil {
		x.refuseConfirm(x.problemOf(err), fields["name"])
		return
	}
	if done.Reset {
		x.resetDone(done)
		return
	}
	x.signedIn(done, preview.SameBrowser)
	x.done(done)
}

// refuseConfirm shows what is parked now, with what went wrong.
func (x *exchange) refuseConfirm(p problem, name string) {
	form := p.code == templates.Changed || p.code == templates.InvalidName || p.code == templates.Busy || p.code == templates.Limited ||
		p.words().NewPassword()
	switch {
	case p.code == templates.DeadLink:
		x.deadLink()
	case (form || p.code == templates.SignInRequired) && !x.json:
		x.showParked(p, name)
	default:
		x.refuseWith(p)
	}
}
