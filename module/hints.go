package module

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// hint logs what an operator may have overlooked, one line each, with the line to change. It is the half of `doctor` that asks
// no network.
func (a *App) hint(ctx context.Context, c *core) {
	for _, f := range doctor.Start(a.facts(ctx, c)) {
		a.log.Warn(f.Line(), "event", "config")
	}
}

// forwarding are the headers by which proxies say whom they speak for.
var forwarding = [...]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip"}

// client returns the client's address, the zero value where it is not known, which shares one strict bucket. Headers of peers
// that Caddy does not trust change nothing; the first of them in a load is told, with the lines to paste. Of peers that it trusts the
// right-most entry counts: without `trusted_proxies_strict`, which the start asks for, Caddy takes the left-most one, which is what
// the client has written itself.
func (a *App) client(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if !trusted {
		for _, name := range forwarding {
			if len(r.Header[name]) > 0 {
				a.untrusted.Do(func() { a.reportUntrusted(r, name) })
				break
			}
		}
		return gate.ParseClient(text)
	}
	if server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); server != nil && server.TrustedProxiesStrict == 0 {
		for _, name := range server.ClientIPHeaders {
			if values := r.Header.Values(name); len(values) > 0 {
				return gate.RightMost(values)
			}
		}
	}
	return gate.ParseClient(text)
}

// reportUntrusted names the peer itself as the proxy to trust. A range would trust the clients in it as well.
func (a *App) reportUntrusted(r *http.Request, name string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	from, lines := "a Unix socket", "\t\ttrusted_proxies_unix\n"
	if err == nil {
		addr := peer.Addr().Unmap().WithZone("")
		from, lines = gate.NetworkOf(addr), "\t\ttrusted_proxies static "+addr.String()+"\n"
	}
	a.log.Warn(name+" came from "+from+", which Caddy does not trust, so it counts for nothing. "+
		"If that is a proxy of yours, add to the global options:\n"+
		"\tservers {\n"+lines+"\t\ttrusted_proxies_strict\n\t}", "event", "config")
}
