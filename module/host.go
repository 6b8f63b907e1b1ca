package module

import (
	"net/http"
	"net/netip"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// host is Caddy for the gate.
type host struct{ app *App }

// Vars implements gate.Host.
func (host) Vars(r *http.Request) map[string]any {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	return vars
}

// TrustedProxy implements gate.Host.
func (host) TrustedProxy(vars map[string]any) bool {
	trusted, _ := vars[caddyhttp.TrustedProxyVarKey].(bool)
	return trusted
}

// Client implements gate.Host.
func (h host) Client(r *http.Request) netip.Addr { return h.app.client(r) }

// Original implements gate.Host.
func (host) Original(r *http.Request) (u *url.URL, uri string) {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return nil, r.RequestURI
	}
	return original.URL, original.RequestURI
}

// See implements gate.Host.
func (host) See(r *http.Request, path string) *http.Request { return asSeen(r, path) }

// Describe implements gate.Host.
func (host) Describe(w http.ResponseWriter, described, r *http.Request) *http.Request {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return caddyhttp.PrepareRequest(described, caddy.NewReplacer(), w, server)
}

// OwnAnswer implements gate.Host.
func (host) OwnAnswer(w http.ResponseWriter) http.ResponseWriter { return ownAnswer(w) }

// Placeholders implements gate.Host.
func (host) Placeholders(r *http.Request, value func(name string) (any, bool)) {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(value)
	}
}

// LogsReferer implements gate.Host: the access log shows the Referer, and `reverse_proxy` does at DEBUG.
func (h host) LogsReferer(r *http.Request) bool {
	if h.app.verbose {
		return true
	}
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && server.Logs != nil
}

// Status implements gate.Host.
func (host) Status(err error) int { return statusOf(err) }

var _ gate.Host = host{}
