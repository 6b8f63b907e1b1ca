package module

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// passOpen is the whole of `email_link off`: it removes forged identity headers and all that is the gate's from a request and
// from its response. It works before the app has started, because it needs nothing of it.
func (h *Handler) passOpen(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	trusted, _ := vars[caddyhttp.TrustedProxyVarKey].(bool)
	boundary.ExtractToken(r.Header)
	boundary.ExtractCookies(r.Header, true)
	h.stripper.Request(r.Header, r.Trailer, trusted)
	h.stripper.Body(r)
	boundary.DropHTTPUpgrade(r.Header)
	rw := &respWriter{strip: h.stripper}
	rw.ResponseWriter = w
	return rw.run(next, r)
}
