package module

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// findHosts finds out from which hosts requests come to each handler.
func (c *configuration) findHosts(arrivals []arrival) {
	c.reached, c.first = map[*Handler]map[string]bool{}, map[*Handler]bool{}
	for _, a := range arrivals {
		if a.kind != gateKind {
			continue
		}
		if c.reached[a.handler] == nil {
			c.reached[a.handler] = map[string]bool{}
		}
		c.reached[a.handler][a.host] = true
		c.first[a.handler] = c.first[a.handler] || len(a.gates) == 0
	}
}

// isInner reports whether all requests that come to a handler have passed another one of ours.
func (c *configuration) isInner(h *Handler) bool { return c.reached[h] != nil && !c.first[h] }

// answers reports whether requests for an origin come to a handler and have passed no other one of ours. A host that no matcher names comes
// to those of a star above it, and to those that take all.
func (c *configuration) answers(h *Handler, origin gate.Origin) bool {
	if !c.first[h] || !c.listensFor(h, origin) {
		return false
	}
	host := origin.Host()
	if c.hosts[host] {
		return c.reached[h][host]
	}
	for _, pattern := range slices.Sorted(maps.Keys(c.hosts)) {
		if hostMatches(pattern, host) != never {
			return c.reached[h][pattern]
		}
	}
	return c.reached[h][""]
}

// mayAnswer is as answers, and true where that is not known.
func (c *configuration) mayAnswer(h *Handler, origin string) bool {
	o, err := gate.ParseOrigin(origin)
	return err == nil && (c.reached[h] == nil || c.answers(h, o))
}

// listensFor reports whether a server with a handler listens on the port of an origin. Where none does something in front of Caddy leads
// from that port to another one, and it may be any.
func (c *configuration) listensFor(h *Handler, origin gate.Origin) bool {
	here := doctor.Listener{Scheme: origin.Scheme(), Port: origin.Port()}
	listens := func(list []doctor.Listener) bool { return len(list) == 0 || slices.Contains(list, here) }
	if slices.ContainsFunc(c.positions, func(p *position) bool { return p.handler == h && listens(c.listens[p.server]) }) {
		return true
	}
	return !slices.ContainsFunc(slices.Collect(maps.Values(c.listens)), listens)
}

// admitted returns the origins that a handler answers for. A star in base_url trusts every name below it, and the holder of one
// of them could have links mailed that lead to it (CWE-640). So it stands for the hosts that the matchers on the way to the
// handler name, and for all of them only where the site itself takes all.
func (c *configuration) admitted(h *Handler) (list []gate.Origin) {
	for _, o := range h.origins {
		labels, all := c.below(o, h)
		if all {
			list = append(list, o)
			continue
		}
		for _, label := range labels {
			list = append(list, o.Below(label))
		}
	}
	return list
}

// below returns the labels below the star of an origin whose requests come to a handler. all reports that these are not known one
// by one, and for an origin without a star.
func (c *configuration) below(o gate.Origin, h *Handler) (labels []string, all bool) {
	reached := c.reached[h]
	if !o.Wildcard() || reached == nil || reached[""] {
		return nil, true // the routes that another module holds are not known
	}
	for _, host := range slices.Sorted(maps.Keys(reached)) {
		label, rest, _ := strings.Cut(host, ".")
		switch {
		case hostMatches(rest, strings.TrimPrefix(o.Host(), ".")) == never:
		case label == "*":
			return nil, true
		case !slices.Contains(labels, label):
			labels = append(labels, label)
		}
	}
	return labels, false
}

// warnStars says what a star in base_url trusts where the site takes every name below it.
func (c *configuration) warnStars(handlers []*Handler) {
	for _, h := range handlers {
		if h.Off || c.isInner(h) {
			continue // an inner one answers for nothing by itself
		}
		for _, o := range h.origins {
			if _, all := c.below(o, h); all && o.Wildcard() {
				c.warn("base_url", fmt.Sprintf("%s: every name below *%s can ask for links, since this site takes each of them: let none of them point elsewhere", h.Source.prefix(""), o.Host()),
					"write the hosts in place of the star, in base_url or in the address of the site, or put email_link into a 'handle' with a 'host' matcher for each of them")
			}
		}
	}
}
