package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// verifySite is a gate with a public part that a proxy on this machine asks.
const verifySite = "verify from 127.0.0.0/8 ::1\npublic /open/*\nheaders {\n Remote-User {http.auth.user.email}\n}"

// asked is a gate that listens for any Host, as one does whose proxy sends the host along in a header.
func asked(site, after string) setup {
	return setup{global: "sign_up open", sites: "http://:$PORT {\n email_link {\n" + site + "\n}\n" + after + "\n reverse_proxy $BACKEND\n}\n"}
}

// question is what a proxy asks, line by line: those that are set replace the usual ones, "" leaves one out.
type question struct {
	method, proto, host, uri string
	// more are further lines, each ended.
	more string
	// query stands behind the endpoint's path.
	query string
}

// asks sends a question with the cookies of a browser.
func (w *world) asks(cookie string, q question) (*http.Response, string) {
	w.t.Helper()
	lines := ""
	for _, one := range [][2]string{
		{"X-Forwarded-Method", cmp.Or(q.method, "GET")},
		{"X-Forwarded-Proto", cmp.Or(q.proto, "http")},
		{"X-Forwarded-Host", cmp.Or(q.host, "$HOST")},
		{"X-Forwarded-Uri", cmp.Or(q.uri, "/app?x=1")},
	} {
		if one[1] != "-" {
			lines += one[0] + ": " + one[1] + "\n"
		}
	}
	if cookie != "" {
		lines += "Cookie: " + cookie + "\n"
	}
	return w.raw("GET /email-link/verify" + q.query + " HTTP/1.1\nHost: gate.internal\n" + lines + q.more + "\n")
}

// refused makes sure that an answer has neither an identity nor a cookie, and is kept by nobody.
func refused(t *testing.T, what string, res *http.Response, want int) {
	t.Helper()
	if res.StatusCode != want {
		t.Errorf("%s: %d, want %d", what, res.StatusCode, want)
	}
	for _, name := range []string{"Email-Link-Assertion", "Email-Link-Verified", "Remote-User", "Set-Cookie"} {
		if _, ok := res.Header[name]; ok {
			t.Errorf("%s: %d with %s", what, res.StatusCode, name)
		}
	}
	if got := res.Header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("%s: Cache-Control %q", what, got)
	}
	if where := res.Header.Get("Location"); where != "" && res.StatusCode != http.StatusSeeOther {
		t.Errorf("%s: %d with Location %q", what, res.StatusCode, where)
	}
}

// passed makes sure that an answer lets a request pass, with an identity or as nobody's.
func passed(t *testing.T, what string, res *http.Response, email string) {
	t.Helper()
	assertion, user := res.Header.Values("Email-Link-Assertion"), res.Header.Values("Remote-User")
	if res.StatusCode != http.StatusOK || len(assertion) != 1 || len(user) != 1 {
		t.Errorf("%s: %d with %d assertions, Remote-User %q", what, res.StatusCode, len(assertion), user)
		return
	}
	if (assertion[0] != "") != (email != "") || user[0] != email {
		t.Errorf("%s: an assertion of %d bytes, Remote-User %q, want that of %q", what, len(assertion[0]), user[0], email)
	}
	if v := res.Header.Values("Email-Link-Verified"); len(v) != 1 || v[0] != "1" {
		t.Errorf("%s: Email-Link-Verified %q", what, v)
	}
	if len(res.Header.Values("Set-Cookie")) != 0 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %v", what, res.Header)
	}
}

// TestHDR2_VerifyPeers answers listed connections alone, whatever headers say of where they come from.
func TestHDR2_VerifyPeers(t *testing.T) {
	for name, site := range map[string]string{
		"off": "", "another peer": "verify from 10.0.0.2 2001:db8::/64",
	} {
		t.Run(name, func(t *testing.T) {
			gate := asked(site, "")
			gate.top = "servers {\n trusted_proxies static 127.0.0.0/8\n trusted_proxies_strict\n}"
			w := start(t, gate)
			c := w.client()
			w.signUp(c, "ada@example.com")
			for _, more := range []string{"", "X-Forwarded-For: 10.0.0.2\n", "X-Real-IP: 10.0.0.2\nForwarded: for=10.0.0.2\n"} {
				res, _ := w.asks(c.cookie(), question{more: more})
				refused(t, more, res, http.StatusNotFound)
			}
			for _, request := range []string{"GET /email-link/verify", "POST /email-link/verify", "TRACE /email-link/verify", "GET /email-link/%76erify"} {
				res, _ := w.raw(request + " HTTP/1.1\nHost: $HOST\nCookie: " + c.cookie() + "\nContent-Length: 0\n\n")
				refused(t, request, res, http.StatusNotFound)
			}
		})
	}
}

func TestHDR2_Verify(t *testing.T) {
	w := start(t, asked(verifySite, ""))
	c := w.client()
	w.signUp(c, "ada@example.com")
	cookie := c.cookie()
	for _, forged := range append([]string{""}, forgeries...) {
		if forged != "" {
			forged += "\n"
		}
		res, body := w.asks(cookie, question{more: forged})
		passed(t, "signed in, "+forged, res, "ada@example.com")
		if body != "" {
			t.Errorf("a body: %q", body)
		}
		res, _ = w.asks("", question{uri: "/open/x", more: forged})
		passed(t, "public, "+forged, res, "")
	}
	for _, q := range []question{
		{uri: "/open/x"},
		{uri: "//a/../b%2fc?x"},
		{method: "POST"},
		{method: "PROPFIND"},
		{host: "LOCALHOST:" + w.port},
		{more: "X-Original-URI: /app?x=1\nX-Original-Method: GET\n"},
		{query: "?anonymous=redirect"},
	} {
		res, _ := w.asks(cookie, q)
		passed(t, fmt.Sprint(q), res, "ada@example.com")
	}

	const browser = "Accept: text/html\nSec-Fetch-Mode: navigate\n"
	res, body := w.asks("", question{uri: "/a/b%2fc?x=1&y=2", more: browser})
	refused(t, "anonymous", res, http.StatusUnauthorized)
	want := w.origin() + "/email-link/sign-in?return_to=" + url.QueryEscape("/a/b%2fc?x=1&y=2")
	var problem struct {
		Code   string `json:"code"`
		SignIn string `json:"sign_in"`
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Code != "sign_in_required" || problem.SignIn != want {
		t.Errorf("the problem: %q, %v", body, err)
	}
	if got := res.Header.Values("Email-Link-Sign-In"); len(got) != 1 || got[0] != want {
		t.Errorf("Email-Link-Sign-In %q, want %q", got, want)
	}

	res, _ = w.asks("", question{query: "?anonymous=redirect", uri: "/a?b=c", more: browser})
	refused(t, "a browser, redirected", res, http.StatusSeeOther)
	if got := res.Header.Get("Location"); got != w.origin()+"/email-link/sign-in?return_to=%2Fa%3Fb%3Dc" {
		t.Errorf("Location %q", got)
	}
	for what, q := range map[string]question{
		"a browser":          {more: browser},
		"a script":           {query: "?anonymous=redirect", more: "Sec-Fetch-Mode: cors\n"},
		"a form":             {query: "?anonymous=redirect", more: browser, method: "POST"},
		"a socket":           {query: "?anonymous=redirect", more: "Upgrade: websocket\nOrigin: " + w.origin() + "\n"},
		"another word":       {query: "?anonymous=yes", more: browser},
		"the word, and more": {query: "?anonymous=redirect&x=1", more: browser},
	} {
		res, _ = w.asks("", q)
		refused(t, what, res, http.StatusUnauthorized)
	}
	if got := w.backend.taken(); len(got) != 0 {
		t.Errorf("%d requests reached the backend", len(got))
	}
}

// TestPATH1_Verify smuggles a public path into what a proxy says: nobody passes.
func TestPATH1_Verify(t *testing.T) {
	w := start(t, asked(verifySite, ""))
	for _, q := range []question{
		{more: "X-Original-URI: /open/x\n"},
		{uri: "/open/x", more: "X-Original-URI: /app\n"},
		{more: "X-Forwarded-Uri: /open/x\n"},
		{uri: "/open/x", more: "X-Forwarded-Uri: /app\n"},
		{uri: "/open/x", more: "x-forwarded-uri: /open/x\n"},
		{uri: "/open/x", more: "X-Original-Method: POST\n"},
		{uri: "/open/x", more: "X-Forwarded-Method: GET\n"},
		{uri: "/open/x", more: "X-Forwarded-Host: $HOST\n"},
		{uri: "/open/x", more: "X-Forwarded-Proto: http\n"},
		{uri: "/open/x", method: "-"},
		{uri: "/open/x", proto: "-"},
		{uri: "/open/x", host: "-"},
		{uri: "-"},
		{uri: "-", more: "X-Original-URI: /open/x\n"},
		{uri: "-", more: "X-Forwarded-Uri:\n"},
		{uri: "/open/x", proto: "https"},
		{uri: "/open/x", proto: "http, http"},
		{uri: "/open/x", proto: "ws"},
		{uri: "/open/x", host: "evil.example"},
		{uri: "/open/x", host: "gate.internal"},
		{uri: "/open/x", host: "localhost"},
		{uri: "/open/x", host: "$HOST, evil.example"},
		{uri: "/open/x", host: "user@$HOST"},
		{uri: "/open/x", host: "$HOST/"},
		{uri: "/open/x", method: "TRACE"},
		{uri: "/open/x", method: "CONNECT"},
		{uri: "/open/x", method: "GET,GET"},
		{uri: "http://$HOST/open/x"},
		{uri: "open/x"},
		{uri: "*"},
		{uri: "/open/%00"},
		{uri: "/open/%zz"},
		{uri: "/email-link/sign-in"},
		{uri: "/email-link/verify"},
		{uri: "/email-link/%76erify?x"},
		{uri: "/email-link"},
	} {
		res, _ := w.asks("", q)
		refused(t, fmt.Sprint(q), res, http.StatusForbidden)
	}
	for _, uri := range []string{
		"/open/../app", "/open/%2e%2e/app", "/open/..%2fapp", "/open/%252e%252e/app", "/open/x%0d%0aX-Forwarded-Uri:%20/app", "/open/;/../app",
		"/open//x", "/open/x#/app", "/app#/open/x", "/open\\..\\app", "//open/x", "/app?/open/x", "/OPEN%2fx", "/ope%6e/x", "/app/..;/open/x", `/open%2fx|`, `/ope%6e/x"`,
	} {
		res, _ := w.asks("", question{uri: uri})
		refused(t, uri, res, http.StatusUnauthorized)
	}
	res, _ := w.asks("", question{uri: "/open/x?a=/../app"})
	passed(t, "a public path", res, "")
}

// TestPATH1_VerifyMatchers judges the request that is asked for by any matcher, not the question.
func TestPATH1_VerifyMatchers(t *testing.T) {
	w := start(t, asked(`verify from 127.0.0.1
		public @method @host @query @header @words @scheme
		@method method OPTIONS
		@host {
			host gate.internal
		}
		@query query open=1
		@header header X-Open 1
		@words vars {http.request.uri.path} /words
		@scheme protocol https`, ""))
	for _, one := range []struct {
		q    question
		pass bool
	}{
		{question{}, false},
		{question{method: "OPTIONS"}, true},
		{question{query: "?open=1"}, false},
		{question{uri: "/x?open=1"}, true},
		{question{more: "X-Open: 1\n"}, true},
		{question{uri: "/words"}, true},
		{question{uri: "/words/x"}, false},
	} {
		res, _ := w.asks("", one.q)
		if one.pass != (res.StatusCode == http.StatusOK) {
			t.Errorf("%+v: %d", one.q, res.StatusCode)
		}
	}
}

// TestSES4_Verify asks for upgrades: they need a session and an Origin of the site that is asked for.
func TestSES4_Verify(t *testing.T) {
	w := start(t, asked(verifySite, ""))
	c := w.client()
	w.signUp(c, "ada@example.com")
	const upgrade = "Upgrade: websocket\n"
	for _, one := range []struct {
		cookie, more string
		want         int
	}{
		{"", "Origin: " + w.origin() + "\n", 401},
		{c.cookie(), "", 403},
		{c.cookie(), "Origin: null\n", 403},
		{c.cookie(), "Origin: https://evil.example\n", 403},
		{c.cookie(), "Origin: http://gate.internal\n", 403},
		{c.cookie(), "Origin: " + w.origin() + "\nOrigin: https://evil.example\n", 403},
	} {
		res, _ := w.asks(one.cookie, question{uri: "/ws", more: upgrade + one.more})
		refused(t, one.more, res, one.want)
	}
	res, _ := w.asks(c.cookie(), question{uri: "/ws", more: upgrade + "Connection: Upgrade\nOrigin: " + w.origin() + "\n"})
	passed(t, "from the site's own page", res, "ada@example.com")
	res, _ = w.asks(c.cookie(), question{uri: "/open/ws", more: upgrade + "Origin: https://evil.example\n"})
	passed(t, "public, from elsewhere", res, "")
	for _, offer := range []string{"h2c", "websocket, h2c", "TLS/1.0", "HTTP/2.0"} {
		for _, uri := range []string{"/ws", "/open/ws"} {
			res, _ = w.asks(c.cookie(), question{uri: uri, more: "Upgrade: " + offer + "\nConnection: Upgrade\nOrigin: " + w.origin() + "\n"})
			refused(t, "a tunnel by "+offer, res, http.StatusForbidden)
		}
	}
}

// TestSES6_Verify gives a cookie of one site to another, doubled, and after its end.
func TestSES6_Verify(t *testing.T) {
	gate := asked(verifySite, "")
	gate.baseURL = "http://localhost:$PORT http://other.localhost:$PORT"
	w := start(t, gate)
	c := w.client()
	w.signUp(c, "ada@example.com")
	res, _ := w.asks(c.cookie(), question{})
	passed(t, "at its own site", res, "ada@example.com")
	res, _ = w.asks(c.cookie(), question{host: "other.localhost:" + w.port})
	refused(t, "at another site", res, http.StatusUnauthorized)
	if got := res.Header.Get("Email-Link-Sign-In"); !strings.HasPrefix(got, "http://other.localhost:"+w.port+"/email-link/sign-in") {
		t.Errorf("Email-Link-Sign-In %q", got)
	}
	res, _ = w.asks(c.cookie()+"; "+c.cookie(), question{})
	refused(t, "twice", res, http.StatusUnauthorized)
	res, _ = w.asks("__Host-"+c.cookie(), question{})
	refused(t, "by the other name", res, http.StatusUnauthorized)
	cookie := c.cookie()
	if status, _, _ := c.post("/email-link/sign-out", url.Values{}); status >= 400 {
		t.Fatalf("signing out: %d", status)
	}
	res, _ = w.asks(cookie, question{})
	refused(t, "after its end", res, http.StatusUnauthorized)
}

// TestHDR3_VerifyRequires refuses whoever lacks what is required, and answers for everybody where nothing is.
func TestHDR3_VerifyRequires(t *testing.T) {
	w := start(t, asked("verify from 127.0.0.1\nrequire email *@example.com\npublic /open/*", ""))
	c := w.client()
	w.signUp(c, "ada@elsewhere.example")
	res, _ := w.asks(c.cookie(), question{})
	refused(t, "elsewhere", res, http.StatusForbidden)
	res, _ = w.asks(c.cookie(), question{uri: "/open/x"})
	if got := res.Header["Email-Link-Assertion"]; res.StatusCode != http.StatusOK || !slices.Equal(got, []string{""}) {
		t.Errorf("public: %d, %q", res.StatusCode, got)
	}
	w.load(asked("verify from 127.0.0.1\noptional\nidentity {\n format none\n}", ""))
	res, _ = w.asks("", question{})
	if _, ok := res.Header["Email-Link-Assertion"]; ok || res.StatusCode != http.StatusOK {
		t.Errorf("optional: %d, %v", res.StatusCode, res.Header)
	}
	err := w.tryLoad(asked("verify from 127.0.0.1", "route /admin/* {\n email_link {\n require role admin\n }\n}"))
	if err == nil || !strings.Contains(err.Error(), "verify judges by the first email_link") {
		t.Errorf("an email_link that verify never gets to: %v", err)
	}
}

// TestCONF5_Verified: the mark of an answer that lets pass is on no other, comes from nobody else and reaches neither an app nor a
// client; and the endpoint answers at its exact bytes alone, since those are what a proxy in front blocks.
func TestCONF5_Verified(t *testing.T) {
	w := start(t, asked(verifySite, ""))
	c := w.client()
	w.signUp(c, "ada@example.com")
	cookie := c.cookie()
	res, _ := w.asks(cookie, question{})
	passed(t, "signed in", res, "ada@example.com")
	for what, q := range map[string]question{
		"anonymous": {more: "Email-Link-Verified: 1\n"}, "no host": {host: "-"}, "another host": {host: "evil.example"},
		"a tunnel": {uri: "/open/x", more: "HTTP2-Settings: AAMAAABkAAQAAP__\n"},
	} {
		res, _ := w.asks("", q)
		if res.StatusCode < 400 || res.Header.Get("Email-Link-Verified") != "" {
			t.Errorf("%s: %d, Email-Link-Verified %q", what, res.StatusCode, res.Header.Get("Email-Link-Verified"))
		}
	}
	for _, path := range []string{"/email-link/%76erify", "/email-link/verif%79", "/email-link%2fverify", "/email-link/verify/", "//email-link/verify", "/email-link/./verify"} {
		res, _ := w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\nCookie: " + cookie +
			"\nX-Forwarded-Method: GET\nX-Forwarded-Proto: http\nX-Forwarded-Host: $HOST\nX-Forwarded-Uri: /app\n\n")
		if res.Header.Get("Email-Link-Verified") != "" || res.Header.Get("Email-Link-Assertion") != "" {
			t.Errorf("%s answers: %d, %v", path, res.StatusCode, res.Header)
		}
	}
	w.backend.taken()
	res, _ = w.raw("GET /app HTTP/1.1\nHost: $HOST\nCookie: " + cookie + "\nEmail-Link-Verified: 1\nemail_link_verified: 1\n\n")
	if res.StatusCode != http.StatusOK || res.Header.Get("Email-Link-Verified") != "" {
		t.Errorf("an ordinary request: %d, %v", res.StatusCode, res.Header)
	}
	for _, r := range w.backend.taken() {
		for name := range r.header {
			if strings.Contains(strings.ToLower(name), "verified") {
				t.Errorf("%s reached the app", name)
			}
		}
	}
}

// TestCONF5_UpgradeWithoutUpgrade: a proxy that removes Upgrade from its question hands it to the app all the same.
func TestCONF5_UpgradeWithoutUpgrade(t *testing.T) {
	w := start(t, asked(verifySite, ""))
	c := w.client()
	w.signUp(c, "ada@example.com")
	cookie := c.cookie()
	for _, sign := range []string{
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n", "Sec-WebSocket-Version: 13\n", "Sec-Fetch-Mode: websocket\n", "Upgrade: websocket\n",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\nSec-Fetch-Mode: websocket\nUpgrade: websocket\n",
	} {
		res, _ := w.asks(cookie, question{more: sign + "Origin: https://evil.example\n"})
		refused(t, sign+"from elsewhere", res, http.StatusForbidden)
		res, _ = w.asks(cookie, question{more: sign})
		refused(t, sign+"without Origin", res, http.StatusForbidden)
		res, _ = w.asks(cookie, question{more: sign + "Origin: " + w.origin() + "\n"})
		passed(t, sign+"from here", res, "ada@example.com")
		if res, _ := w.raw("GET /app HTTP/1.1\nHost: $HOST\nCookie: " + cookie + "\n" + sign + "Origin: https://evil.example\n\n"); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s at the gate itself, from elsewhere: %d", sign, res.StatusCode)
		}
	}
	for _, sign := range []string{"HTTP2-Settings: AAMAAABkAAQAAP__\n", "HTTP2-Settings: AAMAAABkAAQAAP__\nUpgrade: h2c\n", "Upgrade: h2c\n"} {
		for _, uri := range []string{"/app", "/open/x"} {
			res, _ := w.asks(cookie, question{uri: uri, more: sign + "Origin: " + w.origin() + "\n"})
			refused(t, sign+"at "+uri, res, http.StatusForbidden)
		}
		w.backend.taken()
		_, _ = w.raw("GET /app HTTP/1.1\nHost: $HOST\nCookie: " + cookie + "\n" + sign + "Connection: Upgrade, HTTP2-Settings\nOrigin: " + w.origin() + "\n\n")
		for _, r := range w.backend.taken() {
			if r.header.Get("Upgrade") != "" || r.header.Get("Http2-Settings") != "" {
				t.Errorf("%s reached the app: %v", sign, r.header)
			}
		}
	}
}
