package integration

import (
	"net/http"
	"strings"
	"testing"
)

// sends sends a request with further header lines and returns what arrived at the backend, nil when nothing did.
func (w *world) sends(path, lines string) *record {
	w.t.Helper()
	w.backend.taken()
	_, _ = w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\n" + lines + "Connection: close\n\n")
	if records := w.backend.taken(); len(records) > 0 {
		return &records[0]
	}
	return nil
}

// TestHDR1_PathHeaders: what a proxy says of the client's own request arrives from trusted_proxies, and from nobody else.
func TestHDR1_PathHeaders(t *testing.T) {
	const lines = "X-Forwarded-Prefix: /app\nX-Forwarded-Uri: /admin\nX_Forwarded_Path: /admin\nX-Original-URI: /admin\nClient-Cert: c\n" +
		"Remote-User: root\nX-Hasura-Role: admin\nX-Original-URL: /admin\nX-Real-IP: 192.0.2.1\n"
	gate := setup{site: "public /open/*"}
	w := start(t, gate)
	arrived := w.sends("/open/x", lines)
	if arrived == nil {
		t.Fatal("nothing arrived")
	}
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Original-Uri", "Client-Cert", "Remote-User", "X-Hasura-Role", "X-Original-Url"} {
		if got := arrived.header[name]; got != nil {
			t.Errorf("a client's %s arrived: %q", name, got)
		}
	}
	if arrived.header.Get("X-Real-Ip") == "" {
		t.Error("X-Real-IP is gone")
	}
	gate.top = "servers {\n trusted_proxies static 127.0.0.0/8\n trusted_proxies_strict\n}"
	w.load(gate)
	if arrived = w.sends("/open/x", lines); arrived == nil {
		t.Fatal("nothing arrived")
	}
	for name, want := range map[string]string{
		"X-Forwarded-Prefix": "/app", "X-Forwarded-Uri": "/admin", "X-Original-Uri": "/admin", "Client-Cert": "c", "Remote-User": "", "X-Hasura-Role": "", "X-Original-Url": "",
	} {
		if got := arrived.header.Get(name); got != want {
			t.Errorf("%s from a trusted proxy: %q, want %q", name, got, want)
		}
	}
}

// TestHDR1_EmptyHeadersAreLeftOut: an account without a name or roles has no header for them, neither the client's nor an empty one.
func TestHDR1_EmptyHeadersAreLeftOut(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "headers {\n Remote-Email {http.auth.user.email}\n Remote-Name {http.auth.user.name}\n X-Groups {http.auth.user.roles}\n X-Text \"is {http.auth.user.name}\"\n}"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	arrived := w.sends("/app", "Cookie: "+c.cookie()+"\nRemote-Name: forged\nx-groups: admin\n")
	if arrived == nil {
		t.Fatal("nothing arrived")
	}
	for name, want := range map[string]string{"Remote-Email": "ada@example.com", "X-Text": "is "} {
		if got := arrived.header[name]; len(got) != 1 || strings.TrimSpace(got[0]) != strings.TrimSpace(want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"Remote-Name", "X-Groups"} {
		if got, there := arrived.header[name]; there {
			t.Errorf("%s is there: %q", name, got)
		}
	}
	// A proxy that asks by forward-auth gets it empty, so that it replaces the client's.
	w.load(asked("verify from 127.0.0.1\nheaders {\n Remote-Name {http.auth.user.name}\n}", ""))
	res, _ := w.asks(c.cookie(), question{})
	if got, there := res.Header["Remote-Name"]; res.StatusCode != http.StatusOK || !there || len(got) != 1 || got[0] != "" {
		t.Errorf("/verify: %d, Remote-Name %q", res.StatusCode, got)
	}
}

// TestHDR1_CredentialsCarryNoIdentity obeys what the refusal of Authorization as an identity's name says to write.
func TestHDR1_CredentialsCarryNoIdentity(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "headers {\n Remote-User {http.auth.user.email}\n}"})
	for _, name := range []string{"Authorization", "authorization", "Proxy-Authorization", "X-Api-Key", "X-API-Key"} {
		for _, site := range []string{"headers {\n " + name + " {http.auth.user.email}\n}", "identity {\n header " + name + "\n}"} {
			err := w.tryLoad(setup{site: site})
			if err == nil || !strings.Contains(err.Error(), "clients send their own credentials") || !strings.Contains(err.Error(), "header_up "+name) {
				t.Errorf("%s: %v", site, err)
			}
		}
	}
	w.load(setup{global: "sign_up open", sites: "$ADDR {\n email_link {\n headers {\n Remote-User {http.auth.user.email}\n }\n }\n" +
		"reverse_proxy $BACKEND {\n header_up Authorization {http.request.header.Remote-User}\n }\n}\n"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	if arrived := w.sends("/app", "Cookie: "+c.cookie()+"\n"); arrived == nil || arrived.header.Get("Authorization") != "ada@example.com" {
		t.Errorf("as the error says: %+v", arrived)
	}
}

// staffGate sets names that no list knows.
const staffGate = `email_link {
	headers {
		X-Staff-User {http.auth.user.email}
	}
	identity {
		header X-App-Assertion
	}
}
`

// forgedStaff are the same names as a client forges them, in several spellings and by way of Connection.
const forgedStaff = "X-Staff-User: boss@example.com\nx_staff_user: boss@example.com\nX-App-Assertion: FORGED\nX.App.Assertion: FORGED\n"

// leaksStaff reports whether one of the names is in a header.
func leaksStaff(header http.Header) bool {
	for name := range header {
		fold := strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
		if fold == "xstaffuser" || fold == "xappassertion" {
			return true
		}
	}
	return false
}

// TestCONF1_NamesOfEveryHandler: a name that one handler of the configuration sets passes no other one, neither to a backend nor
// back from it, whatever shape the configuration has.
func TestCONF1_NamesOfEveryHandler(t *testing.T) {
	const other = "http://other.localhost:$PORT {\n" + staffGate + "respond staff\n}\n"
	top := "servers {\n expected_underscore_headers x_*\n expected_dot_headers x.*\n}"
	w := start(t, setup{})
	for name, s := range map[string]setup{
		"inner": {sites: "$ADDR {\n email_link {\n public /open/*\n }\n handle /app/* {\n" + staffGate + "reverse_proxy $BACKEND\n }\n handle {\n reverse_proxy $BACKEND\n }\n}\n"},
		"sibling handles": {sites: "$ADDR {\n handle /open/* {\n email_link {\n path /open/auth\n optional\n }\n reverse_proxy $BACKEND\n }\n handle {\n" +
			staffGate + "reverse_proxy $BACKEND\n }\n}\n"},
		"two sites":    {sites: "$ADDR {\n email_link {\n public /open/*\n audience app\n }\n reverse_proxy $BACKEND\n}\n" + other},
		"error routes": {sites: "$ADDR {\n route {\n error /open/* 503\n email_link\n reverse_proxy $BACKEND\n }\n handle_errors {\n email_link {\n optional\n }\n reverse_proxy $BACKEND\n }\n}\n" + other},
		"another server": {sites: "$ADDR {\n email_link {\n public /open/*\n }\n reverse_proxy $BACKEND\n}\n" +
			"http://localhost:" + freePort(t) + " {\n" + strings.Replace(staffGate, "{", "{\n audience staff", 1) + "respond staff\n}\n"},
		"off":           {sites: "$ADDR {\n handle /open/* {\n email_link off\n reverse_proxy $BACKEND\n }\n handle {\n email_link {\n audience app\n }\n respond app\n }\n}\n" + other},
		"a named route": {sites: "&(staff) {\n route {\n" + staffGate + "reverse_proxy $BACKEND\n }\n}\n$ADDR {\n email_link {\n public /open/*\n }\n handle /app/* {\n invoke staff\n }\n handle {\n reverse_proxy $BACKEND\n }\n}\n"},
	} {
		s.top = top
		s.baseURL = w.origin() + " http://other.localhost:$PORT"
		w.load(s)
		w.backend.answers(func(rw http.ResponseWriter, _ *http.Request) {
			h := rw.Header()
			h.Set("X-Staff-User", "leak")
			h.Set("Link", "</x.css>; rel=preload")
			rw.WriteHeader(http.StatusEarlyHints)
			h.Set("X-App-Assertion", "leak")
			h.Set("Trailer", "X-Staff-User")
			_, _ = rw.Write([]byte("app"))
			h.Set(http.TrailerPrefix+"X-App-Assertion", "leak")
		})
		arrived := w.sends("/open/x", forgedStaff)
		if arrived == nil {
			t.Errorf("%s: nothing arrived", name)
			continue
		}
		if leaksStaff(arrived.header) {
			t.Errorf("%s: the backend got %v", name, arrived.header)
		}
		_, answer, body := w.client().do(http.MethodGet, "/open/x", nil, nil)
		if leaksStaff(answer) || body != "app" {
			t.Errorf("%s: the client got %q, %v", name, body, answer)
		}
		res, _ := w.raw("POST /open/x HTTP/1.1\nHost: $HOST\nTransfer-Encoding: chunked\nConnection: close\n\n1\na\n0\nX-Staff-User: boss\n\n")
		for _, r := range w.backend.taken() {
			if leaksStaff(r.trailer) || leaksStaff(res.Trailer) {
				t.Errorf("%s: trailers %v, %v", name, r.trailer, res.Trailer)
			}
		}
		w.backend.answers(nil)
	}
}

// TestCONF1_InnerHandlersKeepWhatTheOuterSets: an inner handler with headers of its own adds to those of the outer one, and nobody else's
// header is set.
func TestCONF1_InnerHandlersKeepWhatTheOuterSets(t *testing.T) {
	w := start(t, setup{global: "sign_up open", sites: `$ADDR {
	email_link {
		headers {
			X-Outer {http.auth.user.email}
		}
	}
	handle /in/* {
		email_link {
			headers {
				X-Inner {http.auth.user.email}
			}
		}
		reverse_proxy $BACKEND
	}
	handle /plain/* {
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
	const forged = "X-Outer: boss\nX-Inner: boss\nConnection: keep-alive, x-outer, x-inner\n"
	for path, want := range map[string][2]bool{"/in/x": {true, true}, "/plain/x": {true, false}, "/x": {true, false}} {
		arrived := w.sends(path, "Cookie: "+c.cookie()+"\n"+forged)
		if arrived == nil {
			t.Fatalf("%s: nothing arrived", path)
		}
		for i, name := range []string{"X-Outer", "X-Inner"} {
			got := arrived.header[name]
			if (len(got) == 1 && got[0] == "ada@example.com") != want[i] || !want[i] && got != nil {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

// TestCONF1_Verify: a proxy that asks gets each name that any handler sets, empty where this site's does not set it, so that it
// replaces the client's; matchers see none of them.
func TestCONF1_Verify(t *testing.T) {
	s := asked("verify from 127.0.0.1\noptional\nidentity {\n format none\n}", "")
	w := start(t, s)
	text := s.sites
	if text == "" {
		text = "$ADDR {\n email_link {\n verify from 127.0.0.1\n optional\n identity {\n format none\n }\n }\n}\n"
	}
	s.sites = text + "http://other.localhost:$PORT {\n" + staffGate + "respond staff\n}\n"
	s.baseURL = w.origin() + " http://other.localhost:$PORT"
	w.load(s)
	res, _ := w.asks("", question{more: forgedStaff})
	for _, name := range []string{"X-Staff-User", "X-App-Assertion"} {
		if got := res.Header[name]; res.StatusCode != http.StatusOK || len(got) != 1 || got[0] != "" {
			t.Errorf("%d, %s: %q", res.StatusCode, name, got)
		}
	}
}

// TestCONF1_ClientHeaders lets known headers through where a site says so, and there alone.
func TestCONF1_ClientHeaders(t *testing.T) {
	w := start(t, setup{})
	s := setup{
		baseURL: w.origin() + " http://other.localhost:$PORT",
		sites: "$ADDR {\n email_link {\n public /open/*\n client_headers X-Access-Token X-Hasura-*\n client_headers Impersonate-User\n audience app\n }\n" +
			"handle /open/in/* {\n email_link {\n public /open/*\n }\n reverse_proxy $BACKEND\n }\n handle {\n reverse_proxy $BACKEND\n }\n}\n" +
			"http://other.localhost:$PORT {\n" + staffGate + "respond staff\n}\n",
	}
	w.load(s)
	const lines = "X-Access-Token: t\nX-Hasura-Role: r\nImpersonate-User: u\nImpersonate-Group: g\nX-Id-Token: i\n" + forgedStaff
	for _, path := range []string{"/open/x", "/open/in/x"} {
		arrived := w.sends(path, lines)
		if arrived == nil {
			t.Fatalf("%s: nothing arrived", path)
		}
		for name, want := range map[string]string{"X-Access-Token": "t", "X-Hasura-Role": "r", "Impersonate-User": "u", "Impersonate-Group": "", "X-Id-Token": ""} {
			if got := arrived.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if leaksStaff(arrived.header) {
			t.Errorf("%s: the backend got %v", path, arrived.header)
		}
	}
	for site, want := range map[string]string{
		"client_headers Accept":                   "needs no letting through",
		"client_headers X-*":                      "needs no letting through",
		"client_headers Authorization":            "needs no letting through",
		"client_headers Email-Link-Assertion":     "the gate's own name",
		"client_headers Email-Link-*":             "the gate's own name",
		"client_headers X_Access_Token":           "write one like X-Access-Token",
		"client_headers X-Hasura-*-Role":          "write one like X-Access-Token",
		"client_headers X-Http-Method-Override":   "matcher",
		"client_headers X-Hasura-* X-Hasura-Role": "covered by X-Hasura-*",
		"client_headers":                          "a value is missing",
		"client_headers Remote-User\nheaders {\n Remote-User {http.auth.user.email}\n}":  "the gate itself sets",
		"client_headers X-Hasura-*\nheaders {\n X-Hasura-User-Id {http.auth.user.id}\n}": "the gate itself sets X-Hasura-User-Id",
		"client_headers X-Access-Token\nidentity {\n header X-Access-Token\n}":           "the gate itself sets",
	} {
		err := w.tryLoad(setup{site: site})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s: %v", site, err)
		}
	}
	err := w.tryLoad(setup{sites: "$ADDR {\n email_link\n handle /in/* {\n email_link {\n client_headers X-Access-Token\n }\n reverse_proxy $BACKEND\n }\n}\n"})
	if err == nil || !strings.Contains(err.Error(), "belongs to the outer") || !strings.Contains(err.Error(), "Caddyfile:") {
		t.Errorf("an inner one: %v", err)
	}
}

// TestPATH1_MethodOverridesPassNoMatcher: where a matcher of the site decides by the method, no client asks the app for another.
func TestPATH1_MethodOverridesPassNoMatcher(t *testing.T) {
	w := start(t, setup{})
	const lines = "X-HTTP-Method-Override: DELETE\nX-Method-Override: DELETE\nX-HTTP-Method: DELETE\n"
	for _, one := range []struct {
		name, lines string
		pass        bool
	}{
		{"no method", "email_link {\n public /open/*\n}\nreverse_proxy $BACKEND\n", true},
		{"public", "email_link {\n @hook {\n method GET\n path /open/*\n }\n public @hook\n}\nreverse_proxy $BACKEND\n", false},
		{"protected", "@write method POST PUT DELETE\nemail_link @write\nreverse_proxy $BACKEND\n", false},
		{"not", "@write not method GET\nemail_link @write\nreverse_proxy $BACKEND\n", false},
		{"an expression", "@write expression {method} != 'GET'\nemail_link @write\nreverse_proxy $BACKEND\n", false},
		{"a variable", "@write vars {http.request.method} DELETE\nemail_link @write\nreverse_proxy $BACKEND\n", false},
		{"on the way to an inner one", "email_link {\n public /open/*\n}\n@write method DELETE\nhandle @write {\n email_link {\n require role admin\n }\n reverse_proxy $BACKEND\n}\nhandle {\n reverse_proxy $BACKEND\n}\n", false},
		{"a path of that name", "email_link {\n public /open/* /method/*\n}\nreverse_proxy $BACKEND\n", true},
	} {
		w.load(setup{sites: "$ADDR {\n" + one.lines + "}\n"})
		arrived := w.sends("/open/x", lines)
		if arrived == nil {
			t.Errorf("%s: nothing arrived", one.name)
			continue
		}
		for _, name := range []string{"X-Http-Method-Override", "X-Method-Override", "X-Http-Method"} {
			if _, there := arrived.header[name]; there != one.pass {
				t.Errorf("%s: %s arrived: %v", one.name, name, there)
			}
		}
	}
}
