package integration

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestMAIL1_AStarMailsNoLinksToOtherNames asks for links at a host that no site names, with a star in base_url: by its own name, by
// what a proxy says, and by a Host that the site takes over from a header. There is no flow and no mail; a named host gets both.
func TestMAIL1_AStarMailsNoLinksToOtherNames(t *testing.T) {
	const star = "http://*.localhost:$PORT"
	const gate = "email_link\n reverse_proxy $BACKEND\n"
	w := start(t, setup{global: "sign_up open"})
	for name, s := range map[string]struct {
		sites, host string
		header      http.Header
		status      int
	}{
		"a host that no site names":    {"http://app.localhost:$PORT {\n " + gate + "}\n", "evil.localhost", nil, http.StatusOK}, // Caddy's own empty answer
		"a handle for each host":       {"http://:$PORT {\n @app host app.localhost\n handle @app {\n " + gate + "}\n handle {\n error 404\n }\n}\n", "evil.localhost", nil, http.StatusNotFound},
		"a Host from a header":         {"http://app.localhost:$PORT {\n route {\n request_header Host {header.X-Asked-Host}\n " + gate + "}\n}\n", "app.localhost", http.Header{"X-Asked-Host": {"evil.localhost:" + w.port}}, http.StatusMisdirectedRequest},
		"a Host from a header, handle": {"http://:$PORT {\n @app host app.localhost\n handle @app {\n route {\n request_header Host {header.X-Asked-Host}\n " + gate + "}\n}\n}\n", "app.localhost", http.Header{"X-Asked-Host": {"evil.localhost:" + w.port}}, http.StatusMisdirectedRequest},
	} {
		w.load(setup{global: "sign_up open", baseURL: star, sites: s.sites})
		asked := "http://" + s.host + ":" + w.port
		status, header, body := w.client().postFrom(asked, asked, "eve@example.com", s.header)
		if status != s.status || len(header["Set-Cookie"]) > 0 || strings.Contains(body, "http://evil") {
			t.Errorf("%s: %d %v\n%s", name, status, header, body)
		}
		if status == http.StatusMisdirectedRequest && !strings.Contains(body, "http://app.localhost:"+w.port) {
			t.Errorf("%s: the page does not name the right address:\n%s", name, body)
		}
		named := "http://app.localhost:" + w.port
		status, header, _ = w.client().postFrom(named, named, "ada@example.com", http.Header{"X-Asked-Host": {"app.localhost:" + w.port}})
		if status != http.StatusSeeOther || header.Get("Set-Cookie") == "" {
			t.Errorf("%s: the named host: %d %v", name, status, header)
		}
		if mail, link := w.mail(); mail.To != "ada@example.com" || !strings.HasPrefix(link, named+"/email-link/") {
			t.Errorf("%s: a mail to %q with %q", name, mail.To, link)
		}
	}
}

// TestMAIL1_AStarAndForwardAuth: a proxy cannot ask for a host below a star that the site does not name either.
func TestMAIL1_AStarAndForwardAuth(t *testing.T) {
	w := start(t, setup{})
	w.load(setup{baseURL: "http://*.localhost:$PORT", sites: "http://app.localhost:$PORT, http://gate.internal:$PORT {\n email_link {\n verify from 127.0.0.1\n }\n respond 404\n}\nhttp://:$PORT {\n respond 404\n}\n"})
	for host, want := range map[string]int{"app.localhost": http.StatusUnauthorized, "evil.localhost": http.StatusForbidden} {
		res, _ := w.asks("", question{host: host + ":" + w.port})
		if got := res.Header.Get("Email-Link-Sign-In"); res.StatusCode != want || strings.Contains(got, "evil") {
			t.Errorf("%s: %d, %q", host, res.StatusCode, got)
		}
	}
}

// TestMAIL1_AStarThatTakesEveryNameIsNamed: where the site takes every name, each start says so once.
func TestMAIL1_AStarThatTakesEveryNameIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "caddy.log")
	w := start(t, setup{})
	w.load(setup{baseURL: "http://*.localhost:$PORT", sites: "http://*.localhost:$PORT {\n email_link\n reverse_proxy $BACKEND\n}\n", top: "log default {\n output file " + file + "\n}"})
	if status, _, _ := w.client().visit("http://any.localhost:" + w.port + "/email-link/sign-in"); status != http.StatusOK {
		t.Errorf("a name below the star: %d", status)
	}
	text, _ := readLog(t, file)
	if n := strings.Count(text, "every name below *.localhost can ask for links"); n != 1 {
		t.Errorf("%d lines about the star:\n%s", n, text)
	}
}
