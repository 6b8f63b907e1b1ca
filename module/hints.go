package module

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
)

// hint logs what an operator may have overlooked, one line each, with the line to change. It is the half of `doctor` that asks
// no network.
func (a *App) hint(ctx context.Context, c *core) {
	for _, f := range doctor.Offline(a.facts(ctx, c)) {
		if f.Result == doctor.Warn || f.Result == doctor.Fail {
			a.log.Warn(f.Line(), "event", "config")
		}
	}
}

// forwarding are the headers by which proxies say whom they speak for.
var forwarding = [...]string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip"}

// client returns the client's address, the zero value where it is not known, which shares one strict bucket. Headers of peers
// that Caddy does not trust change nothing; the first of them in a load is told, with the lines to paste.
func (a *App) client(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	client, err := netip.ParseAddr(text)
	if err != nil {
		client = netip.Addr{}
	}
	if !trusted {
		for _, name := range forwarding {
			if len(r.Header[name]) > 0 {
				a.untrusted.Do(func() { a.tellUntrusted(r, name) })
				break
			}
		}
		return client.Unmap().WithZone("")
	}
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.TrustedProxiesStrict > 0 || len(server.ClientIPHeaders) == 0 || !strings.EqualFold(server.ClientIPHeaders[0], "X-Forwarded-For") {
		return client.Unmap().WithZone("")
	}
	// Without the strict option, which the start asks for, Caddy takes the left-most entry: what the client has written itself.
	if last, ok := lastForwarded(r.Header["X-Forwarded-For"]); ok {
		client = last
	}
	return client.Unmap().WithZone("")
}

// lastForwarded returns the right-most public address of X-Forwarded-For: what the nearest proxy has seen. Private ones are
// proxies of one's own.
func lastForwarded(values []string) (netip.Addr, bool) {
	entries := strings.Split(strings.Join(values, ","), ",")
	var last netip.Addr
	for i := len(entries) - 1; i >= 0; i-- {
		entry := strings.TrimSpace(entries[i])
		addr, err := netip.ParseAddr(strings.Trim(entry, "[]"))
		if err != nil {
			port, e := netip.ParseAddrPort(entry)
			if e != nil {
				break
			}
			addr = port.Addr()
		}
		last = addr.Unmap()
		if !last.IsPrivate() && !last.IsLoopback() && !last.IsLinkLocalUnicast() {
			break
		}
	}
	return last, last.IsValid()
}

func (a *App) tellUntrusted(r *http.Request, name string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	ranges := "private_ranges"
	if err == nil && !peer.Addr().IsPrivate() && !peer.Addr().IsLoopback() {
		ranges = peer.Addr().Unmap().String()
	}
	a.log.Warn(name+" came from "+network(peer.Addr())+", which Caddy does not trust, so it counts for nothing. "+
		"If that is a proxy of yours, add to the global options:\n"+
		"\tservers {\n\t\ttrusted_proxies static "+ranges+"\n\t\ttrusted_proxies_strict\n\t}", "event", "config")
}
