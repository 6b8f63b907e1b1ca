package module

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// Portal is one sign-in for all sites: people sign in at its origin, once for each browser, and a sign-out ends all of that browser's sessions.
// Its host has a site of its own, with `email_link` and nothing behind it.
type Portal struct {
	// Origin is where people sign in, such as `https://auth.example.com`: one exact entry of base_url, whose host is that of no other entry
	// and of no other site, whatever the port.
	Origin string `json:"origin"`
	// Name is what the portal's pages and mails call it. Default: site_name.
	Name string `json:"name,omitempty"`
	// Logo is the image above the portal's pages. Default: that of the app.
	Logo Logo `json:"logo,omitzero"`
	// Apps name sites on the portal's first page, in their order before the others. Default: each site is named by its host.
	Apps []PortalApp `json:"apps,omitempty"`
}

// PortalApp is how the portal shows a site.
type PortalApp struct {
	// Origin is the site's, such as `https://photos.example.org`.
	Origin string `json:"origin"`
	// Name is what people call it.
	Name string `json:"name"`
	// Logo is the path of an image like that of `logo`. Default: the first letter of the name.
	Logo string `json:"logo,omitempty"`
}

// Check returns an error if the portal cannot be one, as far as that is known without files, the environment and the sites.
func (p *Portal) Check() error {
	if p == nil {
		return nil
	}
	if _, err := exactOrigin("portal", p.Origin); err != nil && !strings.Contains(p.Origin, "{") {
		return err
	}
	seen := map[string]bool{}
	for _, app := range p.Apps {
		o, err := exactOrigin("portal: app", app.Origin)
		switch {
		case err != nil:
			return err
		case app.Name == "":
			return fmt.Errorf("portal: app %s: the name is missing; write 'app %s <name>'", app.Origin, app.Origin)
		case seen[o.String()]:
			return fmt.Errorf("portal: app %s is given twice; keep one of the lines", o)
		}
		seen[o.String()] = true
	}
	return nil
}

// exactOrigin reads one origin without a star.
func exactOrigin(what, text string) (gate.Origin, error) {
	o, err := gate.ParseOrigin(text)
	if err != nil {
		return o, fmt.Errorf("%s: %w", what, err)
	}
	if o.Wildcard() {
		return o, fmt.Errorf("%s: %s has a star; write one host, such as https://auth%s", what, o, o.Host())
	}
	return o, nil
}

// portal is what the option says, resolved.
type portal struct {
	origin gate.Origin
	web    *web.Portal
	name   string
	brand  web.Brand
	apps   []web.PortalSite
	// handler is that of the portal's own site, nil where there is none.
	handler *Handler
}

// readPortal resolves the option.
func (a *App) readPortal() error {
	if err := a.Portal.Check(); err != nil || a.Portal == nil {
		return err
	}
	text, err := expand(a.Portal.Origin)
	if err != nil {
		return fmt.Errorf("portal: %w", err)
	}
	p := &portal{brand: a.policy.brand}
	if p.origin, err = exactOrigin("portal", text); err != nil {
		return err
	}
	if err := readText("portal: name", a.Portal.Name, &p.name); err != nil {
		return err
	}
	p.name = cmp.Or(p.name, a.policy.siteName)
	if a.Portal.Logo.File != "" {
		p.brand.Wordmark, p.brand.LogoDark = a.Portal.Logo.Wordmark, web.File{}
		if p.brand.Logo, err = readImage("portal: logo", "logo", a.Portal.Logo.File); err != nil {
			return err
		}
		if p.brand.LogoDark, err = readImage("portal: logo", "logo-dark", a.Portal.Logo.Dark); err != nil {
			return err
		}
	}
	for _, app := range a.Portal.Apps {
		o, _ := gate.ParseOrigin(app.Origin)
		logo, err := readImage("portal: app "+app.Origin, "app", app.Logo)
		if err != nil {
			return err
		}
		p.apps = append(p.apps, web.PortalSite{Origin: o.String(), Name: app.Name, Logo: logo})
	}
	p.web = &web.Portal{Origin: p.origin.String(), Base: p.origin.String() + DefaultPath}
	a.portal = p
	return nil
}

// findHandler finds the handler of the portal's own site, before handlers are bound.
func (p *portal) findHandler(c *configuration) error {
	host := p.origin.Host()
	for _, one := range c.positions {
		if one.outer != nil || !slices.Contains(one.hosts, host) {
			continue
		}
		if len(one.hosts) > 1 {
			return one.handler.Source.wrap("", fmt.Errorf("the portal's host %s shares a site with %s: give it a site of its own, '%s { email_link }'",
				host, strings.Join(slices.DeleteFunc(slices.Clone(one.hosts), func(h string) bool { return h == host }), ", "), host))
		}
		if p.handler != nil && p.handler != one.handler {
			return one.handler.Source.wrap("", fmt.Errorf("the portal's host %s has a second site: write one, '%s { email_link }'; cookies do not tell ports apart", host, host))
		}
		p.handler = one.handler
	}
	return nil
}

// bind makes a handler one of those that the portal signs in for, or the portal's own. origins are those that it answers for.
func (p *portal) bind(h *Handler, origins []gate.Origin) ([]gate.Origin, error) {
	if p == nil {
		if h.Portal != "" {
			return nil, h.Source.wrap("portal", errors.New("portal off: there is no portal; write 'portal <origin>' in the global option email_link, or remove the line"))
		}
		return origins, nil
	}
	if h == p.handler {
		return p.bindOwn(h)
	}
	origins = slices.DeleteFunc(slices.Clone(origins), func(o gate.Origin) bool { return !o.Wildcard() && o.Host() == p.origin.Host() })
	if h.site.Led = h.Portal == ""; !h.site.Led {
		return origins, nil
	}
	if inner := h.app.configuration.isInner(h); h.SignUp != nil && !inner {
		return nil, h.Source.wrap("sign_up", fmt.Errorf("people sign up at the portal %s: write sign_up in the global option email_link, or 'portal off' here for a site with pages of its own", p.origin))
	}
	return origins, nil
}

// bindOwn refuses what the portal's own site cannot have, and returns its one origin.
func (p *portal) bindOwn(h *Handler) ([]gate.Origin, error) {
	for _, one := range []struct {
		option string
		given  bool
	}{
		{"optional", h.Optional},
		{"a matcher behind email_link", len(h.ProtectRaw) > 0 || len(h.site.Access.Protect) > 0},
		{"public", len(h.PublicRaw) > 0 || len(h.site.Access.Public) > 0},
		{"require", !h.Require.Empty()},
		{"max_age", h.MaxAge > 0},
		{"verify", h.Verify != nil},
		{"portal", h.Portal != ""},
	} {
		if one.given {
			return nil, h.Source.wrap(one.option, fmt.Errorf("%s has no meaning at the portal %s, which people have to reach to sign in and behind which there is nothing: remove the line", one.option, p.origin))
		}
	}
	found := slices.IndexFunc(h.origins, func(o gate.Origin) bool { return o.String() == p.origin.String() })
	if found < 0 {
		return nil, h.Source.wrap("", fmt.Errorf("the portal %s is not in base_url; write it there as well", p.origin))
	}
	h.site.Portal = true
	p.web.Base = p.origin.String() + cmp.Or(h.Path, DefaultPath)
	return h.origins[found : found+1], nil
}

// template puts into the pages of a handler what the portal has to do with them.
func (p *portal) template(h *Handler) {
	if p == nil || !h.site.Led && !h.site.Portal {
		return
	}
	t := &h.site.Template
	t.Portal, t.MaxAge = p.web, time.Duration(h.MaxAge)
	if h.site.Portal {
		t.Name, t.Brand = p.name, p.brand
	}
}

// checkPortal completes the portal once all handlers are bound, and refuses what would not keep its promises. It runs before the gate's sites
// are made.
func (a *App) checkPortal(arrivals []arrival) error {
	p := a.portal
	if p == nil {
		return nil
	}
	c := a.configuration
	if err := p.checkOrigins(a); err != nil {
		return err
	}
	if err := p.checkArrivals(a, arrivals); err != nil {
		return err
	}
	if p.handler == nil {
		c.warn("portal", fmt.Sprintf("%s: no site answers for the portal %s, so nobody can sign in", a.Source.prefix("portal"), p.origin),
			"write a site for it: '"+p.origin.Host()+" {', a line 'email_link', and '}'")
	}
	for _, one := range c.positions {
		if one.outer != nil && one.handler.MaxAge > 0 {
			t := &one.outer.handler.site.Template
			if age := time.Duration(one.handler.MaxAge); t.MaxAge == 0 || age < t.MaxAge {
				t.MaxAge = age // a proof that is fresh enough for the whole site is asked for once
			}
		}
	}
	p.collect(c, a.handlers)
	for _, app := range p.apps {
		if p.web.Site(app.Origin) == nil {
			return a.Source.wrap("portal", fmt.Errorf("portal: app %s is no site that the portal signs in for; %s", app.Origin, p.known()))
		}
	}
	return nil
}

// checkArrivals refuses whatever else the requests for the portal's host come to, on any port.
func (p *portal) checkArrivals(a *App, arrivals []arrival) error {
	for _, one := range a.configuration.positions {
		if one.outer != nil && one.outer.handler == p.handler {
			return one.handler.Source.wrap("", fmt.Errorf("the site of the portal %s has email_link a second time: remove it, for nothing is behind the portal", p.origin))
		}
	}
	for _, at := range arrivals {
		if at.host != p.origin.Host() || at.status/100 == 3 || at.kind == nothingKind || at.kind == gateKind && at.handler == p.handler {
			continue
		}
		if at.failed && at.kind != backendKind {
			continue // a page that says what went wrong
		}
		if at.kind == gateKind || at.kind == backendKind || !slices.Contains(at.gates, p.handler) && at.hosted {
			return a.Source.wrap("portal", fmt.Errorf("requests for the portal's host %[1]s come to %[2]s: nothing but email_link may answer there, on no port, because cookies do not tell ports apart and whoever answers gets the portal's; "+
				"give the portal a site of its own with email_link alone, and keep its host out of every other one: by the names of hosts in place of a star or of no host, or by '@others not host %[1]s' around what answers", p.origin.Host(), at.title()))
		}
	}
	return nil
}

// checkOrigins refuses origins that do not go together with the portal's.
func (p *portal) checkOrigins(a *App) error {
	scheme := func(o string) string { return o[:strings.Index(o, ":")] }
	for _, h := range a.handlers {
		for _, o := range h.origins {
			switch {
			case h.Off:
			case o.Host() == p.origin.Host() && !o.Wildcard() && o.String() != p.origin.String():
				return h.Source.wrap("base_url", fmt.Errorf("%s has the host of the portal %s: cookies do not tell ports apart; remove it from base_url", o, p.origin))
			case h.site.Led && scheme(o.String()) != scheme(p.origin.String()):
				return h.Source.wrap("base_url", fmt.Errorf("%s and the portal %s have different schemes; write https for all, or http for all on this machine", o, p.origin))
			}
		}
	}
	return nil
}

// known says which sites there are, for an error.
func (p *portal) known() string {
	if len(p.web.Sites) == 0 {
		return "it signs in for no site: write email_link without 'portal off' in one"
	}
	var list []string
	for _, s := range p.web.Sites {
		list = append(list, s.Origin)
	}
	return "write one of " + strings.Join(list, ", ")
}

// collect finds the sites that the portal signs in for.
func (p *portal) collect(c *configuration, handlers []*Handler) {
	sites := map[string]*web.PortalSite{}
	admits := map[string][]*gate.Site{}
	var order []string
	var stars []*Handler
	actions := map[string]bool{}
	for _, h := range handlers {
		if h.Off || !h.site.Led || c.isInner(h) {
			continue
		}
		for _, o := range h.site.Origins {
			if o.Wildcard() {
				actions[o.String()] = true
				stars = append(stars, h)
				continue
			}
			if !c.mayAnswer(h, o.String()) {
				continue
			}
			actions[o.String()] = true
			if sites[o.String()] == nil {
				order = append(order, o.String())
				sites[o.String()] = &web.PortalSite{Origin: o.String(), Base: o.String() + h.site.Prefix, Name: gate.HostOf(o.String())}
			}
			admits[o.String()] = append(admits[o.String()], h.site)
		}
	}
	for origin, s := range sites {
		s.Admits, s.LogRefusal = anyAdmits(admits[origin]), logRefusal(admits[origin][0], origin)
		if i := slices.IndexFunc(p.apps, func(app web.PortalSite) bool { return app.Origin == origin }); i >= 0 {
			s.Name, s.Logo = p.apps[i].Name, p.apps[i].Logo
		}
	}
	p.web.Site = func(origin string) *web.PortalSite {
		if s := sites[origin]; s != nil {
			return s
		}
		for _, h := range stars {
			if found, ok := gate.Resolve(h.site.Origins, gate.HostOf(origin)); ok && found == origin && c.mayAnswer(h, origin) {
				return &web.PortalSite{
					Origin: origin, Base: origin + h.site.Prefix, Name: gate.HostOf(origin), Admits: anyAdmits([]*gate.Site{h.site}), LogRefusal: logRefusal(h.site, origin),
				}
			}
		}
		return nil
	}
	for _, app := range p.apps {
		if s := sites[app.Origin]; s != nil {
			p.web.Sites = append(p.web.Sites, *s)
		}
	}
	for _, origin := range order {
		if !slices.ContainsFunc(p.web.Sites, func(s web.PortalSite) bool { return s.Origin == origin }) {
			p.web.Sites = append(p.web.Sites, *sites[origin])
		}
	}
	if p.handler != nil {
		p.handler.site.Template.FormActions = slices.Sorted(maps.Keys(actions))
	}
}

// logRefusal returns what tells the log that a site does not admit an account at an origin. Of several outermost handlers it is the first one's line.
func logRefusal(s *gate.Site, origin string) func(*http.Request, *accounts.Account) string {
	return func(r *http.Request, account *accounts.Account) string { return s.LogRefusal(r, origin, account) }
}

// anyAdmits reports whether an account passes one of the outermost handlers of a site.
func anyAdmits(list []*gate.Site) func(*accounts.Account) bool {
	return func(account *accounts.Account) bool {
		return slices.ContainsFunc(list, func(s *gate.Site) bool { return s.Admits(account) })
	}
}
