package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

func TestFLOW3_ResetByPages(t *testing.T) { bothModes(t, testResetByPages) }

func testResetByPages(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	thief, b := g.browser(), g.browser()
	thief.post("/email-link/sign-in", "email", known, "password", oldWords).wants(t, 303, "/")
	stale := g.find(linkPattern, thief.asks(known).Text)

	b.get("/email-link/reset").wants(t, 200, "").says(t, `autocomplete="username"`, `required`)
	b.post("/email-link/reset", "email", "x@").wants(t, 400, "").says(t, `aria-invalid="true"`)
	link := b.asksReset(known)
	b.get("/email-link/resend").wants(t, 200, "").says(t, "link to set a new password", `href="/email-link/reset?change"`)
	// Never by one click: the page asks.
	b.get(link).wants(t, 303, "/email-link/confirm")
	page := b.get("/email-link/confirm").wants(t, 200, "").says(t, "Set a new password for Example", "jo@example.com").lacks(t, "Firefox on Linux") // which is for other browsers to know
	if g.find(usernamePattern, page.body) != known || !strings.Contains(newPattern.FindString(page.body), "required") {
		t.Errorf("a password manager cannot read the form:\n%s", page.body)
	}
	b.post("/email-link/confirm", "h", g.find(hPattern, page.body), "username", "someone@example.com", "password", newWords).
		wants(t, 303, "/email-link/sign-in?password-set")
	if !b.has(boundary.FlowCookie, boundary.KnownCookie) {
		t.Errorf("cookies: %v", b.cookies)
	}
	b.get("/email-link/sign-in?password-set").wants(t, 200, "").says(t, "Your new password is set", `role="status"`, `value="`+known+`"`)
	g.browser().get("/email-link/sign-in?password-set").wants(t, 200, "").lacks(t, known)
	mails := g.deliver()
	if len(mails) != 1 || !strings.Contains(mails[0].Text, "Firefox on Linux") || !strings.Contains(mails[0].Text, "192.0.2.") ||
		strings.Contains(mails[0].Text, "/link?t=") {
		t.Errorf("the owner was not told: %v", mails)
	}

	thief.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	thief.get(stale)
	thief.get("/email-link/confirm").wants(t, 410, "")
	b.get(link)
	b.get("/email-link/confirm").wants(t, 410, "")
	b.post("/email-link/sign-in", "email", known, "password", oldWords).wants(t, 403, "")
	b.post("/email-link/sign-in", "email", known, "password", newWords).wants(t, 303, "/")
}

func TestFLOW3_ResetMaySignIn(t *testing.T) { bothModes(t, testResetMaySignIn) }

func testResetMaySignIn(t *testing.T) {
	g := newPasswordGate(t)
	g.site.SignInAfterReset = true
	g.accountWith(known, oldWords)
	b := g.browser()
	b.get(b.asksReset(known))
	h := g.find(hPattern, b.get("/email-link/confirm").body)
	b.post("/email-link/confirm", "h", h, "password", newWords).wants(t, 303, "/")
	if !b.has(boundary.SessionCookie, boundary.KnownCookie) {
		t.Errorf("cookies: %v", b.cookies)
	}
}

func TestFLOW3_ResetInASignedInBrowserTakesItsCookie(t *testing.T) {
	bothModes(t, testResetInASignedInBrowserTakesItsCookie)
}

func testResetInASignedInBrowserTakesItsCookie(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	b := g.browser()
	b.post("/email-link/sign-in", "email", known, "password", oldWords).wants(t, 303, "/")
	b.get("/email-link/reset").says(t, `value="jo@example.com"`)
	b.get(b.asksReset(known))
	h := g.find(hPattern, b.get("/email-link/confirm").body)
	b.post("/email-link/confirm", "h", h, "password", newWords).wants(t, 303, "/email-link/sign-in?password-set")
	if !b.has(boundary.FlowCookie, boundary.KnownCookie) {
		t.Errorf("cookies: %v", b.cookies)
	}
}

func TestFLOW3_ResetByJSON(t *testing.T) { bothModes(t, testResetByJSON) }

func testResetByJSON(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	b := g.browser()
	b.json("POST", "/email-link/reset", `{"email":"jo@example.com"}`).wants(t, 202, "").
		says(t, `"status":"sent"`, `"expires_in":1800`, `"resends_left":5`)
	link := g.find(linkPattern, g.deliver()[0].Text)
	b.json("GET", link, "").wants(t, 303, "/email-link/confirm")
	page := b.json("GET", "/email-link/confirm", "").wants(t, 200, "").
		says(t, `"purpose":"reset"`, `"ask_password":true`, `"min_length":12`, `"account":"jo@example.com"`)
	h := g.find(regexpH, page.body)
	b.json("POST", "/email-link/confirm", `{"h":"`+h+`","password":"short"}`).wants(t, 400, "").
		says(t, `"code":"password_too_short"`, `"field":"password"`, "Use at least 12 characters")
	b.json("POST", "/email-link/confirm", `{"h":"`+h+`","password":true}`).wants(t, 400, "").says(t, `"code":"bad_form"`)
	b.json("POST", "/email-link/confirm", `{"h":"`+h+`","password":"`+newWords+`"}`).wants(t, 200, "").says(t, `{"status":"password_set"}`)
	b.json("POST", "/email-link/sign-in", `{"email":"jo@example.com","password":""}`).wants(t, 400, "").says(t, `"code":"missing_password"`)
	b.json("POST", "/email-link/sign-in", `{"email":"jo@example.com","password":"`+oldWords+`"}`).wants(t, 403, "").says(t, `"code":"wrong_password"`)
	b.json("POST", "/email-link/sign-in", `{"email":"jo@example.com","password":"`+newWords+`","return_to":"/x"}`).wants(t, 200, "").
		says(t, `"amr":["pwd"]`, `"return_to":"/x"`)
}

func TestFLOW4_ResetInAnotherBrowserIsMasked(t *testing.T) {
	bothModes(t, testResetInAnotherBrowserIsMasked)
}

func testResetInAnotherBrowserIsMasked(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	link := g.browser().asksReset(known)
	phone := g.browser()
	phone.agent = iphone
	phone.get(link).wants(t, 303, "/email-link/confirm")
	page := phone.get("/email-link/confirm").wants(t, 200, "").says(t, "j•••@example.com", "Firefox on Linux", "app.example.com")
	if strings.Contains(page.body, known) || g.find(usernamePattern, page.body) != "" {
		t.Errorf("another browser sees the address:\n%s", page.body)
	}
	if a := phone.json("GET", "/email-link/confirm", ""); strings.Contains(a.body, known) {
		t.Errorf("another browser sees the address: %s", a.body)
	}
	phone.post("/email-link/confirm", "h", g.find(hPattern, page.body), "password", newWords).wants(t, 303, "/email-link/sign-in?password-set")
	phone.post("/email-link/sign-in", "email", known, "password", newWords).wants(t, 303, "/")
}

func TestTOK7_RefusedPasswordsLeaveTheLinkGood(t *testing.T) {
	bothModes(t, testRefusedPasswordsLeaveTheLinkGood)
}

func testRefusedPasswordsLeaveTheLinkGood(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	b := g.browser()
	b.get(b.asksReset(known))
	page := b.get("/email-link/confirm")
	h := g.find(hPattern, page.body)
	for _, c := range []struct {
		name, typed string
		status      int
		code        templates.Code
		words       string
	}{
		{"none", "", 400, templates.PasswordTooShort, "Use at least 12 characters"},
		{"too short", "p4$Xq", 400, templates.PasswordTooShort, "Use at least 12 characters"},
		{"too long", strings.Repeat("ab c", 65), 400, templates.PasswordTooLong, "at most 256 characters"},
		{"far too long", strings.Repeat("a", 5000), 400, templates.PasswordTooLong, "at most 256 characters"},
		{"too common", "passwordpassword", 400, templates.PasswordTooCommon, "many use it"},
		{"of a name", "jo@example.com", 400, templates.PasswordContainsName, "made of your name"},
		{"as it was", oldWords, 400, templates.PasswordSameAsCurrent, "have already"},
		{"NUL", newWords + "\x00", 400, templates.PasswordInvalidCharacters, "cannot be typed everywhere"},
		{"no UTF-8", newWords + "\xff", 400, templates.PasswordInvalidCharacters, "cannot be typed everywhere"},
		{"10 MB", strings.Repeat("a", 10<<20), 413, templates.TooLarge, "larger than any form"},
	} {
		a := b.post("/email-link/confirm", "h", h, "password", c.typed, "username", known)
		a.wants(t, c.status, "").says(t, c.words)
		if c.status == 400 {
			a.says(t, `role="alert" id="problem"`, `aria-invalid="true" aria-describedby="problem password-hint" autofocus`, "<title>Error: ")
		}
		if c.typed != "" && c.typed != known && strings.Contains(a.body, c.typed) {
			t.Errorf("%s: the password is in the page", c.name)
		}
		form := url.Values{"h": {h}, "password": {c.typed}}.Encode()
		a = b.do("POST", "/email-link/confirm", "application/x-www-form-urlencoded", form, func(r *http.Request) {
			r.Header.Set("Accept", "application/json")
		})
		a.wants(t, c.status, "").says(t, `"code":"`+string(c.code)+`"`)
	}
	for _, lone := range []string{`\ud800`, `\udc00 and more words`} {
		b.json("POST", "/email-link/confirm", `{"h":"`+h+`","password":"`+newWords+lone+`"}`).wants(t, 400, "").
			says(t, `"code":"password_invalid_characters"`)
	}
	if again := b.get("/email-link/confirm").wants(t, 200, ""); again.body != page.body {
		t.Error("the page is not what it was")
	}
	b.post("/email-link/confirm", "h", h, "password", newWords).wants(t, 303, "/email-link/sign-in?password-set")
}

// TestPassword_EveryReasonHasWords ties package password to the catalogues.
func TestPassword_EveryReasonHasWords(t *testing.T) {
	g := newPasswordGate(t)
	for _, refusal := range password.Reasons() {
		for _, language := range g.pages.Templates.Languages() {
			words := g.pages.Templates.Text(language, templates.Problem{Code: templates.Code("password_" + refusal), Min: 12})
			if strings.HasPrefix(words, "problem.") || words == "" {
				t.Errorf("%s: %s has no words", language, refusal)
			}
			if refusal == password.TooLong && !strings.Contains(words, strconv.Itoa(password.MaxLength)) {
				t.Errorf("%s: %q does not say the limit", language, words)
			}
		}
	}
}
