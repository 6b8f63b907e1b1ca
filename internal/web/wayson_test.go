package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestScenario_EachRefusalHasOneWayOn looks at the button of each page that refuses.
func TestScenario_EachRefusalHasOneWayOn(t *testing.T) {
	g := newPasswordGate(t)
	g.account(known)
	b := g.browser()
	one := func(a answer, status int, button string) answer {
		t.Helper()
		a.wants(t, status, "").says(t, button)
		if n := strings.Count(a.body, `class="button"`); n != 1 {
			t.Errorf("%d buttons:\n%s", n, a.body)
		}
		return a
	}
	refuse := func(method, target string, refusal Refusal) answer {
		g.refusal = refusal
		return b.do(method, target, "", "", nil)
	}
	one(b.get("/email-link/nothing"), 404, `href="/email-link/sign-in"`)
	one(refuse("GET", "/reports?year=2026", Unavailable), 503, `href="/reports?year=2026"`)
	one(refuse("POST", "/reports", Unavailable), 503, `href="/"`)
	g.refusal = 0
	b.get(g.find(linkPattern, b.asks(known).Text))
	g.deliver()
	page := one(b.get("/email-link/nothing"), 404, `class="button" href="/email-link/">Your account`)
	page.says(t, `href="/">`)
	one(refuse("GET", "/admin?x=1", Forbidden), 403, `class="button" href="/email-link/sign-in?other=1&amp;return_to=%2Fadmin%3Fx%3D1">Sign in with another address`).
		says(t, `href="/email-link/"`)
	g.refusal = 0
	b.get("/email-link/sign-in?other=1&return_to=%2Fadmin%3Fx%3D1").wants(t, 200, "").says(t, `name="return_to" value="/admin?x=1"`)
	// A dead link may have been one for a new password.
	b.cookies["__Host-email_link_token"] = "junk"
	one(b.get("/email-link/confirm"), 410, `href="/email-link/reset"`)
}

// TestWEB2_ARefusalLeadsToNoToken refuses mailed links while the store cannot be read.
func TestWEB2_ARefusalLeadsToNoToken(t *testing.T) {
	g := newGate(t)
	for _, target := range []string{"/email-link/link?t=SECRET", "/email-link/link%3Ft=SECRET", "/email-link/cancel/%3Ft=SECRET"} {
		r := httptest.NewRequest(http.MethodGet, origin+target, http.NoBody)
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		g.pages.Refuse(w, r, Visit{Site: g.site}, Unavailable)
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "SECRET") {
			t.Errorf("%s: %d\n%s", target, w.Code, w.Body)
		}
	}
}
