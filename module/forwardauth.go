package module

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
)

// checkVerify refuses forward-auth that fails open: a proxy takes any 2xx for yes, and Caddy answers an empty 200
// to a host that no site names. Each host that a server with `verify` can get has to come to a gate or to a refusal.
func (c *configuration) checkVerify(arrivals []arrival) error {
	type endpoint struct {
		server *caddyhttp.Server
		path   string
	}
	seen := map[endpoint]bool{}
	for _, a := range arrivals {
		if a.kind != gateKind || a.failed || a.handler.Verify == nil {
			continue
		}
		at := endpoint{a.server, a.handler.site.VerifyPath()}
		if seen[at] {
			continue
		}
		seen[at] = true
		for _, host := range c.named() {
			if bad, ok := yes(at.server, question{host: host, path: at.path, method: http.MethodGet}); ok {
				return a.handler.Source.wrap("verify", verifyError(at.server, bad))
			}
		}
	}
	return checkDefaultAnswers(arrivals)
}

// yes returns what answers 2xx to the question of a proxy and is no gate of ours.
func yes(server *caddyhttp.Server, q question) (bad arrival, ok bool) {
	var failed []arrival
	failures := false
	travel(server, q, func(a arrival) bool {
		switch {
		case a.kind == gateKind:
			_, own := a.handler.site.Below(q.path)
			return own && !a.handler.Off && len(a.gates) == 0
		case a.kind == failureKind:
			failures = true
		case a.failed && (a.kind == backendKind || a.kind == answerKind && a.status < 300 && a.explicit):
			failed = append(failed, a)
		case a.failed || a.kind == answerKind && a.status >= 300:
		case !ok:
			bad, ok = a, true
		}
		return false
	})
	if !ok && failures && len(failed) > 0 {
		return failed[0], true
	}
	return bad, ok
}

func verifyError(server *caddyhttp.Server, bad arrival) error {
	const rule = "a proxy that asks takes each 2xx for yes, so every request would pass it"
	if bad.kind != nothingKind {
		return fmt.Errorf("verify answers at the same address as %s, which can say 2xx to its questions; %s; write 'respond 404' there, or email_link before it", bad.title(), rule)
	}
	if bad.hosted {
		return fmt.Errorf("verify answers at the same address as the site %s, where Caddy says an empty 200 to its questions; %s; write 'respond 404' at the end of that site", bad.site(), rule)
	}
	return fmt.Errorf("verify answers at %s, where Caddy says an empty 200 to questions for hosts that no site names; %s; write beside this site:\n%s",
		strings.Join(server.Listen, " "), rule, catchAll(server))
}

// catchAll returns the site that refuses what no other site of a server takes.
func catchAll(server *caddyhttp.Server) string {
	var names, binds []string
	for _, listen := range server.Listen {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err != nil || addr.IsUnixNetwork() {
			binds = append(binds, listen)
			continue
		}
		scheme := "http://:"
		if len(server.TLSConnPolicies) > 0 {
			scheme = "https://:"
		}
		if name := scheme + fmt.Sprint(addr.StartPort); !slices.Contains(names, name) {
			names = append(names, name)
		}
		if addr.Host != "" {
			binds = append(binds, addr.Host)
		}
	}
	if len(names) == 0 {
		names = []string{"http://"}
	}
	text := "\t" + strings.Join(names, ", ") + " {\n"
	if len(binds) > 0 {
		text += "\t\tbind " + strings.Join(binds, " ") + "\n"
	}
	return text + "\t\trespond 404\n\t}"
}

// checkDefaultAnswers refuses a fixed 2xx behind a gate with `verify`, Caddy's empty one where nothing answers included: a proxy
// that asks at another path would take it for yes.
func checkDefaultAnswers(arrivals []arrival) error {
	for _, a := range arrivals {
		fixed := a.kind == answerKind && a.status < 300 || a.kind == nothingKind && a.guarded
		if !fixed || a.failed || len(a.conditions) > 0 {
			continue
		}
		for _, h := range a.gates {
			switch {
			case h.Verify == nil:
			case a.kind == nothingKind:
				return h.Source.wrap("verify", errors.New("nothing answers behind it, where Caddy says an empty 200 to everybody who is signed in, and a proxy that asks at a wrong path takes that for yes; write 'respond 404' behind it"))
			default:
				return h.Source.wrap("verify", fmt.Errorf("behind it %s says 2xx to everybody who is signed in, and a proxy that asks at a wrong path takes that for yes; write 'respond 404' instead", a.title()))
			}
		}
	}
	return nil
}

// listeners are the addresses of a server, none where one of them has no port.
func listeners(server *caddyhttp.Server) (list []doctor.Listener) {
	scheme := "http"
	if len(server.TLSConnPolicies) > 0 {
		scheme = "https"
	}
	for _, listen := range server.Listen {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err != nil || addr.IsUnixNetwork() || addr.StartPort != addr.EndPort {
			return nil
		}
		list = append(list, doctor.Listener{Scheme: scheme, Port: fmt.Sprint(addr.StartPort)})
	}
	return list
}
