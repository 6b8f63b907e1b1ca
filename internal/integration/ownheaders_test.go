package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// siteHeaders are what a site of a groupware sets for its app. The deletion makes Caddy apply the whole block when the answer
// begins.
const siteHeaders = `header {
	X-Frame-Options SAMEORIGIN
	Content-Security-Policy "default-src 'self'; script-src 'self' 'unsafe-eval' 'unsafe-inline'"
	Referrer-Policy no-referrer-when-downgrade
	Cache-Control "public, max-age=3600"
	X-Content-Type-Options none
	Cross-Origin-Opener-Policy unsafe-none
	Cross-Origin-Resource-Policy cross-origin
	X-App app
	-Server
}
`

// ownPages are answers of the gate's own. A script's 401 has no page, and fewer headers.
var ownPages = []struct {
	name, request string
	status        int
	script        bool
}{
	{"the form", "GET /email-link/sign-in HTTP/1.1\nHost: $HOST\nAccept: text/html\n", http.StatusOK, false},
	{"a redirect to it", "GET /app HTTP/1.1\nHost: $HOST\nAccept: text/html\nSec-Fetch-Mode: navigate\n", http.StatusSeeOther, false},
	{"a script", "GET /app HTTP/1.1\nHost: $HOST\nSec-Fetch-Mode: cors\n", http.StatusUnauthorized, true},
	{"a token", "GET /app HTTP/1.1\nHost: $HOST\nEmail-Link-Token: elt_x\n", http.StatusUnauthorized, false},
	{"another host", "GET /app HTTP/1.1\nHost: 127.0.0.1\n", http.StatusMisdirectedRequest, false},
	{"a malformed path", "GET /a%00 HTTP/1.1\nHost: $HOST\n", http.StatusBadRequest, false},
	{"TRACE", "TRACE /app HTTP/1.1\nHost: $HOST\n", http.StatusMethodNotAllowed, false},
	{"health", "GET /email-link/health HTTP/1.1\nHost: $HOST\n", http.StatusOK, false},
	{"verify, which is off", "GET /email-link/verify HTTP/1.1\nHost: $HOST\n", http.StatusNotFound, false},
	{"a page that is not there", "GET /email-link/x HTTP/1.1\nHost: $HOST\n", http.StatusNotFound, false},
	{"a cross-origin form", "POST /email-link/sign-in HTTP/1.1\nHost: $HOST\nOrigin: https://evil.example\nContent-Length: 0\n", http.StatusForbidden, false},
}

func checkOwnHeaders(t *testing.T, what string, header http.Header, script bool) {
	t.Helper()
	want := map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, no-store, no-transform", "Cross-Origin-Resource-Policy": "same-origin",
	}
	if !script {
		want["X-Frame-Options"], want["Referrer-Policy"], want["Cross-Origin-Opener-Policy"] = "DENY", "strict-origin", "same-origin"
	}
	for name, value := range want {
		if got := header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %s is %q, want %q", what, name, got, value)
		}
	}
	if got := header["Content-Security-Policy"]; len(got) != 1 || !strings.HasPrefix(got[0], "default-src 'none'") || !strings.Contains(got[0], "frame-ancestors 'none'") {
		t.Errorf("%s: Content-Security-Policy is %q", what, got)
	}
}

// TestCONF6_OwnPagesUnderAnyHeaderBlock: whatever the site's `header` does, and wherever it stands, the gate's own pages and
// refusals keep their headers, and the app's answers get the site's.
func TestCONF6_OwnPagesUnderAnyHeaderBlock(t *testing.T) {
	plain := strings.ReplaceAll(siteHeaders, "\t-Server\n", "")
	const gate = "email_link {\n public /open/*\n}\n"
	one := func(lines string) setup { return setup{sites: ":$PORT {\n" + lines + "}\n"} }
	ordered := func(order string) setup {
		s := one(siteHeaders + gate + "reverse_proxy $BACKEND\n")
		s.top = "order email_link " + order
		return s
	}
	w := start(t, one(gate+"reverse_proxy $BACKEND\n"))
	for name, s := range map[string]setup{
		"at once":            one(plain + gate + "reverse_proxy $BACKEND\n"),
		"with a deletion":    one(siteHeaders + gate + "reverse_proxy $BACKEND\n"),
		"written after":      one(gate + "reverse_proxy $BACKEND\n" + siteHeaders),
		"defer":              one(strings.ReplaceAll(plain, "header {", "header {\n\tdefer") + gate + "reverse_proxy $BACKEND\n"),
		"one by one":         one("header >X-Frame-Options SAMEORIGIN\nheader >Cache-Control public\nheader -Content-Security-Policy\nheader -Server\nheader >X-App app\n" + gate + "reverse_proxy $BACKEND\n"),
		"twice":              one(siteHeaders + "header {\n\tX-App app\n\tX-Frame-Options ALLOWALL\n\t-X-Powered-By\n}\n" + gate + "reverse_proxy $BACKEND\n"),
		"all deleted":        one("header >X-App app\nheader {\n\t-X-F*\n\t-X-C*\n\t-C*\n\t-Referrer-Policy\n\t-Server\n}\n" + gate + "reverse_proxy $BACKEND\n"),
		"replaced":           one("header {\n\tX-Frame-Options DENY ALLOWALL\n\tCache-Control no-store public\n\tX-App app\n\tdefer\n}\nheader >X-App app\nheader >X-Frame-Options SAMEORIGIN\nheader -Server\n" + gate + "reverse_proxy $BACKEND\n"),
		"by a matcher":       one("@all path *\nheader @all {\n\tX-Frame-Options SAMEORIGIN\n\tX-App app\n\t-Server\n}\n" + gate + "reverse_proxy $BACKEND\n"),
		"by a status":        one("header {\n\tX-Frame-Options SAMEORIGIN\n\tX-App app\n\t-Server\n\tmatch status 2xx 3xx 4xx\n}\n" + gate + "reverse_proxy $BACKEND\n"),
		"in route":           one("route {\n" + siteHeaders + gate + "reverse_proxy $BACKEND\n}\n"),
		"compressed":         one("route {\n" + siteHeaders + "encode gzip\n" + gate + "reverse_proxy $BACKEND\n}\n"),
		"in a handle":        one(siteHeaders + "handle {\n" + gate + "reverse_proxy $BACKEND\n}\n"),
		"in a snippet":       {sites: "(app) {\n" + siteHeaders + "}\n:$PORT {\n import app\n" + gate + "reverse_proxy $BACKEND\n}\n"},
		"with an access log": one("log\n" + siteHeaders + gate + "reverse_proxy $BACKEND\n"),
		"ordered before":     ordered("before header"),
		"ordered after":      ordered("after header"),
		"ordered first":      ordered("first"),
		"in an error route":  one("route {\n error 404\n}\nhandle_errors {\n" + siteHeaders + gate + "reverse_proxy $BACKEND\n}\n"),
	} {
		w.load(s)
		for _, page := range ownPages {
			res, _ := w.raw(page.request + "Connection: close\n\n")
			if res.StatusCode != page.status {
				t.Errorf("%s, %s: %d", name, page.name, res.StatusCode)
			}
			checkOwnHeaders(t, name+", "+page.name, res.Header, page.script)
		}
		res, _ := w.raw("GET /open/x HTTP/1.1\nHost: $HOST\nConnection: close\n\n")
		if res.StatusCode != http.StatusOK || res.Header.Get("X-App") != "app" || name != "all deleted" && res.Header.Get("X-Frame-Options") == "DENY" {
			t.Errorf("%s: the app's answer: %d, %v", name, res.StatusCode, res.Header)
		}
		// The rest of the block holds for our pages too, wherever they pass it.
		if own, _ := w.raw("GET /email-link/sign-in HTTP/1.1\nHost: $HOST\nConnection: close\n\n"); own.Header.Get("X-App") == "app" && strings.Contains(s.sites, "-Server") && own.Header.Get("Server") != "" {
			t.Errorf("%s: Server is %q on our page", name, own.Header.Get("Server"))
		}
	}
}

// TestCONF6_LongerHSTSOfTheSite: a site's Strict-Transport-Security that lasts longer than ours stands on our pages too.
func TestCONF6_LongerHSTSOfTheSite(t *testing.T) {
	const ours = "max-age=31536000"
	w := start(t, setup{tls: true})
	for _, one := range []struct{ site, want string }{
		{"header Strict-Transport-Security max-age=300", ours},
		{"header >Strict-Transport-Security max-age=300", ours},
		{"header -Strict-Transport-Security", ours},
		{"header Strict-Transport-Security \"max-age=63072000; includeSubDomains; preload\"", "max-age=63072000; includeSubDomains; preload"},
		{"header {\n Strict-Transport-Security \"max-age=63072000; includeSubDomains; preload\"\n -Server\n}", "max-age=63072000; includeSubDomains; preload"},
	} {
		w.load(setup{tls: true, before: one.site})
		for _, header := range []http.Header{navigation, {"Sec-Fetch-Mode": {"cors"}}} {
			for _, path := range []string{"/app", "/email-link/sign-in"} {
				_, got, _ := w.client().do(http.MethodGet, path, nil, header)
				if values := got["Strict-Transport-Security"]; len(values) != 1 || values[0] != one.want {
					t.Errorf("%s: %s: %q", one.site, path, values)
				}
			}
		}
	}
}

// TestCONF6_AnswersInTheAppsPlace: an answer of ours that takes the place of the app's keeps its headers as well.
func TestCONF6_AnswersInTheAppsPlace(t *testing.T) {
	w := start(t, setup{global: "sign_up open", before: siteHeaders})
	c := w.client()
	w.signUp(c, "ada@example.com")
	other := w.client()
	other.Jar = c.Jar
	w.backend.answers(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			// The session ends before the app answers.
			_, _, _ = other.post("/email-link/sign-out", url.Values{})
		}
		_, _ = rw.Write([]byte("late"))
	})
	cookie := c.cookie()
	res, body := w.raw("GET /slow HTTP/1.1\nHost: $HOST\nCookie: " + cookie + "\nConnection: close\n\n")
	if res.StatusCode != http.StatusUnauthorized || strings.Contains(body, "late") {
		t.Fatalf("after the session's end: %d %q", res.StatusCode, body)
	}
	checkOwnHeaders(t, "in the app's place", res.Header, true)
}

// TestCONF6_DefaultsAndVerify: defaults of a site's block (`?X`) are for headers that are not there, on a script's 401 too, and what
// /verify refuses keeps its headers under a block with a deletion.
func TestCONF6_DefaultsAndVerify(t *testing.T) {
	defaults := "header {\n\t?X-Frame-Options SAMEORIGIN\n\t?Cache-Control public\n\t?Content-Security-Policy \"default-src *\"\n\t?X-Content-Type-Options none\n\t?Cross-Origin-Resource-Policy cross-origin\n\tX-App app\n"
	w := start(t, setup{})
	for name, block := range map[string]string{"defaults": defaults + "}\n", "defaults and a deletion": defaults + "\t-Server\n}\n"} {
		w.load(setup{sites: ":$PORT {\n" + block + "email_link\nreverse_proxy $BACKEND\n}\n"})
		for _, page := range ownPages {
			res, _ := w.raw(page.request + "Connection: close\n\n")
			if res.StatusCode != page.status {
				t.Errorf("%s, %s: %d", name, page.name, res.StatusCode)
			}
			if page.script {
				res.Header.Del("X-Frame-Options") // it has none, so the site's default stands
			}
			checkOwnHeaders(t, name+", "+page.name, res.Header, page.script)
		}
	}
	w.load(setup{sites: "http://:$PORT {\n" + siteHeaders + "email_link {\n verify from 127.0.0.1\n}\nrespond 404\n}\n"})
	for status, q := range map[int]question{http.StatusUnauthorized: {}, http.StatusForbidden: {uri: "/email-link/sign-in"}} {
		res, _ := w.asks("", q)
		if res.StatusCode != status || res.Header.Get("Email-Link-Verified") != "" {
			t.Errorf("/verify: %d %v", res.StatusCode, res.Header)
		}
		for header, want := range map[string]string{"Cache-Control": "no-cache, no-store, no-transform", "X-Content-Type-Options": "nosniff"} {
			if got := res.Header.Get(header); got != want {
				t.Errorf("/verify, %d: %s is %q", status, header, got)
			}
		}
	}
}
