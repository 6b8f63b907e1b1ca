package module

import (
	"fmt"
	"net/http"
	"regexp"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// calls finds the function of an expression that compares paths in any case.
var calls = regexp.MustCompile(`\bpath\s*\([^)]*\)`)

// expressionMatcher is an `expression` that compares paths in any case somewhere.
type expressionMatcher struct {
	opaqueMatcher
	exact caddyMatcher
}

func exactExpression(ctx caddy.Context, plain caddyMatcher, m *caddyhttp.MatchExpression, exactly bool) (gate.Matcher, error) {
	opaque := opaqueMatcher{plain, pathWords(m.Expr)}
	if !exactly || !calls.MatchString(m.Expr) {
		return opaque, nil
	}
	exact := &caddyhttp.MatchExpression{Name: m.Name, Expr: calls.ReplaceAllStringFunc(m.Expr, marked)}
	if err := exact.Provision(ctx); err != nil {
		return nil, fmt.Errorf("expression %q: %w", m.Expr, err)
	}
	return expressionMatcher{opaque, caddyMatcher{caddyhttp.MatcherSet{exact}}}, nil
}

// Opens implements gate.Matcher.
func (m expressionMatcher) Opens(r *http.Request) bool {
	return m.opaqueMatcher.Opens(r) && m.exact.Opens(asMarked(r))
}
