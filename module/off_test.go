package module

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// TestCONF3_OffStrips sends forged names and the gate's cookies through `email_link off`, in both directions.
func TestCONF3_OffStrips(t *testing.T) {
	h := &Handler{Off: true, site: &gate.Site{Stripper: boundary.NewStripper(boundary.Rules{Own: []string{"X-Staff"}})}}
	r := httptest.NewRequest(http.MethodGet, "/feed", nil)
	r.Header = http.Header{
		"X-Staff": {"boss@example.com"}, "Remote-User": {"boss"}, "Email-Link-Assertion": {"forged"}, "X-App": {"kept"},
		"Cookie": {"theme=dark; __Host-email_link=value; email_link=value"},
	}
	w := httptest.NewRecorder()
	var arrived http.Header
	err := h.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, &caddyhttp.Server{}), caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		arrived = r.Header.Clone()
		w.Header().Set("X-Staff", "leaked")
		w.Header().Add("Set-Cookie", "__Host-email_link=planted; Path=/; Secure")
		w.Header().Add("Set-Cookie", "theme=light")
		_, err := w.Write([]byte("feed"))
		return err
	}))
	if err != nil || w.Body.String() != "feed" {
		t.Fatalf("got %q, %v", w.Body, err)
	}
	for name, want := range map[string]string{"X-Staff": "", "Remote-User": "", "Email-Link-Assertion": "", "X-App": "kept", "Cookie": "theme=dark"} {
		if got := arrived.Get(name); got != want {
			t.Errorf("%s arrives as %q, want %q", name, got, want)
		}
	}
	if got := w.Result().Header; got.Get("X-Staff") != "" || len(got["Set-Cookie"]) != 1 || got.Get("Set-Cookie") != "theme=light" {
		t.Errorf("the client gets %v", got)
	}
}
