package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

// TestWEB2_AGateThatStartsAnswersWithItsHeaders, too, and says when to come back.
func TestWEB2_AGateThatStartsAnswersWithItsHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	Unready(w)
	h := w.Header()
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "X-Robots-Tag": "noindex", "Retry-After": "2", hsts: "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(h.Get("Cache-Control"), "no-store") || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d, %v", w.Code, h)
	}
}

// TestLOG1_AFormThatIsRefusedLogsNoWordsOfItsClient: of what a browser says about itself, its own words alone, and no mailed token.
func TestLOG1_AFormThatIsRefusedLogsNoWordsOfItsClient(t *testing.T) {
	g := newGate(t)
	mailed := token.Random(g.clock.Clock().Now().Add(time.Hour))
	for _, c := range []struct{ origin, fetch string }{
		{"https://evil.example/email-link/link?t=" + mailed, "cross-site"},
		{mailed, "cross-site"},
		{"", "words of its own"},
		{"", mailed},
		{strings.Repeat("https://evil.example", 100), "same-site"},
	} {
		g.log.Reset()
		g.browser().do("POST", "/email-link/sign-in", "application/x-www-form-urlencoded", "email=jo%40example.com", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", c.fetch)
			if r.Header.Del("Origin"); c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
		}).wants(t, 403, "")
		if log := g.log.String(); !strings.Contains(log, "event=cross_origin") || strings.Contains(log, mailed) || strings.Contains(log, "words of its own") || len(log) > 2000 {
			t.Errorf("%.50q, %.20q: the log: %s", c.origin, c.fetch, log)
		}
	}
}

// TestEML1_AFieldIsOneText: neither another kind of value nor a second one is taken for it, in a form, in JSON or in a query.
func TestEML1_AFieldIsOneText(t *testing.T) {
	g := newGate(t)
	for body, want := range map[string]int{
		`{"email":"jo@example.com"}`: 202, `{"email":"jo@example.com","return_to":"/a"}`: 202,
		`{"email":"jo@example.com","return_to":5}`: 400, `{"email":"jo@example.com","return_to":null}`: 400, `{"email":"jo@example.com","return_to":1.5}`: 400,
		`{"email":"jo@example.com","return_to":["/a"]}`: 400, `{"email":"jo@example.com","return_to":{}}`: 400, `{"email":"jo@example.com"} {}`: 400,
		`{"email":"jo@example.com"}x`: 400, `{"email":"jo@example.com","return_to":"/a\u0000"}`: 400,
	} {
		g.browser().json("POST", "/email-link/sign-in", body).wants(t, want, "")
	}
	mailed := token.Random(g.clock.Clock().Now().Add(time.Hour))
	for query, back := range map[string]bool{"return_to=%2Fa": true, "return_to=%2Fa%3Fx%3D" + mailed: false, "return_to=%2Fa&return_to=%2Fb": false, "return_to=%2Fa&return_to=%2Fa": false} {
		if a := g.browser().get("/email-link/sign-in?" + query); strings.Contains(a.body, `name="return_to"`) != back {
			t.Errorf("%s: it leads back: %v", query, !back)
		}
	}
}

// TestPassword_IsNotThereForASignedInBrowserEither, where the site offers none.
func TestPassword_IsNotThereForASignedInBrowserEither(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b := g.browser()
	b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
	b.get("/email-link/password").wants(t, 404, "")
	b.post("/email-link/password", "current", oldWords, "password", newWords).wants(t, 404, "")
	b.json("POST", "/email-link/password", `{"current":"`+oldWords+`","password":"`+newWords+`"}`).wants(t, 404, "")
}

// TestWEB2_NoPageLeadsToAToken: a refusal of a link, in whatever form a mail program has left it, offers no address that holds it.
func TestWEB2_NoPageLeadsToAToken(t *testing.T) {
	g := newGate(t)
	mailed := token.Random(g.clock.Clock().Now().Add(time.Hour))
	for _, target := range []string{"/email-link/link?t=" + mailed, "/email-link/link%3Ft=" + mailed, "/email-link/link%3Ft%3D" + mailed, "/email-link/cancel%3Ft=" + mailed} {
		for refusal := SignIn; refusal <= CrossOrigin; refusal++ {
			r := httptest.NewRequest(http.MethodGet, origin+target, http.NoBody)
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			w := httptest.NewRecorder()
			g.pages.Refuse(w, r, Visit{Site: g.site}, refusal)
			if strings.Contains(w.Body.String(), mailed) || strings.Contains(w.Header().Get("Location"), mailed) {
				t.Errorf("%s, %d: %s\n%s", target, refusal, w.Header().Get("Location"), w.Body)
			}
		}
	}
}

// TestENUM1_AFormOfTheGateShowsNothingThatAnAppHasTyped: the flow of an app is the app's, and its address may be of somebody whom the app
// alone knows.
func TestENUM1_AFormOfTheGateShowsNothingThatAnAppHasTyped(t *testing.T) {
	g := newGate(t)
	for app, shown := range map[bool]bool{true: false, false: true} {
		b := g.browser()
		var cookie string
		if app {
			result, err := g.pages.Flows.Start(t.Context(), g.site.Site, flow.Requester{}, flow.StartInput{
				Audience: "app.example.com", ID: "jti-1", Expiry: g.clock.Clock().Wall().Add(time.Minute), Purpose: flow.SignIn, Email: "anan@example.com",
				Subject: "user-1", Continue: "/finish",
			})
			if err != nil {
				t.Fatal(err)
			}
			cookie = result.FlowCookie
		} else {
			result, err := g.pages.Flows.Request(t.Context(), g.site.Site, flow.Requester{}, flow.RequestInput{Purpose: flow.SignIn, Email: "anan@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			cookie = result.FlowCookie
		}
		b.cookies["__Host-email_link_flow"] = cookie
		for _, form := range []string{"sign-in", "sign-up"} {
			if a := b.get("/email-link/" + form + "?change"); strings.Contains(a.body, "anan@example.com") != shown {
				t.Errorf("%s, of an app %v: it shows the address %v", form, app, !shown)
			}
		}
	}
}
