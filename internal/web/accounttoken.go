package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// newTokenPath is the page on which people make machine tokens of their own.
const newTokenPath = accountPath + "/tokens/new"

// Bounds and default of what people choose for a token.
const (
	maxTokenName = 60
	tokenDays    = 30
	maxTokenDays = int(machinetoken.MaxTTL / (24 * time.Hour))
)

// scopeField begins the names of the form's check boxes, one for each scope.
const scopeField = "scope."

// mayMakeTokens reports whether people make machine tokens here: with the password or a mailed code, one of which there has to be.
func (x *exchange) mayMakeTokens() bool {
	return x.Site.may(selfservice.Tokens) && len(x.Site.SelfScopes) > 0 && (!x.Site.NoMail || x.passwords())
}

// tokenForm is the form of a new token.
func (x *exchange) tokenForm() {
	switch {
	case x.refuseSignedOut():
	case !x.mayMakeTokens():
		x.refuse(http.StatusNotFound, templates.NotFound)
	case x.json:
		x.methodNotAllowedOr(newTokenPath)
	default:
		x.showTokenForm(problem{status: http.StatusOK}, templates.TokenForm{Days: tokenDays})
	}
}

// showTokenForm shows the form with what was typed in it.
func (x *exchange) showTokenForm(p problem, f templates.TokenForm) {
	o, err := x.Self.Overview(x.r.Context(), x.Live)
	if err != nil {
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
		return
	}
	f.Email, f.Current, f.MaxDays, f.Problem = x.Live.Account.Email, x.passwords() && o.Password, maxTokenDays, p.words()
	for _, s := range x.Site.SelfScopes {
		f.Scopes = append(f.Scopes, templates.CheckBox{Name: s, Checked: slices.Contains(f.Chosen, s)})
	}
	for _, origin := range x.openSites() {
		f.Sites = append(f.Sites, templates.SiteChoice{Origin: origin, Name: x.siteName(origin), Chosen: origin == f.Site})
	}
	x.refuseOn(p, f)
}

// openSites returns the sites that a token or an invitation of this person's can be for: with a portal those that the person may open.
func (x *exchange) openSites() (origins []string) {
	if !x.isPortal() {
		return []string{x.Site.Origin}
	}
	for i := range x.Site.Portal.Sites {
		if s := &x.Site.Portal.Sites[i]; s.Admits(&x.Live.Account) {
			origins = append(origins, s.Origin)
		}
	}
	return origins
}

// makeToken makes a token, for a proof. Its name, site, scopes and lifetime are sealed with it.
func (x *exchange) makeToken() {
	names := []string{"name", "site", "scope", "days", "current", usernameField}
	for _, s := range x.Site.SelfScopes {
		names = append(names, scopeField+s)
	}
	fields, ok := x.readAccountForm(selfservice.Tokens, names...)
	if !ok {
		return
	}
	if !x.mayMakeTokens() {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	t, p := x.readToken(fields)
	typed := templates.TokenForm{Name: t.Name, Site: t.Site, Chosen: t.Scopes, Days: int(t.TTL / (24 * time.Hour))}
	x.formAgain = func(p problem) { x.showTokenForm(p, typed) }
	if p.code != "" {
		x.refuseAct(p)
		return
	}
	x.act(flow.Act{Kind: flow.MakeToken, Token: &t}, fields["current"])
}

// readToken reads the form. p says what is wrong with it.
func (x *exchange) readToken(fields map[string]string) (t outbox.NewToken, p problem) {
	t = outbox.NewToken{Name: strings.TrimSpace(fields["name"]), Site: fields["site"], Scopes: strings.Fields(fields["scope"])}
	for _, s := range x.Site.SelfScopes {
		if fields[scopeField+s] == "1" && !slices.Contains(t.Scopes, s) {
			t.Scopes = append(t.Scopes, s)
		}
	}
	days, err := strconv.Atoi(fields["days"])
	if fields["days"] == "" {
		days, err = tokenDays, nil
	}
	t.TTL = time.Duration(min(max(days, 0), maxTokenDays+1)) * 24 * time.Hour
	sites := x.openSites()
	if t.Site == "" && len(sites) == 1 {
		t.Site = sites[0]
	}
	unknown := slices.ContainsFunc(t.Scopes, func(s string) bool { return !slices.Contains(x.Site.SelfScopes, s) })
	switch {
	case accounts.CheckName(t.Name) != nil || len(t.Name) > maxTokenName || strings.ContainsAny(t.Name, "./:@<>\\"):
		// The name is in the mail of the code: nothing in it becomes a link there.
		return t, problem{status: http.StatusBadRequest, code: templates.InvalidName, field: "name"}
	case len(t.Scopes) == 0 || len(t.Scopes) > machinetoken.MaxScopes || unknown:
		return t, problem{status: http.StatusBadRequest, code: templates.InvalidScope, field: "scope"}
	case err != nil || days < 1 || days > maxTokenDays:
		return t, problem{status: http.StatusBadRequest, code: templates.InvalidDays, field: "days"}
	case !slices.Contains(sites, t.Site):
		return t, problem{status: http.StatusBadRequest, code: templates.BadForm, field: "site"}
	}
	return t, problem{}
}

// tokenMade shows a new token, once.
func (x *exchange) tokenMade(done selfservice.Performed) {
	ends := x.Clock.ToWall(done.Token.Key.Ends()).UTC()
	if x.json {
		x.replyOK(http.StatusOK, map[string]any{"status": "created", "id": done.Token.ID, "token": done.Text, "ends": ends})
		return
	}
	x.page(http.StatusOK, templates.TokenMade{Text: done.Text, Token: *newToken(done.Act.Token), Ends: ends})
}

// newToken returns the token of an act as pages and mails name it, nil where there is none.
func newToken(t *outbox.NewToken) *templates.NewToken {
	if t == nil {
		return nil
	}
	return &templates.NewToken{Name: t.Name, Site: hostOf(t.Site), Scopes: t.Scopes, Lifetime: t.TTL}
}
