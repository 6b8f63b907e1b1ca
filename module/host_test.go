package module

import (
	"io"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestSES7_TheRequestStaysTheSame: what a later directive does to the request is seen by placeholders, and an error route has a
// context to work with.
func TestSES7_TheRequestStaysTheSame(t *testing.T) {
	h, cookie := started(t)
	q := newHotRequest(cookie)
	r := q.prepare()
	err := h.ServeHTTP(&q.writer, r, nextFunc(func(_ http.ResponseWriter, r *http.Request) error {
		r.Method = http.MethodPut
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if got := repl.ReplaceAll("{http.request.method}", ""); got != http.MethodPut {
			t.Errorf("the placeholder says %q", got)
		}
		return caddyhttp.Error(http.StatusBadGateway, io.ErrUnexpectedEOF)
	}))
	if err == nil || r.Context().Err() != nil {
		t.Errorf("%v; its context: %v", err, r.Context().Err())
	}
}
