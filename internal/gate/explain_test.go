package gate

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// TestWHY2_ARefusalAndItsLineHaveOneReference: page, problem and log have the same text, the page nothing more; it is the same each time, and
// another one for another line.
func TestWHY2_ARefusalAndItsLineHaveOneReference(t *testing.T) {
	f := newFixture(t, func(s *Site) {
		s.Require = Require{Roles: [][]string{{"admin"}, {"owner"}}}
		s.Line = func(option string, n int) string { return "Caddyfile:" + option + " " + string(rune('0'+n)) }
	})
	next := handlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("the request goes on")
		return nil
	})
	ask := func(path, accept string) string {
		r := httptest.NewRequest(http.MethodGet, testOrigin+path, http.NoBody)
		r.Header.Set("Cookie", "__Host-email_link="+f.cookie)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		if err := f.ServeHTTP(w, arrive(r), next); err != nil {
			t.Fatal(err)
		}
		if w.Code != http.StatusForbidden && w.Code != http.StatusBadRequest {
			t.Fatalf("%s: %d", path, w.Code)
		}
		return w.Body.String()
	}
	page, problem := ask("/secret", "text/html"), ask("/secret", "application/json")
	logged := regexp.MustCompile(`reference=([A-Z2-7]{8}) at="Caddyfile:require role 1"`).FindStringSubmatch(f.log.String())
	if logged == nil || !strings.Contains(page, "403 · "+logged[1]) || !strings.Contains(problem, `"reference":"`+logged[1]+`"`) {
		t.Errorf("%v\n%s\n%s\n%s", logged, f.log, page, problem)
	}
	if strings.Contains(page+problem, "owner") || strings.Contains(page+problem, "Caddyfile") {
		t.Errorf("the page says why:\n%s\n%s", page, problem)
	}
	if other := ask("/a%00b", "text/html"); logged != nil && strings.Contains(other, logged[1]) {
		t.Error("another refusal has the same reference")
	}
	e := f.Explain(httptest.NewRequest(http.MethodGet, testOrigin+"/secret", http.NoBody), f.Site, f.rt, &f.account, f.time.Clock().Now())
	if logged == nil || e.Reference != logged[1] || e.Refusal != web.Forbidden || len(e.Demands) != 2 || !e.Demands[0].Met || e.Demands[1].Met || e.Demands[1].At != "Caddyfile:require role 1" {
		t.Errorf("%+v", e)
	}
}

// TestWHY2_ThePortalsRefusalHasTheSitesReference: the page at which a portal refuses an account for a site has the reference that the site itself
// gives, and the log has the line.
func TestWHY2_ThePortalsRefusalHasTheSitesReference(t *testing.T) {
	f := newFixture(t, led, func(s *Site) {
		s.Require = Require{Roles: [][]string{{"owner"}}}
		s.Line = func(option string, _ int) string { return "Caddyfile:" + option }
	})
	portal := httptest.NewRequest(http.MethodGet, portalOrigin+testPrefix+"/?app="+testOrigin, http.NoBody)
	got := f.LogRefusal(arrive(portal), testOrigin, &f.account)
	line := `outcome=forbidden account=` + f.account.ID + ` site=` + testOrigin
	if text := f.log.String(); !strings.Contains(text, line) || !strings.Contains(text, `reference=`+got+` at="Caddyfile:require role"`) {
		t.Errorf("the log has no line with %q and %q:\n%s", line, got, text)
	}
	e := f.Explain(httptest.NewRequest(http.MethodGet, testOrigin+"/", http.NoBody), f.Site, f.rt, &f.account, f.time.Clock().Now())
	if len(got) != 8 || got != e.Reference {
		t.Errorf("the reference is %q, of the site itself %q", got, e.Reference)
	}
}

// TestWHY1_ExplainIsWhatServeDoes: with a proof of now and with an older one, of the account and of nobody.
func TestWHY1_ExplainIsWhatServeDoes(t *testing.T) {
	f := newFixture(t, func(s *Site) { s.MaxAge = time.Hour })
	r := httptest.NewRequest(http.MethodGet, testOrigin+"/x", http.NoBody)
	now := f.rt.Clock.Now()
	if e := f.Explain(r, f.Site, f.rt, &f.account, now); e.Refusal != 0 || e.Need != NeedAll || !e.Known {
		t.Errorf("a proof of now: %+v", e)
	}
	if e := f.Explain(r, f.Site, f.rt, &f.account, now.Add(-2*time.Hour)); e.Refusal != web.SignIn || len(e.Demands) != 1 || e.Demands[0].Met {
		t.Errorf("a proof that is too old: %+v", e)
	}
	if e := f.Explain(r, f.Site, f.rt, nil, now); e.Refusal != web.SignIn || len(e.Demands) != 0 {
		t.Errorf("nobody: %+v", e)
	}
	r.Host = "elsewhere.example.com"
	if e := f.Explain(r, f.Site, f.rt, &f.account, now); e.Refusal != web.Misdirected || e.Known {
		t.Errorf("another host: %+v", e)
	}
}
