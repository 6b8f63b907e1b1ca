package module

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// hint logs what an operator may have overlooked, one line each, with the line to change. It asks no network.
func (a *App) hint(ctx context.Context, c *core, s *survey) {
	for _, line := range a.hints(s) {
		a.log.Warn(line, "event", "config")
	}
	if c.keyFile != "" {
		if line := keyring.KeyFileWarning(c.keyFile); line != "" {
			a.log.Warn(line, "event", "config")
		}
	}
	if b, ok := a.storage.(*StorageBbolt); ok {
		if fi, err := os.Stat(b.path); err == nil && fi.Mode().Perm()&0o077 != 0 {
			a.log.Warn(fmt.Sprintf("others can read the database: chmod 600 %s", b.path), "event", "config")
		}
	}
	if m, ok := a.mailer.(*MailerFile); ok {
		a.log.Warn("mails become files in "+m.dir+": whoever reads them can sign in as anybody; write 'mailer smtp …' before others use this", "event", "config")
	}
	any := false
	err := c.Store.View(ctx, func(tx storage.Tx) (err error) {
		any, err = tx.Accounts().Any()
		return err
	})
	if err == nil && !any {
		a.log.Warn("there is no account yet; make the first one: caddy email-link accounts add you@example.com --role admin", "event", "config")
	}
}

// hints compares the options with the sites they meet.
func (a *App) hints(s *survey) (lines []string) {
	add := func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		for _, have := range lines {
			if have == line {
				return
			}
		}
		lines = append(lines, line)
	}
	for i, secret := range a.Secret {
		if !strings.Contains(secret, "{") {
			add("value %d of 'secret' stands in the configuration, which Caddy stores and shows: write secret {env.EMAIL_LINK_SECRET} or {file./run/secrets/email_link}", i+1)
		}
	}
	served := map[string]bool{}
	anyHost := false
	for _, p := range s.places {
		if p.nested {
			continue
		}
		if len(p.hosts) == 0 {
			anyHost = true
		}
		for _, host := range p.hosts {
			if !covered(p.handler.origins, host) {
				add("no base_url for the site %s: everybody there is sent away with 421; write base_url https://%s", host, strings.TrimPrefix(host, "*."))
			}
		}
		for _, o := range p.handler.origins {
			for _, host := range p.hosts {
				served[o.text] = served[o.text] || covered([]Origin{o}, host)
			}
		}
		a.hintSignUp(p, add)
	}
	for _, p := range s.places {
		for _, o := range p.handler.origins {
			if !p.nested && !anyHost && !served[o.text] {
				add("no site with email_link serves %s: its links lead nowhere; add a site for it, or remove it from base_url", o.text)
			}
		}
	}
	return lines
}

func (a *App) hintSignUp(p *place, add func(string, ...any)) {
	h := p.handler
	policy := h.template.SignUp
	if policy.Mode != flow.SignUpOpen || len(policy.Domains) > 0 || !h.Require.Empty() || h.Optional {
		return
	}
	where := strings.Join(p.hosts, ", ")
	if where == "" && h.fallback != nil {
		where = h.fallback.Host()
	}
	add("anyone with a mailbox can reach %s: write 'sign_up open example.com' or 'require email *@example.com' if that is not meant", where)
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
	if server == nil || server.TrustedProxiesStrict > 0 {
		return client.Unmap().WithZone("")
	}
	// Without the strict option Caddy takes the left-most entry, which the client has written itself.
	a.untrusted.Do(func() {
		a.log.Warn("trusted_proxies without trusted_proxies_strict believes what clients write; add to the global options:\n"+
			"\tservers {\n\t\ttrusted_proxies_strict\n\t}", "event", "config")
	})
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
