package web

import (
	"net/http"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// HealthRoute reports whether a path is the one that answers at any Host, without a session and without a line in the log.
func HealthRoute(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && rest == "/health"
}

// maxNonce is the longest nonce that /health answers, in bytes.
const maxNonce = 64

// health reports whether the gate can work, and nothing about why not: anybody may ask. A nonce is answered with what only a gate on the same
// database answers.
func (x *exchange) health() {
	status, body := http.StatusOK, "ok\n"
	if x.Health != nil && x.Health() != nil {
		status, body = http.StatusServiceUnavailable, "unavailable\n"
	}
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.w.Header().Set(boundary.HealthHeader, strings.TrimSpace(body))
	if nonce, ok := x.onlyQuery("nonce"); ok && nonce != "" && len(nonce) <= maxNonce && x.AnswerNonce != nil {
		x.w.Header().Set(boundary.AnswerHeader, x.AnswerNonce(nonce))
	}
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write([]byte(body))
	}
}
