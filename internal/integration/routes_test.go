package integration

import (
	"net/http"
	"strings"
	"testing"
)

// TestPATH2_RoutesAfterTheGate sends forged headers to every kind of route behind the gate.
func TestPATH2_RoutesAfterTheGate(t *testing.T) {
	w := start(t, setup{global: "sign_up open", sites: `
&(app) {
	reverse_proxy $BACKEND
}

$ADDR {
	email_link {
		public /open/*
	}
	handle /open/handle {
		reverse_proxy $BACKEND
	}
	handle /open/rewrite {
		rewrite * /elsewhere
		reverse_proxy $BACKEND
	}
	handle /open/named {
		invoke app
	}
	handle /open/error {
		error 503
	}
	handle /open/dead {
		reverse_proxy 127.0.0.1:1
	}
	handle {
		reverse_proxy $BACKEND
	}
	handle_errors {
		reverse_proxy $BACKEND
	}
}
`})
	for _, path := range []string{"/open/handle", "/open/rewrite", "/open/named", "/open/error", "/open/dead"} {
		_, _ = w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\nEmail-Link-Assertion: forged\nemail-link-assertion: forged\nRemote-User: root\nConnection: close, Remote-User\n\n")
		records := w.backend.taken()
		if len(records) != 1 {
			t.Errorf("%s: %d requests arrived", path, len(records))
			continue
		}
		checkIdentity(t, path, records[0], false)
	}
	// Signed in, each of them gets one assertion, and nothing else.
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for _, path := range []string{"/x", "/open/handle", "/open/rewrite", "/open/named", "/open/error", "/open/dead"} {
		_, _ = w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\nCookie: " + c.cookie() + "\nEmail-Link-Assertion: forged\nRemote-User: root\n" +
			"Connection: close, Email-Link-Assertion\n\n")
		records := w.backend.taken()
		if len(records) != 1 {
			t.Errorf("%s, signed in: %d requests arrived", path, len(records))
			continue
		}
		got := records[0].identities()
		if a := got["Email-Link-Assertion"]; len(got) != 1 || len(a) != 1 || len(a[0]) < 200 {
			t.Errorf("%s, signed in: the backend got %v", path, got)
		}
	}
}

// TestPATH2_MovedPages refuses to start where our pages would be somewhere else.
func TestPATH2_MovedPages(t *testing.T) {
	w := start(t, setup{})
	for name, site := range map[string]string{
		"handle_path": "$ADDR {\n handle_path /x/* {\n email_link\n reverse_proxy $BACKEND\n }\n}\n",
		"uri":         "$ADDR {\n route {\n uri strip_prefix /x\n email_link\n reverse_proxy $BACKEND\n }\n}\n",
	} {
		err := w.tryLoad(setup{sites: site})
		if err == nil || !strings.Contains(err.Error(), "moves its pages away") || !strings.Contains(err.Error(), "handle") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if status, _ := w.client().get("/email-link/health"); status != http.StatusOK {
		t.Errorf("after a refused reload: %d", status)
	}
	// A rewrite under a condition that only the request knows is seen when it happens.
	w.load(setup{sites: "$ADDR {\n route {\n @moved {\n path /email-link/sign-in\n not header X-Keep 1\n }\n rewrite @moved /elsewhere\n email_link {\n public /elsewhere\n }\n reverse_proxy $BACKEND\n }\n}\n"})
	status := 0
	for range 10 { // the server of the old configuration may take a connection or two that come just now
		if status, _, _ = w.client().visit("/email-link/sign-in"); status == http.StatusServiceUnavailable {
			break
		}
	}
	if status != http.StatusServiceUnavailable {
		t.Errorf("a page that was moved away: %d", status)
	}
	if got := w.backend.taken(); len(got) != 0 {
		t.Errorf("the backend has seen %d requests", len(got))
	}
}

// TestPATH1_Public sends spellings of paths to a site with a public and a protected part.
func TestPATH1_Public(t *testing.T) {
	w := start(t, setup{site: "public /open/* /robots.txt"})
	for path, want := range map[string]int{
		"/open/a": 200, "/robots.txt": 200, "/open/a%20b": 200, "/open/%C3%A9": 200,
		"/": 401, "/app": 401, "/open": 401, "/opened": 401,
		"//open/a": 401, "/open//a": 401, "/open/../app": 401, "/open/%2e%2e/app": 401, "/open/..%2fapp": 401, "/open/%2e%2e%2fapp": 401,
		"/open/%252e%252e/app": 401, "/open/a;b": 401, "/open/..;/app": 401, `/open/..\app`: 401, "/open/%5c..%5capp": 401, "/%6fpen/a": 401,
		"/open/a%00": 400, "/open/%zz": 400,
	} {
		res, _ := w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\nConnection: close\n\n")
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	for _, request := range []string{"TRACE /open/a", "CONNECT /open/a"} {
		if res, _ := w.raw(request + " HTTP/1.1\nHost: $HOST\nConnection: close\n\n"); res.StatusCode != http.StatusMethodNotAllowed && res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", request, res.StatusCode)
		}
	}
}

// TestPATH1_Protect lets everything through but one part.
func TestPATH1_Protect(t *testing.T) {
	w := start(t, setup{sites: "$ADDR {\n email_link /admin/*\n reverse_proxy $BACKEND\n}\n"})
	for path, want := range map[string]int{
		"/": 200, "/app": 200, "/admin": 200,
		"/admin/x": 401, "/ADMIN/x": 401, "//admin/x": 401, "/x/../admin/x": 401, "/%61dmin/x": 401, "/admin%2fx": 401, "/admin;a/x": 401, `/\admin/x`: 401,
	} {
		res, _ := w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\nConnection: close\n\n")
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	// Our pages and the stripping are not limited by the matcher.
	if status, _, _ := w.client().visit("/email-link/sign-in"); status != http.StatusOK {
		t.Errorf("the sign-in page: %d", status)
	}
	w.backend.taken()
	_, _ = w.raw("GET /app HTTP/1.1\nHost: $HOST\nRemote-User: root\nCookie: email_link=x; a=b\nConnection: close\n\n")
	for _, r := range w.backend.taken() {
		checkIdentity(t, "/app", r, false)
		if r.header.Get("Cookie") != "a=b" {
			t.Errorf("Cookie: %q", r.header.Get("Cookie"))
		}
	}
}

// TestMAIL1_Hosts asks under other hosts than those of base_url: it gets the page that names the right address, and no mail.
func TestMAIL1_Hosts(t *testing.T) { bothModes(t, testHosts) }

func testHosts(t *testing.T, links string) {
	w := start(t, setup{global: "sign_up open\n" + links, sites: ":$PORT {\n email_link\n reverse_proxy $BACKEND\n}\n"})
	body := "email=eve%40example.com"
	for _, lines := range []string{
		"POST /email-link/sign-up HTTP/1.1\nHost: evil.example\n",
		"POST /email-link/sign-up HTTP/1.1\nHost: localhost\n",
		"POST /email-link/sign-up HTTP/1.1\nHost: localhost:1\n",
		"POST http://evil.example/email-link/sign-up HTTP/1.1\nHost: $HOST\n",
		"POST /email-link/sign-up HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: $HOST\n",
		"POST /email-link/sign-up HTTP/1.1\nHost: evil.example\nForwarded: host=$HOST\n",
	} {
		res, text := w.raw(lines + "Accept: text/html\nContent-Type: application/x-www-form-urlencoded\nSec-Fetch-Site: same-origin\nConnection: close\nContent-Length: 23\n\n" + body)
		if res.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(text, w.origin()) {
			t.Errorf("%q: %d, names the right address: %v", lines, res.StatusCode, strings.Contains(text, w.origin()))
		}
	}
	res, _ := w.raw("GET /email-link/health HTTP/1.1\nHost: 10.0.0.1\nConnection: close\n\n")
	if res.StatusCode != http.StatusOK {
		t.Errorf("/health under any host: %d", res.StatusCode)
	}
	// What is asked at the right host leads there, whatever other headers say.
	res, _ = w.raw("POST /email-link/sign-up HTTP/1.1\nHost: $HOST\nX-Forwarded-Host: evil.example\nForwarded: host=evil.example\nAccept: text/html\n" +
		"Content-Type: application/x-www-form-urlencoded\nSec-Fetch-Site: same-origin\nConnection: close\nContent-Length: 23\n\n" + body)
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("at the right host: %d", res.StatusCode)
	}
	if m, link := w.mail(); !strings.HasPrefix(link, w.origin()+"/email-link/link?t=") || strings.Contains(string(m.Raw), "evil") {
		t.Errorf("the mail leads to %q", link)
	}
	if n := len(w.mails.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

// TestHDR2_RequireAndNesting shows roles, addresses, optional and the inner directive that tightens.
func TestHDR2_RequireAndNesting(t *testing.T) {
	w := start(t, setup{global: "sign_up open", sites: `
$ADDR {
	email_link {
		public /open/*
		headers {
			Remote-User {http.auth.user.email}
		}
	}
	handle /admin/* {
		email_link {
			require role admin
		}
		reverse_proxy $BACKEND
	}
	handle /mine/* {
		email_link {
			require email *@example.com
			audience mine
			public /mine/*
		}
		reverse_proxy $BACKEND
	}
	handle /theirs/* {
		email_link {
			require email *@example.org
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}
}
`})
	c := w.client()
	if status, _ := c.get("/mine/x"); status != http.StatusUnauthorized {
		t.Errorf("an inner 'public' has loosened the outer gate: %d", status)
	}
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for path, want := range map[string]int{"/app": 200, "/admin/x": 403, "/mine/x": 200, "/theirs/x": 403} {
		if status, _ := c.get(path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	for _, r := range w.backend.taken() {
		if len(r.header["Email-Link-Assertion"]) != 1 || r.header.Get("Remote-User") != "ada@example.com" {
			t.Errorf("%s arrived with %v", r.uri, r.identities())
		}
	}
}

// TestHDR2_InnerGivesNothingBack: an identity that the outer directive keeps back, or that an inner one does, is not on the
// request any more, in whatever headers, and there is one assertion at most.
func TestHDR2_InnerGivesNothingBack(t *testing.T) {
	w := start(t, setup{global: "sign_up open", sites: `
$ADDR {
	email_link {
		require role admin
		public /open/* /half/*
	}
	handle /open/* {
		email_link {
			optional
		}
		reverse_proxy $BACKEND
	}
	handle /half/* {
		email_link
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}
}
`})
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for path, want := range map[string]int{"/app": 403, "/open/x": 200, "/half/x": 403} {
		if status, _ := c.get(path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	for _, r := range w.backend.taken() {
		if got := r.identities(); len(got) > 0 {
			t.Errorf("%s arrived with %v", r.uri, got)
		}
	}

	nested(t)
}

// nested looks at headers that the outer directive has put on where an inner one keeps the identity back, or names another.
func nested(t *testing.T) {
	t.Helper()
	w := start(t, setup{global: "sign_up open", sites: `
$ADDR {
	email_link {
		identity {
			header Remote-Assertion
		}
		headers {
			Remote-Who {http.auth.user.email}
		}
	}
	handle /open/* {
		email_link {
			require role admin
			public /open/*
		}
		reverse_proxy $BACKEND {
			header_up Remote-Placeholder {http.auth.user.email}
		}
	}
	handle /two/* {
		email_link {
			identity {
				header Remote-Second
			}
		}
		reverse_proxy $BACKEND
	}
}
`})
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	for _, path := range []string{"/open/x", "/two/x"} {
		if status, _ := c.get(path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	records := w.backend.taken()
	if len(records) != 2 {
		t.Fatalf("%d requests arrived", len(records))
	}
	for name, values := range records[0].identities() {
		if len(values) > 0 && values[0] != "" {
			t.Errorf("/open/x arrived with %s: %q", name, values)
		}
	}
	got := records[1].identities()
	if len(got["Remote-Second"]) != 1 || got["Remote-Assertion"] != nil || len(got["Remote-Who"]) != 1 {
		t.Errorf("/two/x arrived with %v", got)
	}
}
