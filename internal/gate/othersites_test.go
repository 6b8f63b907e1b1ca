package gate

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

// TestCONF2_AnotherReadingMeetsTheDemandsOfItsSite: where a program behind the gate may read a path as one of another site of the same host,
// the demands of that site hold as well, whoever asks and whatever a rewrite has made of the path.
func TestCONF2_AnotherReadingMeetsTheDemandsOfItsSite(t *testing.T) {
	for demand, c := range map[string]struct {
		change                    func(s *Site)
		anonymous, session, token outcome
	}{
		"a session":     {func(*Site) {}, signIn, passes, passes},
		"its role":      {func(s *Site) { s.Require.Roles = [][]string{{"admin"}} }, signIn, passes, passes},
		"another role":  {func(s *Site) { s.Require.Roles = [][]string{{"staff"}} }, signIn, forbidden, forbidden},
		"another email": {func(s *Site) { s.Require.Emails = emails(t, []string{"*@example.org"}) }, signIn, forbidden, forbidden},
		"a new proof":   {func(s *Site) { s.MaxAge = time.Minute }, signIn, signIn, signIn},
		"a scope":       {func(s *Site) { s.Require.Scopes = Scopes{{"files", machinetoken.People}} }, signIn, passes, forbidden},
		"its scope":     {func(s *Site) { s.Require.Scopes = Scopes{{"calendar"}} }, signIn, forbidden, passes},
	} {
		f := newFixture(t, func(s *Site) {
			s.Access.Optional, s.Require.Scopes, s.RewrittenBefore = true, Scopes{{"calendar", machinetoken.People}}, true
		})
		bearer := "Bearer " + f.token("calendar")
		f.time.Advance(2 * time.Minute)
		other := *f.Site
		other.Access, other.Require = Access{See: see}, Require{}
		c.change(&other)
		f.Others = []OtherSite{{Site: &other, Route: Route{{Match: one(below("/admin/"))}}}}
		send := func(path string, want, withSession, withToken outcome) {
			t.Helper()
			for _, moved := range []bool{false, true} {
				to := func(cookie string, headers ...string) *http.Request {
					if moved {
						return rewritten(request(http.MethodGet, testOrigin+"/app", cookie, headers...), testOrigin+path)
					}
					return request(http.MethodGet, testOrigin+path, cookie, headers...)
				}
				name := fmt.Sprintf("it demands %s, %s, rewritten %v", demand, path, moved)
				f.check(t, name+", anonymous", to(""), false, want)
				f.check(t, name+", a session", to(f.cookie), false, withSession)
				f.check(t, name+", a token", to("", "Authorization", bearer), false, withToken)
			}
		}
		for _, path := range []string{"/x/..%2fadmin/x", "//x/admin/x", "/admin;a/x", "/%61dmin/x"} {
			send(path, c.anonymous, c.session, c.token)
		}
		for _, path := range []string{"/a;b", "/bucket/a%2Fb", "/open"} {
			send(path, anonymous, passes, passes)
		}
	}
}

// TestPATH2_WhatIsOffHandsNothingOn: a route that is not gated gets neither the gate's cookies nor a machine token, no forged identity and no
// offer of another form of HTTP, and a backend there cannot touch the gate's cookies.
func TestPATH2_WhatIsOffHandsNothingOn(t *testing.T) {
	f := newFixture(t)
	r := request(http.MethodGet, testOrigin+"/app", f.cookie, "Authorization", "Bearer "+f.token("calendar"), "Remote-User", "root",
		"Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "Http2-Settings", "AAMAAABkAAQAAP__", "X-Own", "1")
	r.AddCookie(&http.Cookie{Name: "own", Value: "1"})
	r.Trailer = http.Header{"Remote-User": {"root"}}
	w := httptest.NewRecorder()
	own := boundary.CookieName("", true)
	err := (&Site{Stripper: f.Stripper}).PassOpen(w, r, handlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		h := r.Header
		if h.Get("Cookie") != "own=1" || h["Authorization"] != nil || h["Remote-User"] != nil || h["Upgrade"] != nil || h["Http2-Settings"] != nil ||
			h.Get("X-Own") != "1" || r.Trailer["Remote-User"] != nil {
			t.Errorf("the backend gets %v, trailers %v", h, r.Trailer)
		}
		for _, cookie := range []string{own, "own"} {
			http.SetCookie(w, &http.Cookie{Name: cookie, Value: "2"})
		}
		w.Header().Set(identity.Header, "forged")
		w.Header().Set("Clear-Site-Data", `"cookies"`)
		_, err := io.WriteString(w, "of the backend")
		return err
	}), false)
	h := w.Header()
	if err != nil || w.Body.String() != "of the backend" || len(h["Set-Cookie"]) != 1 || !strings.HasPrefix(h.Get("Set-Cookie"), "own=") ||
		h[identity.Header] != nil || strings.Contains(h.Get("Clear-Site-Data"), "cookies") {
		t.Errorf("%v, %v", h, err)
	}
}

// TestPATH1_NoOfferOfAnotherFormOfHTTPGoesOn, whoever makes it; a WebSocket does.
func TestPATH1_NoOfferOfAnotherFormOfHTTPGoesOn(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.Access.Public = one(below("/open")) })
	for offer, goesOn := range map[string]bool{"h2c": false, "HTTP/2.0": false, "tls/1.3": false, "websocket, h2c": false, "websocket": true} {
		for path, cookie := range map[string]string{"/open": "", "/app": f.cookie} {
			r := request(http.MethodGet, testOrigin+path, cookie, "Connection", "Upgrade", "Upgrade", offer, "Origin", testOrigin)
			got := try(t, r, f.Site)
			if got.arrived == nil || (got.arrived.Header.Get("Upgrade") != "") != goesOn {
				t.Errorf("%s offers %q: %d, the backend gets %+v", path, offer, got.code, got.arrived)
			}
		}
	}
}

// TestDOS1_NothingIsKeptOfARequest: what is registered for a request is gone with its answer, and what is kept for hosts and lines is bounded.
func TestDOS1_NothingIsKeptOfARequest(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.Require.Scopes = Scopes{{"calendar", machinetoken.People}} })
	bearer := "Bearer " + f.token("calendar")
	for range 3 {
		try(t, request(http.MethodGet, testOrigin+"/app", f.cookie), f.Site)
		try(t, request(http.MethodGet, testOrigin+"/app", "", "Authorization", bearer), f.Site)
	}
	if s, m := f.rt.Sessions.Stats().Tracked, f.rt.Machines.Stats().Tracked; s != 0 || m != 0 {
		t.Errorf("%d requests of sessions and %d of tokens are still registered", s, m)
	}
	var l RepeatLimiter
	for i := range 3 * maxRepeats {
		if !l.Allow(f.rt.Clock.Now(), fmt.Sprint(i)) || len(l.written) > maxRepeats {
			t.Fatalf("line %d: %d are remembered", i, len(l.written))
		}
	}
	for i := range maxMinters + 10 {
		if _, err := f.minters.of(fmt.Sprintf("app%d.example.com", i)); err != nil {
			t.Fatal(err)
		}
		if n := len(*f.minters.byAudience.Load()); n > maxMinters {
			t.Fatalf("%d minters are kept", n)
		}
	}
}

// TestLOG1_AnErrorRepeatsNoLink: what an error says is told, unless a mailed token is in it.
func TestLOG1_AnErrorRepeatsNoLink(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	mailed := token.Random(now().Add(time.Hour))
	for _, c := range []struct{ words, want string }{
		{"open /srv/x: no such file", "open /srv/x: no such file"}, {"open /srv/" + mailed + ": no such file", redacted}, {mailed, redacted},
	} {
		if got := LoggedError(errors.New(c.words), now); got != c.want {
			t.Errorf("%q is logged as %q", c.words, got)
		}
	}
}
