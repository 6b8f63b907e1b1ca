package module

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// innerGate is a handler that a request may come to after an outer one, and the way there.
type innerGate struct {
	handler *Handler
	way     gate.Way
	// moved reports whether a path may be rewritten on the way.
	moved bool
}

// demandOf returns what a request needs of the handler. An ambiguous path that no reading makes a protected one is passed by
// everybody who has a session.
func (h *Handler) demandOf(r *http.Request, p *pass) (gate.Need, error) {
	need, err := h.access.Need(r)
	if need == gate.NeedSession && (p.sess == nil || h.access.Protects(r)) {
		need = gate.NeedAll
	}
	return need, err
}

// refusedInside returns why a request that the handler lets pass with the identity of sess must not go on: some reading of its
// path leads to an inner handler that would refuse it. Which one Caddy picks depends on Caddy's reading, which resource the request
// gets on that of the program behind it. A path that no reading leads to an inner handler is left alone.
func (h *Handler) refusedInside(r *http.Request, p *pass, sess subject) web.Refusal {
	if len(h.inner) == 0 || !h.innerAnyCase && r.URL.Opaque == "" && r.URL.RawPath == "" && boundary.IsOrdinary(r.URL.Path) {
		return 0 // one reading, and it is Caddy's
	}
	readings := gate.Read(r, asSeen)
	for i := range h.inner {
		inner := &h.inner[i]
		if !inner.moved {
			switch need, err := inner.handler.access.Need(r); {
			case err != nil:
				return web.BadRequest
			case need == gate.NeedNothing:
				continue
			}
		}
		if !inner.way.Reaches(readings) {
			continue
		}
		if why := inner.handler.refuses(r, p, sess); why != 0 {
			return why
		}
	}
	return 0
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
