package web

import (
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// speaking sends a request of a browser that prefers a language.
func (b *browser) speaking(language, method, target string, form url.Values) answer {
	b.g.t.Helper()
	contentType := ""
	if form != nil {
		contentType = "application/x-www-form-urlencoded"
	}
	return b.do(method, target, contentType, form.Encode(), func(r *http.Request) { r.Header.Set("Accept-Language", language) })
}

// accountIn makes an account with a language.
func (g *gate) accountIn(language, email string) accounts.Account {
	g.t.Helper()
	addr, err := address.Parse(email)
	if err != nil {
		g.t.Fatal(err)
	}
	var a accounts.Account
	err = g.state.Store.Update(g.t.Context(), func(tx storage.Tx) (err error) {
		a, err = g.state.Accounts.Create(tx, accounts.NewAccount{Address: addr, Language: language})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

func TestLanguage_PagesFollowAcceptLanguage(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct{ accept, html, words string }{
		{"de-AT,de;q=0.9", `<html lang="de" dir="ltr">`, "Bei Example anmelden"},
		{"fr-CA,fr;q=0.9,en;q=0.8", `<html lang="fr" dir="ltr">`, "Connexion à Example"},
		{"es-419", `<html lang="es" dir="ltr">`, "Iniciar sesión en Example"},
		{"ar", `<html lang="ar" dir="rtl">`, "تسجيل الدخول إلى \u2068Example\u2069"},
		{"ja,tlh;q=0.5", `<html lang="en" dir="ltr">`, "Sign in to Example"},
		{"", `<html lang="en" dir="ltr">`, "Sign in to Example"},
	} {
		a := g.browser().speaking(c.accept, http.MethodGet, "/email-link/sign-in", nil).wants(t, 200, "").says(t, c.html, c.words)
		if !strings.Contains(a.header.Get("Vary"), "Accept-Language") {
			t.Errorf("%q: a cache may serve this page to speakers of other languages: Vary: %s", c.accept, a.header.Get("Vary"))
		}
	}
	// Errors as well, as page and as JSON.
	g.browser().speaking("de", http.MethodGet, "/email-link/nothing", nil).wants(t, 404, "").says(t, `lang="de"`, "Diese Seite gibt es nicht")
	a := g.browser().do(http.MethodPost, "/email-link/sign-in", "application/json", `{"email":"nobody"}`, func(r *http.Request) {
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Accept-Language", "de")
	})
	if !strings.Contains(a.body, "E-Mail-Adresse") {
		t.Errorf("a problem in another language: %s", a.body)
	}
}

func TestLanguage_MailsFollowTheAccountThenTheRequest(t *testing.T) {
	bothModes(t, testMailsFollowTheAccountThenTheRequest)
}

func testMailsFollowTheAccountThenTheRequest(t *testing.T) {
	g := newGate(t)
	g.account("any@example.com")
	g.accountIn("fr", "claire@example.com")
	for _, c := range []struct{ accept, email, language, subject, html string }{
		{"de-AT,de;q=0.9", "any@example.com", "de", "Ihr Anmeldelink für Example", `<html lang="de" dir="ltr">`},
		{"ar", "any@example.com", "ar", "رابط تسجيل دخولك إلى \u2068Example\u2069", `<html lang="ar" dir="rtl">`},
		{"ja", "any@example.com", "en", "Your sign-in link for Example", `<html lang="en" dir="ltr">`},
		// A client that asks for a mail to Claire, in whatever language: hers is French.
		{"de", "claire@example.com", "fr", "Votre lien de connexion à Example", `<html lang="fr" dir="ltr">`},
		{"", "claire@example.com", "fr", "Votre lien de connexion à Example", `<html lang="fr" dir="ltr">`},
	} {
		b := g.browser()
		b.speaking(c.accept, http.MethodPost, "/email-link/sign-in", url.Values{"email": {c.email}}).wants(t, 303, "/email-link/resend")
		mails := g.deliver()
		if len(mails) != 1 {
			t.Fatalf("%+v: %d mails", c, len(mails))
		}
		if m := mails[0]; m.Language != c.language || m.Subject != c.subject || !strings.Contains(m.HTML, c.html) {
			t.Errorf("%q for %s: a mail in %q: %s", c.accept, c.email, m.Language, m.Subject)
		}
	}
}

// TestLanguage_CodeOfAnArabicMail types the code as it is copied, with the no-break space that keeps its halves in order.
func TestLanguage_CodeOfAnArabicMail(t *testing.T) { bothModes(t, testCodeOfAnArabicMail) }

func testCodeOfAnArabicMail(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b := g.browser()
	b.speaking("ar", http.MethodPost, "/email-link/sign-in", url.Values{"email": {known}}).wants(t, 303, "/email-link/resend")
	text := g.deliver()[0].Text
	_, rest, found := strings.Cut(text, "\n    ")
	code, _, _ := strings.Cut(rest, "\n")
	if !found || !strings.Contains(code, "\u00a0") {
		t.Fatalf("no code in\n%s", text)
	}
	b.speaking("ar", http.MethodPost, "/email-link/code", url.Values{"code": {code}}).wants(t, 303, "/")
}

// TestMAIL4_LanguageThatIsGone queues mails in a language that the gate speaks by a catalogue of the operator's, and delivers them when the
// catalogue is gone: by the asking browser's words, by the account's, and a resend of a flow from before.
func TestMAIL4_LanguageThatIsGone(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "catalog"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "catalog", "nl.json"), []byte(`{"mail.link.sign_in.subject": "Uw link voor {site}"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		g := newGate(t)
		today := g.pages.Templates
		yesterday, err := templates.Load(templates.Options{Location: time.UTC, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		speak := func(set *templates.Set) {
			g.pages.Templates = set
			g.work.Use(g.delivery(set))
		}
		g.account("any@example.com")
		g.accountIn("nl", "anna@example.com")
		g.clock.Advance(time.Second)

		speak(yesterday)
		asks := func(email string) *browser {
			b := g.browser()
			b.speaking("nl", http.MethodPost, "/email-link/sign-in", url.Values{"email": {email}}).wants(t, 303, "/email-link/resend")
			return b
		}
		first := asks("any@example.com")
		if mails := g.deliver(); len(mails) != 1 || mails[0].Language != "nl" || mails[0].Subject != "Uw link voor Example" {
			t.Fatalf("before: %+v", mails)
		}
		asks("any@example.com")
		asks("anna@example.com")
		g.clock.Advance(2 * time.Minute)
		first.speaking("nl", http.MethodPost, "/email-link/resend", url.Values{}).wants(t, 303, "/email-link/resend?sent")

		speak(today)
		mails := g.deliver()
		if len(mails) != 3 {
			t.Fatalf("%d mails", len(mails))
		}
		for _, m := range mails {
			if m.Language != "en" || m.Subject != "Your sign-in link for Example" || !strings.Contains(m.HTML, `<html lang="en" dir="ltr">`) {
				t.Errorf("to %s in %q: %s", m.To, m.Language, m.Subject)
			}
			g.browser().get(g.find(linkPattern, m.Text)).wants(t, 303, "/email-link/confirm")
		}
		first.speaking("nl", http.MethodGet, "/email-link/resend", nil).wants(t, 200, "").says(t, `lang="en"`, "Check your email")
	})
}

var backPattern = regexp.MustCompile(`name="back" value="([^"]*)"`)

// TestLanguage_IsChosenOnEveryPage changes the language in the middle of a flow, which goes on.
func TestLanguage_IsChosenOnEveryPage(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("jo@example.com")
		b := g.browser()
		choose := func(page answer, language string) string {
			t.Helper()
			for _, name := range []string{"العربية", "Deutsch", "English", "Español", "Français"} {
				page.says(t, ">"+name+"<")
			}
			a := b.post("/email-link/language", "back", html.UnescapeString(g.find(backPattern, page.body)), "language", language)
			if a.status != 303 {
				t.Fatalf("%d\n%s", a.status, a.body)
			}
			return a.location
		}
		to := choose(b.get("/email-link/sign-in?return_to=%2Freports%3Fyear%3D2026"), "de")
		b.get(to).wants(t, 200, "").says(t, `<html lang="de"`, `name="return_to" value="/reports?year=2026"`, `<span lang="de" dir="ltr" aria-current="true">`)
		if cookie := b.cookies["__Host-email_link_language"]; cookie != "de" {
			t.Errorf("the cookie holds %q", cookie)
		}
		// The choice outlives a refused form, and the form its destination.
		page := b.post("/email-link/sign-in", "email", "jo@", "return_to", "/reports").wants(t, 400, "").says(t, `<html lang="de"`)
		b.get(choose(page, "fr")).wants(t, 200, "").says(t, `<html lang="fr"`, `name="return_to" value="/reports"`)
		mail := b.asks("jo@example.com")
		if mail.Language != "fr" {
			t.Errorf("the mail speaks %q", mail.Language)
		}
		page = b.get("/email-link/resend").wants(t, 200, "").says(t, `<html lang="fr"`)
		b.get(choose(page, "es")).wants(t, 200, "").says(t, `<html lang="es"`, "jo@example.com")
		page = b.post("/email-link/code", "code", "1234 5678").wants(t, 403, "")
		b.get(choose(page, "ar")).wants(t, 200, "").says(t, `<html lang="ar" dir="rtl"`, "jo@example.com")
		// The page of an opened link, and no page under its address.
		other := g.browser()
		other.get(g.find(linkPattern, mail.Text)).wants(t, 303, "/email-link/confirm")
		b.cookies["__Host-email_link_token"] = other.cookies["__Host-email_link_token"]
		to = choose(b.get("/email-link/confirm").wants(t, 200, ""), "de")
		page = b.get(to).wants(t, 200, "").says(t, `<html lang="de"`)
		b.post(to, "h", g.find(hPattern, page.body)).wants(t, 303, "/")
		for _, done := range append([]string{accountInvited}, accountNotes...) {
			if to = choose(b.get("/email-link/account?"+done), "de"); to != "/email-link/account?"+done {
				t.Errorf("the page that says %q leads to %s", done, to)
			}
		}
		to = choose(b.get("/email-link/link?t=broken").wants(t, 410, "").lacks(t, `value="/email-link/link`), "en")
		b.get(to).says(t, `<html lang="en"`)
		g.refusal = Forbidden
		if to = choose(b.get("/reports?a=1"), "de"); to != "/reports?a=1" {
			t.Errorf("a refused page leads to %s", to)
		}
		b.get(to).wants(t, 403, "").says(t, `<html lang="de"`)
		b.do(http.MethodGet, "/reports", "", "", func(r *http.Request) { r.Header.Set("Accept", "application/json") }).wants(t, 403, "").says(t, "Sie sind angemeldet")
		g.refusal = Misdirected
		b.get("/reports").wants(t, 421, "").lacks(t, "/language")
	})
}

// TestRED1_TheChoiceOfALanguageLeadsNowhereElse sends addresses that the form does not hold.
func TestRED1_TheChoiceOfALanguageLeadsNowhereElse(t *testing.T) {
	g := newGate(t)
	g.account("jo@example.com")
	b := g.browser()
	link := g.find(linkPattern, b.asks("jo@example.com").Text)
	for _, back := range []string{
		"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)", "/email-link//evil.example",
		link, strings.Replace(link, "/link?", "/sign-in?", 1), "/email-link/sign-in?return_to=" + url.QueryEscape(link), "",
		"http:/email-link/sign-in", "/email-link/cancel?t=" + strings.Repeat("A", 60), "/email-link/" + strings.Repeat("a", 5000),
	} {
		a := b.post("/email-link/language", "language", "de", "back", back)
		if a.status != 303 || a.location != "/email-link/sign-in" {
			t.Errorf("%q leads to %d %q", back, a.status, a.location)
		}
	}
	for _, language := range []string{"", "xx", "de ", "de,fr", "../de"} {
		if a := b.post("/email-link/language", "language", language, "back", "/"); a.status != 400 || a.header.Get("Set-Cookie") != "" {
			t.Errorf("the language %q: %d %v", language, a.status, a.header)
		}
	}
	foreign := b.do(http.MethodPost, "/email-link/language", "application/x-www-form-urlencoded", "language=de&back=/", func(r *http.Request) {
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	})
	if foreign.status != 403 || foreign.header.Get("Set-Cookie") != "" {
		t.Errorf("another site's form: %d %v", foreign.status, foreign.header)
	}
	b.get("/email-link/language").wants(t, 303, "/email-link/sign-in")
	// A cookie that names no language is as good as none.
	b.cookies["__Host-email_link_language"] = "xx"
	b.speaking("fr", http.MethodGet, "/email-link/sign-in", nil).says(t, `<html lang="fr"`)
	b.json(http.MethodPost, "/email-link/language", `{"language":"es"}`).wants(t, 200, "").says(t, `{"language":"es"}`)
}
