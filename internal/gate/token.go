package gate

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// authorizeToken is authorizeHere for a request with a valid token. Unlike a session, a token asks to be authorized by it: what it does
// not open stays shut, on public paths as well, and no request goes on as an anonymous one instead.
func (s *Site) authorizeToken(r *http.Request, st *requestState, needed bool) (principal, web.Refusal) {
	switch {
	case st.token.Basic && boundary.FromAnotherSite(r.Header, st.site.Origin):
		return nil, web.CrossOrigin // a browser sends Basic by itself, wherever a request comes from
	case st.withheld || !s.hasScopes(st):
		return nil, web.TokenNotAllowed
	case !s.meets(user{st.principal.account()}):
		return nil, web.Forbidden
	case needed && s.proofTooOld(st):
		return nil, web.InvalidToken
	}
	return st.principal, 0
}

// challenge adds what a program has to be asked with before it shows its token. Clients of calendars and files send Basic only
// after a 401 that asks for it. Browsers are not asked: they would put up a window of their own in place of our pages, and
// send what is typed there with every request.
func (s *Site) challenge(w http.ResponseWriter, r *http.Request, st *requestState, reason web.Refusal) {
	if reason != web.SignIn && reason != web.InvalidToken || st.site == nil {
		return
	}
	realm := `realm="` + HostOf(st.site.Origin) + `"`
	header := w.Header()
	if st.outer.Require.Scopes.AdmitTokens() && (len(s.Require.Scopes) == 0 || s.Require.Scopes.AdmitTokens()) &&
		!boundary.IsBrowser(r.Header) && !boundary.IsNavigation(r) {
		header.Add("WWW-Authenticate", "Basic "+realm+`, charset="UTF-8"`)
	}
	if reason == web.InvalidToken && st.token.Bearer {
		header.Add("WWW-Authenticate", "Bearer "+realm+`, error="invalid_token"`)
	}
}
