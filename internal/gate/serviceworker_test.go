package gate

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
)

// workerScript is how browsers ask for the script of a service worker.
var workerScript = []string{"Service-Worker", "script", "Sec-Fetch-Dest", "serviceworker", "Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Site", "same-origin"}

// endsWorker reports whether an answer is the worker that removes itself. It checks that such an answer is whole, and that no other one
// looks like it.
func endsWorker(t *testing.T, name string, got trial) bool {
	t.Helper()
	if !strings.Contains(got.body, "registration.unregister()") {
		if got.header.Get("Service-Worker-Allowed") != "" {
			t.Errorf("%s: Service-Worker-Allowed on another answer", name)
		}
		return false
	}
	for header, want := range map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "X-Content-Type-Options": "nosniff", "Service-Worker-Allowed": "/",
		"Cross-Origin-Resource-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000",
	} {
		if have := got.header.Values(header); !slices.Equal(have, []string{want}) {
			t.Errorf("%s: %s is %q, want %q", name, header, have, want)
		}
	}
	if !strings.Contains(got.header.Get("Cache-Control"), "no-store") || !slices.Contains(got.header["Vary"], "Cookie") {
		t.Errorf("%s: Cache-Control %q, Vary %q", name, got.header["Cache-Control"], got.header["Vary"])
	}
	if got.arrived != nil || got.header["Set-Cookie"] != nil || got.header["Www-Authenticate"] != nil || got.code != http.StatusOK {
		t.Errorf("%s: %d, the backend was asked %v, %v", name, got.code, got.arrived != nil, got.header)
	}
	return true
}

// TestWEB4_AServiceWorkerEndsWithItsSession asks for a worker's script in each state of a session and at each kind of path.
func TestWEB4_AServiceWorkerEndsWithItsSession(t *testing.T) {
	protect := map[string]func(s *Site){
		"needed": func(*Site) {}, "public": func(s *Site) { s.Access.Public = one(below("/app")) },
		"outside": func(s *Site) { s.Access.Protect = one(below("/admin")) }, "optional": func(s *Site) { s.Access.Optional = true },
	}
	for need, protects := range protect {
		for _, keep := range []bool{false, true} {
			f := newFixture(t, protects, func(s *Site) {
				s.KeepServiceWorkers, s.Peers = keep, loopback
				s.Require.Scopes = Scopes{{"calendar", machinetoken.People}}
			})
			text := f.token("calendar")
			for who, c := range map[string]struct {
				headers []string
				ends    bool
			}{
				"nobody": {nil, true}, "a session": {[]string{"Cookie", "__Host-email_link=" + f.cookie}, false},
				"no session": {[]string{"Cookie", "__Host-email_link=x"}, true},
				"a token":    {[]string{"Authorization", "Bearer " + text}, false}, "no token": {[]string{"Authorization", "Bearer " + text + "x"}, false},
				"no token, by Basic": {[]string{"Email-Link-Token", "elt_x"}, false},
				"both":               {[]string{"Authorization", "Bearer " + text, "Cookie", "__Host-email_link=" + f.cookie}, false},
				"another method":     {nil, false}, "no script": {[]string{"Service-Worker", "module"}, false},
				"an upgrade": {[]string{"Connection", "Upgrade", "Upgrade", "websocket"}, false},
			} {
				method := http.MethodGet
				if who == "another method" {
					method = http.MethodPost
				}
				name := need + ", by " + who
				r := request(method, testOrigin+"/app/sw.js", "", append(slices.Clone(workerScript), c.headers...)...)
				if got, want := endsWorker(t, name, try(t, r.Clone(r.Context()), f.Site)), c.ends && need == "needed" && !keep; got != want {
					t.Errorf("%s, keep %v: ended %v, want %v", name, keep, got, want)
				}
				if got := try(t, described(r), f.Site); endsWorker(t, name, got) || c.ends && need == "needed" && got.code != 401 {
					t.Errorf("%s, at /verify: %d %s", name, got.code, got.body)
				}
			}
		}
	}
}

// TestWEB4_WhatElseEndsAServiceWorker: a session that has ended by its time, by revocation, or by the age of its proof; and what does not:
// an account that lacks what is required, which the sign-in page does not help.
func TestWEB4_WhatElseEndsAServiceWorker(t *testing.T) {
	for name, c := range map[string]struct {
		site func(s *Site)
		do   func(f *fixture)
		want bool
	}{
		"idle":             {func(*Site) {}, func(f *fixture) { f.time.Advance(8 * 24 * time.Hour) }, true},
		"an old proof":     {func(s *Site) { s.MaxAge = time.Minute }, func(f *fixture) { f.time.Advance(2 * time.Minute) }, true},
		"a role it lacks":  {func(s *Site) { s.Require.Roles = [][]string{{"staff"}} }, func(*fixture) {}, false},
		"a dead database":  {func(*Site) {}, func(f *fixture) { _ = f.rt.Store.Close() }, false},
		"a malformed path": {func(*Site) {}, func(*fixture) {}, false},
	} {
		f := newFixture(t, c.site)
		c.do(f)
		path := "/sw.js"
		if name == "a malformed path" {
			path = "/sw%00.js"
		}
		if got := endsWorker(t, name, try(t, request(http.MethodGet, testOrigin+path, f.cookie, workerScript...), f.Site)); got != c.want {
			t.Errorf("%s: ended %v, want %v", name, got, c.want)
		}
	}
}

// TestWEB4_AnInnerSiteEndsServiceWorkersToo: the directive that refuses decides, and an outer one that keeps workers keeps them all.
func TestWEB4_AnInnerSiteEndsServiceWorkersToo(t *testing.T) {
	for name, c := range map[string]struct {
		outer, inner, want bool
	}{
		"both end": {false, false, true}, "the outer keeps": {true, false, false}, "the inner keeps": {false, true, false},
	} {
		f := newFixture(t, func(s *Site) { s.Access.Optional, s.KeepServiceWorkers = true, c.outer })
		inner := *f.Site
		inner.Access, inner.KeepServiceWorkers = Access{See: see}, c.inner
		if got := endsWorker(t, name, try(t, request(http.MethodGet, testOrigin+"/sw.js", "", workerScript...), f.Site, &inner)); got != c.want {
			t.Errorf("%s: ended %v, want %v", name, got, c.want)
		}
	}
}

// TestWEB4_NoServiceWorkerBelowThePrefix: there is none of ours, and none of an app's.
func TestWEB4_NoServiceWorkerBelowThePrefix(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/sign-in", "/link?t=x", "/sw.js", "/"} {
		got := try(t, request(http.MethodGet, testOrigin+testPrefix+path, "", workerScript...), f.Site)
		if endsWorker(t, path, got) || got.code != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.code)
		}
	}
}
