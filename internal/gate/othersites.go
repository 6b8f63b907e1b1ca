package gate

import (
	"net/http"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// OtherSite is another handler of the same server, and the way that leads there: through the routes, and to what it protects.
//
// The server picks a route by its own reading of a path, the program behind it picks a resource by another. Where a reading leads to
// a site that asks for more than the one which the server has picked, the demands of both have to be met.
type OtherSite struct {
	Site  *Site
	Route Route
}

// rewrites reports whether a path may be another one when it comes to the site.
func (o *OtherSite) rewrites() bool {
	return slices.ContainsFunc(o.Route, func(step Step) bool { return step.Rewrite != nil || step.Set != nil })
}

// refusedElsewhere returns why a request that the site lets pass on behalf of p must not go on: some reading of its path leads to
// another site that refuses it. A path that no reading leads to one is left alone.
func (s *Site) refusedElsewhere(r *http.Request, st *requestState, p principal) web.Refusal {
	if len(s.Others) == 0 {
		return 0
	}
	if s.RewrittenBefore {
		r = s.asSent(r)
	}
	if !s.OthersInAnyCase && r.URL.Opaque == "" && r.URL.RawPath == "" && boundary.IsOrdinary(r.URL.Path) {
		return 0 // it has one reading, and the server picks by that
	}
	readings := Read(r, s.host.See)
	for i := range s.Others {
		other := s.Others[i].Site
		switch need, err := other.Access.Need(r); {
		case err != nil:
			return web.BadRequest
		case need == NeedNothing && !s.Others[i].rewrites():
			continue
		}
		if !s.Others[i].Route.Reaches(readings) {
			continue
		}
		if reason := other.refuses(r, st, p); reason != 0 {
			return reason
		}
	}
	return 0
}

// asSent returns the request with the path that the client has sent, where a rewrite before the site has changed it.
func (s *Site) asSent(r *http.Request) *http.Request {
	original, _ := s.host.Original(r)
	if original == nil || original.Path == r.URL.Path && original.RawPath == r.URL.RawPath {
		return r
	}
	sent := s.host.See(r, original.Path)
	sent.URL.RawPath, sent.URL.Opaque = original.RawPath, original.Opaque
	return sent
}

// refuses returns why a request on behalf of p does not pass where the site asks for everything.
func (s *Site) refuses(r *http.Request, st *requestState, p principal) web.Refusal {
	switch {
	case st.principal == nil:
		return web.SignIn
	case st.token.Presented:
		_, reason := s.authorizeToken(r, st, true)
		return reason
	case p == nil || !s.hasScopes(st) || !s.meets(user{st.principal.account()}):
		return web.Forbidden
	case s.proofTooOld(st):
		return web.SignIn
	default:
		return 0
	}
}
