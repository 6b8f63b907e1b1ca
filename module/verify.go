package module

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// Verify says who may ask whether a request may pass: other proxies, such as nginx with auth_request (forward-auth). They get
// the assertion in the answer.
type Verify struct {
	// From lists networks and addresses, such as `10.0.0.0/28` or `10.0.0.2`. They are compared with the address of the
	// connection, never with a header. Default: none, and the endpoint is 404 for everybody.
	From []string `json:"from,omitempty"`
}

// AuthorizationHeader tells a proxy that has asked for a request what to pass on as its Authorization: what the client sent, or
// nothing where that was a machine token.
const AuthorizationHeader = "Email-Link-Authorization"

// VerifiedHeader is on each answer of the endpoint that lets a request pass, and on no other. A proxy that looks for it takes no
// answer for one that something else has given: a server that has no site for the Host, say, answers an empty 200.
const VerifiedHeader = "Email-Link-Verified"

// Check says whether the peers are networks or addresses, as far as that can be told without the environment.
func (v *Verify) Check() error {
	if v == nil {
		return nil
	}
	if len(v.From) == 0 {
		return errors.New("verify from: an address is missing")
	}
	for _, peer := range v.From {
		if strings.Contains(peer, "{") {
			continue // a placeholder, resolved and checked when the configuration is loaded
		}
		if _, err := parsePeer(peer); err != nil {
			return fmt.Errorf("verify from: %w", err)
		}
	}
	return nil
}

// parsePeer reads a network or a single address. A v4-in-v6 one is v4.
func parsePeer(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither a network nor an address; write one like 10.0.0.0/28 or 10.0.0.2", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits set behind its length; write %s for the network, or %s for the one address", s, p.Masked(), p.Addr())
	}
	if p.Addr().Is4In6() { // so it has 96 bits or more: a shorter one would have bits set behind its length
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

// readVerify resolves who may ask.
func (h *Handler) readVerify() error {
	h.verifyPath = h.prefix + "/verify"
	if h.Verify == nil {
		return nil
	}
	for _, s := range h.Verify.From {
		text, err := expand(s)
		if err != nil {
			return fmt.Errorf("verify from: %w", err)
		}
		p, err := parsePeer(text)
		if err != nil {
			return fmt.Errorf("verify from: %w", err)
		}
		h.peers = append(h.peers, p)
	}
	return nil
}

// answersTo says whether a connection comes from a peer that may ask. What has no address, such as a Unix socket, may not.
func (h *Handler) answersTo(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	for _, p := range h.peers {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// verify answers a proxy that asks whether a request may pass. The request that it describes in X-Forwarded-* is judged as if
// it had come here itself: with its method, path and headers, at its site. To everybody else there is no such page, whatever
// the Host and whether or not it is switched on.
//
// With tunnel, the request offers to go on in another form of HTTP. Here such an offer is taken away from every request; the
// proxy that asks may hand it on, so such a request does not pass.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request, tunnel bool, token boundary.Token) error {
	w = ownAnswer(w)
	l := h.wait(r.Context())
	if l == nil {
		web.Unready(w)
		return nil
	}
	p := &pass{live: l, outer: h, site: h.fallback, token: token}
	if p.site == nil {
		p.site = &h.template
	}
	if !h.answersTo(r.RemoteAddr) {
		p.visit = web.Visit{Site: p.site, Client: h.app.client(r)}
		l.pages.Serve(w, r, p.visit)
		return nil
	}
	redirect := r.URL.RawQuery == "anonymous=redirect"
	f, origin, err := h.described(r.Header)
	if err != nil {
		h.log.Warn("a proxy asked for a request that it does not describe well: "+err.Error(), "event", "verify", "outcome", "refused",
			"peer", r.RemoteAddr)
		p.visit = web.Visit{Site: p.site}
		l.pages.RefuseVerify(w, r, p.visit, web.BadRequest, false)
		return nil
	}
	cookies := boundary.ExtractCookies(r.Header, !strings.HasPrefix(origin, "http:"))
	if token.Presented {
		cookies = boundary.Cookies{} // beside a token they say nothing
	}
	asked := h.asked(w, r, f)
	p.site = h.site(origin)
	p.visit = web.Visit{Site: p.site, Client: h.app.client(asked), Cookies: cookies, URI: f.URI}
	if !h.recognize(r.Context(), p) {
		l.pages.RefuseVerify(w, asked, p.visit, web.Unavailable, false)
		return nil
	}
	why := web.InvalidToken
	if !token.Presented || p.sess != nil {
		var sess subject
		sess, why = h.decide(asked, p)
		switch {
		case tunnel:
			why = web.UpgradeOrigin
		case why == 0:
			why = h.vouch(w, r, p, sess)
		}
	}
	if why != 0 {
		h.challenge(w, asked, p, why)
		l.pages.RefuseVerify(w, asked, p.visit, why, redirect)
	}
	return nil
}

// described reads what a proxy says of a request, and finds its site.
func (h *Handler) described(header http.Header) (f boundary.Forwarded, origin string, err error) {
	if f, err = boundary.ReadForwarded(header); err != nil {
		return f, "", err
	}
	origin, known := resolve(h.origins, f.Host)
	if !known {
		return f, "", errors.New("X-Forwarded-Host is none of base_url")
	}
	if !strings.HasPrefix(origin, f.Proto+"://") {
		return f, "", fmt.Errorf("X-Forwarded-Proto is not that of %s", origin)
	}
	if _, own := h.below(f.URL.Path); own {
		// Also a proxy that hands this page on to everybody is told so.
		return f, "", fmt.Errorf("X-Forwarded-Uri is one of our own pages: send %s/* here without asking, and %s to nobody", h.prefix, h.verifyPath)
	}
	return f, origin, nil
}

// asked makes the request that is asked for. Matchers get a replacer and variables of its own: those of r know r's path.
func (h *Handler) asked(w http.ResponseWriter, r *http.Request, f boundary.Forwarded) *http.Request {
	asked := r.Clone(r.Context())
	asked.Method, asked.URL, asked.RequestURI, asked.Host = f.Method, f.URL, f.URI, f.Host
	asked.Body = http.NoBody
	f.Forget(asked.Header)
	switch {
	case f.Proto == "http":
		asked.TLS = nil
	case asked.TLS == nil:
		asked.TLS = &tls.ConnectionState{}
	}
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return caddyhttp.PrepareRequest(asked, caddy.NewReplacer(), w, server)
}

// vouch answers that a request may pass, with whose identity. Each name that a handler of the configuration sets is there, empty
// where there is no value, so that no proxy leaves the client's in its place.
func (h *Handler) vouch(w http.ResponseWriter, r *http.Request, p *pass, sess subject) web.Refusal {
	if sess != nil {
		if err := h.identify(r, p, sess, new([1]string)); err != nil {
			h.log.Error("an assertion could not be made", "event", "unavailable", "account", sess.who().ID, "site", p.site.Origin, "error", err)
			return web.Unavailable
		}
		if sess.Ended() {
			p.visit.Live, p.visit.Token = nil, nil
			if p.token.Presented {
				return web.InvalidToken
			}
			return web.SignIn
		}
	}
	header := w.Header()
	for _, name := range h.answered {
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
