package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// spelled are ways to write /admin/x of which Caddy takes some for something else.
var spelled = []string{
	"/admin/x", "/ADMIN/x", "/Admin/x", "//admin/x", "//x/admin/x", "//x:1/admin/x", "///x/admin/x", "/%2fx/admin/x", `/\x/admin/x`, "/;/admin/x", "/admin;a/x",
	"/;a=b/admin/x", "/%61dmin/x", "/%2561dmin/x", "/%2541DMIN/x", "/x/..%2fadmin/x", "/x/../admin/x", "/x/%2e%2e/admin/x", "/x/%252e%252e/admin/x",
	`/x/..\admin\x`, "/x/..%5cadmin%5cx", "/x/..%255cadmin/x", "/x/..;/admin/x", "/admin%2fx", "/admin%252Fx", "/%252fadmin/x", "/./admin/x", "/admin./x", "/admin%20/x",
	"/%EF%BC%8Fadmin/x", "/%EF%BD%81dmin/x", "/x/%E2%80%A5/admin/x", "/x/%c0%ae%c0%ae/admin/x", "/%c0%afadmin/x", "/ad%09min/x", "/admin/x%3f", "/admin/x%23",
	// Those that do not begin with a slash are refused by Caddy or Go's backend in the end.
	`\admin\x`, "x:admin/x",
}

// beside are ambiguous paths that apps beside an /admin/* use, and that no program takes for one below it.
var beside = []string{
	"/ann/proj/-/blob/main%2Fadmin/x", "/ann/bucket/a%2Fb%2Fadmin", "/ann/a;b/c", "/ann/remote.php/dav/100%25%3B.txt", "/ann//x", "/ann/./x", "/ann/a%5Cb", "/ann/%2e%2e/ann/x",
}

// guards are shapes in which an inner email_link stands below /admin/. $INNER is what it asks for, $OUTER what the outer one says.
var guards = map[string]string{
	"handle": `
	email_link {
		$OUTER
	}
	handle /admin/* {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"route": `
	route {
		email_link {
			$OUTER
		}
		route /admin/* {
			email_link {
				$INNER
			}
		}
		reverse_proxy $BACKEND
	}`,
	"its own matcher": `
	route {
		email_link {
			$OUTER
		}
		email_link /admin/* {
			$INNER
		}
		reverse_proxy $BACKEND
	}`,
	"path_regexp with a capital": `
	email_link {
		$OUTER
	}
	@admin path_regexp ^/Admin/
	handle @admin {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"expression with a capital": `
	email_link {
		$OUTER
	}
	@admin expression {path}.startsWith('/Admin/')
	handle @admin {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"not": `
	email_link {
		$OUTER
	}
	@rest not path /ann/*
	handle @rest {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"after a sibling": `
	email_link {
		$OUTER
	}
	handle /ann/* {
		reverse_proxy $BACKEND
	}
	handle {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}`,
	"method and path": `
	email_link {
		$OUTER
	}
	@admin {
		method GET
		path /admin/*
	}
	handle @admin {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"a named route": `
	email_link {
		$OUTER
	}
	handle /admin/* {
		invoke inner
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"hosts below a wildcard": `
	@app host localhost
	handle @app {
		email_link {
			$OUTER
		}
		handle /admin/* {
			email_link {
				$INNER
			}
			reverse_proxy $BACKEND
		}
		handle {
			reverse_proxy $BACKEND
		}
	}`,
	"a value of map": `
	map {path} {zone} {
		~^/admin(\W|$) secret
		default open
	}
	email_link {
		$OUTER
	}
	@admin vars {zone} secret
	handle @admin {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"a variable": `
	vars zone open
	vars /admin/* zone secret
	email_link {
		$OUTER
	}
	@admin expression {vars.zone} == 'secret'
	handle @admin {
		email_link {
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}`,
	"another handler beside it": `
	handle /admin/* {
		email_link {
			path /admin/email-link
			$INNER
		}
		reverse_proxy $BACKEND
	}
	handle {
		email_link {
			$OUTER
		}
		reverse_proxy $BACKEND
	}`,
}

// guard writes a shape into a site.
func guard(shape, outer, inner string) setup {
	text := strings.NewReplacer("$OUTER", outer, "$INNER", inner).Replace(guards[shape])
	named := strings.ReplaceAll("&(inner) {\n\troute {\n\t\temail_link {\n\t\t\t$INNER\n\t\t}\n\t\treverse_proxy $BACKEND\n\t}\n}\n", "$INNER", inner)
	if shape != "a named route" {
		named = ""
	}
	address := "$ADDR"
	if shape == "hosts below a wildcard" {
		address = "http://:$PORT"
	}
	return setup{global: "sign_up open\nscopes calendar admin", sites: named + address + " {" + text + "\n}\n"}
}

// asksFor asks for a path as it is written.
func (w *world) asksFor(cookie, path, more string) *http.Response {
	w.t.Helper()
	if cookie != "" {
		more += "Cookie: " + cookie + "\n"
	}
	res, _ := w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\nConnection: close\n" + more + "\n")
	return res
}

// TestCONF2_InnerDemands sends every spelling of a guarded path to every shape of guard: nobody gets to the backend who does not
// meet what the guard asks for, whatever Caddy takes the path for; and what only looks odd goes on byte for byte.
func TestCONF2_InnerDemands(t *testing.T) {
	w := start(t, guard("handle", "", "require role admin"))
	c := w.client()
	w.signUp(c, "mallory@example.com")
	cookie := c.cookie()
	for shape := range guards {
		for outer, inners := range map[string][]string{
			"":                   {"require role admin", "require email *@example.org", "max_age 1ns", "require email *@example.com"},
			"optional":           {"max_age 1ns", "require email *@example.com"},
			"public /ann/open/*": {"require role admin"},
		} {
			for _, inner := range inners {
				name := fmt.Sprintf("%s, outer %q, inner %q", shape, outer, inner)
				w.load(guard(shape, outer, inner))
				met := inner == "require email *@example.com"
				for _, path := range spelled {
					w.backend.taken()
					signedIn := w.asksFor(cookie, path, "").StatusCode
					n := len(w.backend.taken())
					anonymous := w.asksFor("", path, "").StatusCode
					if m := len(w.backend.taken()); m != 0 || anonymous < 400 {
						t.Errorf("%s: %s without a session: %d, %d requests arrived", name, path, anonymous, m)
					}
					if passes := met && path[0] == '/'; (n == 1) != passes || (signedIn < 300) != passes {
						t.Errorf("%s: %s: %d, %d requests arrived", name, path, signedIn, n)
					}
				}
				if shape == "its own matcher" && outer == "optional" {
					continue // the inner one is on the way of everything, and an ambiguous path is public to none
				}
				for _, path := range beside {
					w.backend.taken()
					res := w.asksFor(cookie, path, "")
					got := w.backend.taken()
					if res.StatusCode != http.StatusOK || len(got) != 1 || got[0].uri != path {
						t.Errorf("%s: %s beside it: %d, %d requests arrived", name, path, res.StatusCode, len(got))
					}
				}
			}
		}
	}
}

// TestCONF2_InnerMatcher: an inner email_link with a matcher concerns what that says, and leaves everybody's identity on the rest.
func TestCONF2_InnerMatcher(t *testing.T) {
	w := start(t, guard("its own matcher", "", "require role admin"))
	c := w.client()
	w.signUp(c, "mallory@example.com")
	for _, path := range append([]string{"/ann/x", "/README.md"}, beside...) {
		w.backend.taken()
		res := w.asksFor(c.cookie(), path, "")
		got := w.backend.taken()
		if res.StatusCode != http.StatusOK || len(got) != 1 || len(got[0].header["Email-Link-Assertion"]) != 1 {
			t.Errorf("%s: %d, %d requests arrived: %v", path, res.StatusCode, len(got), got)
		}
	}
}

// TestCONF2_InnerScopes: what a token must not open by one spelling it opens by none.
func TestCONF2_InnerScopes(t *testing.T) {
	w := start(t, guard("handle", "require scope calendar admin session", "require scope admin"))
	c := w.client()
	w.signUp(c, "ada@example.com")
	calendar, _ := w.tokenOf("ada@example.com", "calendar")
	admin, _ := w.tokenOf("ada@example.com", "admin")
	for _, path := range spelled {
		w.backend.taken()
		for who, lines := range map[string]string{"a token": "Authorization: Bearer " + calendar + "\n", "a session": "Cookie: " + c.cookie() + "\n"} {
			if res := w.asksFor("", path, lines); res.StatusCode != http.StatusForbidden && path[0] == '/' || len(w.backend.taken()) != 0 {
				t.Errorf("%s: %s: %d", who, path, res.StatusCode)
			}
		}
		if path[0] != '/' {
			continue
		}
		if res := w.asksFor("", path, "Authorization: Bearer "+admin+"\n"); res.StatusCode != http.StatusOK || len(w.backend.taken()) != 1 {
			t.Errorf("the right token: %s: %d", path, res.StatusCode)
		}
	}
	for _, path := range beside {
		if res := w.asksFor("", path, "Authorization: Bearer "+calendar+"\n"); res.StatusCode != http.StatusOK {
			t.Errorf("a token: %s: %d", path, res.StatusCode)
		}
		if got := w.backend.taken(); len(got) != 1 || got[0].uri != path {
			t.Errorf("%s beside it: %d requests arrived", path, len(got))
		}
	}
}

// TestCONF2_MovedInside: an inner guard behind a rewrite is reached by what a path becomes, and by how a program reads that.
func TestCONF2_MovedInside(t *testing.T) {
	w := start(t, setup{global: "sign_up open", sites: `
$ADDR {
	email_link
	@app path_regexp app ^/app(/.*)$
	rewrite @app {re.app.1}
	handle /admin/* {
		email_link {
			require role admin
		}
		reverse_proxy $BACKEND
	}
	handle {
		reverse_proxy $BACKEND
	}
}
`})
	c := w.client()
	w.signUp(c, "mallory@example.com")
	cookie := c.cookie()
	for _, path := range spelled {
		if path[0] != '/' || strings.HasPrefix(strings.ReplaceAll(path, "%2f", "/"), "//") {
			continue // Caddy captures from a path whose slashes are merged, so no host is left in what it makes
		}
		w.backend.taken()
		if res := w.asksFor(cookie, "/app"+path, ""); res.StatusCode != http.StatusForbidden || len(w.backend.taken()) != 0 {
			t.Errorf("/app%s: %d", path, res.StatusCode)
		}
	}
	for _, path := range beside {
		w.backend.taken()
		for _, prefix := range []string{"", "/app"} {
			if res := w.asksFor(cookie, prefix+path, ""); res.StatusCode != http.StatusOK || len(w.backend.taken()) != 1 {
				t.Errorf("%s%s: %d", prefix, path, res.StatusCode)
			}
		}
	}
}

// TestCONF2_PublicIsExact opens what is written, case included, by each kind of matcher.
func TestCONF2_PublicIsExact(t *testing.T) {
	w := start(t, setup{})
	for _, site := range []string{
		"public /share/Xy7", "public @x\n@x path /share/Xy7", "public @x\n@x path_regexp ^/share/Xy7$", "public @x\n@x expression path('/share/Xy7')",
		"public @x\n@x expression {path}=='/share/Xy7'", "public @x\n@x {\n method GET\n path /share/Xy7\n}",
	} {
		w.load(setup{site: site})
		for path, want := range map[string]int{
			"/share/Xy7": 200, "/share/xY7": 401, "/share/xy7": 401, "/share/XY7": 401, "/Share/Xy7": 401, "/share/%58y7": 401, "/share//Xy7": 401, "/": 401,
		} {
			if res := w.asksFor("", path, ""); res.StatusCode != want {
				t.Errorf("%s: %s: %d, want %d", site, path, res.StatusCode, want)
			}
		}
	}
}

// TestCONF2_ReadingsAreReal: what a program of Go's makes of a target that it takes for a reference is a view the gate has looked at.
func TestCONF2_ReadingsAreReal(t *testing.T) {
	w := start(t, guard("handle", "", "require role admin"))
	c := w.client()
	w.signUp(c, "mallory@example.com")
	w.backend.answers(func(rw http.ResponseWriter, r *http.Request) {
		if u, err := url.Parse(r.RequestURI); err == nil && strings.HasPrefix(u.Path, "/admin/") {
			_, _ = rw.Write([]byte("ADMIN PAGE"))
		}
	})
	for _, path := range spelled {
		if res, body := w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\nConnection: close\nCookie: " + c.cookie() + "\n\n"); strings.Contains(body, "ADMIN PAGE") {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

// TestCONF2_InnerNeedsASession: an inner email_link that asks for nothing but a session is met by nobody else, where the outer one lets
// everybody through.
func TestCONF2_InnerNeedsASession(t *testing.T) {
	w := start(t, guard("handle", "optional", ""))
	for _, path := range spelled {
		if res := w.asksFor("", path, ""); res.StatusCode < 400 || len(w.backend.taken()) != 0 {
			t.Errorf("%s without a session: %d", path, res.StatusCode)
		}
	}
	for _, path := range beside {
		if res := w.asksFor("", path, ""); res.StatusCode != http.StatusOK || len(w.backend.taken()) != 1 {
			t.Errorf("%s beside it: %d", path, res.StatusCode)
		}
	}
}

// TestCONF2_RewrittenBefore: where a rewrite stands before the outer email_link, a way is followed by the path that was sent.
func TestCONF2_RewrittenBefore(t *testing.T) {
	w := start(t, setup{global: "sign_up open", sites: `
$ADDR {
	@site path /app/* /email-link/*
	route @site {
		@app path /app/*
		uri @app strip_prefix /app
		email_link
		handle /admin/* {
			email_link {
				require role admin
			}
			reverse_proxy $BACKEND
		}
		handle {
			reverse_proxy $BACKEND
		}
	}
}
`})
	c := w.client()
	w.signUp(c, "mallory@example.com")
	w.backend.taken()
	for _, path := range []string{"/app/admin/x", "/app/;/admin/x", "/app/admin;a/x", "/app/%2561dmin/x", "/app/y/..%2fadmin/x"} {
		if res := w.asksFor(c.cookie(), path, ""); res.StatusCode != http.StatusForbidden || len(w.backend.taken()) != 0 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res := w.asksFor(c.cookie(), "/app/ann/a%2Fb", ""); res.StatusCode != http.StatusOK || len(w.backend.taken()) != 1 {
		t.Errorf("beside it: %d", res.StatusCode)
	}
}
