// Package web is our pages and endpoints: everything below a site's path prefix, in plain net/http.
//
// It turns requests into steps of package flow and their results into pages, JSON, cookies and redirects. It judges what is
// in method, headers and body (cross-origin requests, forms, one click); everything else is flow's. There is one file for
// each noun, with the same name as in the other layers.
package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/timezone"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// Site is one site as its pages need it. It is built once and read only afterwards.
type Site struct {
	// Site is what flows need: Origin, Prefix, policy and limits.
	flow.Site
	// Name is the site's name; empty: its host. Contact is whom people ask for help; it may be empty.
	Name, Contact string
	// FormActions are origins that a form may lead to beside the site's own: those of base_url and the portal.
	FormActions []string
	// Audience is the audience of the site's assertions.
	Audience string
	// Secure is set when Origin is https: it decides the names and the attributes of cookies.
	Secure bool
	// Portal is where people sign in, nil where each site has its own pages; Led is set where that is another site than this one.
	Portal *Portal
	Led    bool
	// MaxAge is the least max_age of the site, 0 where there is none.
	MaxAge time.Duration
	// Brand is how the site's pages look.
	Brand Brand
	// Acts are what people may do with their accounts. Empty: everything.
	Acts []selfservice.Act
	// SelfScopes are the scopes of machine tokens that people make by themselves; none: they make no tokens.
	SelfScopes []string
}

// Host returns the host of the site's origin, with its port when that is not the scheme's own.
func (s *Site) Host() string {
	return hostOf(s.Origin)
}

func hostOf(origin string) string {
	if _, host, ok := strings.Cut(origin, "://"); ok {
		return host
	}
	return origin
}

// Visit is one request as the gate has judged it before it came here. Our cookies have been taken from the request.
type Visit struct {
	// Site is the site of the request's Host. In a refusal it may be nil.
	Site *Site
	// Client is the client's address, invalid when unknown.
	Client netip.Addr
	// Live is the session of this browser at this site, nil when there is none.
	Live *session.Live
	// Token is the machine token of this request, nil when there is none. Beside one there is no session.
	Token *machinetoken.Live
	// Cookies are the values of our cookies.
	Cookies boundary.Cookies
	// URI is the path and query as the client sent them, before any rewrite; empty: those of the request.
	URI string
	// Reference is what a refusal shows, for the operator to find it in the log; empty: nothing.
	Reference string
}

// Pages serves our own pages. All fields but RequiredRoles, JWKS, Health, AnswerNonce and Log are required. It is safe for concurrent use.
type Pages struct {
	Flows     *flow.Service
	Sessions  *session.Manager
	Self      *selfservice.Service
	Templates *templates.Set
	Clock     *clock.Clock
	// RequiredRoles are those that a site requires; it may be empty.
	RequiredRoles []string
	// Log gets a line for what no other package writes; nil disables logging.
	Log *slog.Logger
	// JWKS returns the public signing keys as JSON; nil: /jwks.json is 404.
	JWKS func() []byte
	// Health returns why the gate cannot work. While it works from what it has read before, because its database is away, it returns until
	// when; that is zero otherwise. Nil: it always can.
	Health func() (servingUntil time.Time, err error)
	// AnswerNonce returns what /health answers to a nonce; nil: nothing.
	AnswerNonce func(nonce string) string
}

// route is what one path does. A nil handler is a method that the path does not take; HEAD goes where GET goes.
type route struct {
	get, post func(*exchange)
}

// routes are all our paths below the prefix.
var routes = map[string]route{
	"":          {get: (*exchange).home},
	"/":         {get: (*exchange).home},
	"/sign-in":  {get: (*exchange).signInForm, post: (*exchange).signIn},
	"/sign-up":  {get: (*exchange).signUpForm, post: (*exchange).signUp},
	"/reset":    {get: (*exchange).resetForm, post: (*exchange).reset},
	"/password": {get: (*exchange).passwordForm, post: (*exchange).changePassword},
	"/resend":   {get: (*exchange).resendPage, post: (*exchange).resend},
	"/code":     {get: (*exchange).codePage, post: (*exchange).code},
	"/open":     {get: (*exchange).open},
	"/enter":    {get: (*exchange).enter},
	"/account":  {get: (*exchange).account},

	"/account/sessions":        {get: (*exchange).accountForm, post: (*exchange).endSessions},
	"/account/tokens":          {get: (*exchange).accountForm, post: (*exchange).revokeToken},
	"/account/name":            {get: (*exchange).accountForm, post: (*exchange).setName},
	"/account/export":          {get: (*exchange).accountForm, post: (*exchange).export},
	"/account/proof":           {get: (*exchange).proofPage, post: (*exchange).prove},
	"/account/tokens/new":      {get: (*exchange).tokenForm, post: (*exchange).makeToken},
	"/account/invitations":     {get: (*exchange).accountForm, post: (*exchange).revokeInvitation},
	"/account/invitations/new": {get: (*exchange).invitationForm, post: (*exchange).invite},
	"/account/delete":          {get: (*exchange).deletePage, post: (*exchange).delete},
	"/account/language":        {get: (*exchange).accountForm, post: (*exchange).setMailLanguage},
	"/account/timezone":        {get: (*exchange).accountForm, post: (*exchange).setTimezone},

	"/account/address":      {get: (*exchange).accountForm, post: (*exchange).changeAddress},
	"/account/address/code": {get: (*exchange).accountForm, post: (*exchange).addressCode},
	"/account/address/stop": {get: (*exchange).accountForm, post: (*exchange).stopAddressChange},

	"/link":      {get: (*exchange).link},
	"/confirm":   {get: (*exchange).confirmPage, post: (*exchange).confirm},
	"/cancel":    {get: (*exchange).cancel},
	"/language":  {get: (*exchange).languagePage, post: (*exchange).chooseLanguage},
	"/sign-out":  {get: (*exchange).signOutPage, post: (*exchange).signOut},
	"/session":   {get: (*exchange).session},
	"/altcha":    {get: (*exchange).altcha},
	"/jwks.json": {get: (*exchange).jwks},
	"/health":    {get: (*exchange).health},
}

// exchange is one request and its answer.
type exchange struct {
	*Pages
	Visit
	w http.ResponseWriter
	r *http.Request
	// language is the catalogue that fits the request best.
	language string
	// json is set when the client asks for JSON, not for a page.
	json bool
	// originChecked is set when this is an unsafe request which passed the cross-origin check.
	originChecked bool
	// misdirected is set when no site of ours has this Host: no form works at such an address.
	misdirected bool
	// refusedAddress is the form for a new address that this page is to show again.
	refusedAddress refusedAddress
	values         headerValues
	// formAgain shows the form of an act that is refused, with what was typed; nil: the form is on the page of the account.
	formAgain func(problem)
}

func (p *Pages) exchange(w http.ResponseWriter, r *http.Request, v Visit) *exchange {
	x := &exchange{Pages: p, Visit: v, w: w, r: r}
	x.negotiate()
	return x
}

// negotiate finds out what the client wants to read.
func (x *exchange) negotiate() {
	x.language = x.preferredLanguage()
	x.json = prefersJSON(x.r.Header)
}

// TokenRoute reports whether an address below the prefix carries a token in its query: it belongs in no access log.
func TokenRoute(u *url.URL, prefix string) bool {
	path, below := strings.CutPrefix(u.Path, prefix)
	route, query, ok := tokenRoute(path)
	return below && (ok || route == openPath || route == enterPath) && (query != "" || u.RawQuery != "")
}

// tokenRoute reads a path below the prefix as the address of a mailed link, which mail programs mangle: with a slash before the query,
// or with the question mark escaped, so that path holds the query as well.
func tokenRoute(path string) (route, query string, ok bool) {
	route, query, _ = strings.Cut(path, "?")
	route = strings.TrimSuffix(route, "/")
	return route, query, route == "/link" || route == "/cancel"
}

// Serve answers a request below the site's prefix.
func (p *Pages) Serve(w http.ResponseWriter, r *http.Request, v Visit) {
	x := p.exchange(w, r, v)
	x.setHeaders()
	defer x.recover()
	path := strings.TrimPrefix(r.URL.Path, v.Site.Prefix)
	if boundary.IsServiceWorkerScript(r) {
		// A worker registered from here would sit between the person and every page of ours.
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	if asset, ok := strings.CutPrefix(path, "/assets/"); ok {
		x.asset(asset)
		return
	}
	if route, _, ok := tokenRoute(path); ok {
		path = route
	}
	rt, ok := routes[path]
	if !ok {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	switch {
	case x.toPortal(path):
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		rt.get(x)
	case r.Method == http.MethodPost && rt.post != nil:
		if !sameOrigin(r, v.Site.Origin) {
			x.refuseCrossOrigin()
			return
		}
		x.originChecked = true
		rt.post(x)
	default:
		x.methodNotAllowed(rt.post != nil)
	}
}

// recover turns a panic into a 500 and a line in the log without its value, which may hold what a person typed.
func (x *exchange) recover() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // the value itself is what net/http compares with
		panic(v)
	}
	if x.Log != nil {
		x.Log.Error("a page panicked", "event", "panic", "site", x.Site.Origin, "stack", string(debug.Stack()))
	}
	x.refuse(http.StatusInternalServerError, templates.Internal)
}

// requester describes the browser for package flow.
func (x *exchange) requester() flow.Requester {
	return flow.Requester{
		Client:      x.Client,
		Device:      boundary.Device(x.r.UserAgent()),
		Locale:      x.language,
		FlowCookie:  x.Cookies.Flow,
		KnownCookie: x.Cookies.Known,

		HandoffCookie: x.Cookies.Handoff,

		Session:    x.Live,
		Origin:     x.originChecked && x.r.Method == http.MethodPost,
		Navigation: boundary.OneClickHeaders(x.r),
	}
}

// returnTo validates a path to go to after signing in; "" is the front page. Of our own pages it is that of the account, which mails name.
func (x *exchange) returnTo(raw string) string {
	if site, _ := x.appAt(raw); site != nil || x.Site != nil && !x.Site.Led && raw == x.path(accountPath) {
		return raw
	}
	if raw == "" || token.Holds(raw, x.Clock.Now) {
		return "" // a mailed link is no place to go to, and would be kept in addresses, on pages and with the flow
	}
	if to := boundary.ReturnTo(raw, x.Site.Prefix); to != "/" {
		return to
	}
	return ""
}

// queryReturnTo reads the return_to of a GET; more than one is ignored.
func (x *exchange) queryReturnTo() string {
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil || len(values["return_to"]) != 1 {
		return ""
	}
	return x.returnTo(values.Get("return_to"))
}

// path returns the address of one of our pages.
func (x *exchange) path(name string) string { return x.Site.Prefix + name }

// frame is what every page knows.
func (x *exchange) frame(facts templates.PageFacts) templates.Frame {
	f := templates.Frame{Language: x.language, Now: x.Clock.Wall(), Here: x.here(facts)}
	if x.Live != nil {
		f.Timezone, _ = timezone.Load(x.Live.Account.Timezone)
	}
	if s := x.Site; s != nil {
		f.Site, f.Host, f.Origin, f.Prefix, f.Contact = s.Name, s.Host(), s.Origin, s.Prefix, s.Contact
		if f.Site == "" {
			f.Site = f.Host
		}
		s.Brand.apply(&f, s.Prefix)
	}
	return f
}

// retryAfter is the time from now to a time of the gate's clock, in whole seconds and at least one.
func (x *exchange) retryAfter(until time.Time) time.Duration {
	d := until.Sub(x.Clock.Now())
	return max((d + time.Second - 1).Truncate(time.Second), time.Second)
}
