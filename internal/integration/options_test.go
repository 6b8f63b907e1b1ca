package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// TestHDR2_Optional lets everybody through, and passes the identity on where there is one.
func TestHDR2_Optional(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "optional\nheaders {\n Remote-User {http.auth.user.email}\n X-Who {http.auth.user.id}\n}"})
	c := w.client()
	if status, _ := c.get("/x"); status != http.StatusOK {
		t.Fatalf("anonymous: %d", status)
	}
	if status, _, _ := c.do(http.MethodPost, "/x", nil, http.Header{"Remote-User": {"root"}, "Email-Link-Assertion": {"x"}}); status != http.StatusOK {
		t.Fatalf("anonymous with forged headers: %d", status)
	}
	for _, r := range w.backend.taken() {
		checkIdentity(t, "anonymous "+r.method, r, false)
	}
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	_, _ = c.get("/x")
	for _, r := range w.backend.taken() {
		checkIdentity(t, "signed in", r, true)
	}
	// A WebSocket of another site's page goes on as anybody's.
	if _, _, res := w.upgrade(c.cookie(), "https://evil.example"); res.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("an upgrade: %d", res.StatusCode)
	}
	for _, r := range w.backend.taken() {
		checkIdentity(t, "an upgrade from elsewhere", r, false)
	}
}

// TestHDR2_Formats passes the identity on in each form, under another name.
func TestHDR2_Formats(t *testing.T) {
	for format, dots := range map[string]int{"jwe": 4, "jws": 2, "none": -1} {
		t.Run(format, func(t *testing.T) {
			w := start(t, setup{global: "sign_up open", site: "identity {\n header X-Who\n format " + format + "\n}\naudience shop"})
			c := w.client()
			w.signUp(c, "ada@example.com")
			w.backend.taken()
			_, _, _ = c.do(http.MethodGet, "/x", nil, http.Header{"X-Who": {"forged"}})
			r := w.backend.taken()[0]
			got := r.header["X-Who"]
			if dots < 0 {
				if len(got) != 0 {
					t.Errorf("format none: %q", got)
				}
				return
			}
			if len(got) != 1 || strings.Count(got[0], ".") != dots {
				t.Fatalf("got %q", got)
			}
			parts, _ := module.Running()
			config := identity.Config{
				Issuers: []string{w.origin()}, Audience: "shop", Type: identity.TypeAssertion, Format: identity.Format(format),
				JWKSURL: w.origin() + "/email-link/jwks.json",
			}
			if format == "jwe" {
				config.Keys = [][]byte{parts.Ring.AudienceKey("shop")}
			}
			v, err := identity.NewVerifier(config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(context.Background(), got[0]); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSES1_MaxAge asks for a fresh proof, by a form that is shown to somebody who is signed in.
func TestSES1_MaxAge(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "max_age 1ns"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	status, header, _ := c.visit("/app")
	if status != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), "/email-link/sign-in?") {
		t.Fatalf("an old proof: %d to %q", status, header.Get("Location"))
	}
	if status, header, _ := c.visit(header.Get("Location")); status != http.StatusOK {
		t.Errorf("the form: %d to %q", status, header.Get("Location"))
	}
	if status, _ := c.get("/app"); status != http.StatusUnauthorized {
		t.Errorf("a fetch: %d", status)
	}
}

// TestWEB4_ServiceWorkersKeep: without a session the script of an app's worker is one that removes itself, or with the option a 401.
func TestWEB4_ServiceWorkersKeep(t *testing.T) {
	for option, want := range map[string]int{"": http.StatusOK, "service_workers end": http.StatusOK, "service_workers keep": http.StatusUnauthorized} {
		t.Run(option, func(t *testing.T) {
			w := start(t, setup{site: option})
			status, header, body := w.client().do(http.MethodGet, "/sw.js", nil, http.Header{"Service-Worker": {"script"}, "Sec-Fetch-Dest": {"serviceworker"}, "Sec-Fetch-Mode": {"same-origin"}})
			if ends := strings.Contains(body, "unregister()"); status != want || ends != (want == http.StatusOK) {
				t.Errorf("%d %q: %s", status, header.Get("Content-Type"), body)
			}
		})
	}
}

// TestSES6_Wildcard serves two sites below one star; a session of one is nothing at the other.
func TestSES6_Wildcard(t *testing.T) { bothModes(t, testWildcard) }

func testWildcard(t *testing.T, links string) {
	w := start(t, setup{tls: true, global: "sign_up open\n" + links, baseURL: "https://*.example.com:$PORT", sites: "https://*.example.com:$PORT {\n email_link\n reverse_proxy $BACKEND\n}\n"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	if c.session() == nil {
		t.Fatal("not signed in")
	}
	cookie := c.cookie()
	if !strings.Contains(cookie, "__Host-email_link=") {
		t.Fatalf("the cookies: %q", cookie)
	}
	w.host = "wiki.example.com"
	status, _, _ := w.client().do(http.MethodGet, "/x", nil, http.Header{"Cookie": {cookie}})
	if status != http.StatusUnauthorized {
		t.Errorf("a session of one site at another: %d", status)
	}
}

func init() { caddy.RegisterModule(subscriber{}) }

// subscriber records the events it is told of.
type subscriber struct{}

var heard = make(chan caddy.Event, 100)

func (subscriber) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.email_link_test", New: func() caddy.Module { return new(subscriber) }}
}

func (subscriber) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (subscriber) Handle(_ context.Context, e caddy.Event) error {
	heard <- e
	return nil
}

var _ caddyevents.Handler = subscriber{}

// TestLOG1_Events tells subscribers what happened, without addresses.
func TestLOG1_Events(t *testing.T) {
	w := start(t, setup{global: "sign_up open", top: `events {
		on email_link_requested email_link_test
		on email_link_mailed email_link_test
		on email_link_confirmed email_link_test
		on email_link_signed_in email_link_test
	}`})
	w.signUp(w.client(), "ada@example.com")
	missing := map[string]bool{"email_link_requested": true, "email_link_mailed": true, "email_link_confirmed": true, "email_link_signed_in": true}
	for len(missing) > 0 {
		select {
		case e := <-heard:
			delete(missing, e.Name())
			if e.Data["site"] != w.origin() {
				t.Errorf("%s: %v", e.Name(), e.Data)
			}
			for _, v := range e.Data {
				if s, ok := v.(string); ok && strings.Contains(s, "@") {
					t.Errorf("%s holds an address: %v", e.Name(), e.Data)
				}
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody was told of %v", missing)
		}
	}
}
