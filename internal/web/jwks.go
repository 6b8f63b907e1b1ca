package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// jwks lists the public keys that assertions are signed with. A key is listed 15 minutes before its first use, so five
// minutes in a cache do no harm.
func (x *exchange) jwks() {
	if x.JWKS == nil {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	body := x.JWKS()
	if body == nil {
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
		return
	}
	x.w.Header().Set("Content-Type", "application/jwk-set+json")
	x.w.Header().Set("Cache-Control", "public, max-age=300")
	x.w.Header().Del("Vary")
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write(body)
	}
}
