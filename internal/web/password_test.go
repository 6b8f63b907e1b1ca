package web

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
)

func TestPassword_SignsInBesideLinks(t *testing.T) { bothModes(t, testSignsInBesideLinks) }

func testSignsInBesideLinks(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	b := g.browser()
	page := b.get("/email-link/sign-in?return_to=/private").wants(t, 200, "").says(t,
		`name="email" type="email" autocomplete="username"`, `name="password" type="password" autocomplete="current-password"`,
		`formnovalidate`, `href="/email-link/reset"`, "Email me a link instead")
	if strings.Contains(page.body, "onpaste") || strings.Contains(page.body, `autocomplete="off"`) {
		t.Error("the form is in the way of password managers")
	}
	b.post("/email-link/sign-in", "email", known, "password", "", "return_to", "/private").wants(t, 400, "").
		says(t, "Enter a password", `value="jo@example.com"`, `aria-invalid="true" aria-describedby="problem" autofocus`, `value="/private"`)
	wrong := b.post("/email-link/sign-in", "email", known, "password", "wrong and long enough").wants(t, 403, "").
		says(t, `role="alert"`, "Wrong email or password", `value="jo@example.com"`, "<title>Error: ")
	if strings.Contains(wrong.body, "wrong and long") || len(b.cookies) != 0 {
		t.Error("a refused password is in the page, or set a cookie")
	}
	// The second button sends a mail, whatever stands in the other field.
	b.post("/email-link/sign-in", "email", known, "password", oldWords, "mail", "1").wants(t, 303, "/email-link/resend")
	if len(g.deliver()) != 1 {
		t.Error("no mail left")
	}
	b.post("/email-link/sign-in", "email", known, "password", oldWords, "return_to", "/private?a=1").wants(t, 303, "/private?a=1")
	b.get("/email-link/").says(t, "with a password", `href="/email-link/password"`)
	b.json("GET", "/email-link/session", "").says(t, `"amr":["pwd"]`, `"auth_time":`)
}

func TestPassword_IsNotThereWhereItIsNotOffered(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b := g.browser()
	for _, path := range []string{"/email-link/reset", "/email-link/password"} {
		b.get(path).wants(t, 404, "")
		b.post(path, "email", known).wants(t, 404, "")
		b.json("POST", path, `{"email":"jo@example.com"}`).wants(t, 404, "").says(t, `"code":"not_found"`)
	}
	b.post("/email-link/sign-in", "email", known, "password", oldWords).wants(t, 400, "")
	if a := b.get("/email-link/sign-in?password-set"); strings.Contains(a.body, `type="password"`) || strings.Contains(a.body, "new password") {
		t.Error("the form speaks of passwords")
	}
	g.site.Methods = flow.Methods{Link: true, Password: true}
	b.get("/email-link/reset").wants(t, 404, "")
}

func TestPassword_OnlyMethod(t *testing.T) { bothModes(t, testOnlyMethod) }

func testOnlyMethod(t *testing.T) {
	g := newPasswordGate(t)
	g.site.Methods = flow.Methods{Password: true}
	g.accountWith(known, oldWords)
	b := g.browser()
	if a := b.get("/email-link/sign-in"); strings.Contains(a.body, `name="mail"`) || !strings.Contains(a.body, "/email-link/reset") {
		t.Errorf("the form offers a mail, or no reset:\n%s", a.body)
	}
	b.post("/email-link/sign-in", "email", known).wants(t, 403, "")
	b.get(b.asksReset(known)).wants(t, 303, "/email-link/confirm")
	g.site.NoMail = true
	b.get("/email-link/reset").wants(t, 200, "").says(t, "sends no email", "help@example.com")
	b.get("/email-link/sign-in").wants(t, 200, "").says(t, `name="password"`, "help@example.com")
	b.post("/email-link/reset", "email", known).wants(t, 403, "")
	b.post("/email-link/sign-in", "email", known, "password", oldWords).wants(t, 303, "/")
}

func TestENUM2_OneAnswerToEveryWrongPair(t *testing.T) { bothModes(t, testOneAnswerToEveryWrongPair) }

func testOneAnswerToEveryWrongPair(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith("known1@example.com", oldWords)
	g.account("nopass@example.com")
	disabled := g.accountWith("gone12@example.com", oldWords)
	g.disable(disabled)
	// A sign-up that nobody has finished.
	g.browser().post("/email-link/sign-up", "email", "pendin@example.com")
	ask := map[string]func(*browser, string) answer{
		"page": func(b *browser, email string) answer {
			return b.post("/email-link/sign-in", "email", email, "password", "not the right words")
		},
		"JSON": func(b *browser, email string) answer {
			return b.json("POST", "/email-link/sign-in", `{"email":"`+email+`","password":"not the right words"}`)
		},
		"reset": func(b *browser, email string) answer { return b.post("/email-link/reset", "email", email) },
		"awaiting": func(b *browser, email string) answer {
			b.post("/email-link/reset", "email", email)
			b.g.deliver()
			return b.get("/email-link/resend")
		},
	}
	for name, run := range ask {
		var first string
		for i, email := range []string{"known1@example.com", "nobody@example.com", "gone12@example.com", "nopass@example.com", "pendin@example.com"} {
			b := g.browser()
			b.client = fmt.Sprintf("198.51.%d.1:1", 100+i)
			got := sameForAll(run(b, email), email)
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("%s: %s: %s", name, email, cmp.Diff(first, got))
			}
		}
	}
	b := g.browser()
	b.post("/email-link/sign-in", "email", "gone12@example.com", "password", oldWords).wants(t, 403, "").says(t, "is switched off")
	b.json("POST", "/email-link/sign-in", `{"email":"gone12@example.com","password":"`+oldWords+`"}`).wants(t, 403, "").
		says(t, `"code":"account_disabled"`)
	if len(b.cookies) != 0 {
		t.Errorf("a disabled account got %v", b.cookies)
	}
}

func TestRL6_SpentPasswordsLeaveLinks(t *testing.T) { bothModes(t, testSpentPasswordsLeaveLinks) }

func testSpentPasswordsLeaveLinks(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	var bodies []string
	for _, email := range []string{known, "no@example.com"} {
		var last answer
		for range 11 {
			last = g.browser().post("/email-link/sign-in", "email", email, "password", "not the right words")
		}
		last.wants(t, 429, "").says(t, "Too many wrong passwords", `value="`+email+`"`, "Email me a link instead")
		if last.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		bodies = append(bodies, strings.ReplaceAll(regexp.MustCompile(`try again in [^.]*\.`).ReplaceAllString(last.body, "…"), email, "ADDRESS"))
		g.browser().json("POST", "/email-link/sign-in", `{"email":"`+email+`","password":"x"}`).wants(t, 429, "").
			says(t, `"code":"password_limited"`, `"retry_after":`)
	}
	if bodies[0] != bodies[1] {
		t.Error(cmp.Diff(bodies[0], bodies[1]))
	}
	b := g.browser()
	b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
	if !b.has(boundary.SessionCookie, boundary.KnownCookie) {
		t.Errorf("cookies: %v", b.cookies)
	}
}

func TestDOS1_MorePasswordsThanThereIsRoomFor(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	begun, held := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	g.hash(password.Options{Permits: 1, Queue: 1, Now: func() time.Time {
		if hold.CompareAndSwap(true, false) {
			close(begun)
			<-held
		}
		return time.Now()
	}})
	b := g.browser()
	b.get(b.asksReset(known))
	h := g.find(hPattern, b.get("/email-link/confirm").body)

	// One hash is under way, one waits for it.
	hasher := g.pages.Flows.Passwords
	hold.Store(true)
	var both sync.WaitGroup
	hash := func() {
		if _, err := hasher.Hash(context.Background(), oldWords); err != nil {
			t.Error(err)
		}
	}
	both.Go(hash)
	<-begun
	both.Go(hash)
	for end := time.Now().Add(time.Minute); hasher.Load() == 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the second hash does not wait")
		}
	}
	other := g.browser()
	for name, a := range map[string]answer{
		"sign-in": other.post("/email-link/sign-in", "email", known, "password", oldWords),
		"confirm": b.post("/email-link/confirm", "h", h, "password", newWords),
	} {
		a.wants(t, 503, "").says(t, "Too many people are signing in", `role="alert"`, `name="password"`)
		if a.header.Get("Retry-After") == "" || len(a.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	other.json("POST", "/email-link/sign-in", `{"email":"jo@example.com","password":"`+oldWords+`"}`).wants(t, 503, "").
		says(t, `"code":"busy"`, `"retry_after":`)
	close(held)
	both.Wait()
	b.post("/email-link/confirm", "h", h, "password", newWords).wants(t, 303, "/email-link/sign-in?password-set")
}

func TestPassword_Change(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	b, other := g.browser(), g.browser()
	b.get("/email-link/password").wants(t, 303, signInForAccount)
	b.post("/email-link/password", "current", oldWords, "password", newWords).wants(t, 401, "")
	for _, each := range []*browser{b, other} {
		each.post("/email-link/sign-in", "email", known, "password", oldWords).wants(t, 303, "/")
	}
	page := b.get("/email-link/password").wants(t, 200, "").says(t,
		`name="current" type="password" autocomplete="current-password"`, `required`)
	if g.find(usernamePattern, page.body) != known || !newPattern.MatchString(page.body) {
		t.Errorf("a password manager cannot read the form:\n%s", page.body)
	}
	for _, c := range []struct {
		current, chosen string
		status          int
		code, words     string
	}{
		{"", newWords, 400, "missing_current_password", "Enter your current password"},
		{"not the right words", newWords, 403, "wrong_current_password", "not your current password"},
		{oldWords, "short", 400, "password_too_short", "Use at least 12 characters"},
		{oldWords, oldWords, 400, "password_same_as_old", "have already"},
	} {
		b.post("/email-link/password", "current", c.current, "password", c.chosen, "username", "x").wants(t, c.status, "").
			says(t, c.words, `role="alert"`, `aria-invalid="true"`)
		b.json("POST", "/email-link/password", `{"current":"`+c.current+`","password":"`+c.chosen+`"}`).wants(t, c.status, "").
			says(t, `"code":"`+c.code+`"`)
	}
	before := b.cookies[boundary.CookieName(boundary.SessionCookie, true)]
	g.deliver()
	b.post("/email-link/password", "current", oldWords, "password", newWords, "username", known).wants(t, 303, "/email-link/?password-set")
	if after := b.cookies[boundary.CookieName(boundary.SessionCookie, true)]; after == before || after == "" {
		t.Error("SES-1: the session kept its value")
	}
	b.get("/email-link/?password-set").wants(t, 200, "").says(t, "new password is set")
	other.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	mails := g.deliver()
	if len(mails) != 1 || !strings.Contains(mails[0].Subject, "password at Example has been changed") || strings.Contains(mails[0].Text, "/link?t=") {
		t.Errorf("the owner was not told: %v", mails)
	}
	other.post("/email-link/sign-in", "email", known, "password", oldWords).wants(t, 403, "")
	other.json("POST", "/email-link/sign-in", `{"email":"jo@example.com","password":"`+newWords+`"}`).wants(t, 200, "").says(t, `"amr":["pwd"]`)
}

func TestPassword_FirstOneOfAnAccountWithout(t *testing.T) {
	bothModes(t, testFirstOneOfAnAccountWithout)
}

func testFirstOneOfAnAccountWithout(t *testing.T) {
	g := newPasswordGate(t)
	g.account(known)
	b := g.browser()
	b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
	b.get("/email-link/password").wants(t, 200, "").says(t, "no password yet", `action="/email-link/reset"`, `name="email" value="jo@example.com"`)
	b.post("/email-link/password", "current", "x", "password", newWords).wants(t, 403, "").says(t, "no password yet")
	b.json("POST", "/email-link/password", `{"current":"x","password":"`+newWords+`"}`).wants(t, 403, "").says(t, `"code":"no_password"`)
}

func TestFLOW1_FirstPasswordIsChosenAtTheProof(t *testing.T) {
	bothModes(t, testFirstPasswordIsChosenAtTheProof)
}

func testFirstPasswordIsChosenAtTheProof(t *testing.T) {
	g := newPasswordGate(t)
	b := g.browser()
	b.post("/email-link/sign-up", "email", known, "password", oldWords).wants(t, 400, "")
	b.post("/email-link/sign-up", "email", known).wants(t, 303, "/email-link/resend")
	b.get(g.find(linkPattern, g.deliver()[0].Text)).wants(t, 303, "/email-link/confirm")
	page := b.get("/email-link/confirm").wants(t, 200, "").says(t, "Password (optional)")
	if !newPattern.MatchString(page.body) || strings.Contains(newPattern.FindString(page.body), "required") ||
		g.find(usernamePattern, page.body) != known {
		t.Errorf("the form:\n%s", page.body)
	}
	b.post("/email-link/confirm", "h", g.find(hPattern, page.body), "password", "short", "username", known).wants(t, 400, "").
		says(t, "too short")
	b.post("/email-link/confirm", "h", g.find(hPattern, page.body), "password", newWords, "username", known).wants(t, 303, "/")
	g.browser().post("/email-link/sign-in", "email", known, "password", newWords).wants(t, 303, "/")
}

func TestLOG1_PasswordsAreNotLogged(t *testing.T) { bothModes(t, testPasswordsAreNotLogged) }

func testPasswordsAreNotLogged(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	b := g.browser()
	b.post("/email-link/sign-in", "email", known, "password", "not the right words")
	b.get(b.asksReset(known))
	h := g.find(hPattern, b.get("/email-link/confirm").body)
	b.post("/email-link/confirm", "h", h, "password", "passwordpassword")
	b.post("/email-link/confirm", "h", h, "password", newWords)
	b.post("/email-link/sign-in", "email", known, "password", newWords)
	b.post("/email-link/password", "current", newWords, "password", oldWords)
	log := g.log.String()
	for _, secret := range []string{oldWords, newWords, "not the right words", "passwordpassword", known} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
	if !strings.Contains(log, "event=changed") || !strings.Contains(log, "event=signed_in") || !strings.Contains(log, "outcome=pwd") {
		t.Errorf("the log does not say what happened:\n%s", log)
	}
}
