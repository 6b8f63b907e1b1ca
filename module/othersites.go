package module

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// prepareOthers finds the handlers that some reading of a request may lead to while Caddy picks h first.
func (c *configuration) prepareOthers(ctx caddy.Context, h *Handler) error {
	h.site.RewrittenBefore = slices.ContainsFunc(c.positions, func(p *position) bool {
		return p.handler == h && slices.ContainsFunc(p.steps, func(s step) bool { return s.rewrite != nil })
	})
	for _, other := range c.positions {
		if other.failed || other.handler == h || !other.handler.asksMoreThan(h) || !c.besides(h, other) {
			continue
		}
		route, anyCase, err := other.route(ctx)
		if err != nil {
			return err
		}
		h.site.Others = append(h.site.Others, gate.OtherSite{Site: other.handler.site, Route: route})
		h.site.OthersInAnyCase = h.site.OthersInAnyCase || anyCase
	}
	return nil
}

// besides reports whether requests of one host may come to h first and by another reading to a position.
func (c *configuration) besides(h *Handler, other *position) bool {
	wild := func(host string) bool { return strings.ContainsAny(host, "*{") }
	return slices.ContainsFunc(c.positions, func(p *position) bool {
		if p.handler != h || p.failed || p.server != other.server {
			return false
		}
		return len(p.hosts) == 0 || len(other.hosts) == 0 || slices.ContainsFunc(p.hosts, wild) || slices.ContainsFunc(other.hosts, wild) ||
			slices.ContainsFunc(p.hosts, func(host string) bool {
				return slices.ContainsFunc(other.hosts, func(o string) bool { return strings.EqualFold(host, o) })
			})
	})
}

// asksMoreThan reports whether a request that another handler lets go on may be refused here.
func (h *Handler) asksMoreThan(other *Handler) bool {
	if h.Optional || h.Off {
		return false
	}
	return !h.Require.Empty() || h.MaxAge > 0 || other.Optional || len(other.site.Access.Public) > 0 || len(other.site.Access.Protect) > 0
}

// route returns the way to what a position protects. anyCase reports whether a matcher on it names capital letters and so may be
// meant by a path that has none.
func (p *position) route(ctx caddy.Context) (route gate.Route, anyCase bool, err error) {
	for i := range p.steps {
		s := &p.steps[i]
		one := gate.Step{}
		if one.Match, err = matcherSets(ctx, s.matchers, nil); err != nil {
			return nil, false, err
		}
		for _, unless := range s.unless {
			sets, err := matcherSets(ctx, unless, nil)
			if err != nil {
				return nil, false, err
			}
			one.Unless = append(one.Unless, sets)
		}
		if s.rewrite != nil {
			one.Rewrite = rewriter(s.rewrite)
		}
		if s.sets != nil {
			one.Set = setter(s.sets)
		}
		if s.perhaps {
			one.Match = gate.Sets{{perhaps{}}}
		}
		anyCase = anyCase || namesCapitals(s.matchers)
		route = append(route, one)
	}
	return append(route, gate.Step{Match: p.handler.site.Access.Protect}), anyCase || p.handler.protectsCapitals, nil
}

// perhaps matches requests of which it is not known whether they are meant.
type perhaps struct{}

// Opens implements gate.Matcher.
func (perhaps) Opens(*http.Request) bool { return false }

// Demands implements gate.Matcher.
func (perhaps) Demands(*http.Request) bool { return true }

// rewriter returns what a rewrite makes of a request.
func rewriter(how *rewrite.Rewrite) func(r *http.Request) *http.Request {
	return func(r *http.Request) *http.Request {
		out := asSeen(r, r.URL.Path)
		out.URL.RawPath, out.URL.Opaque = r.URL.RawPath, r.URL.Opaque
		if repl, ok := out.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
			how.Rewrite(out, repl)
		}
		return out
	}
}

// setter returns what a handler that sets values makes of a request. Its patterns cannot be folded, so it gets the path in lower
// case as well.
func setter(handler caddyhttp.MiddlewareHandler) func(r *http.Request) []*http.Request {
	return func(r *http.Request) []*http.Request {
		out := seenBy(r, r.URL.Path, handler)
		out.URL.RawPath, out.URL.Opaque = r.URL.RawPath, r.URL.Opaque
		if lower := strings.ToLower(r.URL.Path); lower != r.URL.Path {
			return []*http.Request{out, seenBy(r, lower, handler)}
		}
		return []*http.Request{out}
	}
}

// escapes are the classes of a regular expression that are written with a capital letter.
var escapes = regexp.MustCompile(`\\(?:[pP]\{[^}]*\}|.)`)

// namesCapitals reports whether matchers that know case name capital letters.
func namesCapitals(sets []caddyhttp.MatcherSet) bool {
	return slices.ContainsFunc(sets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(m any) bool {
			switch t := m.(type) {
			case *caddyhttp.MatchPathRE:
				plain := escapes.ReplaceAllString(t.Pattern, "")
				return plain != strings.ToLower(plain)
			case *caddyhttp.MatchNot:
				return namesCapitals(t.MatcherSets)
			default:
				return len(wordsOf(m)) > 0
			}
		})
	})
}
