package module

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// configuration is what all handlers of a configuration come to together. A handler sees neither the addresses of its site nor
// the routes beside it; the app does, once the http app is provisioned. It is made before the first request, by `caddy
// validate` too, and immutable from then on.
type configuration struct {
	// positions are the places of our handlers in the routes, in the order of the routes. A named route that is invoked twice
	// makes two of one handler.
	positions []*position
	servers   []doctor.Server
	// warnings are what each start and `doctor` say about the routes.
	warnings []doctor.Finding
	// hosts are those that the configuration names anywhere, those with a star included.
	hosts map[string]bool
	// reached are, of each handler, the hosts whose requests come to it: those that a matcher on the way names, `*.example.com`
	// for all others below it, and the empty one for all that no matcher names. first reports whether some of them have passed
	// no other handler of ours.
	reached map[*Handler]map[string]bool
	first   map[*Handler]bool
	// alone are the handlers that are all there is of a named route.
	alone map[*Handler]bool
	// routes are the servers themselves, whose routes `why` follows.
	routes map[string]*caddyhttp.Server
	// listens are the addresses of each server, forwarded those with trusted_proxies.
	listens   map[string][]doctor.Listener
	forwarded map[string]bool
}

// position is one place of a handler in the routes.
type position struct {
	handler *Handler
	// server is the name of the server, and failed reports whether only requests with an error come here.
	server string
	failed bool
	// hosts are those of the site; none means any.
	hosts []string
	// steps lead from the server to the handler. A request comes by if it passes each of them.
	steps []step
	// outer is the first of our handlers on the way, nil for the first one itself.
	outer *position
	// paths are those of the nearest route with a path matcher around it. inheritedScopes are the scopes of the
	// outer one with which machine tokens pass an inner one that names no scope.
	paths, inheritedScopes []string
	// moved describes a rewrite that every request on the way has gone through, empty where there is none.
	moved string
	// upstreams are, of an outer one, the backends behind it.
	upstreams []string
}

// step is one route on the way of a request: it passes if matchers match it, where there are any, and none of unless does.
type step struct {
	matchers caddyhttp.MatcherSets
	// unless are the matchers of earlier routes that keep a request away from this one: of `handle` blocks before it, of which
	// the first that matches wins, and of terminal routes.
	unless []caddyhttp.MatcherSets
	// rewrite changes the path of those that matchers match, and lets the others pass as they are. perhaps reports whether it
	// depends on more than matchers.
	rewrite *rewrite.Rewrite
	// sets is a handler that sets values for what comes behind it, which may depend on the path: `map` or `vars`.
	sets    caddyhttp.MiddlewareHandler
	perhaps bool
}

// prepare gives each handler what depends on all others. It runs once, when all are bound.
func (c *configuration) prepare(ctx caddy.Context, handlers []*Handler) error {
	c.prepareNames(handlers)
	for _, h := range handlers {
		if err := c.prepareOthers(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// audiences are the audience names of a position.
func (p *position) audiences() []string {
	if p.handler.Audience != "" {
		return []string{p.handler.Audience}
	}
	if len(p.hosts) > 0 {
		return p.hosts
	}
	var names []string
	for _, o := range p.handler.site.Origins {
		names = append(names, gate.HostOf(o.String()))
	}
	return names
}

// title names the site.
func (p *position) title() string {
	if len(p.hosts) == 0 {
		return "of any host"
	}
	return strings.Join(p.hosts, ", ")
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
