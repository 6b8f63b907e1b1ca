package module

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
)

// place is where one of our handlers stands in the routes of the HTTP app.
type place struct {
	handler *Handler
	// hosts are those of the site; none means any.
	hosts []string
	// nested says that another of our handlers comes before it on the same way.
	nested bool
	// inside are the paths of the route that a nested one stands in, where it has some. inherited are the scopes of the outer
	// one with which machine tokens pass it without its saying so.
	inside, inherited []string
	// upstreams are the backends behind it.
	upstreams []string
}

// survey is what the HTTP app says about our sites. A directive cannot see the addresses of its site; the app can, once
// everything has been provisioned.
type survey struct {
	places  []*place
	servers []doctor.Server
	// bare are the hosts of backends in error routes with no handler of ours before them. An error leaves behind the writer
	// that our handler has put between the backend and the client.
	bare [][]string
}

// survey walks the routes of the HTTP app and refuses what cannot work.
func (a *App) survey() (*survey, error) {
	s := &survey{}
	app, err := a.ctx.AppIfConfigured("http")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	servers := app.(*caddyhttp.App).Servers
	names := make([]string, 0, len(servers))
	for name := range servers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		server := servers[name]
		s.servers = append(s.servers, doctor.Server{TrustsProxies: trustsProxies(server), Strict: server.TrustedProxiesStrict > 0})
		w := walker{survey: s, named: server.NamedRoutes}
		if err := w.routes(server.Routes, way{}); err != nil {
			return nil, err
		}
		if server.Errors != nil {
			if err := w.routes(server.Errors.Routes, way{failed: true}); err != nil {
				return nil, err
			}
		}
	}
	return s, s.audiences()
}

// trustsProxies says whether trusted_proxies is set. Caddy forgets the text of the option once it has been read and keeps what
// came of it to itself.
func trustsProxies(server *caddyhttp.Server) bool {
	ranges := reflect.ValueOf(server).Elem().FieldByName("trustedProxies")
	return ranges.IsValid() && ranges.Kind() == reflect.Interface && !ranges.IsNil()
}

// way is what lies on the way to a route.
type way struct {
	hosts, paths []string
	outer        *place
	// said says that one of our handlers inside outer has said which tokens pass.
	said bool
	// moved describes a rewrite that every request on this way has gone through.
	moved string
	// failed says that only requests with an error come here.
	failed bool
	depth  int
}

type walker struct {
	*survey
	named map[string]*caddyhttp.Route
}

// maxDepth ends the walk of named routes that invoke each other.
const maxDepth = 64

func (w *walker) routes(list caddyhttp.RouteList, at way) error {
	if at.depth++; at.depth > maxDepth {
		return nil
	}
	for i := range list {
		inner := at
		if hosts := hostsOf(list[i].MatcherSets); len(hosts) > 0 {
			inner.hosts = hosts
		}
		if paths := pathsOf(list[i].MatcherSets); len(paths) > 0 {
			inner.paths = paths
		}
		for _, handler := range list[i].Handlers {
			if err := w.handler(handler, &inner); err != nil {
				return err
			}
		}
		if len(list[i].MatcherSets) == 0 {
			at = inner // what stands on an unconditional route lies on the way of the ones that follow
		} else if inner.outer != at.outer && at.outer == nil && len(hostsOf(list[i].MatcherSets)) == 0 {
			at.outer = inner.outer
		}
	}
	return nil
}

func (w *walker) handler(handler caddyhttp.MiddlewareHandler, at *way) error {
	switch t := handler.(type) {
	case *Handler:
		if at.moved != "" {
			return fmt.Errorf("email_link stands behind %s, which moves its pages away from %s; write 'handle' instead of 'handle_path', or put email_link before it", at.moved, t.prefix)
		}
		p := &place{handler: t, hosts: at.hosts, nested: at.outer != nil}
		w.places = append(w.places, p)
		if at.outer == nil {
			at.outer = p
			return nil
		}
		p.inside = at.paths
		if at.said = at.said || len(t.Require.Scope) > 0; !at.said {
			p.inherited = at.outer.handler.Require.besidePeople()
		}
		if len(t.BaseURL) > 0 || t.Path != "" || t.SignUp != nil {
			return errors.New("email_link: base_url, path and sign_up belong to the outer email_link of a site; the one inside 'handle' or 'route' only tightens it")
		} else if t.Require.namesScopes() && !at.outer.handler.Require.namesScopes() {
			return errors.New("email_link: no machine token gets to a 'require scope' inside 'handle' or 'route' where the outer email_link of the site names no scope; name it there as well, with 'session' beside it to let people in")
		} else if t.Verify != nil || at.outer.handler.Verify != nil {
			return errors.New("email_link: verify judges by the first email_link of a site and never gets to one inside 'handle' or 'route', which would not be obeyed; give that part a host of its own, or say it by 'require' and 'public' of the first")
		}
	case *caddyhttp.Subroute:
		inner := *at
		if err := w.routes(t.Routes, inner); err != nil {
			return err
		}
		if t.Errors != nil {
			inner.failed = true
			return w.routes(t.Errors.Routes, inner)
		}
	case *caddyhttp.Invoke:
		if route := w.named[t.Name]; route != nil {
			return w.routes(caddyhttp.RouteList{*route}, *at)
		}
	case *rewrite.Rewrite:
		if how := moves(t); how != "" {
			at.moved = how
		}
	case *reverseproxy.Handler:
		if at.failed && at.outer == nil {
			w.bare = append(w.bare, at.hosts)
		}
		if at.outer != nil {
			for _, u := range t.Upstreams {
				at.outer.upstreams = append(at.outer.upstreams, u.Dial)
			}
			if t.DynamicUpstreams != nil {
				at.outer.upstreams = append(at.outer.upstreams, "dynamic")
			}
		}
	}
	return nil
}

// moves says how a rewrite changes the path of every request, "" when it does not.
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

// audiences refuses two sites that share an audience and lead to different backends, unless both name it: an assertion made
// for one would be good at the other.
func (s *survey) audiences() error {
	for i, a := range s.places {
		for _, b := range s.places[i+1:] {
			if a.nested || b.nested || (a.handler.Audience != "" && b.handler.Audience != "") || slices.Equal(a.hosts, b.hosts) {
				continue
			}
			if slices.Equal(sorted(a.upstreams), sorted(b.upstreams)) {
				continue
			}
			for _, name := range a.names() {
				if slices.Contains(b.names(), name) {
					return fmt.Errorf("the sites %s and %s share the audience %q and lead to different backends; write 'audience <name>' in both",
						a.title(), b.title(), name)
				}
			}
		}
	}
	return nil
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// names are the audiences of a place.
func (p *place) names() []string {
	if p.handler.Audience != "" {
		return []string{p.handler.Audience}
	}
	if len(p.hosts) > 0 {
		return p.hosts
	}
	var names []string
	for _, o := range p.handler.origins {
		names = append(names, audienceOf(o.text))
	}
	return names
}

func (p *place) title() string {
	if len(p.hosts) == 0 {
		return "of any host"
	}
	return strings.Join(p.hosts, ", ")
}
