package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

func TestWEB1_CrossOriginRequestsAreRefused(t *testing.T) {
	bothModes(t, testCrossOriginRequestsAreRefused)
}

func testCrossOriginRequestsAreRefused(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	in := g.browser()
	in.get(g.find(linkPattern, in.asks(known).Text)).wants(t, 303, "/")
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				r.Header.Del(pairs[i])
				if pairs[i+1] != "" {
					r.Header.Set(pairs[i], pairs[i+1])
				}
			}
		}
	}
	for name, change := range map[string]func(*http.Request){
		"cross-site":           set("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
		"same-site":            set("Sec-Fetch-Site", "same-site", "Origin", "https://other.example.com"),
		"old browser":          set("Sec-Fetch-Site", "", "Origin", "https://evil.example"),
		"opaque, old browser":  set("Sec-Fetch-Site", "", "Origin", "null"),
		"plain http":           set("Sec-Fetch-Site", "", "Origin", "http://app.example.com"),
		"metadata that misses": set("Origin", "https://evil.example"),
	} {
		for path, body := range map[string]string{
			"/email-link/sign-in": "email=jo%40example.com", "/email-link/sign-up": "email=jo%40example.com", "/email-link/resend": "",
			"/email-link/code": "code=12345678", "/email-link/confirm": "h=x", "/email-link/sign-out": "everywhere=1",
			"/email-link/reset":    "email=jo%40example.com",
			"/email-link/password": url.Values{"current": {oldWords}, "password": {newWords}}.Encode(),
		} {
			a := in.do("POST", path, "application/x-www-form-urlencoded", body, change)
			want := 403
			if name == "plain http" {
				want = 421 // the right site by the wrong address: the page names the right one
			}
			if a.status != want || len(a.header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s at %s: %d %v", name, path, a.status, a.header.Values("Set-Cookie"))
			}
		}
	}
	if len(g.deliver()) != 0 {
		t.Error("a mail left")
	}
	in.get("/email-link/").wants(t, 200, "")
	for _, words := range []string{
		"the browser says http://app.example.com, base_url says https://app.example.com", "the browser says https://evil.example, base_url says https://app.example.com",
		"the browser says null, base_url says",
	} {
		if !strings.Contains(g.log.String(), words) {
			t.Errorf("no line says: %s", words)
		}
	}
}

func TestWEB2_HeadersOnEveryRoute(t *testing.T) {
	g := newPasswordGate(t)
	g.account(known)
	in := g.browser()
	in.get(g.find(linkPattern, in.asks(known).Text))
	want := map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, no-store, no-transform",
		"Referrer-Policy": "strict-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security": "max-age=31536000", "Vary": "Accept, Accept-Language, Cookie",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self' https://portal.example.com; " +
			"frame-ancestors 'none'; base-uri 'none'",
	}
	paths := []string{"/nothing-here", "/link?t=x", "/cancel?done"}
	for path := range routes {
		paths = append(paths, path)
	}
	check := func(path string, a answer) {
		for name, value := range want {
			if path == "/jwks.json" && a.status == 200 && (name == "Cache-Control" || name == "Vary") {
				continue
			}
			if got := a.header.Get(name); got != value {
				t.Errorf("%s (%d): %s: %q, want %q", path, a.status, name, got, value)
			}
		}
	}
	for _, b := range []*browser{g.browser(), in} {
		for _, path := range paths {
			check(path, b.get("/email-link"+path))
			check(path, b.json("GET", "/email-link"+path, ""))
			check(path, b.do("OPTIONS", "/email-link"+path, "", "", nil))
			check(path, b.do("PUT", "/email-link"+path, "text/plain", "x", nil))
		}
	}
	for _, path := range []string{"/sign-in", "/sign-up", "/reset", "/resend", "/code", "/confirm", "/password", "/sign-out"} {
		check(path, in.do("POST", "/email-link"+path, "text/plain", "x", nil))
		check(path, in.post("/email-link"+path))
	}
	check("/protected", g.browser().get("/protected"))
	a := g.browser().get("/email-link/jwks.json")
	if got := a.header.Get("Cache-Control"); got != "public, max-age=300" {
		t.Errorf("jwks: %q", got)
	}
	a = g.browser().get("/email-link/assets/" + g.pages.Templates.StyleName())
	if a.status != 200 || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("stylesheet: %d %v", a.status, a.header)
	}
	g.browser().get("/email-link/assets/style.css").wants(t, 404, "")
}

// TestWEB2_WhatAScriptGets is the one answer that strangers cause without a page of ours: each of its headers is here for a reason.
func TestWEB2_WhatAScriptGets(t *testing.T) {
	g := newGate(t)
	for _, secure := range []bool{true, false} {
		site := *g.site
		site.Secure = secure
		w := httptest.NewRecorder()
		g.pages.Refuse(w, httptest.NewRequest(http.MethodPost, origin+"/app", http.NoBody), Visit{Site: &site}, SignIn)
		want := http.Header{
			"Cache-Control": {"no-cache, no-store, no-transform"}, "Content-Language": {"en"}, "Content-Type": {"application/problem+json"},
			"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
			"X-Content-Type-Options":  {"nosniff"}, "Cross-Origin-Resource-Policy": {"same-origin"},
		}
		if secure {
			want["Strict-Transport-Security"] = []string{"max-age=31536000"}
		}
		if diff := cmp.Diff(want, w.Header()); diff != "" {
			t.Errorf("secure %v: (-want +got):\n%s", secure, diff)
		}
	}
}

func TestWEB2_ServiceWorkersAre404(t *testing.T) {
	g := newGate(t)
	for path := range routes {
		a := g.browser().do("GET", "/email-link"+path, "", "", func(r *http.Request) { r.Header.Set("Service-Worker", "script") })
		if a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

func TestWEB2_PlainHTTPOnLocalhost(t *testing.T) {
	g := newGate(t)
	g.site.Secure = false
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "http://localhost:8080/email-link/sign-up", strings.NewReader("email=x%40example.com"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	g.pages.Serve(w, r, Visit{Site: g.site})
	if w.Code != 303 || w.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	c := w.Result().Cookies()
	if len(c) != 1 || c[0].Name != "email_link_flow" || c[0].Secure || !c[0].HttpOnly {
		t.Errorf("cookies: %v", c)
	}
}

func TestWEB2_CookiesAsInTheContract(t *testing.T) { bothModes(t, testAsInTheContract) }

func testAsInTheContract(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	lifetime := map[string]int{}
	note := func() {
		for _, c := range b.last.Cookies() {
			if c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("%v", c)
			}
			lifetime[c.Name] = c.MaxAge
		}
	}
	b.post("/email-link/sign-up", "email", known)
	note()
	link := g.find(linkPattern, g.deliver()[0].Text)
	b.do("HEAD", link, "", "", nil)
	note()
	if diff := cmp.Diff(map[string]int{"__Host-email_link_flow": 86400, "__Host-email_link_token": 600}, lifetime); diff != "" {
		t.Error(diff)
	}
	g.clock.Advance(24*time.Hour - 90*time.Second)
	b.do("HEAD", link, "", "", nil)
	note()
	if lifetime["__Host-email_link_token"] != 90 {
		t.Errorf("a token is parked for %d s, beyond its end", lifetime["__Host-email_link_token"])
	}
	b.get(link).wants(t, 303, "/")
	note()
	want := map[string]int{
		"__Host-email_link": 30 * 86400, "__Host-email_link_known": 400 * 86400, "__Host-email_link_flow": -1, "__Host-email_link_token": -1,
	}
	if diff := cmp.Diff(want, lifetime); diff != "" {
		t.Error(diff)
	}
}

func TestWEB2_HealthAndLogo(t *testing.T) {
	g := newGate(t)
	g.browser().get("/email-link/health").wants(t, 200, "").says(t, "ok")
	g.pages.AnswerNonce = func(nonce string) string { return nonce + "!" }
	for query, want := range map[string]string{
		"?nonce=a": "a!", "": "", "?nonce=": "", "?nonce=a&nonce=b": "", "?nonce=%zz": "", "?nonce=" + strings.Repeat("a", maxNonce+1): "",
	} {
		res := g.browser().get("/email-link/health" + query)
		if got := res.wants(t, 200, "").header.Get(boundary.AnswerHeader); got != want {
			t.Errorf("%s is answered with %q", query, got)
		}
	}
	g.site.Brand.Logo, _ = NewImage("logo", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"))
	page := g.browser().get("/email-link/sign-in").body
	src := regexp.MustCompile(`<img src="([^"]+\.svg)"`).FindStringSubmatch(page)
	if src == nil {
		t.Fatalf("no logo:\n%s", page)
	}
	a := g.browser().get(src[1]).wants(t, 200, "")
	if a.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("logo: %v", a.header)
	}
	if !HealthRoute("/email-link/health", "/email-link") || HealthRoute("/health", "/email-link") ||
		HealthRoute("/", "/email-link") {
		t.Error("routes are not told apart")
	}
	for address, want := range map[string]bool{
		"/email-link/link?t=x": true, "/email-link/cancel?t=x": true, "/email-link/link/?t=x": true, "/email-link/link%3Ft=x": true,
		"/email-link/cancel/%3Ft=x": true, "/email-link/link": false, "/link?t=x": false, "/email-link/linked?t=x": false, "/email-link/code?t=x": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := TokenRoute(u, "/email-link"); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}
