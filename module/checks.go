package module

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// check refuses what cannot work, and names the line that is to change.
func (c *configuration) check(arrivals []arrival) error {
	if err := checkOff(arrivals); err != nil {
		return err
	}
	for _, p := range c.positions {
		if err := p.checkMoved(); err != nil {
			return err
		}
		if err := p.checkInner(); err != nil {
			return err
		}
	}
	c.warnNamedRoutes(arrivals)
	c.warnUnreached(arrivals)
	for _, check := range []func() error{
		c.checkClientHeaders,
		c.checkAudiences,
		func() error { return c.checkPages(arrivals) },
		func() error { return c.checkVerify(arrivals) },
		func() error { return c.checkBypasses(arrivals) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkMoved refuses a handler whose pages a rewrite takes away.
func (p *position) checkMoved() error {
	if p.moved == "" {
		return nil
	}
	where := ""
	if len(p.paths) > 0 {
		where = " " + p.paths[0]
	}
	return p.handler.Source.wrap("", fmt.Errorf("it stands behind %s, which moves its pages away from %s; write 'email_link%s' in the site itself, before that", p.moved, p.handler.site.Prefix, where))
}

// checkInner refuses what an inner handler cannot say.
func (p *position) checkInner() error {
	if p.outer == nil {
		return nil
	}
	h := p.handler
	for _, one := range []struct {
		option, line string
		given        bool
	}{
		{"base_url", "base_url", len(h.BaseURL) > 0},
		{"path", "path", h.Path != ""},
		{"sign_up", "sign_up", h.SignUp != nil},
		{"portal", "portal off", h.Portal != ""},
	} {
		if one.given {
			return h.Source.wrap(one.option, fmt.Errorf("base_url, path, sign_up and portal off belong to the outer email_link of a site, and the one inside 'handle' or 'route' only tightens it; write '%s' in the one of %s instead, or give this part a site of its own",
				one.line, p.outer.handler.Source.name()))
		}
	}
	if gate.Scopes(h.Require.Scope).AdmitTokens() && !gate.Scopes(p.outer.handler.Require.Scope).AdmitTokens() {
		return h.Source.wrap("require scope", errors.New("no machine token gets to a 'require scope' inside 'handle' or 'route' where the outer email_link of the site names no scope; name it there as well, with 'session' beside it to let people in"))
	}
	for _, one := range []*Handler{h, p.outer.handler} {
		if one.Verify != nil {
			return one.Source.wrap("verify", errors.New("verify judges by the first email_link of a site and never gets to one inside 'handle' or 'route', which would not be obeyed; give that part a host of its own, or say it by 'require' and 'public' of the first"))
		}
	}
	return nil
}

// checkAudiences refuses two sites that share an audience and lead to different backends, unless both name it: an assertion
// made for one would be good at the other.
func (c *configuration) checkAudiences() error {
	for i, a := range c.positions {
		for _, b := range c.positions[i+1:] {
			if a.outer != nil || b.outer != nil || (a.handler.Audience != "" && b.handler.Audience != "") || slices.Equal(a.hosts, b.hosts) {
				continue
			}
			if slices.Equal(sorted(a.upstreams), sorted(b.upstreams)) {
				continue
			}
			for _, name := range a.audiences() {
				if slices.Contains(b.audiences(), name) {
					return a.handler.Source.wrap("", fmt.Errorf("the sites %s and %s share the audience %q and lead to different backends; write 'audience <name>' in both",
						a.title(), b.title(), name))
				}
			}
		}
	}
	return nil
}

// warnNamedRoutes names gates in named routes behind which nothing answers. Where no directive of a named route has a matcher,
// Caddy's Caddyfile adapter keeps the first one and drops the others.
func (c *configuration) warnNamedRoutes(arrivals []arrival) {
	seen := map[*Handler]bool{}
	for _, a := range arrivals {
		if a.kind != nothingKind {
			continue
		}
		for _, h := range a.gates {
			if c.alone[h] && !seen[h] {
				seen[h] = true
				c.warn("routes", h.Source.prefix("")+": nothing answers behind it: of a named route whose directives have no matcher Caddy keeps the first directive alone, and answers an empty 200",
					"write 'route { … }' around the directives inside the named route")
			}
		}
	}
}
