package web

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	altcha "github.com/altcha-org/altcha-lib-go"

	"github.com/caddy-email-link/caddy-email-link/internal/work"
)

// spend lets strangers ask for mails to an address until its limit is spent.
func (g *gate) spend(email string) {
	g.t.Helper()
	for i := range 21 {
		b := g.browser()
		b.client = fmt.Sprintf("10.0.%d.1:1", i)
		b.post("/email-link/sign-in", "email", email)
	}
	g.deliver()
}

// solves asks for a proof of work and returns its solution.
func (b *browser) solves(address string) string {
	b.g.t.Helper()
	a := b.json(http.MethodGet, address, "").wants(b.g.t, 200, "")
	var c work.Challenge
	if err := json.Unmarshal([]byte(a.body), &c); err != nil {
		b.g.t.Fatal(err)
	}
	s, err := altcha.SolveChallenge(c.Challenge.Challenge, c.Salt, altcha.Algorithm(c.Algorithm), int(c.MaxNumber), 0, nil)
	if err != nil || s == nil {
		b.g.t.Fatalf("%s has no solution: %v", a.body, err)
	}
	raw, err := json.Marshal(altcha.Payload{Algorithm: c.Algorithm, Challenge: c.Challenge.Challenge, Number: int64(s.Number), Salt: c.Salt, Signature: c.Signature})
	if err != nil {
		b.g.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// TestPOW2_FormsTakeWorkInPlaceOfWaiting goes the way of our own page, and that of an app's own.
func TestPOW2_FormsTakeWorkInPlaceOfWaiting(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		g.spend(known)
		page := g.browser()
		refused := page.post("/email-link/sign-in", "email", known, "return_to", "/reports").wants(t, 429, "").says(t, "for this address", `value="`+known+`"`)
		address := g.find(regexp.MustCompile(`name="altcha" data-challenge="([^"]+)"`), refused.body)
		if address != "/email-link/altcha?for=sign-in" {
			t.Errorf("the challenge is at %q", address)
		}
		page.post("/email-link/sign-in", "email", known, "altcha", page.solves(address)).wants(t, 303, "/email-link/resend")
		if n := len(g.deliver()); n != 1 {
			t.Errorf("%d mails, want 1", n)
		}

		app := g.browser()
		app.client = "198.51.100.1:1"
		var body struct {
			Code, Altcha string
			RetryAfter   int `json:"retry_after"`
		}
		if err := json.Unmarshal([]byte(app.json("POST", "/email-link/sign-in", `{"email":"`+known+`"}`).wants(t, 429, "").body), &body); err != nil {
			t.Fatal(err)
		}
		if body.Code != "limited" || body.Altcha != address || body.RetryAfter == 0 {
			t.Errorf("refused with %+v", body)
		}
		solution := app.solves(body.Altcha)
		app.json("POST", "/email-link/sign-in", `{"email":"someone@example.com","altcha":"`+solution+`"}`).wants(t, 202, "")
		app.json("POST", "/email-link/sign-in", `{"email":"`+known+`","altcha":"`+solution+`"}`).wants(t, 202, "")
		delete(app.cookies, "__Host-email_link_flow")
		app.json("POST", "/email-link/sign-in", `{"email":"`+known+`","altcha":"`+solution+`"}`).wants(t, 429, "")
		if n := len(g.deliver()); n != 2 {
			t.Errorf("%d mails, want one for each address", n)
		}
		stranger := g.browser() // that was refused nothing, and has no cookie that says what for
		stranger.client = "198.51.100.77:1"
		stranger.post("/email-link/sign-in", "email", known, "altcha", stranger.solves(address)).wants(t, 429, "")
	})
}

func TestPOW3_TheChallengeIsJSONForScriptsOnly(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	a := b.get("/email-link/altcha?for=/sign-in").wants(t, 200, "")
	if got := a.header.Get("Content-Type"); got != "application/json" || !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
		t.Errorf("it is %q, %q", got, a.header.Get("Cache-Control"))
	}
	for _, name := range []string{"algorithm", "challenge", "salt", "signature", "maxNumber", "maxnumber"} {
		a.says(t, `"`+name+`":`)
	}
	for _, query := range []string{"", "?for=", "?for=confirm", "?for=sign-in&for=reset", "?for=%zz"} {
		b.get("/email-link/altcha"+query).wants(t, 400, "").says(t, "bad_form")
	}
	b.post("/email-link/altcha?for=sign-in").wants(t, 405, "")
}

// TestPOW4_WithoutScriptsARefusalSaysWhatToDo reads the refusals as a browser without scripts shows them.
func TestPOW4_WithoutScriptsARefusalSaysWhatToDo(t *testing.T) {
	g := newPasswordGate(t)
	g.account(known)
	shown := func(a answer) string {
		return regexp.MustCompile(`<input type="hidden"[^>]*>`).ReplaceAllString(a.body, "")
	}
	g.spend(known)
	guess := func(client, email string) answer {
		b := g.browser()
		b.client = client
		return b.post("/email-link/sign-in", "email", email, "password", "a wrong password")
	}
	for i := range 10 {
		guess(fmt.Sprintf("10.1.%d.1:1", i), known)
	}
	for i := range 30 {
		guess("10.2.0.1:1", fmt.Sprintf("u%d@example.com", i))
	}
	b := g.browser()
	for name, c := range map[string]struct {
		a     answer
		words []string
	}{
		"the address's mails": {
			b.post("/email-link/sign-in", "email", known, "mail", "1", "password", ""),
			[]string{"Too many requests for this address, and not necessarily yours.", "If you are signed in to this address on another device in your network", "/email-link/resend"},
		},
		"the address's passwords": {
			guess("192.0.2.9:1", known),
			[]string{"Too many wrong passwords for this address, and not necessarily yours.", "You can still sign in by email", "Email me a link instead"},
		},
		"the network's passwords": {
			guess("10.2.0.1:1", "another@example.com"),
			[]string{"Too many wrong passwords from your network.", "You can still sign in by email"},
		},
	} {
		c.a.wants(t, 429, "")
		page := shown(c.a)
		for _, words := range append(c.words, "Please try again in ", "Need help? Ask <bdi>help@example.com</bdi>.") {
			if !strings.Contains(page, words) {
				t.Errorf("%s: the page does not say %q", name, words)
			}
		}
		for _, word := range []string{"one more try", "altcha", "puzzle", "captcha"} {
			if strings.Contains(page, word) {
				t.Errorf("%s: the page says %q", name, word)
			}
		}
		if wait := c.a.header.Get("Retry-After"); wait == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	b.get("/email-link/resend").wants(t, 200, "").says(t, "If you are signed in to it on another device in your network")
}

func TestPOW4_TheMailIsOfferedToAppsAsWell(t *testing.T) {
	g := newPasswordGate(t)
	g.account(known)
	for i := range 10 {
		b := g.browser()
		b.client = fmt.Sprintf("10.1.%d.1:1", i)
		b.post("/email-link/sign-in", "email", known, "password", "a wrong password")
	}
	a := g.browser().json("POST", "/email-link/sign-in", `{"email":"`+known+`","password":"x"}`).wants(t, 429, "")
	a.says(t, `"code":"password_limited"`, `"mail":"/email-link/sign-in"`, `"altcha":"/email-link/altcha?for=sign-in"`)
}

// TestWEB2_TheWorkerMayStart fails when a browser would not let the page start it: a sandbox keeps workers from starting.
func TestWEB2_TheWorkerMayStart(t *testing.T) {
	g := newGate(t)
	g.spend(known)
	b := g.browser()
	page := b.post("/email-link/sign-in", "email", known).wants(t, 429, "")
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "worker-src 'self';") {
		t.Errorf("the page's policy is %q", policy)
	}
	a := b.get(g.find(regexp.MustCompile(`data-worker="([^"]+)"`), page.body)).wants(t, 200, "")
	if policy := a.header.Get("Content-Security-Policy"); strings.Contains(policy, "sandbox") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("the worker's policy is %q", policy)
	}
}
