package module

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// otherGate is another handler of the same server, and the way that leads there: through the routes, and to what it protects.
//
// Caddy picks a route by its own reading of a path, the program behind it picks a resource by another. Where a reading leads to a
// handler that asks for more than the one which Caddy has picked, the demands of both have to be met.
type otherGate struct {
	handler *Handler
	way     gate.Way
}

// prepareOthers finds the handlers that some reading of a request may lead to while Caddy picks h first.
func (c *configuration) prepareOthers(ctx caddy.Context, h *Handler) error {
	h.rewrittenBefore = slices.ContainsFunc(c.positions, func(p *position) bool {
		return p.handler == h && slices.ContainsFunc(p.steps, func(s step) bool { return s.rewrite != nil })
	})
	for _, other := range c.positions {
		if other.failed || other.handler == h || !other.handler.asksMoreThan(h) || !c.besides(h, other) {
			continue
		}
		way, anyCase, err := other.way(ctx)
		if err != nil {
			return err
		}
		h.others = append(h.others, otherGate{other.handler, way})
		h.othersInAnyCase = h.othersInAnyCase || anyCase
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
	return !h.Require.Empty() || h.MaxAge > 0 || other.Optional || len(other.access.Public) > 0 || len(other.access.Protect) > 0
}

// way returns the way to what a position protects. anyCase reports whether a matcher on it names capital letters and so may be
// meant by a path that has none.
func (p *position) way(ctx caddy.Context) (way gate.Way, anyCase bool, err error) {
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
		if s.perhaps {
			one.Match = gate.Sets{{perhaps{}}}
		}
		anyCase = anyCase || namesCapitals(s.matchers)
		way = append(way, one)
	}
	return append(way, gate.Step{Match: p.handler.access.Protect}), anyCase || p.handler.protectsCapitals, nil
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

// refusedElsewhere returns why a request that the handler lets pass with the identity of sess must not go on: some reading of its
// path leads to another handler that refuses it. A path that no reading leads to one is left alone.
func (h *Handler) refusedElsewhere(r *http.Request, p *pass, sess subject) web.Refusal {
	if len(h.others) == 0 {
		return 0
	}
	if h.rewrittenBefore {
		r = asSent(r)
	}
	if !h.othersInAnyCase && r.URL.Opaque == "" && r.URL.RawPath == "" && boundary.IsOrdinary(r.URL.Path) {
		return 0 // it has one reading, and Caddy picks by that
	}
	readings := gate.Read(r, asSeen)
	for i := range h.others {
		other := h.others[i].handler
		switch need, err := other.access.Need(r); {
		case err != nil:
			return web.BadRequest
		case need == gate.NeedNothing && !h.others[i].moved():
			continue
		}
		if !h.others[i].way.Reaches(readings) {
			continue
		}
		if why := other.refuses(r, p, sess); why != 0 {
			return why
		}
	}
	return 0
}

// moved reports whether a path may be another one when it comes to the handler.
func (o *otherGate) moved() bool {
	return slices.ContainsFunc(o.way, func(s gate.Step) bool { return s.Rewrite != nil })
}

// asSent returns the request with the path that the client has sent, where a rewrite before the handler has changed it.
func asSent(r *http.Request) *http.Request {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil || original.URL.Path == r.URL.Path && original.URL.RawPath == r.URL.RawPath {
		return r
	}
	sent := asSeen(r, original.URL.Path)
	sent.URL.RawPath, sent.URL.Opaque = original.URL.RawPath, original.URL.Opaque
	return sent
}

// refuses returns why a request with the identity of sess does not pass where the handler asks for everything.
func (h *Handler) refuses(r *http.Request, p *pass, sess subject) web.Refusal {
	switch {
	case p.sess == nil:
		return web.SignIn
	case p.token.Presented:
		_, why := h.decideToken(r, p, true)
		return why
	case sess == nil || !h.scoped(p) || !h.meets(user{p.sess.who()}):
		return web.Forbidden
	case h.tooOld(p):
		return web.SignIn
	default:
		return 0
	}
}
