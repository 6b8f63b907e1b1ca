package module

import (
	"net/http"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// decideToken is decide for a request with a good token. Unlike a session, a token is an order to be judged by it: what it does
// not open stays shut, on public paths as well, and nobody goes on as anybody instead.
func (h *Handler) decideToken(r *http.Request, p *pass, needed bool) (subject, web.Refusal) {
	switch {
	case p.token.Basic && boundary.FromAnotherSite(r.Header, p.site.Origin):
		return nil, web.CrossOrigin // a browser sends Basic by itself, wherever a request comes from
	case p.withheld || !h.scoped(p):
		return nil, web.TokenNotAllowed
	case !h.meets(user{p.sess.who()}):
		return nil, web.Forbidden
	case needed && h.tooOld(p):
		return nil, web.InvalidToken
	}
	return p.sess, 0
}

// tooOld says whether the last proof is older than this handler asks for.
func (h *Handler) tooOld(p *pass) bool {
	return h.MaxAge > 0 && p.at.Now.Sub(p.sess.since()) > time.Duration(h.MaxAge)
}

// challenge adds what a program has to be asked with before it shows its token. Clients of calendars and files send Basic only
// after a 401 that asks for it. Browsers are not asked: they would put up a window of their own in place of our pages, and
// send what is typed there with every request.
func (h *Handler) challenge(w http.ResponseWriter, r *http.Request, p *pass, why web.Refusal) {
	if why != web.SignIn && why != web.InvalidToken || p.site == nil {
		return
	}
	realm := `realm="` + audienceOf(p.site.Origin) + `"`
	header := w.Header()
	if p.outer.Require.namesScopes() && (len(h.Require.Scope) == 0 || h.Require.namesScopes()) &&
		!boundary.IsBrowser(r.Header) && !boundary.IsNavigation(r) {
		header.Add("WWW-Authenticate", "Basic "+realm+`, charset="UTF-8"`)
	}
	if why == web.InvalidToken && p.token.Bearer {
		header.Add("WWW-Authenticate", "Bearer "+realm+`, error="invalid_token"`)
	}
}
