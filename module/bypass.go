package module

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
	"golang.org/x/net/idna"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
)

// checkBypasses judges the routes that reach a backend past the gates, for each host over all servers. Where a gate hands
// plain headers to the backend it is refused: clients could forge them on the other route. All else is a warning.
func (c *configuration) checkBypasses(arrivals []arrival) error {
	behind, hosts := gated(arrivals)
	type pair struct {
		module any
		gate   *Handler
	}
	seen := map[pair]bool{}
	for _, a := range arrivals {
		if a.guarded || a.kind != backendKind && a.kind != filesKind || a.kind == filesKind && a.failed {
			continue
		}
		gate, names := a.endangers(behind)
		host := hosts[a.host]
		if gate == nil && host == nil {
			continue
		}
		if len(names) > 0 {
			return gate.Source.wrap("", fmt.Errorf("the backend behind it is also reached past it, by %s: there clients can send %s themselves, and the backend believes it; %s",
				a.title(), strings.Join(names, ", "), a.remedy(host != nil)))
		}
		warned := pair{a.module, cmp.Or(gate, host)}
		if seen[warned] {
			continue
		}
		seen[warned] = true
		switch {
		case gate != nil:
			c.warn("routes", fmt.Sprintf("%s: the backend behind it is also reached past it, by %s: requests there come with the gate's cookies, and nobody has to sign in", gate.Source.prefix(""), a.title()), a.remedy(host != nil))
		default:
			c.warn("routes", fmt.Sprintf("%s: its site also has %s, which is reached past it: requests there come with the gate's cookies, and nobody has to sign in", host.Source.prefix(""), a.title()), a.remedy(true))
		}
	}
	return nil
}

func (c *configuration) warn(check, text, fix string) {
	c.warnings = append(c.warnings, doctor.Finding{Check: check, Result: doctor.Warn, Text: text, Fix: fix})
}

// gated returns the gates by the upstreams behind them, and a gate for each host that has one.
func gated(arrivals []arrival) (behind map[string][]*Handler, hosts map[string]*Handler) {
	behind, hosts = map[string][]*Handler{}, map[string]*Handler{}
	for _, a := range arrivals {
		switch a.kind {
		case gateKind:
			if !a.handler.Off && !a.failed && hosts[a.host] == nil {
				hosts[a.host] = a.handler
			}
		case backendKind:
			for _, upstream := range a.upstreams() {
				for _, h := range a.gates {
					if !h.Off {
						behind[upstream] = union(behind[upstream], []*Handler{h})
					}
				}
			}
		}
	}
	return behind, hosts
}

// endangers returns the gate that an arrival goes past, and the plain headers that clients can forge there.
func (a arrival) endangers(behind map[string][]*Handler) (gate *Handler, names []string) {
	if a.kind != backendKind {
		return nil, nil
	}
	for _, upstream := range a.upstreams() {
		for _, h := range behind[upstream] {
			if gate == nil {
				gate = h
			}
			if len(h.site.Headers) > 0 && len(names) == 0 {
				gate = h
				for _, one := range h.site.Headers {
					names = append(names, one.Name)
				}
			}
		}
	}
	return gate, names
}

// dials are the addresses of a backend as they are configured.
func dials(h *reverseproxy.Handler) (list []string) {
	for _, u := range h.Upstreams {
		list = append(list, u.Dial)
	}
	return list
}

// upstreams are the addresses of a backend, each in one spelling. Those that only a request knows are left out. One FastCGI
// server answers for many apps, which differ by their root.
func (a arrival) upstreams() (list []string) {
	for _, dial := range dials(a.proxy) {
		dial = known(dial)
		if strings.Contains(dial, "{") {
			continue
		}
		upstream := canonicalUpstream(dial)
		if !fastCGI(a.proxy) {
			list = append(list, upstream)
			continue
		}
		for _, root := range a.fastCGIRoots() {
			list = append(list, "fastcgi "+upstream+" "+root)
		}
	}
	return list
}

// fastCGIRoots are the directories that a FastCGI backend may take scripts from: its own root, or those of the site.
func (a arrival) fastCGIRoots() (list []string) {
	const site = "{http.vars.root}"
	own := site
	switch t := a.proxy.Transport.(type) {
	case *fastcgi.Transport:
		own = t.Root
	case fastcgi.Transport:
		own = t.Root
	}
	for _, root := range a.roots {
		root = filepath.Clean(known(strings.ReplaceAll(own, site, root)))
		if abs, err := caddy.FastAbs(root); err == nil {
			root = abs
		}
		list = union(list, []string{root})
	}
	return list
}

// canonicalUpstream returns one spelling of an address to dial: this machine has many names.
func canonicalUpstream(dial string) string {
	addr, err := caddy.ParseNetworkAddress(dial)
	if err != nil {
		return dial
	}
	if addr.IsUnixNetwork() {
		return "unix/" + filepath.Clean(strings.SplitN(addr.Host, "|", 2)[0])
	}
	host := strings.TrimSuffix(strings.ToLower(addr.Host), ".")
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	if ip, ok := parseIP(host); ok {
		if ip = ip.Unmap(); ip.IsLoopback() || ip.IsUnspecified() {
			host = ""
		} else {
			host = ip.String()
		}
	}
	if slices.Contains(localNames, host) || strings.HasSuffix(host, ".localhost") {
		host = ""
	}
	return fmt.Sprintf("%s:%d", host, addr.StartPort)
}

// localNames are those that /etc/hosts commonly has for this machine.
var localNames = []string{"localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"}

// parseIP reads an IP address, those of IPv4 as inet_aton(3) and with it the resolver of the C library does too: 127.1,
// 0x7f000001 or 2130706433.
func parseIP(host string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip, true
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 || strings.Contains(host, "_") {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, part := range parts {
		bits := 8 // the last part fills what the others leave
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		n, err := strconv.ParseUint(part, 0, bits)
		if err != nil {
			return netip.Addr{}, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

// checkOff refuses `email_link off` where it cannot do what it says.
func checkOff(arrivals []arrival) error {
	for _, a := range arrivals {
		if a.kind != gateKind {
			continue
		}
		before := slices.IndexFunc(a.gates, func(h *Handler) bool { return h.Off != a.handler.Off })
		switch {
		case before < 0:
		case a.handler.Off:
			return a.handler.Source.wrap("", fmt.Errorf("'off' stands behind the email_link of %s, which has stopped everybody who is not signed in; write there 'public %s' instead",
				a.gates[before].Source.name(), a.open()))
		default:
			return a.handler.Source.wrap("", errors.New("it stands behind 'email_link off', which takes the gate's cookies away, so nobody could sign in; remove 'email_link off', or write it in the route that is open"))
		}
	}
	return nil
}
