package gate

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// Site is one handler of a configuration: it serves the gate's pages, strips forged identity headers and the gate's cookies from every
// request, lets requests through that Access and Require permit, and passes the identity on. The fields are set before the first
// request and before AddSite.
type Site struct {
	// Origins is the closed list of origins that the site answers for.
	Origins []Origin
	// Prefix is the path below which the gate's own pages are.
	Prefix string
	// Peers are the networks of proxies that may ask at /verify; none: there is no such page.
	Peers []netip.Prefix
	// Access says which requests need a session.
	Access Access
	// Require says which accounts and tokens pass.
	Require Require
	// MaxAge asks for a new proof when the last one is older; 0 never does.
	MaxAge time.Duration
	// KeepServiceWorkers leaves the service workers of apps alone, which are otherwise ended with the session.
	KeepServiceWorkers bool
	// Audience names the app in assertions, empty: the origin's host.
	Audience string
	// Assertions says in which form the identity is passed on, Headers which plain headers carry parts of it.
	Assertions AssertionConfig
	Headers    []PlainHeader
	// Stripper knows the names of all sites of the configuration. InnerStripper is for requests that have passed the stripper of an
	// outer site: it knows the site's own names, so that what the outer one has set goes on.
	Stripper, InnerStripper *boundary.Stripper
	// Answered are the names that any site sets, for answers of /verify.
	Answered []string
	// Others are the sites of the same host that ask for more and that a path may lead to by another reading. OthersInAnyCase reports
	// whether a matcher on the way to one of them names capital letters, RewrittenBefore whether paths may have been rewritten before they
	// come to this site.
	Others                           []OtherSite
	OthersInAnyCase, RewrittenBefore bool
	// Answers reports whether requests for an origin come to this site before any other; nil: that is not known.
	Answers func(origin Origin) bool
	// Led is set where people sign in at the portal, and Portal at the portal itself, behind whose pages there is nothing.
	Led, Portal bool
	// Line returns where an option is written, the n-th of its lines; nil: nothing is known.
	Line func(option string, n int) string
	// Template is what the pages of all origins have in common.
	Template web.Site

	gate *Gate
	host Host
	log  *slog.Logger
	// now reads the gate's clock, the zero time before the start.
	now func() time.Time
	// verifyPath is where a proxy asks.
	verifyPath string
	// sites are those of the origins without a star. hosts are the same by the Host that browsers send: most requests need nothing more
	// to be found out.
	sites, hosts map[string]*web.Site
	// fallback is the site that a misdirected request is told of, nil where all have a star.
	fallback *web.Site
	// minters is made at the start of the gate, before the first request.
	minters *minters
}

// AddSite makes a site one of the gate's, and prepares what follows from its fields.
func (g *Gate) AddSite(s *Site) {
	s.gate, s.host, s.log, s.now = g, g.host, g.log, g.Now
	s.verifyPath = s.Prefix + "/verify"
	s.Access.See = g.host.See
	s.sites, s.hosts, s.fallback = map[string]*web.Site{}, map[string]*web.Site{}, nil
	for _, o := range s.Origins {
		if o.wildcard {
			continue
		}
		s.sites[o.text] = s.makeSite(o.text)
		if s.fallback == nil {
			s.fallback = s.sites[o.text]
		}
	}
	for _, one := range s.sites {
		if origin, ok := Resolve(s.Origins, HostOf(one.Origin)); ok && origin == one.Origin {
			s.hosts[HostOf(origin)] = one
		}
	}
	g.sites = append(g.sites, s)
}

// VerifyPath returns the path where a proxy asks.
func (s *Site) VerifyPath() string { return s.verifyPath }

// Below reports whether a path is one of the gate's own pages, and returns the rest of it.
func (s *Site) Below(path string) (rest string, own bool) {
	rest, ok := strings.CutPrefix(path, s.Prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// siteFor returns the site of a request's Host and its origin; where the Host is not ours, the fallback.
func (s *Site) siteFor(host string) (site *web.Site, origin string, known bool) {
	if site := s.hosts[host]; site != nil {
		return site, site.Origin, true
	}
	if origin, known = Resolve(s.Origins, host); known {
		return s.of(origin), origin, true
	}
	return s.fallback, "", false
}

// makeSite fills in what depends on the origin.
func (s *Site) makeSite(origin string) *web.Site {
	site := s.Template
	site.Origin = origin
	site.Secure = strings.HasPrefix(origin, "https://")
	if site.Audience = s.Audience; site.Audience == "" {
		site.Audience = HostOf(origin)
	}
	site.Led = s.Led
	site.FormActions = slices.Clip(site.FormActions)
	for _, o := range s.Origins {
		if o.text != origin && !o.wildcard && !o.below {
			site.FormActions = append(site.FormActions, o.text)
		}
	}
	if site.Led && !slices.Contains(site.FormActions, site.Portal.Origin) {
		site.FormActions = append(site.FormActions, site.Portal.Origin)
	}
	return &site
}

// of returns the site of an origin that Resolve has found. Those below a star are made for each request: no client can fill the
// memory with hosts.
func (s *Site) of(origin string) *web.Site {
	if site := s.sites[origin]; site != nil {
		return site
	}
	return s.makeSite(origin)
}

// Site returns the site of an origin of the configuration: for mails, which name the origin alone, and for operators, who may spell it as
// ParseOrigin reads it. Where sites share a
// list of origins it is the one to which its requests come, as far as that is known.
func (g *Gate) Site(origin string) (site *web.Site, ok bool) {
	canonical, err := ParseOrigin(origin)
	if err != nil {
		return nil, false
	}
	origin = canonical.text
	var first *Site
	for _, s := range g.sites {
		found, ok := Resolve(s.Origins, HostOf(origin))
		switch {
		case !ok || found != origin:
		case s.Answers != nil && s.Answers(canonical):
			return s.of(origin), true
		case first == nil:
			first = s
		}
	}
	if first == nil {
		return nil, false
	}
	return first.of(origin), true
}

// Sites returns the sites of all origins without a star, in the order of the configuration.
func (g *Gate) Sites() (list []*web.Site) {
	seen := map[string]bool{}
	for _, s := range g.sites {
		for _, o := range s.Origins {
			if o.wildcard || seen[o.text] {
				continue
			}
			seen[o.text] = true
			if site, ok := g.Site(o.text); ok {
				list = append(list, site)
			}
		}
	}
	return list
}
