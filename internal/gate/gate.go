// Package gate is the request path between a client and a backend, in plain net/http: one Gate for a whole configuration, one Site
// for each of its handlers. It knows neither Caddy nor a storage engine, so that each of its decisions can be tested in a moment; what it
// needs of the server around it is a Host.
//
// A request goes through these steps, see Site.ServeHTTP:
//
//	strip      take away forged identity headers, the gate's own cookies, and offers to go on in another form of HTTP
//	identify   find the session or the machine token that the request carries
//	own page   answer what is below the site's prefix, or
//	authorize  decide whether the request may go on, and on whose behalf
//	forward    put the identity on, and watch over the response until it ends or its session does
//
// Programs differ on what a path means, and the one behind the gate decides which resource a request gets. Every decision about a
// path is therefore made for all views of it (see boundary.Views): what opens a path has to hold for each of them, what protects
// one for any.
package gate

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// Gate is what the sites of one configuration share. New makes one.
type Gate struct {
	host Host
	log  *slog.Logger
	// issued is called for each assertion that is made.
	issued func()
	sites  []*Site

	latch startLatch
	// rejected keeps the log short about what apps tell the gate in vain.
	rejected RepeatLimiter
}

// New returns a gate whose requests wait until it is started. It calls issued for each assertion that it makes.
func New(host Host, log *slog.Logger, issued func()) *Gate {
	g := &Gate{host: host, log: log, issued: issued}
	g.latch.opened = make(chan struct{})
	return g
}

// Start lets requests in.
func (g *Gate) Start(rt *Runtime) {
	for _, s := range g.sites {
		s.minters = &minters{config: s.Assertions, runtime: rt}
	}
	g.latch.open(rt)
}

// Fail sends waiting requests away: the configuration will not start, or has ended. Requests that are under way go on. It does nothing
// on a nil Gate.
func (g *Gate) Fail() {
	if g != nil {
		g.latch.fail()
	}
}

// Now reads the gate's clock. It returns the zero time before the start.
func (g *Gate) Now() time.Time { return g.latch.now() }

// Runtime is what requests work with once the configuration has started.
type Runtime struct {
	*vault.Vault
	Flows *flow.Service
	Pages *web.Pages
}

// Handler is what a request goes on to. The error is for the server around the gate, as in caddyhttp.Handler.
type Handler interface {
	ServeHTTP(w http.ResponseWriter, r *http.Request) error
}

// Host is the server around the gate. Its methods are called for each request, by several goroutines at once.
type Host interface {
	// Vars returns the values that the handlers of a request share, nil if there are none. The gate keeps one of its own there.
	Vars(r *http.Request) map[string]any
	// TrustedProxy reports whether a request with these values comes from a proxy that may say what the client's own request was.
	TrustedProxy(vars map[string]any) bool
	// Client returns the client's address, the zero value where it is not known.
	Client(r *http.Request) netip.Addr
	// Original returns the address of a request as the client sent it, before any rewrite; u is nil where it is not known.
	Original(r *http.Request) (u *url.URL, uri string)
	// See returns a request as a program sees it that reads another path in it.
	See(r *http.Request, path string) *http.Request
	// Describe prepares a request that a proxy asks about, which is answered by w, for matchers. r is the request that it asks by.
	Describe(w http.ResponseWriter, described, r *http.Request) *http.Request
	// OwnAnswer returns the writer for an answer of the gate's own, whose headers nothing between gate and client may change.
	OwnAnswer(w http.ResponseWriter) http.ResponseWriter
	// Placeholders adds the values of {http.auth.user.…} to a request.
	Placeholders(r *http.Request, value func(name string) (any, bool))
	// LogsReferer reports whether a log shows the Referer of a request that does not fail.
	LogsReferer(r *http.Request) bool
	// Redact keeps a request out of the server's logs, and its error as well. The request goes on with the writer and the next handler
	// that Redact returns; finish is called when it has been answered.
	Redact(w http.ResponseWriter, r *http.Request, next Handler, what Redaction) (rw http.ResponseWriter, rnext Handler, finish func())
	// Status returns the status of the answer to an error of a handler.
	Status(err error) int
}

// stateVar is the name of the value through which an inner site finds what the outer one has found out.
const stateVar = "email_link.state"

// requestState is one request on its way through the gate.
type requestState struct {
	runtime *Runtime
	// outer is the site that the request came to first.
	outer *Site
	site  *web.Site
	visit web.Visit
	// principal is whose session or token the request carries, nil if it carries none that is valid.
	principal principal
	// token is what the request presents as a machine token. principal is then the token's, never a cookie's.
	token boundary.Token
	// withheld reports whether a site has let the request through without an identity. No inner one gives it back.
	withheld bool
	// exchange is what the app behind the gate and the gate have to say to each other about flows of the app's.
	exchange *appExchange
	// at is when the request came to the gate, or to the site that authorizes it, where it carries a session or a token.
	at clock.Reading
	// buffers are those of the outer site.
	buffers buffers
}

// buffers are what a site makes of each request that goes on, in one allocation.
type buffers struct {
	writer responseWriter
	bound  boundRequest
	flight inFlight
	// assertion is the value of the header. It belongs to this request alone: request_header edits values in place.
	assertion [1]string
}

// ServeHTTP answers a request, or lets it go on to next.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request, next Handler) error {
	vars := s.host.Vars(r)
	if st, inner := vars[stateVar].(*requestState); inner {
		return s.serveInner(w, r, next, st, vars)
	}
	token := boundary.ExtractToken(r.Header)
	original, uri := s.host.Original(r)
	if event := s.redaction(r, uri, token); event != "" {
		var finish func()
		w, next, finish = s.redact(w, r, uri, next, event)
		defer finish()
	}
	// First of all, on every request and whatever follows: error routes see the same header.
	tunnel := s.strip(s.Stripper, r, vars)
	if r.URL.Path == s.verifyPath && r.URL.RawPath == "" { // as it is written: a proxy in front blocks that spelling
		return s.verify(w, r, tunnel, token)
	}
	site, origin, known := s.siteFor(r.Host)
	cookies := boundary.ExtractCookies(r.Header, !strings.HasPrefix(origin, "http:"))
	if token.Presented {
		cookies = boundary.Cookies{} // beside a token they count for nothing
	}
	rest, own := s.Below(r.URL.Path)
	runtime := s.gate.latch.enter(r.Context())
	if runtime == nil {
		web.Unready(s.host.OwnAnswer(w))
		return nil
	}
	st := &requestState{runtime: runtime, outer: s, site: site, token: token, visit: web.Visit{Site: site, Cookies: cookies}}
	switch {
	case web.HealthRoute(r.URL.Path, s.Prefix):
		return s.serveHealth(w, r, st)
	case !known:
		return s.refuse(w, r, st, web.Misdirected)
	case r.Method == http.MethodTrace, r.Method == http.MethodConnect && !boundary.IsUpgrade(r):
		return s.refuse(w, r, st, web.MethodNotAllowed)
	case !s.identify(r.Context(), st):
		return s.refuse(w, r, st, web.Unavailable)
	case token.Presented && st.principal == nil:
		return s.refuse(w, r, st, web.InvalidToken)
	case own && token.Presented && rest != "/session":
		return s.refuse(w, r, st, web.TokenNotAllowed)
	case own:
		return s.servePage(w, r, st)
	case s.Portal:
		return s.refuse(w, r, st, web.PortalOnly)
	case s.movedAway(original):
		s.log.Error("a rewrite before email_link moves its pages away: put email_link before it", "event", "misconfigured", "site", origin)
		return s.refuse(w, r, st, web.Unavailable)
	case cookies.Handoff != "" && !s.readHandoff(r, st):
		return s.refuse(w, r, st, web.Unavailable)
	}
	if vars != nil {
		vars[stateVar] = st
	}
	return s.redactError(w, r, s.authorizeAndForward(w, r, next, st))
}

// serveInner is the whole of an inner site, which only tightens what the outer one has let through.
func (s *Site) serveInner(w http.ResponseWriter, r *http.Request, next Handler, st *requestState, vars map[string]any) error {
	s.strip(s.InnerStripper, r, vars)
	if st.principal != nil {
		st.at = st.runtime.Clock.Read() // handlers in between may have taken their time
	}
	return s.authorizeAndForward(w, r, next, st)
}

// strip takes from a request what no client may send. It reports whether the request offered to go on in another form of HTTP.
func (s *Site) strip(stripper *boundary.Stripper, r *http.Request, vars map[string]any) (tunnel bool) {
	stripper.Request(r.Header, r.Trailer, s.fromProxy(r, vars))
	stripper.Body(r)
	return boundary.DropHTTPUpgrade(r.Header)
}

// movedAway reports whether the client asked for one of the gate's own pages and a rewrite has made something else of it. original is
// nil where it is not known.
func (s *Site) movedAway(original *url.URL) bool {
	if original == nil {
		return false
	}
	_, own := s.Below(original.Path)
	return own
}

// fromProxy reports whether a request comes from a proxy that may say what the client's own request was: one of trusted_proxies,
// or at /verify a peer that may ask.
func (s *Site) fromProxy(r *http.Request, vars map[string]any) bool {
	return s.host.TrustedProxy(vars) || len(s.Peers) > 0 && r.URL.Path == s.verifyPath && s.answersTo(r.RemoteAddr)
}

// sentURI returns path and query as the client sent them, empty where they are not known.
func (s *Site) sentURI(r *http.Request) string {
	original, _ := s.host.Original(r)
	if original == nil {
		return ""
	}
	return original.RequestURI()
}

// serveHealth answers the health check, at any Host.
func (s *Site) serveHealth(w http.ResponseWriter, r *http.Request, st *requestState) error {
	if st.visit.Site == nil {
		st.visit.Site = &s.Template
	}
	st.runtime.Pages.Serve(s.host.OwnAnswer(w), r, st.visit)
	return nil
}

// servePage answers with one of the gate's own pages.
func (s *Site) servePage(w http.ResponseWriter, r *http.Request, st *requestState) error {
	st.visit.Client = s.host.Client(r)
	st.runtime.Pages.Serve(s.host.OwnAnswer(w), r, st.visit)
	return nil
}

// authorizeAndForward lets a request go on, or refuses it.
func (s *Site) authorizeAndForward(w http.ResponseWriter, r *http.Request, next Handler, st *requestState) error {
	p, reason := s.authorize(r, st)
	if reason != 0 {
		return s.refuse(w, r, st, reason)
	}
	return s.forward(w, r, next, st, p)
}

// refuse answers with a page or a problem instead of letting the request go on.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, st *requestState, reason web.Refusal) error {
	if st.visit.URI == "" {
		st.visit.URI = s.sentURI(r) // a request that goes on needs none
	}
	w = s.host.OwnAnswer(w)
	if reason == web.SignIn && s.endsServiceWorker(r, st) {
		reason = web.EndServiceWorker
	}
	s.challenge(w, r, st, reason)
	s.logRefusal(r, st, reason)
	st.runtime.Pages.Refuse(w, r, st.visit, reason)
	return nil
}
