package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// logged is one line of a log, as far as these tests look at it.
type logged struct {
	Logger, Level, Event, Client, Path, Of, Outcome string
	Status, Lines                                   int
	Request                                         struct {
		Method, URI, Host string
		ClientIP          string `json:"client_ip"`
		RemoteIP          string `json:"remote_ip"`
	}
}

// readLog stops Caddy, which writes what it has left to write, and reads a log of it.
func readLog(t *testing.T, file string) (text string, lines []logged) {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var one logged
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("a line that is not one JSON object: %q", line)
		}
		lines = append(lines, one)
	}
	return string(content), lines
}

// escaped writes each byte of a token as an escape.
func escaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// spellings are addresses that hold a token: below the page's own path, near it, and below a path that is no longer configured.
func spellings(token string) []string {
	half := len(token) / 2
	list := []string{}
	for _, t := range []string{token, escaped(token), token + ".", "=3D" + token, token[:half] + "=%0D%0A" + token[half:], token[:half] + "%20" + token[half:], token[:len(token)-1]} {
		for _, format := range []string{
			"/auth/link?t=%s", "/auth/cancel?t=%s", "/auth/link?utm_source=x&t=%s", "/auth/link?%%74=%s", "/auth/link?T=%s", "/auth/link/?utm_source=x&t=%s", "/auth/link%%3Ft=%s",
			"//auth/link?t=%s", "/Auth/Link?t=%s", "/auth/link/%s", "/auth%%2Flink%%2F%s", "/auth/%%6cink?t=%s", "/auth/sign-in?t=%s", "/auth/sign-in?return_to=%%2Fold%%2Flink%%3Ft%%3D%s",
			"/auth/nowhere?t=%s", "/email-link/link?t=%s", "/x?t=%s", "/dead/%s", "/missing?t=%s", "/auth/health?t=%s", "/auth/verify?t=%s",
		} {
			list = append(list, fmt.Sprintf(format, t))
		}
	}
	return list
}

// TestLOG2_NoSpellingIsLogged sends a live link in every spelling, also below a path that the configuration no longer has, and looks for it
// in all that Caddy logs at DEBUG. Each request leaves one line in the access log.
func TestLOG2_NoSpellingIsLogged(t *testing.T) {
	bothModes(t, func(t *testing.T, links string) {
		dir := t.TempDir()
		access, all := filepath.Join(dir, "access.log"), filepath.Join(dir, "all.log")
		s := setup{
			global: "sign_up open\n" + links,
			top:    "debug\nlog default {\n output file " + all + " {\n mode 0600\n }\n level DEBUG\n}",
		}
		site := func(more string) string {
			return "http://:$PORT {\n log {\n output file " + access + " {\n mode 0600\n }\n }\n email_link {\n public /open/*\n" + more + "\n }\n" +
				" handle /dead/* {\n reverse_proxy 127.0.0.1:1\n }\n handle /missing {\n error 404\n }\n handle_errors {\n respond {err.status_code}\n }\n reverse_proxy $BACKEND\n}\n"
		}
		s.sites = site("")
		w := start(t, s)
		c := w.client()
		w.signUp(c, "ada@example.com")
		asking := w.client()
		if status, _, _ := asking.post("/email-link/sign-in", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
			t.Fatal(status)
		}
		_, link := w.mail()
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		token := u.Query().Get("t")
		s.sites = site("path /auth")
		w.load(s)
		requests, _ := lines(t, access)
		send := func(c *client, method, path string, header http.Header) {
			t.Helper()
			_, _, _ = c.do(method, path, nil, header)
			requests++
			if n, last := lines(t, access); n != requests {
				t.Fatalf("%s %s: %d lines of %d; the last is %s", method, path, n, requests, last)
			}
		}
		for _, path := range spellings(token) {
			send(c, http.MethodGet, path, nil)                                     // signed in: it goes on to the backend
			send(w.client(), http.MethodGet, path, navigation)                     // led to the sign-in
			send(w.client(), http.MethodGet, "http://127.0.0.1:"+w.port+path, nil) // no address of the site: 421
		}
		// The address of the sign-in that a link below another path leads to does not repeat it: pages, logs in front and flows would have it.
		_, header, _ := w.client().do(http.MethodGet, "/email-link/link?t="+token, nil, navigation)
		requests++
		if to := header.Get("Location"); to != "/auth/sign-in" {
			t.Errorf("a link below another path leads to %s", to)
		}
		for _, path := range []string{"/x", "/dead/x", "/missing", "/open/x", "/auth/sign-in"} {
			for _, referer := range []string{link, w.origin() + "/auth/link/" + escaped(token)} {
				send(c, http.MethodGet, path, http.Header{"Referer": {referer}})
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut, http.MethodTrace} {
			send(w.client(), method, "/auth/link?t="+token, nil)
		}
		text, found := readLog(t, access)
		everything, err := os.ReadFile(all)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(everything), "upstream roundtrip") {
			t.Fatal("the log is not what this test needs")
		}
		for _, secret := range []string{token[len(token)/2+1 : len(token)/2+12], token[len(token)-14 : len(token)-2], escaped(token[20:40])} {
			for name, log := range map[string]string{"access log": text, "log": string(everything)} {
				if i := strings.Index(log, secret); i >= 0 {
					t.Errorf("the %s holds the token: …%s…", name, log[max(0, i-700):min(len(log), i+100)])
				}
			}
		}
		for _, one := range found {
			if one.Request.Method == "" || one.Request.URI == "" || one.Request.ClientIP != "127.0.0.1" || one.Status == 0 || one.Logger != found[0].Logger {
				t.Fatalf("a line that says too little: %+v", one)
			}
		}
	})
}

// TestLOG2_NoQuestionIsLoggedWithAToken asks /verify about live links, from a proxy that may ask and from one that `verify from` does not
// name yet. Its X-Forwarded-Uri is the address that somebody has opened, so neither is for the log.
func TestLOG2_NoQuestionIsLoggedWithAToken(t *testing.T) {
	for _, from := range []string{"127.0.0.1", "192.0.2.7"} {
		t.Run(from, func(t *testing.T) {
			access := filepath.Join(t.TempDir(), "access.log")
			w := start(t, setup{
				global: "sign_up open", before: "log {\n output file " + access + " {\n mode 0600\n }\n}", site: "verify from " + from,
			})
			w.signUp(w.client(), "ada@example.com")
			asking := w.client()
			if status, _, _ := asking.post("/email-link/sign-in", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
				t.Fatal(status)
			}
			_, link := w.mail()
			u, err := url.Parse(link)
			if err != nil {
				t.Fatal(err)
			}
			token := u.Query().Get("t")
			if token == "" {
				t.Fatal(link)
			}
			for _, uri := range []string{u.RequestURI(), "/old/link?t=" + token, "/old/link?t=" + escaped(token)} {
				sent, _ := lines(t, access)
				_, _, _ = w.client().do(http.MethodGet, "/email-link/verify", nil, http.Header{
					"X-Forwarded-Uri": {uri}, "X-Original-Uri": {uri}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"localhost:" + w.port},
				})
				n, last := lines(t, access)
				if n != sent+1 || !strings.Contains(last, `"event":"verify"`) {
					t.Errorf("%d lines of %d; the last is %s", n, sent+1, last)
				}
				if strings.Contains(last, token) || strings.Contains(last, escaped(token)) {
					t.Errorf("the access log holds the token: %s", last)
				}
			}
		})
	}
}

// lines returns the number of lines of a file, and the last one.
func lines(t *testing.T, file string) (n int, last string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Collect(strings.Lines(string(content)))
	if len(all) == 0 {
		return 0, ""
	}
	return len(all), all[len(all)-1]
}

// TestLOG2_NobodyStaysOutOfTheAccessLog finds one line for each request, whatever it holds, with the whole client address: what looks for
// guessers in the log finds them.
func TestLOG2_NobodyStaysOutOfTheAccessLog(t *testing.T) {
	access := filepath.Join(t.TempDir(), "access.log")
	w := start(t, setup{
		global: "sign_up open\nsign_in link code password", before: "log {\n output file " + access + "\n}", site: "public /open/*\nverify from 127.0.0.1",
		top: "servers {\n trusted_proxies static 127.0.0.0/8\n trusted_proxies_strict\n}",
	})
	c := w.client()
	c.header = http.Header{"X-Forwarded-For": {"203.0.113.9"}}
	sent, _ := lines(t, access)
	junk := strings.Repeat("A", 52)
	for _, one := range []struct {
		method, path, uri string
		header            http.Header
	}{
		{"POST", "/email-link/sign-in?t=", "/email-link/sign-in?t=", nil},
		{"POST", "/email-link/sign-in?t=" + junk, "/email-link/sign-in?t=" + junk, nil},
		{"GET", "/open/x?t=x", "/open/x?t=x", nil},
		{"GET", "/x", "/x", http.Header{"Email-Link-Token": {"x"}}},
		{"GET", "/open/x?a=b", "/open/x", http.Header{"Email-Link-Token": {"x"}}},
		{"POST", "/email-link/sign-in?a", "/email-link/sign-in", http.Header{"Email-Link-Token": {"x"}}},
		{"GET", "/email-link/link?t=x", "/email-link/link", nil},
		{"POST", "/email-link/link?t=", "/email-link/link", nil},
		{"GET", "/email-link/cancel?done", "/email-link/cancel", nil},
		{"GET", "/email-link/nowhere?t=x", "/email-link/nowhere?t=x", nil},
		{"GET", "/email-link/health", "/email-link/health", nil},
		{"GET", "/email-link/verify", "/email-link/verify", nil},
		{"GET", "/email-link/verify", "/email-link/verify", http.Header{"X-Forwarded-Uri": {"/x"}, "X-Forwarded-Method": {"GET"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"localhost:" + w.port}}},
		{"GET", "/x\u00a0y?t=x", "/x%C2%A0y?t=x", http.Header{"Host": {"elsewhere.localhost"}}},
	} {
		status, _, _ := c.do(one.method, one.path, nil, one.header)
		sent++
		n, last := lines(t, access)
		var line logged
		if err := json.Unmarshal([]byte(last), &line); err != nil {
			t.Fatal(err)
		}
		if n != sent || line.Request.Method != one.method || line.Request.URI != one.uri || line.Status != status || line.Request.ClientIP != "203.0.113.9" {
			t.Errorf("%s %s %v: %d lines of %d, the last says %+v", one.method, one.path, one.header, n, sent, line)
			sent = n
		}
		if strings.Contains(last, "Email-Link-Assertion") {
			t.Error("the answer's assertion is in the log")
		}
	}
}

// TestLOG2_AnonymousLinesAreBounded floods a gate without an access log.
func TestLOG2_AnonymousLinesAreBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "caddy.log")
	w := start(t, setup{
		global: "sign_up open\nlimit mail_ip 2-H", site: "verify from 127.0.0.1", after: "handle /dead/* {\n reverse_proxy 127.0.0.1:1\n }",
		top: "log default {\n output file " + file + "\n}",
	})
	c := w.client()
	w.signUp(c, "ada@example.com")
	for i := range 40 {
		_, _, _ = c.do(http.MethodGet, "/email-link/link?t=x", nil, nil)
		_, _, _ = c.do(http.MethodGet, "/email-link/sign-in?t=x", nil, nil)
		_, _, _ = c.do(http.MethodGet, "/email-link/verify", nil, nil)
		_, _, _ = c.do(http.MethodGet, "/dead/x", nil, http.Header{"Email-Link-Token": {"x"}})
		_, _, _ = c.post("/email-link/sign-up", url.Values{"email": {fmt.Sprintf("a%d@example.com", i)}})
		_, _, _ = c.do(http.MethodPost, "/email-link/sign-in", url.Values{"email": {"a@example.com"}}, http.Header{"Origin": {"https://evil.example"}})
	}
	_, found := readLog(t, file)
	counts, omitted := map[string]int{}, map[string]int{}
	for _, one := range found {
		if one.Event == "omitted" {
			omitted[one.Of] += one.Lines
		} else if strings.Contains(one.Logger, "email_link") {
			counts[one.Event]++
		}
	}
	// Forty dead links are denied, and all sign-ups but two.
	for event, n := range map[string]int{"opened": 41, "denied": 40 + 38, "verify": 40, "cross_origin": 40} {
		if counts[event] != 5 || omitted[event] != n-5 {
			t.Errorf("%s: %d lines and %d counted, of %d", event, counts[event], omitted[event], n)
		}
	}
	if counts["signed_in"] != 1 {
		t.Errorf("%d lines of the one sign-in", counts["signed_in"])
	}
}
