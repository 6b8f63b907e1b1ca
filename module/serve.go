package module

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// passVar is the request variable through which an inner handler finds what the outer one has found out.
const passVar = "email_link.pass"

// pass is one request on its way through the gate.
type pass struct {
	live *live
	// outer is the handler that stood first.
	outer *Handler
	site  *web.Site
	visit web.Visit
	// sess is whose session or token the request carries, nil for nobody.
	sess subject
	// token is what the request presents as one. sess is then the token's, never a cookie's.
	token boundary.Token
	// withheld says that a handler has let the request through without an identity. No inner one gives it back.
	withheld bool
	// app is what the app behind the gate and the gate have to say to each other about flows of the app's.
	app *appTalk
	// at is when the request came to the gate, or to the handler that judges it, where it carries a session or a token.
	at clock.Reading
	// room is the first handler's.
	room room
}

// room is what a handler makes of each request that goes on, in one piece.
type room struct {
	writer respWriter
	held   held
	flight inFlight
	// assertion is the value of the header. It belongs to this request alone: request_header edits values in place.
	assertion [1]string
}

// nobody is whom the placeholders show where there is no identity: a name that nobody answers would go on as it is written.
var nobody accounts.Account

// placeholders answers {http.auth.user.…}.
func (p *pass) placeholders(name string) (any, bool) {
	if p.withheld || p.carries() {
		return user{&nobody}.placeholders(name)
	}
	return user{p.sess.who()}.placeholders(name)
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if h.Off {
		return h.passOpen(w, r, next)
	}
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	p, inner := vars[passVar].(*pass)
	var token boundary.Token
	if !inner {
		token = boundary.ExtractToken(r.Header)
	}
	if !inner {
		if event := h.redaction(r, token); event != "" {
			q := h.redact(w, r, next, event)
			defer q.log()
			w, next = q, q
		}
	}
	// First of all, on every request and whatever follows: error routes see the same header.
	stripper := h.stripper
	if inner {
		stripper = h.innerStripper
	}
	stripper.Request(r.Header, r.Trailer, h.fromProxy(r, vars))
	stripper.Body(r)
	tunnel := boundary.DropHTTPUpgrade(r.Header)
	if inner {
		if p.sess != nil {
			p.at = p.live.core.Clock.Read() // whatever stands between may have taken its time
		}
		return h.judge(w, r, next, p)
	}
	if r.URL.Path == h.verifyPath && r.URL.RawPath == "" { // as it is written: a proxy in front blocks that spelling
		return h.verify(w, r, tunnel, token)
	}
	site, origin, known := h.siteFor(r.Host)
	cookies := boundary.ExtractCookies(r.Header, !strings.HasPrefix(origin, "http:"))
	if token.Presented {
		cookies = boundary.Cookies{} // beside a token they say nothing
	}
	rest, own := h.below(r.URL.Path)
	l := h.wait(r.Context())
	if l == nil {
		web.Unready(ownAnswer(w))
		return nil
	}
	p = &pass{live: l, outer: h, site: site, token: token, visit: web.Visit{Site: site, Cookies: cookies}}
	switch {
	case web.HealthRoute(r.URL.Path, h.prefix):
		if p.visit.Site == nil {
			p.visit.Site = &h.template
		}
		l.pages.Serve(ownAnswer(w), r, p.visit)
		return nil
	case !known:
		return h.refuse(w, r, p, web.Misdirected)
	case r.Method == http.MethodTrace, r.Method == http.MethodConnect && !boundary.IsUpgrade(r):
		return h.refuse(w, r, p, web.MethodNotAllowed)
	}
	if !h.recognize(r.Context(), p) {
		return h.refuse(w, r, p, web.Unavailable)
	}
	switch {
	case token.Presented && p.sess == nil:
		return h.refuse(w, r, p, web.InvalidToken)
	case own && token.Presented && rest != "/session":
		return h.refuse(w, r, p, web.TokenNotAllowed)
	case own:
		return h.pages(w, r, p)
	}
	if h.movedAway(r) {
		h.log.Error("a rewrite before email_link moves its pages away: put email_link before it", "event", "misconfigured", "site", origin)
		return h.refuse(w, r, p, web.Unavailable)
	}
	if cookies.Handoff != "" && !h.readHandover(r, p) {
		return h.refuse(w, r, p, web.Unavailable)
	}
	if vars != nil {
		vars[passVar] = p
	}
	return h.quietError(w, r, h.judge(w, r, next, p))
}

// fromProxy reports whether a request comes from a proxy that may say what the client's own request was: one of trusted_proxies,
// or at /verify a peer that may ask.
func (h *Handler) fromProxy(r *http.Request, vars map[string]any) bool {
	trusted, _ := vars[caddyhttp.TrustedProxyVarKey].(bool)
	return trusted || len(h.peers) > 0 && r.URL.Path == h.verifyPath && h.answersTo(r.RemoteAddr)
}

// below says whether a path is one of our pages, and returns the rest of it.
func (h *Handler) below(path string) (rest string, own bool) {
	rest, ok := strings.CutPrefix(path, h.prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// movedAway says whether the client asked for one of our pages and a rewrite before us has made something else of it.
func (h *Handler) movedAway(r *http.Request) bool {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return false
	}
	_, own := h.below(original.URL.Path)
	return own
}

// sentURI returns path and query as the client sent them.
func sentURI(r *http.Request) string {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil {
		return ""
	}
	return original.URL.RequestURI()
}

// pages serves one of our pages.
func (h *Handler) pages(w http.ResponseWriter, r *http.Request, p *pass) error {
	p.visit.Client = h.app.client(r)
	p.live.pages.Serve(ownAnswer(w), r, p.visit)
	return nil
}

// judge lets a request go on, or refuses it. It is the whole of an inner handler.
func (h *Handler) judge(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, p *pass) error {
	sess, why := h.decide(r, p)
	if why != 0 {
		return h.refuse(w, r, p, why)
	}
	return h.forward(w, r, next, p, sess)
}

// decide decides whether a request goes on, and with whose identity; without a session it goes on as anybody's.
func (h *Handler) decide(r *http.Request, p *pass) (subject, web.Refusal) {
	if p.outer != h && p.sess != nil && !p.withheld && !h.access.Protects(r) {
		return p.sess, 0 // an inner handler tightens what its matcher says, and takes nobody's identity elsewhere
	}
	need, err := h.demandOf(r, p)
	if err != nil {
		return nil, web.BadRequest
	}
	sess, why := h.decideFor(r, p, need)
	if why == 0 && p.outer == h {
		why = h.refusedElsewhere(r, p, sess)
	}
	if why != 0 {
		return nil, why
	}
	return sess, 0
}

// decideFor decides by what the handler itself asks for.
func (h *Handler) decideFor(r *http.Request, p *pass, need gate.Need) (subject, web.Refusal) {
	needed := need == gate.NeedAll
	if p.token.Presented {
		return h.decideToken(r, p, needed)
	}
	var why web.Refusal
	switch {
	case p.sess == nil:
		why = web.SignIn
	case boundary.IsUpgrade(r) && !boundary.SameOriginUpgrade(r, p.site.Origin):
		why, needed = web.UpgradeOrigin, need != gate.NeedNothing
	case p.withheld || !h.scoped(p) || !h.meets(user{p.sess.who()}):
		why = web.Forbidden
	case needed && h.tooOld(p):
		why = web.SignIn
	default:
		return p.sess, 0
	}
	if needed {
		return nil, why
	}
	return nil, 0 // as anybody: no other site speaks in this person's name, and nobody passes who lacks what is required
}

// forward hands a request to the next handler, with an identity or without one.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, p *pass, sess subject) error {
	made := &p.room
	if made.writer.strip != nil {
		made = new(room) // a handler before this one has made it, and may be at work
	}
	rw := &made.writer
	rw.ResponseWriter, rw.strip, rw.pass, rw.outer = w, h.stripper, p, p.outer == h
	p.withheld = sess == nil
	rw.hears = h.talk(r, p)
	if p.carries() {
		sess = nil // the app gets what it has started, and not who is signed in here
	}
	if p.outer != h && sess == nil {
		fromProxy, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
		p.outer.stripper.Request(r.Header, nil, fromProxy) // what the outer one has put on
	}
	if p.carries() {
		if err := h.handOver(r, p); err != nil {
			h.log.Error("an assertion could not be made", "event", "unavailable", "flow", p.app.handover.Flow, "site", p.site.Origin, "error", err)
			return h.refuse(w, r, p, web.Unavailable)
		}
	}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && p.outer == h {
		repl.Map(p.placeholders)
	}
	if sess != nil {
		if err := h.identify(r, p, sess, &made.assertion); err != nil {
			h.log.Error("an assertion could not be made", "event", "unavailable", "account", sess.who().ID, "site", p.site.Origin, "error", err)
			return h.refuse(w, r, p, web.Unavailable)
		}
		made.held = held{sess, h, p, r}
		rw.held = &made.held
		if p.outer == h { // else the outer one has begun it
			made.flight.begin(p, &made.held, w, r)
			defer made.flight.end(p, &made.held)
		}
	}
	return rw.run(next, r)
}

// anonymous is the visit of somebody whose session has ended.
func anonymous(p *pass, r *http.Request) web.Visit {
	v := p.visit
	v.Live, v.Token = nil, nil
	if v.URI == "" {
		v.URI = sentURI(r)
	}
	return v
}

// asFetch returns a request to which the answer is a plain 401, never a redirect.
func asFetch(r *http.Request) *http.Request {
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header["Sec-Fetch-Mode"] = []string{"cors"}
	return &plain
}

// run calls the next handler. When its response was replaced, what it says about its failure is our doing.
func (w *respWriter) run(next caddyhttp.Handler, r *http.Request) (err error) {
	defer func() {
		if w.state == replaced {
			if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				panic(v)
			}
			err = nil
		}
		w.finish()
	}()
	err = next.ServeHTTP(w, r)
	if w.state == fresh && w.over() {
		// Nothing has been written: a pending answer that was cancelled with its session.
		w.replace(w.held.refuse)
	}
	return err
}

// identify puts the identity on a request: the assertion, of which value is the place, and the plain headers.
func (h *Handler) identify(r *http.Request, p *pass, sess subject, value *[1]string) error {
	from, plain := h, h.plain
	if p.outer != h {
		delete(r.Header, p.outer.identity.header) // one assertion arrives
		if !h.identity.given {
			from = p.outer
		}
		if len(plain) == 0 {
			plain = p.outer.plain
		}
	}
	if from.identity.format != "" {
		audience := p.site.Audience
		if h.Audience != "" {
			audience = h.Audience
		}
		m, err := from.minters.of(audience)
		if err != nil {
			return err
		}
		text, err := m.mint(p.live.core, p.at, sess, p.site.Origin)
		if err != nil {
			return err
		}
		if text == "" {
			return errors.New("the assertion is empty")
		}
		value[0] = text
		r.Header[from.identity.header] = value[:]
	}
	u := user{sess.who()}
	for _, one := range plain {
		// Without a value there is no header: many apps take an empty one for a name.
		if text := one.value.text(u); text != "" {
			r.Header[one.name] = []string{text}
		}
	}
	return nil
}

// refuse writes a page or a problem instead of going on.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, p *pass, why web.Refusal) error {
	if p.visit.URI == "" {
		p.visit.URI = sentURI(r) // whoever passes needs none
	}
	w = ownAnswer(w)
	h.challenge(w, r, p, why)
	p.live.pages.Refuse(w, r, p.visit, why)
	return nil
}

// network names the network of a client for the log.
func network(addr netip.Addr) string {
	if prefix := boundary.Network(addr); prefix.IsValid() {
		return prefix.String()
	}
	return "unknown"
}
