package module

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// ownNames returns the header names that a handler sets.
func (h *Handler) ownNames() []string {
	if h.Off {
		return nil // it hands on nothing, so it has no header of its own
	}
	names := []string{h.site.Assertions.Header}
	for _, one := range h.site.Headers {
		names = append(names, one.Name)
	}
	return names
}

// names returns the header names that any handler of the configuration sets. What one sets, each has to strip, because
// backends are shared: a name that passes one site unstripped is believed behind the other.
func (c *configuration) names(handlers []*Handler) []string {
	names := []string{identity.Header, "Email-Link-Start", "Email-Link-Done"}
	for _, h := range handlers {
		names = append(names, h.ownNames()...)
	}
	return sorted(names)
}

// prepareNames gives each handler the header names of all others.
func (c *configuration) prepareNames(handlers []*Handler) {
	own := c.names(handlers)
	var clients, answered []string
	for _, h := range handlers {
		clients = append(clients, h.ClientHeaders...)
		for _, name := range h.ownNames() {
			if name != h.site.Assertions.Header || h.site.Assertions.Format != "" {
				answered = append(answered, name)
			}
		}
	}
	for _, h := range handlers {
		h.site.Stripper = boundary.NewStripper(boundary.Rules{Own: own, Client: h.ClientHeaders, Methods: c.methodDecides(h)})
		// What the clients of a site may send, its outer handler has let through.
		h.site.InnerStripper = boundary.NewStripper(boundary.Rules{Own: h.ownNames(), Client: clients})
		h.site.Answered = sorted(answered)
	}
}

// methodDecides reports whether a matcher of a site that a handler is in decides by the method of a request: one of a handler,
// or one on the way to it.
func (c *configuration) methodDecides(h *Handler) bool {
	found := false
	for _, p := range c.positions {
		if p.handler != h {
			continue
		}
		found = true
		for _, q := range c.positions {
			if p.sharesHost(q) && q.methodDecides() {
				return true
			}
		}
	}
	return !found && slices.ContainsFunc(c.positions, (*position).methodDecides)
}

func (p *position) methodDecides() bool {
	return p.handler.methodDecides || slices.ContainsFunc(p.steps, func(s step) bool {
		return namesMethod(s.matchers) || slices.ContainsFunc(s.unless, namesMethod)
	})
}

// sharesHost reports whether a request may come by both positions, as far as hosts without a star tell.
func (p *position) sharesHost(q *position) bool {
	return len(p.hosts) == 0 || len(q.hosts) == 0 || slices.ContainsFunc(p.hosts, func(host string) bool {
		return strings.ContainsAny(host, "*{") || slices.ContainsFunc(q.hosts, func(other string) bool {
			return strings.EqualFold(host, other) || strings.ContainsAny(other, "*{")
		})
	})
}

// namesMethod reports whether matchers look at the method of a request.
func namesMethod(sets caddyhttp.MatcherSets) bool {
	return slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(m any) bool {
			switch m := m.(type) {
			case *caddyhttp.MatchMethod:
				return true
			case *caddyhttp.MatchNot:
				return slices.ContainsFunc(m.MatcherSets, func(set caddyhttp.MatcherSet) bool { return namesMethod(caddyhttp.MatcherSets{set}) })
			case *caddyhttp.MatchExpression:
				return strings.Contains(m.Expr, "method")
			case *caddyhttp.VarsMatcher:
				for name := range *m {
					if strings.Contains(name, "http.request.method") {
						return true
					}
				}
			case *caddyhttp.MatchVarsRE:
				for name := range *m {
					if strings.Contains(name, "http.request.method") {
						return true
					}
				}
			}
			return false
		})
	})
}

// CheckClientHeaders reports why clients cannot be let send headers of these names, as far as one site decides it.
func CheckClientHeaders(names []string) error {
	for i, name := range names {
		known, ok := boundary.FindKnown(name)
		plain := strings.TrimSuffix(name, "*")
		switch {
		case !httpguts.ValidHeaderFieldName(plain) || strings.ContainsAny(plain, "_.*"):
			return fmt.Errorf("client_headers: %q is not a usable header name; write one like X-Access-Token, or a family like X-Hasura-*", name)
		case boundary.Covers("Email-Link*", name):
			return fmt.Errorf("client_headers: %s is the gate's own name, which no client may send; remove it", name)
		case !ok:
			return fmt.Errorf("client_headers: %s is not one of the headers that the gate removes, so it needs no letting through; remove it (the reference lists them under 'Headers that are removed')", name)
		case known.Kind == boundary.MethodHeader:
			return fmt.Errorf("client_headers: %s passes unless a matcher of the site names a method, and there it would get past that matcher; remove it, or the method from the matcher", name)
		}
		if j := slices.IndexFunc(names[:i], func(other string) bool { return boundary.Covers(other, name) }); j >= 0 {
			return fmt.Errorf("client_headers: %s is given twice, or covered by %s; remove it", name, names[j])
		}
	}
	return nil
}

// checkClientHeaders refuses to let clients send what some handler sets, and an inner handler that would let nothing through.
func (c *configuration) checkClientHeaders() error {
	for _, p := range c.positions {
		h := p.handler
		if p.outer != nil && len(h.ClientHeaders) > 0 {
			return h.Source.wrap("client_headers", errors.New("client_headers belongs to the outer email_link of a site, which has removed the headers before; write it there"))
		}
		for _, name := range h.ClientHeaders {
			for _, q := range c.positions {
				for _, own := range q.handler.ownNames() {
					if boundary.Covers(name, own) {
						return h.Source.wrap("client_headers", fmt.Errorf("client_headers: the gate itself sets %s (%s), and a client's would be believed there; remove it from client_headers, or set another name",
							own, q.handler.Source.prefix("")))
					}
				}
			}
		}
	}
	return nil
}

// suffixesOf returns the path patterns that begin with a star.
func suffixesOf(sets caddyhttp.MatcherSets) []string {
	return slices.DeleteFunc(pathsOf(sets), func(pattern string) bool { return !strings.HasPrefix(pattern, "*") })
}
