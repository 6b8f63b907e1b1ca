package gate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// AuthorizationHeader gives a proxy that has asked for a request what to pass on as its Authorization: what the client sent, or
// nothing where that was a machine token.
const AuthorizationHeader = "Email-Link-Authorization"

// VerifiedHeader is on each answer of the endpoint that lets a request pass, and on no other. A proxy that looks for it takes no
// answer for one that something else has given: a server that has no site for the Host, say, answers an empty 200.
const VerifiedHeader = "Email-Link-Verified"

// answersTo reports whether a connection comes from a peer that may ask. What has no address, such as a Unix socket, may not.
func (s *Site) answersTo(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	for _, p := range s.Peers {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// verify answers a proxy that asks whether a request may pass. The request that it describes in X-Forwarded-* is authorized as if
// it had come here itself: with its method, path and headers, at its site. For every other peer there is no such page, whatever
// the Host and whether or not it is switched on.
//
// With tunnel, the request offers to go on in another form of HTTP. Here such an offer is taken away from every request; the
// proxy that asks may hand it on, so such a request does not pass.
func (s *Site) verify(w http.ResponseWriter, r *http.Request, tunnel bool, token boundary.Token) error {
	w = s.host.OwnAnswer(w)
	runtime := s.gate.latch.enter(r.Context())
	if runtime == nil {
		web.Unready(w)
		return nil
	}
	st := &requestState{runtime: runtime, outer: s, site: s.fallback, token: token}
	if st.site == nil {
		st.site = &s.Template
	}
	if !s.answersTo(r.RemoteAddr) {
		st.visit = web.Visit{Site: st.site, Client: s.host.Client(r)}
		runtime.Pages.Serve(w, r, st.visit)
		return nil
	}
	redirect := r.URL.RawQuery == "anonymous=redirect"
	f, origin, err := s.parseForwarded(r.Header)
	if err != nil {
		s.log.Warn("a proxy asked for a request that it does not describe well: "+err.Error(), "event", "verify", "outcome", "refused",
			"peer", r.RemoteAddr)
		st.visit = web.Visit{Site: st.site}
		runtime.Pages.RefuseVerify(w, r, st.visit, web.BadRequest, false)
		return nil
	}
	cookies := boundary.ExtractCookies(r.Header, !strings.HasPrefix(origin, "http:"))
	if token.Presented {
		cookies = boundary.Cookies{} // beside a token they count for nothing
	}
	described := s.describedRequest(w, r, f)
	st.site = s.of(origin)
	st.visit = web.Visit{Site: st.site, Client: s.host.Client(described), Cookies: cookies, URI: f.URI}
	if !s.identify(r.Context(), st) {
		runtime.Pages.RefuseVerify(w, described, st.visit, web.Unavailable, false)
		return nil
	}
	reason := web.InvalidToken
	if !token.Presented || st.principal != nil {
		var p principal
		p, reason = s.authorize(described, st)
		switch {
		case tunnel:
			reason = web.UpgradeOrigin
		case reason == 0:
			reason = s.writeAllowed(w, r, st, p)
		}
	}
	if reason != 0 {
		s.challenge(w, described, st, reason)
		s.logRefusal(described, st, reason)
		runtime.Pages.RefuseVerify(w, described, st.visit, reason, redirect)
	}
	return nil
}

// parseForwarded reads how a proxy describes a request, and finds its origin.
func (s *Site) parseForwarded(header http.Header) (f boundary.Forwarded, origin string, err error) {
	if f, err = boundary.ReadForwarded(header); err != nil {
		return f, "", err
	}
	origin, known := Resolve(s.Origins, f.Host)
	if !known {
		return f, "", errors.New("X-Forwarded-Host is none of base_url; where that has a star, the site has to name the host")
	}
	if !strings.HasPrefix(origin, f.Proto+"://") {
		return f, "", fmt.Errorf("X-Forwarded-Proto is not that of %s", origin)
	}
	if _, own := s.Below(f.URL.Path); own {
		// A proxy that exposes /verify to clients is told so as well.
		return f, "", fmt.Errorf("X-Forwarded-Uri is one of our own pages: send %s/* here without asking, and %s to nobody", s.Prefix, s.verifyPath)
	}
	return f, origin, nil
}

// describedRequest makes the request that a proxy asks about. Matchers get a replacer and variables of its own: those of r know r's path.
func (s *Site) describedRequest(w http.ResponseWriter, r *http.Request, f boundary.Forwarded) *http.Request {
	described := r.Clone(r.Context())
	described.Method, described.URL, described.RequestURI, described.Host = f.Method, f.URL, f.URI, f.Host
	described.Body = http.NoBody
	f.Forget(described.Header)
	switch {
	case f.Proto == "http":
		described.TLS = nil
	case described.TLS == nil:
		described.TLS = &tls.ConnectionState{}
	}
	return s.host.Describe(w, described, r)
}

// writeAllowed answers that a request may pass, and on whose behalf. Each name that a site of the configuration sets is there, empty
// where there is no value, so that no proxy leaves the client's in its place.
func (s *Site) writeAllowed(w http.ResponseWriter, r *http.Request, st *requestState, p principal) web.Refusal {
	if p != nil {
		if err := s.setIdentity(r, st, p, new([1]string)); err != nil {
			s.log.Error("an assertion could not be made", "event", "unavailable", "account", p.account().ID, "site", st.site.Origin, "error", err)
			return web.Unavailable
		}
		if p.Ended() {
			st.visit.Live, st.visit.Token = nil, nil
			if st.token.Presented {
				return web.InvalidToken
			}
			return web.SignIn
		}
	}
	header := w.Header()
	for _, name := range s.Answered {
		header.Set(name, r.Header.Get(name))
	}
	// What goes on of the client's own Authorization: a token does not.
	header.Set(AuthorizationHeader, strings.Join(r.Header["Authorization"], ", "))
	header.Set(VerifiedHeader, "1")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	return 0
}
