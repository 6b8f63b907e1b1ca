//go:build apps

// Package nginx holds the test of the example beside it.
package nginx

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/examples/internal/exampletest"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// startNginx runs the configuration as Debian's nginx, over plain http on a port of its own.
func startNginx(t *testing.T, port, gate, app string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Fatal("nginx is not installed: apt-get install nginx")
		}
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("email_link_http.conf", exampletest.Read(t, "email_link_http.conf", "127.0.0.1:9092", "127.0.0.1:"+exampletest.Port(t)))
	write("email_link_location.conf", exampletest.Read(t, "email_link_location.conf"))
	write("email_link_server.conf", exampletest.Read(t, "email_link_server.conf", "127.0.0.1:9091", gate, " $host;", " $host:$server_port;"))
	write("app.conf", exampletest.Read(t, "app.conf", "443 ssl", "127.0.0.1:"+port, "app.example.com;", "localhost;", "127.0.0.1:3000", app,
		"/etc/nginx/", dir+"/", "\tssl_certificate /etc/ssl/app.example.com.pem;\n\tssl_certificate_key /etc/ssl/app.example.com.key;\n", ""))
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += "\t" + kind + "_temp_path " + dir + "/" + kind + ";\n"
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n" // its directory is this test's alone
	}
	write("nginx.conf", user+"daemon off;\npid "+dir+"/nginx.pid;\nerror_log stderr;\nworker_processes 1;\nevents {}\nhttp {\n\taccess_log off;\n"+temp+
		"\tinclude "+dir+"/email_link_http.conf;\n\tinclude "+dir+"/app.conf;\n}\n")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-e", "stderr", "-p", dir, "-c", dir+"/nginx.conf")
	exampletest.Start(t, cmd, "127.0.0.1:"+port)
}

// TestHDR2_Nginx signs up through nginx, which asks the gate about everything else.
func TestHDR2_Nginx(t *testing.T) {
	port, gatePort, app := exampletest.Port(t), exampletest.Port(t), exampletest.NewApp(t)
	origin, gate := "http://localhost:"+port, "127.0.0.1:"+gatePort
	g := exampletest.StartGate(t, exampletest.Read(t, "Caddyfile", "https://app.example.com", origin, ":9091", ":"+gatePort), gate)
	startNginx(t, port, gate, app.Addr)
	b := exampletest.NewBrowser(t, origin)

	res, _ := b.Visit("/a/b%2fc?x=1&y=2")
	if got := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || got != origin+"/email-link/sign-in?return_to=%2Fa%2Fb%252fc%3Fx%3D1%26y%3D2" {
		t.Errorf("anonymous: %d, Location %q", res.StatusCode, got)
	}
	for what, lines := range map[string][]string{
		"a script": {"Sec-Fetch-Mode: cors", "Accept: text/html"}, "a program": {"Accept: */*"},
		"a socket":       {"Upgrade: websocket", "Connection: Upgrade", "Accept: text/html", "Origin: " + origin},
		"a public path":  {"X-Forwarded-Uri: /robots.txt", "X-Original-URI: /robots.txt", "X-Forwarded-Method: GET"},
		"another person": {"Remote-User: root", "Email-Link-Assertion: forged"},
	} {
		if res, _ := b.Do(http.MethodGet, "/app", nil, lines...); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", what, res.StatusCode)
		}
	}
	for _, path := range []string{"/robots.txt%2f..%2fapp", "/robots.txt/../app", "//robots.txt", "/robots.txt;x"} {
		if res, _ := b.Do(http.MethodGet, path, nil); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if got := app.Taken(); len(got) != 0 {
		t.Fatalf("%d requests reached the app", len(got))
	}
	res, _ = b.Do(http.MethodGet, "/robots.txt", nil, "Remote-User: root", "Email-Link-Assertion: forged")
	if got := app.Taken(); res.StatusCode != http.StatusOK || len(got) != 1 || got[0].Header["Remote-User"] != nil || got[0].Header["Email-Link-Assertion"] != nil {
		t.Errorf("a public path: %d, %v", res.StatusCode, got)
	}

	b.SignUp(g, "ada@example.com")
	if n := len(app.Taken()); n != 0 {
		t.Errorf("%d requests for pages of the gate reached the app", n)
	}
	forged := []string{
		"Remote-User: root", "X-Forwarded-User: root", "Email-Link-Assertion: forged", "X-Original-URL: /root", "X-Rewrite-URL: /root",
		"Cookie: mine=1; __Host-email_link=x; email_link_flow=y; theirs=2",
	}
	for _, path := range []string{"/a/b%2fc?x=1", "//a/../b", "/robots.txt"} {
		res, body := b.Do(http.MethodPost, path, map[string][]string{"a": {"b"}}, forged...)
		got := app.Taken()
		if res.StatusCode != http.StatusOK || body != "hello" || len(got) != 1 {
			t.Fatalf("%s, signed in: %d %q, %d requests", path, res.StatusCode, body, len(got))
		}
		checkPassed(t, got[0], path)
		if res.Header["Email-Link-Assertion"] != nil || res.Header["Remote-User"] != nil {
			t.Errorf("%s: the browser got %v", path, res.Header)
		}
	}
	exampletest.CheckTokens(t, g, app, origin)
	exampletest.CheckForeign(t, b, app)
	for _, path := range []string{"/email-link/verify", "/email-link/%76erify", "/email-link//verify", "/email-link/x/../verify", "/_email_link"} {
		res, _ := b.Do(http.MethodGet, path, nil, "X-Forwarded-Method: GET", "X-Forwarded-Proto: http", "X-Forwarded-Host: localhost:"+port, "X-Forwarded-Uri: /app")
		if res.StatusCode < 400 || res.Header["Email-Link-Assertion"] != nil {
			t.Errorf("%s from outside: %d, %v", path, res.StatusCode, res.Header)
		}
	}
	for _, path := range []string{"/ws", "/robots.txt"} {
		if res, _ := b.Do(http.MethodGet, path, nil, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "Origin: "+origin); res.StatusCode != http.StatusForbidden {
			t.Errorf("a tunnel at %s: %d", path, res.StatusCode)
		}
	}
	for origin, want := range map[string]int{"https://evil.example": http.StatusForbidden, origin: http.StatusOK} {
		if res, _ := b.Do(http.MethodGet, "/ws", nil, "Upgrade: websocket", "Connection: Upgrade", "Origin: "+origin); res.StatusCode != want {
			t.Errorf("a socket from %s: %d, want %d", origin, res.StatusCode, want)
		}
	}
}

// checkPassed makes sure that the app sees who it is, the other cookies, and the path as it was sent.
func checkPassed(t *testing.T, r gatetest.Request, path string) {
	t.Helper()
	if r.URI != path {
		t.Errorf("%s arrived as %s", path, r.URI)
	}
	if a := r.Header["Email-Link-Assertion"]; len(a) != 1 || strings.Count(a[0], ".") != 4 {
		t.Errorf("%s: the assertion is %q", path, a)
	}
	if r.Header["X-Original-Url"] != nil || r.Header["X-Rewrite-Url"] != nil {
		t.Errorf("%s: the app is told of another path: %v", path, r.Header)
	}
	if u := r.Header["Remote-User"]; len(u) != 1 || u[0] != "ada@example.com" || r.Header["X-Forwarded-User"] != nil {
		t.Errorf("%s: %v", path, r.Header)
	}
	if c := r.Header.Get("Cookie"); strings.Contains(c, "email_link") || !strings.Contains(c, "mine=1; theirs=2") {
		t.Errorf("%s: Cookie %q", path, c)
	}
}

// TestCONF5_NginxTakesNoOtherAnswer puts a server in the gate's place that answers an empty 200 to everything, as Caddy does for a
// host that it has no site for: nothing reaches the app.
func TestCONF5_NginxTakesNoOtherAnswer(t *testing.T) {
	port, app, gate := exampletest.Port(t), exampletest.NewApp(t), exampletest.NewApp(t)
	startNginx(t, port, gate.Addr, app.Addr)
	b := exampletest.NewBrowser(t, "http://localhost:"+port)
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
