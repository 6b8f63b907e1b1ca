package module

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// demandOf returns what a request needs of the handler. An ambiguous path that no reading makes a protected one is passed by
// everybody who has a session.
func (h *Handler) demandOf(r *http.Request, p *pass) (gate.Need, error) {
	need, err := h.access.Need(r)
	if need == gate.NeedSession && (p.sess == nil || h.access.Protects(r)) {
		need = gate.NeedAll
	}
	return need, err
}
