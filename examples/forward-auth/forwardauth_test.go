// Package forwardauth holds the test of the example beside it.
package forwardauth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/examples/internal/exampletest"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// TestHDR2_ForwardAuth signs up through a Caddy without the gate, which asks one that has it.
func TestHDR2_ForwardAuth(t *testing.T) {
	port, gatePort, app := exampletest.Port(t), exampletest.Port(t), exampletest.NewApp(t)
	origin, gate := "http://localhost:"+port, "127.0.0.1:"+gatePort
	g := exampletest.StartGate(t, exampletest.Read(t, "gate/Caddyfile", "https://app.example.com", origin, ":9091", ":"+gatePort), gate)
	exampletest.StartCaddy(t, exampletest.Read(t, "Caddyfile", "app.example.com", origin, "127.0.0.1:9091", gate, "localhost:3000", app.Addr), "127.0.0.1:"+port)
	b := exampletest.NewBrowser(t, origin)

	res, _ := b.Visit("/a/b%2fc?x=1&y=2")
	if got := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || got != origin+"/email-link/sign-in?return_to=%2Fa%2Fb%252fc%3Fx%3D1%26y%3D2" {
		t.Errorf("anonymous: %d, Location %q", res.StatusCode, got)
	}
	for what, lines := range map[string][]string{
		"a script":       {"Sec-Fetch-Mode: cors", "Accept: text/html"},
		"a socket":       {"Upgrade: websocket", "Connection: Upgrade", "Accept: text/html", "Origin: " + origin},
		"a public path":  {"X-Forwarded-Uri: /robots.txt", "X-Original-URI: /robots.txt", "X-Forwarded-Method: GET", "Connection: X-Forwarded-Uri, X-Original-Uri"},
		"another person": {"Remote-User: root", "Email-Link-Assertion: forged"},
	} {
		if res, _ := b.Do(http.MethodGet, "/app", nil, lines...); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", what, res.StatusCode)
		}
	}
	if got := app.Taken(); len(got) != 0 {
		t.Fatalf("%d requests reached the app", len(got))
	}
	res, _ = b.Do(http.MethodGet, "/robots.txt", nil, "Remote-User: root", "Email-Link-Assertion: forged")
	if got := app.Taken(); res.StatusCode != http.StatusOK || len(got) != 1 || got[0].Header.Get("Remote-User") != "" || got[0].Header.Get("Email-Link-Assertion") != "" {
		t.Errorf("a public path: %d, %v", res.StatusCode, got)
	}

	b.SignUp(g, "ada@example.com")
	if n := len(app.Taken()); n != 0 {
		t.Errorf("%d requests for pages of the gate reached the app", n)
	}
	for _, path := range []string{"/a/b%2fc?x=1", "//a/../b", "/robots.txt"} {
		res, body := b.Do(http.MethodPost, path, map[string][]string{"a": {"b"}}, "Remote-User: root", "X-Forwarded-User: root", "Email-Link-Assertion: forged",
			"Cookie: mine=1; __Host-email_link=x; email_link_flow=y; theirs=2")
		got := app.Taken()
		if res.StatusCode != http.StatusOK || body != "hello" || len(got) != 1 {
			t.Fatalf("%s, signed in: %d %q, %d requests", path, res.StatusCode, body, len(got))
		}
		r := got[0]
		if a := r.Header["Email-Link-Assertion"]; len(a) != 1 || strings.Count(a[0], ".") != 4 || r.URI != path {
			t.Errorf("%s arrived as %s with %q", path, r.URI, a)
		}
		if u := r.Header["Remote-User"]; len(u) != 1 || u[0] != "ada@example.com" || r.Header["X-Forwarded-User"] != nil {
			t.Errorf("%s: %v", path, r.Header)
		}
		if c := strings.Join(r.Header["Cookie"], "; "); strings.Contains(c, "email_link") || !strings.Contains(c, "mine=1; theirs=2") {
			t.Errorf("%s: Cookie %q", path, c)
		}
		if res.Header["Email-Link-Assertion"] != nil || res.Header["Remote-User"] != nil {
			t.Errorf("%s: the browser got %v", path, res.Header)
		}
	}
	checkSmuggled(t, b, app)
	exampletest.CheckTokens(t, g, app, origin)
	exampletest.CheckForeign(t, b, app)
	for _, path := range []string{"/email-link/verify", "/email-link/%76erify", "/email-link//verify", "/email-link/x/../verify"} {
		res, _ := b.Do(http.MethodGet, path, nil, "X-Forwarded-Method: GET", "X-Forwarded-Uri: /app")
		if res.StatusCode < 400 || res.Header["Email-Link-Assertion"] != nil {
			t.Errorf("%s from outside: %d, %v", path, res.StatusCode, res.Header)
		}
	}
	for from, want := range map[string]int{"https://evil.example": http.StatusForbidden, origin: http.StatusOK} {
		if res, _ := b.Do(http.MethodGet, "/ws", nil, "Upgrade: websocket", "Connection: Upgrade", "Origin: "+from); res.StatusCode != want {
			t.Errorf("a socket from %s: %d, want %d", from, res.StatusCode, want)
		}
	}
	if res, _ := b.Do(http.MethodGet, "/ws", nil, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "Origin: "+origin); res.StatusCode != http.StatusForbidden {
		t.Errorf("a tunnel: %d", res.StatusCode)
	}
}

// checkSmuggled makes sure that no number of cookies side by side gets one of the gate's through, and that the app sees none of
// the headers that would tell it another name or another path, in the spellings that it may fold to ours either.
func checkSmuggled(t *testing.T, b *exampletest.Browser, app *gatetest.Backend) {
	t.Helper()
	for _, cookies := range []string{
		"email_link_flow=a; email_link_token=b; email_link_known=c; email_link_handover=d; email_link_language=de; email_link_altcha=e",
		"a=1; email_link_flow=a; email_link_token=b; email_link_known=c; email_link_handover=d; __Host-email_link=e; __Host-email_link_flow=f; b=2",
		"email_link_flow=a;email_link_token=b;email_link_known=c;email_link_handover=d;  __Host-email_link =e; b=2;",
	} {
		app.Taken()
		res, _ := b.Do(http.MethodGet, "/app", nil, "Cookie: "+cookies,
			"Remote_User: root", "email_link_assertion: forged", "X-Original-URL: /root", "X-Rewrite-Url: /root", "X_Original_Url: /root")
		got := app.Taken()
		if res.StatusCode != http.StatusOK || len(got) != 1 {
			t.Fatalf("%s: %d, %d requests", cookies, res.StatusCode, len(got))
		}
		c := strings.Join(got[0].Header["Cookie"], "; ")
		if strings.Contains(c, "email_link") || strings.HasPrefix(cookies, "a=1") && c != "a=1; b=2" {
			t.Errorf("%s: the app got Cookie %q", cookies, c)
		}
		for name := range got[0].Header {
			if strings.Contains(name, "_") || strings.HasPrefix(name, "X-Original") || strings.HasPrefix(name, "X-Rewrite") {
				t.Errorf("the app got %s", name)
			}
		}
	}
	res, _ := b.Do(http.MethodGet, "/app", nil, "Connection: Remote-User, Email-Link-Assertion")
	if got := app.Taken(); res.StatusCode == http.StatusOK && (len(got) != 1 || got[0].Header["Remote-User"] == nil || got[0].Header["Email-Link-Assertion"] == nil) {
		t.Errorf("Connection took away who it is: %v", got)
	}
}

// TestCONF5_ForwardAuthTakesNoOtherAnswer puts a server in the gate's place that answers an empty 200 to everything, as Caddy does for
// a host that it has no site for: nothing reaches the app.
func TestCONF5_ForwardAuthTakesNoOtherAnswer(t *testing.T) {
	port, app, gate := exampletest.Port(t), exampletest.NewApp(t), exampletest.NewApp(t)
	origin := "http://localhost:" + port
	exampletest.StartCaddy(t, exampletest.Read(t, "Caddyfile", "app.example.com", origin, "127.0.0.1:9091", gate.Addr, "localhost:3000", app.Addr), "127.0.0.1:"+port)
	b := exampletest.NewBrowser(t, origin)
	for _, lines := range [][]string{nil, {"Email-Link-Verified: 1"}, {"Email_Link_Verified: 1"}, {"Cookie: email_link=x"}} {
		if res, body := b.Do(http.MethodGet, "/secret", nil, lines...); res.StatusCode != http.StatusForbidden {
			t.Errorf("%v: %d %s", lines, res.StatusCode, body)
		}
	}
	if got := app.Taken(); len(got) != 0 {
		t.Errorf("%d requests reached the app", len(got))
	}
	if len(gate.Taken()) == 0 {
		t.Error("the gate was not asked")
	}
}
