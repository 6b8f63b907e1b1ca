package web

import (
	"net/http"
	"strings"
	"time"

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
	status, word, body := http.StatusOK, "ok", "ok\n"
	if x.Health != nil {
		servingUntil, err := x.Health()
		switch {
		case err != nil:
			status, word, body = http.StatusServiceUnavailable, "unavailable", "unavailable\n"
		case !servingUntil.IsZero():
			word = "serving_cached"
			body = `{"store":"unreachable","serving_cached":true,"serving_until":"` + servingUntil.UTC().Format(time.RFC3339) + "\"}\n"
		}
	}
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if word == "serving_cached" {
		x.w.Header().Set("Content-Type", "application/json")
	}
	x.w.Header().Set(boundary.HealthHeader, word)
	if nonce, ok := x.onlyQuery("nonce"); ok && nonce != "" && len(nonce) <= maxNonce && x.AnswerNonce != nil {
		x.w.Header().Set(boundary.AnswerHeader, x.AnswerNonce(nonce))
	}
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write([]byte(body))
	}
}
