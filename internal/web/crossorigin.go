package web

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// crossOrigin holds no state and no exceptions.
var crossOrigin = http.NewCrossOriginProtection()

// sameOrigin reports whether an unsafe request may come from where it comes from: http.CrossOriginProtection, and any Origin
// that is told is the site's own, scheme included. An opaque one ("null") is left to the fetch metadata.
func sameOrigin(r *http.Request, origin string) bool {
	if crossOrigin.Check(r) != nil {
		return false
	}
	for _, shown := range r.Header.Values("Origin") {
		if shown != origin && shown != "null" {
			return false
		}
	}
	return true
}

// maxOrigin is how much of an Origin header the log shows, in bytes. The longest one of a browser has about 270.
const maxOrigin = 300

// refuseCrossOrigin refuses a form that does not come from this site. Where the browser's origin differs by the scheme alone, the person is at
// the right site by the wrong address (`http://` in place of `https://`, as a rule) and would come from there again: the page names the
// right one. Whether a GET came over plain http cannot be told for certain, because tunnels and proxies end TLS in front of Caddy and
// not all of them say so; the Origin of a form is the browser's own word.
func (x *exchange) refuseCrossOrigin() {
	origin := x.r.Header.Get("Origin")
	x.logCrossOrigin(origin)
	if len(x.r.Header.Values("Origin")) == 1 && otherScheme(origin, x.Site.Origin) {
		x.refuseMisdirected()
		return
	}
	x.refuse(http.StatusForbidden, templates.CrossOrigin)
}

// otherScheme reports whether two origins differ by their scheme and by nothing else.
func otherScheme(a, b string) bool {
	schemeA, hostA, okA := strings.Cut(a, "://")
	schemeB, hostB, okB := strings.Cut(b, "://")
	web := func(scheme string) bool { return scheme == "http" || scheme == "https" }
	return okA && okB && schemeA != schemeB && web(schemeA) && web(schemeB) && hostA == hostB
}

// logCrossOrigin logs both origins: a wrong scheme or port in base_url looks like an attack to people, and only here is
// the cause seen.
func (x *exchange) logCrossOrigin(origin string) {
	if x.Log == nil {
		return
	}
	if len(origin) > maxOrigin || token.Holds(origin, x.Clock.Now) {
		origin = token.Redact(origin[:min(len(origin), maxOrigin)], x.Clock.Now)
	}
	says := "the browser says " + cmp.Or(origin, "no origin, and Sec-Fetch-Site: "+fetchSite(x.r.Header))
	x.Log.Warn("a form was refused: "+says+", base_url says "+x.Site.Origin, "event", "cross_origin", "outcome", "refused",
		"path", x.r.URL.Path, "origin", origin, "site", x.Site.Origin, "client", cmp.Or(boundary.NetworkText(x.Client), "unknown"))
}

// fetchSite returns Sec-Fetch-Site where it is a word that browsers send, else "unknown".
func fetchSite(header http.Header) string {
	switch site := header.Get("Sec-Fetch-Site"); site {
	case "cross-site", "same-site", "same-origin", "none":
		return site
	}
	return "unknown"
}
