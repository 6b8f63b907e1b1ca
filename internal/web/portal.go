package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// Portal is the one sign-in of several sites.
type Portal struct {
	// Origin is the portal's, and Base the address of its pages, such as https://auth.example.com/email-link.
	Origin, Base string
	// Sites are those that it signs in for and whose host is known, in the order of the launcher.
	Sites []PortalSite
	// Site returns the site with an origin, nil where the portal signs in for none such.
	Site func(origin string) *PortalSite
}

// PortalSite is a site that a portal signs in for.
type PortalSite struct {
	// Origin is the site's, Base the address of its pages there, and Name what people call it.
	Origin, Base, Name string
	// Logo is the picture beside the name; it may be none.
	Logo File
	// Admits reports whether an account passes what the site requires.
	Admits func(a *accounts.Account) bool
	// LogRefusal writes the line of the log about an account that the site does not admit, and returns the reference that line and page show.
	LogRefusal func(r *http.Request, a *accounts.Account) (reference string)
}

// isPortal reports whether this site is the portal.
func (x *exchange) isPortal() bool { return x.Site.Portal != nil && !x.Site.Led }

// Paths of the hand-over.
const (
	openPath  = "/open"
	enterPath = "/enter"
)

// defaultFresh is how old a proof may be that a person asks to give anew, where no site asks for one.
const defaultFresh = time.Minute

// toPortal answers for a page of signing in at a site whose people do so at a portal: a browser is led there, and what reads no pages is told
// the address. It returns false for every other page and site.
func (x *exchange) toPortal(page string) bool {
	if !x.Site.Led {
		return false
	}
	switch page {
	case "/sign-in", "/sign-up":
	case "/reset", "/password", accountPath:
		x.leadTo(x.Site.Portal.Base+page, page)
		return true
	default:
		if strings.HasPrefix(page, accountPath+"/") { // the address of a form there
			x.leadTo(x.Site.Portal.Base+accountPath, accountPath)
			return true
		}
		return false
	}
	back, query := x.queryReturnTo(), x.r.URL.Query()
	fresh := time.Duration(0)
	switch {
	case x.Live == nil || x.json || query.Has("other"):
	case query.Has("again"):
		fresh = cmp.Or(x.Site.MaxAge, defaultFresh)
	default:
		x.redirect(cmp.Or(back, "/"))
		return true
	}
	binder := x.Cookies.Portal
	if !flow.IsBinder(binder) {
		binder = flow.NewBinder()
	}
	request, err := x.Flows.SealPortalRequest(x.Site.Portal.Origin, binder, flow.PortalRequest{
		Site: x.Site.Origin, Path: cmp.Or(back, "/"), Fresh: fresh, Retry: query.Has("retry"),
	})
	if err != nil {
		x.refuseWith(x.problemOf(err))
		return true
	}
	if !x.json {
		x.setCookie(boundary.PortalCookie, binder, flow.BinderLifetime)
	}
	open := openPath + "?r=" + request
	back = "return_to=" + url.QueryEscape(strings.TrimPrefix(x.Site.Portal.Base, x.Site.Portal.Origin)+open)
	switch {
	case page == "/sign-up":
		open = page + "?" + back
	case x.Live != nil && query.Has("other"): // open would lead back with the account in use
		open = page + "?other=1&" + back
	}
	x.leadTo(x.Site.Portal.Base+open, page)
	return true
}

// leadTo leads a browser to an address at the portal, and tells everything else the address of a page there.
func (x *exchange) leadTo(address, page string) {
	if x.json {
		x.refuseWith(problem{status: http.StatusConflict, code: templates.Portal, address: x.Site.Portal.Base + page})
		return
	}
	x.redirect(address)
}

// appAt returns the site that a path to return to at this portal leads to, and the path there: openPath with a site's request, or with the
// name of a site. Beside accountPath it is the one below the prefix. The site is nil for every other path.
func (x *exchange) appAt(raw string) (site *PortalSite, path string) {
	if x.Site == nil || !x.isPortal() || len(raw) > flow.MaxReturnTo {
		return nil, ""
	}
	query, ok := strings.CutPrefix(raw, x.path(openPath)+"?")
	if !ok {
		return nil, ""
	}
	if text, ok := strings.CutPrefix(query, "r="); ok {
		if request, ok := x.Flows.ReadPortalRequest(x.Site.Site, text); ok {
			return x.Site.Portal.Site(request.Site), request.Path
		}
		return nil, ""
	}
	if text, ok := strings.CutPrefix(query, "app="); ok {
		if origin, err := url.QueryUnescape(text); err == nil {
			return x.Site.Portal.Site(origin), "/"
		}
	}
	return nil, ""
}

// open is where a site's request arrives at the portal. No page is shown at its address.
func (x *exchange) open() {
	if !x.isPortal() {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	x.w.Header().Set("Referrer-Policy", "no-referrer")
	if boundary.IsPrefetch(x.r) {
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
		return
	}
	if origin, ok := x.onlyQuery("app"); ok {
		if site := x.Site.Portal.Site(origin); site != nil && x.r.Method == http.MethodGet {
			x.redirect(site.Origin + "/") // which begins anew, in whatever browser this is
			return
		}
	}
	text, _ := x.onlyQuery("r")
	request, ok := x.Flows.ReadPortalRequest(x.Site.Site, text)
	var site *PortalSite
	if ok {
		site = x.Site.Portal.Site(request.Site)
	}
	_, says := x.r.Header["Sec-Fetch-Mode"]
	if site == nil || x.r.Method != http.MethodGet || says && !boundary.OneClickHeaders(x.r) { // a frame, or a request of a script
		x.redirect(x.path("/"))
		return
	}
	back := "return_to=" + url.QueryEscape(x.path(openPath)+"?r="+text)
	switch {
	case x.Live == nil:
		x.redirect(x.path("/sign-in?") + back)
		return
	case !site.Admits(&x.Live.Account):
		x.redirect(x.path("/?app=") + url.QueryEscape(site.Origin))
		return
	case x.Flows.NeedsProof(request, x.Live):
		x.redirect(x.path("/sign-in?again=1&") + back)
		return
	}
	entry, err := x.Flows.MakeEntry(x.r.Context(), request, x.Live)
	if errors.Is(err, flow.ErrDead) {
		x.redirect(site.Base + "/sign-in?return_to=" + url.QueryEscape(request.Path)) // which asks anew
		return
	}
	if err != nil {
		x.refuseWith(x.problemOf(err))
		return
	}
	x.redirect(site.Base + enterPath + "?t=" + entry)
}

// onlyQuery returns the value of a parameter that is there once.
func (x *exchange) onlyQuery(name string) (value string, ok bool) {
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil || len(values[name]) != 1 {
		return "", false
	}
	return values.Get(name), true
}

// parkedEntry marks an entry in the cookie of a parked token. No mailed token holds a full stop at its beginning.
const parkedEntry = ".enter."

// enter is where the portal leads a browser back to the site. No page is shown at its address.
func (x *exchange) enter() {
	if !x.Site.Led {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	x.w.Header().Set("Referrer-Policy", "no-referrer")
	if boundary.IsPrefetch(x.r) {
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
		return
	}
	text, ok := x.onlyQuery("t")
	if !ok || x.r.Method != http.MethodGet {
		x.redirect("/")
		return
	}
	preview, err := x.Flows.OpenEntry(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Portal, text)
	_, says := x.r.Header["Sec-Fetch-Mode"]
	switch {
	case err != nil:
		x.refuseEntry(preview, err)
	case preview.Entered:
		x.redirect(x.entryPath(preview.Path))
	case !says || preview.OtherAccount != "":
		x.setCookie(boundary.TokenCookie, parkedEntry+text, flow.EntryLifetime)
		x.redirect(x.path("/confirm"))
	case !boundary.OneClickHeaders(x.r):
		x.redirect("/") // a frame, or a request of a script
	default:
		x.useEntry(text, "", preview)
	}
}

// entryPath returns the path that an entry leads to. It was judged before it was sealed, perhaps by another configuration.
func (x *exchange) entryPath(path string) string { return cmp.Or(x.returnTo(path), "/") }

// refuseEntry begins anew where an entry opens nothing, once: a browser that keeps no cookies would go round for ever.
func (x *exchange) refuseEntry(preview flow.Entry, err error) {
	switch {
	case !errors.Is(err, flow.ErrDead) && !errors.Is(err, flow.ErrChanged):
		x.refuseWith(x.problemOf(err))
	case preview.Retry:
		x.redirect(x.path("/confirm"))
	default:
		x.redirect(x.path("/sign-in?retry=1&return_to=") + url.QueryEscape(x.entryPath(preview.Path)))
	}
}

// useEntry signs in at the site.
func (x *exchange) useEntry(text, h string, preview flow.Entry) {
	done, err := x.Flows.Enter(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Portal, text, h)
	if err != nil {
		x.refuseEntry(preview, err)
		return
	}
	if done.Ephemeral {
		x.writeCookie(boundary.SessionCookie, done.SessionCookie, 0)
	} else {
		x.setCookie(boundary.SessionCookie, done.SessionCookie, done.Session.Key.Ends().Sub(x.Clock.Now()))
	}
	if x.Cookies.Token != "" {
		x.clearCookie(boundary.TokenCookie)
	}
	x.redirect(x.entryPath(done.Path))
}

// confirmEntry shows the page of a parked entry, or does what it says. It reports whether one is parked.
func (x *exchange) confirmEntry(press bool) bool {
	text, ok := strings.CutPrefix(x.Cookies.Token, parkedEntry)
	if !ok || !x.Site.Led {
		return false
	}
	preview, err := x.Flows.OpenEntry(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Portal, text)
	switch {
	case err != nil:
		x.clearCookie(boundary.TokenCookie)
		x.refuseEntry(preview, err)
	case preview.Entered:
		x.clearCookie(boundary.TokenCookie)
		x.redirect(x.entryPath(preview.Path))
	case press:
		fields, err := x.form("h")
		if err != nil {
			x.refuseForm(err)
			return true
		}
		x.useEntry(text, cmp.Or(fields["h"], "none"), preview)
	default:
		x.page(http.StatusOK, templates.Confirm{
			Token: preview.H, Account: preview.Masked, SameBrowser: true, SignedInAs: preview.OtherAccount, Portal: true,
		})
	}
	return true
}

// besidePortal answers for everything at the portal that is none of its pages.
func (x *exchange) besidePortal() {
	if x.r.URL.Path == "/" {
		x.redirect(x.path("/"))
		return
	}
	x.refuse(http.StatusNotFound, templates.NotFound)
}

// refuseFrame answers in a frame. What opens a site in a frame of another one is kept from its cookies, so no sign-in could work there: the
// page leads to a window of its own, and may be framed therefore.
func (x *exchange) refuseFrame() {
	x.setHeaders()
	x.negotiate()
	h := x.w.Header()
	h.Del("X-Frame-Options")
	h.Set("Content-Security-Policy", strings.ReplaceAll(contentPolicy(nil), "; frame-ancestors 'none'", ""))
	p := problem{status: http.StatusUnauthorized, code: templates.SignInRequired}
	x.refuseOn(p, templates.Refused{Status: p.status, Problem: p.words(), NextSteps: []templates.NextStep{
		{Kind: templates.StepWindow, Address: cmp.Or(x.requestedPage(), "/")},
	}})
}

// launcher returns the sites that the person may open.
func (x *exchange) launcher() (list []templates.App) {
	for i := range x.Site.Portal.Sites {
		s := &x.Site.Portal.Sites[i]
		if !s.Admits(&x.Live.Account) {
			continue
		}
		app := templates.App{Name: s.Name, Address: s.Origin}
		if s.Logo.Name != "" {
			app.Logo = x.path("/assets/" + s.Logo.Name)
		}
		list = append(list, app)
	}
	return list
}

// refusedApp returns the site that the query names and that this account may not open, nil if there is none.
func (x *exchange) refusedApp() *PortalSite {
	origin, ok := x.onlyQuery("app")
	if !ok || !x.isPortal() {
		return nil
	}
	if s := x.Site.Portal.Site(origin); s != nil && !s.Admits(&x.Live.Account) {
		return s
	}
	return nil
}

// file returns the logo of a name.
func (p *Portal) file(name string) (File, bool) {
	for i := range p.Sites {
		if f := p.Sites[i].Logo; f.Name != "" && f.Name == name {
			return f, true
		}
	}
	return File{}, false
}
