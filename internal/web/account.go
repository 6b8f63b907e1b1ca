package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/timezone"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// accountPath is the page of a person's own account.
const accountPath = "/account"

// Queries of the page that say what has just been done.
const (
	accountEnded    = "ended"
	accountOthers   = "others"
	accountRevoked  = "revoked"
	accountSaved    = "saved"
	accountName     = "name"
	accountLanguage = "language"
	accountTimezone = "timezone"
	accountStopped  = "stopped"
	accountChanged  = "changed"

	accountInvited   = "invited"
	accountWithdrawn = "withdrawn"
)

// accountNotes are those which the page knows by their word alone.
var accountNotes = []string{
	accountEnded, accountOthers, accountRevoked, accountName, accountLanguage, accountTimezone, accountStopped, accountChanged, accountWithdrawn,
}

// accountStatus has the JSON status of what the page says in more words.
var accountStatus = map[string]string{accountOthers: accountEnded, accountName: accountSaved, accountLanguage: accountSaved, accountTimezone: accountSaved}

// maxShownSessions is how many browsers the page lists; JSON lists them all.
const maxShownSessions = 20

// may reports whether people may do something with their accounts at this site.
func (s *Site) may(act selfservice.Act) bool { return len(s.Acts) == 0 || slices.Contains(s.Acts, act) }

// refuseSignedOut answers without a session: a person signs in first, and what reads no pages is told where.
func (x *exchange) refuseSignedOut() bool {
	switch {
	case x.Live != nil:
		return false
	case x.json || x.r.Method == http.MethodPost:
		x.refuseWith(x.signInRequired())
	default:
		x.redirect(x.accountSignIn())
	}
	return true
}

// accountSignIn is where a person signs in who comes back to the page of the account.
func (x *exchange) accountSignIn() string {
	return x.path("/sign-in?return_to=") + url.QueryEscape(x.path(accountPath))
}

// account shows a person's own account.
func (x *exchange) account() {
	if !x.refuseSignedOut() {
		x.showAccount(problem{status: http.StatusOK}, "")
	}
}

// showAccount shows the account, with what was wrong with a form: name is the one that was refused.
func (x *exchange) showAccount(p problem, name string) {
	o, err := x.Self.Overview(x.r.Context(), x.Live)
	var change *flow.AddressChange
	if err == nil {
		change, err = x.addressChange()
	}
	switch {
	case err != nil:
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
	case x.json && p.status == http.StatusOK:
		body := x.accountBody(o)
		body.AddressChange = x.addressChangeBody(change)
		x.replyOK(http.StatusOK, body)
	default:
		f := x.accountFacts(o, p, name)
		f.Address = x.addressFacts(change)
		x.refuseOn(p, f)
	}
}

// accountFacts fills the page.
func (x *exchange) accountFacts(o selfservice.Overview, p problem, name string) templates.Account {
	f := templates.Account{
		Email: o.Account.Email, Name: o.Account.Name, MayName: x.Site.may(selfservice.Name), Language: x.mailLanguage(o.Account.Language),
		Sessions: x.Site.may(selfservice.Sessions), Passwords: x.changesPassword(), Password: o.Password, Problem: p.words(),
		Current: x.passwords() && o.Password,
	}
	f.Delete, f.NewToken = x.mayDelete(), x.mayMakeTokens()
	f.Export = x.Site.may(selfservice.Export) && (f.Current || !x.Site.NoMail)
	f.TypedName = f.Name
	f.Timezone, f.Regions = o.Account.Timezone, timezoneRegions()
	if f.Timezone != "UTC" && !timezone.Listed(f.Timezone) {
		f.OtherTimezone = f.Timezone
	}
	if p.code == templates.InvalidName {
		f.TypedName = name
	}
	if done := x.r.URL.RawQuery; slices.Contains(accountNotes, done) {
		f.Done = done
	}
	if f.Sessions {
		shown := o.Sessions[:min(len(o.Sessions), maxShownSessions)]
		for _, s := range shown {
			f.Browsers = append(f.Browsers, templates.SignedInBrowser{
				ID: s.ID, Device: s.Device, Network: s.Network, Methods: s.Methods, Since: s.SignedIn, Seen: s.Seen, Current: s.Current,
				Sites: x.siteNames(s.Sites),
			})
		}
		f.More, f.Others = len(o.Sessions)-len(shown), slices.ContainsFunc(o.Sessions, func(s selfservice.Session) bool { return !s.Current })
	}
	if x.Site.may(selfservice.Tokens) {
		for _, t := range o.Tokens {
			f.Tokens = append(f.Tokens, templates.AccountToken{
				ID: t.ID, Name: t.Name, Scopes: t.Scopes, Site: x.siteName(t.Site), Created: t.Created, Ends: t.Ends,
			})
		}
	}
	x.invitationFacts(&f, o.Invitations)
	for _, e := range o.Events {
		f.Events = append(f.Events, templates.AccountEvent{
			Time: e.Time, Name: e.Name, Purpose: e.Purpose, Outcome: e.Outcome, Site: x.siteName(e.Site), Network: e.Client, Operator: e.Operator,
		})
	}
	return f
}

// siteName returns what people call the site with an origin.
func (x *exchange) siteName(origin string) string { return x.Site.nameOf(origin) }

func (s *Site) nameOf(origin string) string {
	if s.Portal != nil {
		if s := s.Portal.Site(origin); s != nil {
			return s.Name
		}
	}
	return hostOf(origin)
}

// siteNames returns what people call the sites of one browser. The portal is no site of theirs.
func (x *exchange) siteNames(origins []string) (names []string) {
	for _, o := range origins {
		if x.Site.Portal == nil || o != x.Site.Portal.Origin {
			names = append(names, x.siteName(o))
		}
	}
	return names
}

// accountBody is the account as JSON, in the words of the operator's commands.
type accountBody struct {
	Sub      string           `json:"sub"`
	Email    string           `json:"email"`
	Name     string           `json:"name,omitempty"`
	Language string           `json:"language,omitempty"`
	Timezone string           `json:"timezone,omitempty"`
	Roles    []string         `json:"roles,omitempty"`
	Password bool             `json:"password"`
	Sessions []accountSession `json:"sessions,omitempty"`
	Tokens   []accountToken   `json:"tokens,omitempty"`
	// Invitations are those that the account has sent and that have not expired.
	Invitations []accountInvitation `json:"invitations,omitempty"`
	// AddressChange is the change of the address that waits for its mailboxes.
	AddressChange *addressChangeBody `json:"address_change,omitempty"`
	Events        []accountEvent     `json:"events"`
}

type accountSession struct {
	ID string `json:"id"`
	// Sites are the origins at which this browser is signed in by the session.
	Sites    []string  `json:"sites"`
	Device   string    `json:"device,omitempty"`
	Network  string    `json:"network,omitempty"`
	Methods  []string  `json:"methods"`
	SignedIn time.Time `json:"signed_in"`
	Seen     time.Time `json:"seen"`
	Ends     time.Time `json:"ends"`
	// Current is set for the session that asks.
	Current bool `json:"current,omitempty"`
}

type accountToken struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Site    string    `json:"site"`
	Scopes  []string  `json:"scopes"`
	Created time.Time `json:"created"`
	Ends    time.Time `json:"ends"`
}

type accountInvitation struct {
	ID    string    `json:"id"`
	Email string    `json:"email"`
	Site  string    `json:"site"`
	Roles []string  `json:"roles"`
	Sent  time.Time `json:"sent"`
	Ends  time.Time `json:"ends"`
	// Status is "sent" while it may be accepted, and "ended" whatever has ended it.
	Status string `json:"status"`
}

type accountEvent struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	Purpose string    `json:"purpose,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	Site    string    `json:"site,omitempty"`
	Client  string    `json:"client,omitempty"`
	// Operator is set where a command of an operator did it.
	Operator bool `json:"operator,omitempty"`
}

// accountBody is what people may see of the account on this site.
func (x *exchange) accountBody(o selfservice.Overview) accountBody {
	if !x.Site.may(selfservice.Sessions) {
		o.Sessions = nil
	}
	if !x.Site.may(selfservice.Tokens) {
		o.Tokens = nil
	}
	return wholeBody(o)
}

func wholeBody(o selfservice.Overview) accountBody {
	a := o.Account
	b := accountBody{
		Sub: a.ID, Email: a.Email, Name: a.Name, Language: a.Language, Timezone: a.Timezone, Roles: a.Roles, Password: o.Password, Events: []accountEvent{},
	}
	for _, s := range o.Sessions {
		b.Sessions = append(b.Sessions, accountSession{s.ID, s.Sites, s.Device, s.Network, s.Methods, s.SignedIn, s.Seen, s.Ends, s.Current})
	}
	for _, t := range o.Tokens {
		b.Tokens = append(b.Tokens, accountToken{t.ID, t.Name, t.Site, t.Scopes, t.Created, t.Ends})
	}
	for _, i := range o.Invitations {
		status := "ended"
		if i.Open {
			status = "sent"
		}
		b.Invitations = append(b.Invitations, accountInvitation{i.ID, i.Email, i.Site, i.Roles, i.Sent, i.Ends, status})
	}
	for _, e := range o.Events {
		b.Events = append(b.Events, accountEvent{e.Time, e.Name, e.Purpose, e.Outcome, e.Site, e.Client, e.Operator})
	}
	return b
}

// accountForm answers a GET of the address of a form: the form itself is on the page of the account.
func (x *exchange) accountForm() { x.methodNotAllowedOr(accountPath) }

// readAccountForm reads a form of the page. ok is false when it has been answered: without a session, where people may not do this, and where
// the form is not one.
func (x *exchange) readAccountForm(act selfservice.Act, names ...string) (fields map[string]string, ok bool) {
	if x.refuseSignedOut() {
		return nil, false
	}
	if act != "" && !x.Site.may(act) {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return nil, false
	}
	fields, err := x.form(names...)
	if err != nil {
		x.refuseForm(err)
		return nil, false
	}
	return fields, true
}

// actor describes the browser that acts for the audit log.
func (x *exchange) actor() selfservice.Client {
	return selfservice.Client{Site: x.Site.Origin, Network: boundary.NetworkText(x.Client)}
}

// endSessions ends one session of the account, or all but this one.
func (x *exchange) endSessions() {
	fields, ok := x.readAccountForm(selfservice.Sessions, "session", "others")
	if !ok {
		return
	}
	one, others := fields["session"], fields["others"]
	switch {
	case (one == "") == (others == "") || others != "" && others != "1":
		x.refuseForm(errForm)
		return
	case one == x.Live.Session.ID:
		x.leave(false)
		return
	case one != "":
		x.accountDone(x.Self.EndSession(x.r.Context(), x.Live, one, x.actor()), accountEnded, "")
	default:
		_, err := x.Self.EndOthers(x.r.Context(), x.Live, x.actor())
		x.accountDone(err, accountOthers, "")
	}
}

// revokeToken ends a machine token of the account.
func (x *exchange) revokeToken() {
	if fields, ok := x.readAccountForm(selfservice.Tokens, "token"); ok {
		x.accountDone(x.Self.RevokeToken(x.r.Context(), x.Live, fields["token"], x.actor()), accountRevoked, "")
	}
}

// setName changes the name of the account.
func (x *exchange) setName() {
	if fields, ok := x.readAccountForm(selfservice.Name, "name"); ok {
		x.accountDone(x.Self.SetName(x.r.Context(), x.Live, fields["name"], x.actor()), accountName, fields["name"])
	}
}

// accountDone answers an act on the account. done says what it was, name is the one that was typed.
func (x *exchange) accountDone(err error, done, name string) {
	var invalid *accounts.InvalidError
	switch {
	case errors.As(err, &invalid):
		p := problem{status: http.StatusBadRequest, code: templates.InvalidName, field: invalid.Field}
		if invalid.Field == "timezone" {
			p.code = templates.InvalidTimezone
		}
		if x.json {
			x.refuseWith(p)
			return
		}
		x.showAccount(p, name)
	case errors.Is(err, session.ErrEnded):
		x.refuseWith(x.signInRequired())
	case errors.Is(err, selfservice.ErrNotFound) && x.json:
		x.refuse(http.StatusNotFound, templates.NotFound)
	case err != nil && !errors.Is(err, selfservice.ErrNotFound):
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
	case x.json:
		x.replyOK(http.StatusOK, map[string]string{"status": cmp.Or(accountStatus[done], done)})
	default: // what has ended meanwhile is what the person wanted
		x.redirect(x.path(accountPath) + "?" + done)
	}
}
