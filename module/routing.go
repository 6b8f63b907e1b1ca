package module

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
)

// arrival is something that requests of a kind come to.
type arrival struct {
	question
	passage
	kind kind
	// module is what is arrived at, handler the gate, proxy the backend.
	module  any
	handler *Handler
	proxy   *reverseproxy.Handler
	// status is that of an answer, 0 where it is not known; explicit says that it is written. server is where it is, under
	// serverName.
	status     int
	explicit   bool
	server     *caddyhttp.Server
	serverName string
}

// kind is what an arrival is.
type kind uint8

const (
	// gate is a handler of ours.
	gateKind kind = iota
	// backend is a reverse_proxy or php_fastcgi.
	backendKind
	// files is a file_server.
	filesKind
	// answerKind is `respond` or `redir`, failureKind `error`.
	answerKind
	failureKind
	// nothingKind is the end of the routes: Caddy answers an empty 200.
	nothingKind
)

// passage is what lies on the way of requests to an arrival.
type passage struct {
	chance chance
	// conditions name the matchers on the way, hosts aside, and onlyPaths says that all of them are path matchers.
	conditions []string
	onlyPaths  bool
	// sets are the matchers on the way, those of the site's own address aside, and movedBefore says that some of them see another
	// path than the request's.
	sets        []caddyhttp.MatcherSets
	movedBefore bool
	// gates are handlers of ours that requests may have passed; guarded says that each has passed one.
	gates   []*Handler
	guarded bool
	// roots are those that `root` may have set.
	roots []string
	// hosted says that a host matcher is on the way.
	hosted bool
	// moved returns whether the path is another than the one that was asked about, and mover names the first rewrite that may
	// have changed it.
	moved chance
	mover string
	// failed says that only requests with an error come here.
	failed bool
	depth  int
}

// traveller walks the routes of a server as requests of one kind do.
type traveller struct {
	question
	named map[string]*caddyhttp.Route
	// roots are all that have been set anywhere.
	roots []string
	// arrive is told of each arrival. It returns true where the request gets no further.
	arrive func(arrival) bool
}

// travel walks the routes of a server, those of errors too.
func travel(server *caddyhttp.Server, q question, arrive func(arrival) bool) {
	t := traveller{question: q, named: server.NamedRoutes}
	t.arrive = func(a arrival) bool {
		a.question, a.server = q, server
		return arrive(a)
	}
	if end, ended := t.routes(server.Routes, passage{chance: always, onlyPaths: true, roots: []string{"."}}); ended != always {
		t.arrive(arrival{passage: end, kind: nothingKind})
	}
	if server.Errors != nil {
		// An error may have come after a rewrite or a root.
		t.routes(server.Errors.Routes, passage{chance: maybe, onlyPaths: true, failed: true, moved: maybe, roots: append([]string{"."}, t.roots...)})
	}
}

// at is the question as far as it is still known at a place.
func (t *traveller) at(p passage) question {
	q := t.question
	if p.moved != never {
		q.path = ""
	}
	return q
}

// branches are what the routes of one group have come to so far: of a group, a request takes the first that matches.
type branches struct {
	taken chance
	// ended returns whether requests get no further behind any of them, guarded whether each has passed a gate by then.
	ended   chance
	guarded bool
	gates   []*Handler
	moved   chance
	mover   string
	roots   []string
}

func (b *branches) add(match, end chance, at passage) {
	b.taken, b.ended = max(b.taken, match), min(b.ended, end)
	b.guarded = b.guarded && (at.guarded || end == always)
	b.gates = union(b.gates, at.gates)
	if end != always {
		b.roots = union(b.roots, at.roots)
		b.moved, b.mover = max(b.moved, min(at.moved, match)), cmp.Or(b.mover, at.mover)
	}
}

// routes walks a list of routes. It returns what lies on the way of whatever follows, and whether requests get no further.
func (t *traveller) routes(list caddyhttp.RouteList, at passage) (passage, chance) {
	if at.depth++; at.depth > maxDepth {
		return at, never
	}
	ended := never
	groups := map[string]*branches{}
	for i := range list {
		route := &list[i]
		match := t.at(at).matches(route.MatcherSets)
		group := groups[route.Group]
		if match == never || group != nil && group.taken == always {
			continue
		}
		inner := at.behind(groups, route.Group)
		inner.narrow(match, route.MatcherSets)
		if group != nil {
			inner.chance = min(inner.chance, always-group.taken)
		}
		inner, end := t.route(route, inner)
		if route.Terminal && end != always {
			t.arrive(arrival{passage: inner, kind: nothingKind})
			end = always
		}
		ended = max(ended, min(end, maybe))
		switch {
		case route.Group != "":
			if group == nil {
				group = &branches{guarded: true, ended: always}
				groups[route.Group] = group
			}
			group.add(match, end, inner)
			if group.taken == always && group.ended == always {
				return at, always
			}
			at.guarded = at.guarded || group.taken == always && group.guarded
			if group.taken == always {
				at.roots = nil // each branch has its own
			}
		case match == always && end == always:
			return at, always
		case match == always:
			at.gates, at.guarded, at.roots, at.moved, at.mover = inner.gates, inner.guarded, inner.roots, inner.moved, inner.mover
		default:
			at.gates = union(at.gates, inner.gates)
			if end != always {
				at.roots = union(at.roots, inner.roots)
				at.moved, at.mover = max(at.moved, min(inner.moved, maybe)), cmp.Or(at.mover, inner.mover)
			}
		}
	}
	return at.behind(groups, ""), ended
}

// behind adds what a request may have come by in the branches of groups, but for its own.
func (p passage) behind(groups map[string]*branches, own string) passage {
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if name != own {
			group := groups[name]
			p.gates, p.roots = union(p.gates, group.gates), union(p.roots, group.roots)
			p.moved, p.mover = max(p.moved, group.moved), cmp.Or(p.mover, group.mover)
		}
	}
	return p
}

// narrow puts the matchers of a route on the way.
func (p *passage) narrow(match chance, sets caddyhttp.MatcherSets) {
	hosts := len(hostsOf(sets)) > 0
	if len(sets) > 0 && (p.depth > 1 || !hosts) {
		p.sets, p.movedBefore = append(slices.Clip(p.sets), sets), p.movedBefore || p.moved != never
	}
	p.chance, p.hosted = min(p.chance, match), p.hosted || hosts
	if text, onlyPaths := describe(sets); text != "" {
		p.conditions = append(slices.Clip(p.conditions), text)
		p.onlyPaths = p.onlyPaths && onlyPaths
	}
}

func (t *traveller) route(route *caddyhttp.Route, at passage) (passage, chance) {
	ended := never
	for _, handler := range route.Handlers {
		var end chance
		if at, end = t.handler(handler, at); end == always {
			return at, always
		}
		ended = max(ended, end)
	}
	return at, ended
}

// handler comes by one handler. It returns whether requests get no further.
func (t *traveller) handler(handler caddyhttp.MiddlewareHandler, at passage) (passage, chance) {
	switch h := handler.(type) {
	case *Handler:
		if t.arrive(arrival{passage: at, kind: gateKind, handler: h, module: h}) {
			return at, always
		}
		at.gates, at.guarded = union(at.gates, []*Handler{h}), true
	case *caddyhttp.Subroute:
		if h.Errors != nil {
			failed := at
			failed.failed, failed.chance = true, maybe
			t.routes(h.Errors.Routes, failed)
		}
		return t.routes(h.Routes, at)
	case *caddyhttp.Invoke:
		if route := t.named[h.Name]; route != nil {
			return t.routes(caddyhttp.RouteList{*route}, at)
		}
	case *caddyhttp.VarsMiddleware:
		if root, ok := (*h)["root"].(string); ok {
			at.roots, t.roots = []string{root}, union(t.roots, []string{root})
		}
	case *rewrite.Rewrite:
		if moved := t.at(at).movedBy(h); moved != never {
			at.moved, at.mover = max(at.moved, moved), cmp.Or(at.mover, rewriteText(h))
		}
	case *intercept.Intercept:
		t.responses(h.HandleResponse, at)
	case *reverseproxy.Handler:
		return t.proxy(h, at)
	case *fileserver.FileServer:
		t.arrive(arrival{passage: at, kind: filesKind, module: h})
		return at, passThru(h.PassThru)
	case *caddyhttp.StaticResponse:
		return at, t.answer(h, at)
	case *caddyhttp.StaticError:
		t.arrive(arrival{passage: at, kind: failureKind, module: h})
		return at, always
	case caddy.Module:
		if h.CaddyModule().ID == "http.handlers.metrics" {
			t.arrive(arrival{passage: at, kind: answerKind, status: 200, module: h})
			return at, always
		}
	}
	return at, never
}

func passThru(on bool) chance {
	if on {
		return maybe
	}
	return always
}

// proxy comes to a backend, and to what handles its responses. The routes of a response go on where the proxy stands.
func (t *traveller) proxy(h *reverseproxy.Handler, at passage) (passage, chance) {
	if !asksPermission(h) {
		t.arrive(arrival{passage: at, kind: backendKind, proxy: h, module: h})
	}
	if len(h.HandleResponse) == 0 {
		return at, always
	}
	t.responses(h.HandleResponse, at)
	return at, maybe
}

func (t *traveller) responses(list []caddyhttp.ResponseHandler, at passage) {
	at.chance = maybe
	for i := range list {
		t.routes(list[i].Routes, at)
	}
}

// asksPermission reports whether a proxy is that of forward_auth, which asks another service whether the request may pass.
func asksPermission(h *reverseproxy.Handler) bool {
	return h.Rewrite != nil && h.Rewrite.Method == "GET" && len(h.HandleResponse) > 0 &&
		h.Headers != nil && h.Headers.Request != nil && len(h.Headers.Request.Set["X-Forwarded-Uri"]) > 0
}

func (t *traveller) answer(h *caddyhttp.StaticResponse, at passage) chance {
	status := 200
	if h.StatusCode != "" {
		n, err := strconv.Atoi(known(string(h.StatusCode)))
		if err != nil {
			n = 0
		}
		status = n
	}
	if status == 103 {
		return never
	}
	if h.Abort {
		status = 444
	}
	t.arrive(arrival{passage: at, kind: answerKind, status: status, explicit: h.StatusCode != "", module: h})
	return always
}

func union[T comparable](a, b []T) []T {
	for _, h := range b {
		if !slices.Contains(a, h) {
			a = append(slices.Clip(a), h)
		}
	}
	return a
}

// fastCGI reports whether a proxy speaks FastCGI, as php_fastcgi does.
func fastCGI(h *reverseproxy.Handler) bool {
	switch h.Transport.(type) {
	case *fastcgi.Transport, fastcgi.Transport:
		return true
	default:
		return false
	}
}

// title names what is arrived at, by upstream and matchers.
func (a arrival) title() string {
	text := "'file_server'"
	switch a.kind {
	case gateKind:
		text = "'email_link'"
	case answerKind:
		text = "'respond'"
		if _, ok := a.module.(*caddyhttp.StaticResponse); !ok {
			text = "'metrics'"
		}
	case backendKind:
		name := "reverse_proxy"
		if fastCGI(a.proxy) {
			name = "php_fastcgi"
		}
		text = "'" + strings.Join(append([]string{name}, dials(a.proxy)...), " ") + "'"
	}
	if a.failed {
		text += " in handle_errors"
	}
	return text + " of " + a.site() + " (" + a.matchers() + ")"
}

// site names the hosts of an arrival.
func (a arrival) site() string {
	switch {
	case !a.hosted:
		return "any host at " + strings.Join(a.server.Listen, " ")
	case a.host == "":
		return "any other host"
	default:
		return a.host
	}
}

// matchers names the matchers on the way.
func (p passage) matchers() string {
	if len(p.conditions) == 0 {
		return "without a matcher"
	}
	return strings.Join(p.conditions, "; ")
}
