package module

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	maphandler "github.com/caddyserver/caddy/v2/modules/caddyhttp/map"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// configure binds the handlers of the configuration to the app, walks the routes of the http app and refuses what cannot work.
func (a *App) configure(ctx caddy.Context) error {
	servers := map[string]*caddyhttp.Server{}
	app, err := ctx.AppIfConfigured("http")
	switch {
	case err == nil:
		servers = app.(*caddyhttp.App).Servers
	case !errors.Is(err, caddy.ErrNotConfigured):
		return err
	}
	collected, err := ctx.App(registryID)
	if err != nil {
		return err
	}
	registered := collected.(*registry)
	registered.closed = true
	a.configuration = survey(servers)
	a.configuration.routes = servers
	arrivals := a.configuration.arrivals(servers)
	a.handlers = inOrder(a.configuration.positions, registered.handlers)
	a.configuration.findHosts(arrivals)
	if a.portal != nil {
		if err := a.portal.findHandler(a.configuration); err != nil {
			return err
		}
	}
	for _, h := range a.handlers {
		if err := h.bind(a); err != nil {
			return err
		}
	}
	a.warnInviteRoles()
	if err := a.checkPortal(arrivals); err != nil {
		return err
	}
	for _, h := range a.handlers {
		if !h.Off {
			h.site.Answers = func(origin gate.Origin) bool { return a.configuration.answers(h, origin) }
			a.gate.AddSite(h.site)
		}
	}
	if err := a.configuration.prepare(ctx, a.handlers); err != nil {
		return err
	}
	a.configuration.warnStars(a.handlers)
	return a.configuration.check(arrivals)
}

// inOrder returns the handlers in the order of the routes, so that an origin that two of them have is always the same one's.
// Caddy provisions servers in random order.
func inOrder(positions []*position, registered []*Handler) (list []*Handler) {
	for _, p := range positions {
		if !slices.Contains(list, p.handler) {
			list = append(list, p.handler)
		}
	}
	for _, h := range registered {
		if !slices.Contains(list, h) {
			list = append(list, h)
		}
	}
	return list
}

// survey walks the routes of all servers.
func survey(servers map[string]*caddyhttp.Server) *configuration {
	c := &configuration{hosts: map[string]bool{}, listens: map[string][]doctor.Listener{}, forwarded: map[string]bool{}, alone: map[*Handler]bool{}}
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		server := servers[name]
		c.servers = append(c.servers, doctor.Server{TrustsProxies: trustsProxies(server), Strict: server.TrustedProxiesStrict > 0})
		c.forwarded[name] = trustsProxies(server)
		c.listens[name] = listeners(server)
		for _, route := range server.NamedRoutes {
			if len(route.Handlers) == 1 {
				if h, ok := route.Handlers[0].(*Handler); ok {
					c.alone[h] = true
				}
			}
		}
		w := walker{configuration: c, server: name, named: server.NamedRoutes}
		w.routes(server.Routes, trail{})
		if server.Errors != nil {
			w.routes(server.Errors.Routes, trail{failed: true})
		}
	}
	return c
}

// named returns the hosts that the configuration names, and the empty one for all others.
func (c *configuration) named() []string {
	return append(slices.Sorted(maps.Keys(c.hosts)), "")
}

// arrivals follows the requests of each host through all servers.
func (c *configuration) arrivals(servers map[string]*caddyhttp.Server) (list []arrival) {
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		for _, host := range c.named() {
			travel(servers[name], question{host: host}, func(a arrival) bool {
				a.serverName = name
				list = append(list, a)
				return false
			})
		}
	}
	return list
}

// trustsProxies reports whether trusted_proxies is set. Caddy forgets the text of the option once it has been read and keeps
// what came of it to itself.
func trustsProxies(server *caddyhttp.Server) bool {
	ranges := reflect.ValueOf(server).Elem().FieldByName("trustedProxies")
	return ranges.IsValid() && ranges.Kind() == reflect.Interface && !ranges.IsNil()
}

// trail is what lies on the way to a route.
type trail struct {
	hosts, paths []string
	steps        []step
	// outer is the first of our handlers on the way.
	outer *position
	// scopeDeclared reports whether one of our handlers inside outer has said which tokens pass.
	scopeDeclared bool
	// moved describes a rewrite that every request on it has gone through.
	moved string
	// failed reports whether only requests with an error come here.
	failed bool
	depth  int
}

// narrow keeps the hosts and paths that the matchers of a route admit.
func (at *trail) narrow(matchers caddyhttp.MatcherSets) {
	if hosts := hostsOf(matchers); len(hosts) > 0 {
		at.hosts = hosts
	}
	if paths := pathsOf(matchers); len(paths) > 0 {
		at.paths = paths
	}
}

type walker struct {
	*configuration
	server string
	named  map[string]*caddyhttp.Route
}

// maxDepth ends the walk of named routes that invoke each other.
const maxDepth = 64

// routes walks a list of routes and returns what lies on the way of whatever follows it.
func (w *walker) routes(list caddyhttp.RouteList, at trail) trail {
	if at.depth++; at.depth > maxDepth {
		return at
	}
	var terminal []caddyhttp.MatcherSets
	groups := map[string]*siblings{}
	// left is the way behind the first conditional route with one of our handlers, which some of the following requests have
	// taken: those in other groups, because of one group a request takes one route.
	var left *trail
	leftGroup := ""
	for i := range list {
		route := &list[i]
		hostsIn(route.MatcherSets, w.hosts)
		inner := at
		if left != nil && at.outer == nil && (leftGroup == "" || route.Group != leftGroup) {
			inner.outer = left.outer
		}
		inner.narrow(route.MatcherSets)
		own := step{matchers: route.MatcherSets, unless: slices.Clone(terminal)}
		inner.steps = slices.Clone(at.steps)
		for _, name := range slices.Sorted(maps.Keys(groups)) {
			if name == route.Group {
				own.unless = append(own.unless, groups[name].matchers...)
			} else {
				inner.steps = append(inner.steps, groups[name].rewrites...)
			}
		}
		inner.steps = append(inner.steps, own)
		before := len(inner.steps)
		for _, handler := range route.Handlers {
			w.handler(handler, &inner)
		}
		rewrites := own.conditional(inner.steps[before:])
		switch {
		case route.Terminal:
			terminal = append(terminal, route.MatcherSets)
			rewrites = nil
		case route.Group != "":
			if groups[route.Group] == nil {
				groups[route.Group] = &siblings{}
			}
			groups[route.Group].matchers = append(groups[route.Group].matchers, route.MatcherSets)
			groups[route.Group].rewrites = append(groups[route.Group].rewrites, rewrites...)
			rewrites = nil
		}
		steps := append(slices.Clip(at.steps), rewrites...)
		switch {
		case len(route.MatcherSets) == 0 && route.Group == "":
			at = inner // the handlers of an unconditional route also see the requests of the routes that follow
		case inner.outer != at.outer && left == nil && len(hostsOf(route.MatcherSets)) == 0:
			left, leftGroup = &inner, route.Group
		}
		at.steps = steps
	}
	if left != nil && at.outer == nil {
		at.outer = left.outer
	}
	return at
}

// siblings are the routes of one group, of which the first that matches wins: their matchers, and what they do to the path of
// requests that go on to routes outside of the group.
type siblings struct {
	matchers []caddyhttp.MatcherSets
	rewrites []step
}

// conditional returns those of the steps inside a route that change the path of requests which go on behind it.
func (s *step) conditional(inside []step) (rewrites []step) {
	for _, one := range inside {
		switch {
		case one.rewrite == nil && one.sets == nil:
			continue
		case len(s.matchers) == 0 && len(s.unless) == 0:
		case len(one.matchers) == 0 && !one.perhaps && len(s.unless) == 0:
			one.matchers = s.matchers
		default:
			one.matchers, one.perhaps = nil, true
		}
		rewrites = append(rewrites, one)
	}
	return rewrites
}

// after puts what a list of routes has left on the way that goes on behind it.
func (at *trail) after(end trail) {
	at.outer, at.steps = end.outer, end.steps
	at.scopeDeclared, at.moved = end.scopeDeclared, end.moved
}

// handler looks at one handler of a route.
func (w *walker) handler(handler caddyhttp.MiddlewareHandler, at *trail) {
	switch t := handler.(type) {
	case *Handler:
		w.ours(t, at)
	case *caddyhttp.Subroute:
		if t.Errors != nil {
			inner := *at
			inner.failed = true
			w.routes(t.Errors.Routes, inner)
		}
		at.after(w.routes(t.Routes, *at))
	case *caddyhttp.Invoke:
		if route := w.named[t.Name]; route != nil {
			at.after(w.routes(caddyhttp.RouteList{*route}, *at))
		}
	case *rewrite.Rewrite:
		if how := moves(t); how != "" {
			at.moved = how
		}
		at.steps = append(slices.Clip(at.steps), step{rewrite: t})
	case *caddyhttp.VarsMiddleware, *maphandler.Handler:
		at.steps = append(slices.Clip(at.steps), step{sets: handler})
	case *intercept.Intercept:
		w.responses(t.HandleResponse, at)
	case *reverseproxy.Handler:
		w.backend(t, at)
		w.responses(t.HandleResponse, at)
	}
}

func (w *walker) responses(list []caddyhttp.ResponseHandler, at *trail) {
	for i := range list {
		w.routes(list[i].Routes, *at)
	}
}

func (w *walker) ours(h *Handler, at *trail) {
	if h.Off {
		return
	}
	p := &position{handler: h, server: w.server, failed: at.failed, hosts: at.hosts, paths: at.paths, steps: at.steps, moved: at.moved}
	h.Source = h.Source.orSite(p.title())
	w.positions = append(w.positions, p)
	if at.outer == nil {
		at.outer = p
		return
	}
	p.outer = at.outer
	if at.scopeDeclared = at.scopeDeclared || len(h.Require.Scope) > 0; !at.scopeDeclared {
		p.inheritedScopes = at.outer.handler.Require.besideSessions()
	}
}

func (w *walker) backend(t *reverseproxy.Handler, at *trail) {
	if at.outer == nil {
		return
	}
	for _, u := range t.Upstreams {
		at.outer.upstreams = append(at.outer.upstreams, u.Dial)
	}
	if t.DynamicUpstreams != nil {
		at.outer.upstreams = append(at.outer.upstreams, "dynamic")
	}
}

// moves describes how a rewrite changes the path of every request, empty where it does not.
func moves(r *rewrite.Rewrite) string {
	switch {
	case r.StripPathPrefix != "":
		return fmt.Sprintf("'handle_path %s*' or 'uri strip_prefix %s'", r.StripPathPrefix, r.StripPathPrefix)
	case r.StripPathSuffix != "":
		return "'uri strip_suffix " + r.StripPathSuffix + "'"
	case strings.HasPrefix(r.URI, "/"):
		return "'rewrite " + r.URI + "'"
	default:
		return ""
	}
}

func pathsOf(sets caddyhttp.MatcherSets) (paths []string) {
	for _, set := range sets {
		for _, m := range set {
			if list, ok := m.(*caddyhttp.MatchPath); ok {
				paths = append(paths, *list...)
			}
		}
	}
	return paths
}

func hostsOf(sets caddyhttp.MatcherSets) (hosts []string) {
	for _, set := range sets {
		for _, m := range set {
			if list, ok := m.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *list...)
			}
		}
	}
	return hosts
}
