package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestDOS1_APanicIsA500(t *testing.T) {
	g := newGate(t)
	g.pages.JWKS = func() []byte { panic("secret-value") }
	a := g.browser().get("/email-link/jwks.json").wants(t, 500, "").says(t, "Something went wrong here")
	if strings.Contains(a.body+g.log.String(), "secret-value") || !strings.Contains(g.log.String(), "event=panic") {
		t.Errorf("the log says:\n%s", g.log.String())
	}
	g.browser().get("/email-link/sign-in").wants(t, 200, "")
}

// TestWEB3_AStoreThatFailsSaysNothing asks with this gate's own cookies: what another gate has sealed is no flow and no link, for which
// stateless flows need no store.
func TestWEB3_AStoreThatFailsSaysNothing(t *testing.T) { bothModes(t, testAStoreThatFailsSaysNothing) }

func testAStoreThatFailsSaysNothing(t *testing.T) {
	closed := newGate(t)
	closed.account(known)
	d := closed.browser()
	link := closed.find(linkPattern, d.asks(known).Text)
	d.cookies["__Host-email_link_token"] = strings.TrimPrefix(link, "/email-link/link?t=")
	if err := closed.state.Store.Close(); err != nil {
		t.Fatal(err)
	}
	closed.pages.Health = func() (time.Time, error) { return time.Time{}, errors.New("/var/lib/secret.db: bad page") }
	for _, a := range []answer{
		d.get("/email-link/resend"), d.get("/email-link/confirm"), d.post("/email-link/sign-in", "email", known),
		d.post("/email-link/code", "code", "12345678"), d.post("/email-link/resend"), d.get("/email-link/health"),
		d.json("POST", "/email-link/sign-in", `{"email":"jo@example.com"}`), d.post("/email-link/confirm", "h", "x"),
	} {
		if a.status != 503 || regexp.MustCompile(`(?i)bolt|closed|store|\.go|/var|database`).MatchString(a.body) || len(a.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%d %v:\n%s", a.status, a.header.Values("Set-Cookie"), a.body)
		}
	}
}

// TestNODE2_HealthSaysThatItServesFromMemory: a balancer keeps a node whose database is away for as long as that serves what it had read.
func TestNODE2_HealthSaysThatItServesFromMemory(t *testing.T) {
	g := newGate(t)
	g.pages.Health = func() (time.Time, error) {
		return time.Date(2026, 5, 1, 14, 0, 0, 0, time.FixedZone("CEST", 7200)), nil
	}
	a := g.browser().get("/email-link/health")
	want := `{"store":"unreachable","serving_cached":true,"serving_until":"2026-05-01T12:00:00Z"}` + "\n"
	if a.status != http.StatusOK || a.body != want || a.header.Get("Content-Type") != "application/json" || a.header.Get("Email-Link-Health") != "serving_cached" {
		t.Errorf("%d %v %q", a.status, a.header, a.body)
	}
	g.pages.Health = func() (time.Time, error) { return time.Time{}, nil }
	if a := g.browser().get("/email-link/health"); a.status != http.StatusOK || a.body != "ok\n" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// TestRefuse_Language: whatever has words says in which language, and that another Accept-Language would have brought others.
func TestRefuse_Language(t *testing.T) {
	g := newGate(t)
	titles := map[string]bool{}
	for refusal := SignIn; refusal <= CrossOrigin; refusal++ {
		for _, accept := range []string{"application/json", "text/html"} {
			for result, want := range map[string]string{"de-CH, en;q=0.5": "de", "": "en", "tlh": "en", "fr": "fr"} {
				r := httptest.NewRequest(http.MethodPost, origin+"/app", http.NoBody)
				r.Header.Set("Accept", accept)
				r.Header.Set("Accept-Language", result)
				w := httptest.NewRecorder()
				g.pages.Refuse(w, r, Visit{Site: g.site}, refusal)
				h := w.Header()
				varies := refusal == SignIn || strings.Contains(h.Get("Vary"), "Accept-Language") // to a script's 401 no-store has to do
				if got := h.Values("Content-Language"); len(got) != 1 || got[0] != want || !varies {
					t.Errorf("%d in %q as %s: Content-Language %q, Vary %q", refusal, result, accept, got, h.Values("Vary"))
				}
				if refusal == SignIn {
					_, title, _ := strings.Cut(w.Body.String(), `"title":`)
					titles[want+title] = true
				}
			}
		}
	}
	if len(titles) != 3 {
		t.Errorf("one title in three languages: %v", titles)
	}
	a := g.browser().do("POST", "/email-link/sign-in", "application/json", `{"email":"no address"}`, func(r *http.Request) {
		r.Header.Set("Accept-Language", "de")
	})
	if a.status != 400 || a.header.Get("Content-Language") != "de" {
		t.Errorf("what is wrong with a form: %d %v", a.status, a.header)
	}
}

func TestRefuse(t *testing.T) {
	g := newGate(t)
	refuse := func(refusal Refusal, change func(*http.Request, *Visit)) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", origin+"/app?x=1", nil)
		r.Header.Set("Accept", "text/html")
		v := Visit{Site: g.site}
		if change != nil {
			change(r, &v)
		}
		w := httptest.NewRecorder()
		g.pages.Refuse(w, r, v, refusal)
		return w
	}
	for refusal, want := range map[Refusal]int{
		SignIn: 303, Forbidden: 403, Misdirected: 421, Unavailable: 503, BadRequest: 400, MethodNotAllowed: 405, UpgradeOrigin: 403,
	} {
		if w := refuse(refusal, nil); w.Code != want {
			t.Errorf("%d: %d, want %d", refusal, w.Code, want)
		}
		if refusal == SignIn {
			continue
		}
		w := refuse(refusal, func(r *http.Request, v *Visit) { r.Header.Set("Accept", "application/json"); v.Site = nil })
		if w.Code != want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d without a site: %d %v", refusal, w.Code, w.Header())
		}
	}
	w := refuse(Misdirected, nil)
	if !strings.Contains(w.Body.String(), `href="https://app.example.com"`) || w.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("misdirected:\n%s", w.Body.String())
	}
	w = refuse(Misdirected, func(r *http.Request, _ *Visit) { r.URL.Path = "/email-link/assets/" + g.pages.Templates.StyleName() })
	if w.Code != 200 {
		t.Errorf("the stylesheet of a misdirected page: %d", w.Code)
	}
	w = refuse(SignIn, func(r *http.Request, v *Visit) { r.URL.Path, v.URI = "/stripped", "/before/stripped?y" })
	if got := w.Header().Get("Location"); got != "/email-link/sign-in?return_to=%2Fbefore%2Fstripped%3Fy" {
		t.Errorf("location: %s", got)
	}
	w = refuse(SignIn, func(r *http.Request, _ *Visit) { r.Method = "POST" })
	if w.Code != 401 || !strings.Contains(w.Body.String(), `"sign_in":"https://app.example.com/email-link/sign-in"`) {
		t.Errorf("a POST: %d %s", w.Code, w.Body.String())
	}
	w = refuse(Unavailable, nil)
	if w.Header().Get("Retry-After") != "5" {
		t.Errorf("503: %v", w.Header())
	}
}
