package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// TestSES1_ASignOutThatFailedKeepsTheCookie signs out over a store that refuses: a browser without the cookie would be told that
// it is out while the session lives on.
func TestSES1_ASignOutThatFailedKeepsTheCookie(t *testing.T) {
	for name, signOut := range map[string]func(b *browser) answer{
		"here":               func(b *browser) answer { return b.post("/email-link/sign-out") },
		"everywhere":         func(b *browser) answer { return b.post("/email-link/sign-out", "everywhere", "1") },
		"here, a script":     func(b *browser) answer { return b.json("POST", "/email-link/sign-out", `{}`) },
		"everywhere, script": func(b *browser) answer { return b.json("POST", "/email-link/sign-out", `{"everywhere":"1"}`) },
	} {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		b.get(g.find(linkPattern, b.asks(known).Text)).wants(t, 303, "/")
		b.get("/email-link/").wants(t, 200, "") // and now the session is cached
		if err := g.state.Store.Close(); err != nil {
			t.Fatal(err)
		}
		b.get("/email-link/").wants(t, 200, "")
		a := signOut(b)
		if a.status != 503 || len(a.header.Values("Set-Cookie")) != 0 || !b.has(boundary.SessionCookie, boundary.KnownCookie) {
			t.Errorf("%s: %d, Set-Cookie %q", name, a.status, a.header.Values("Set-Cookie"))
		}
		if strings.Contains(g.log.String(), "signed out") {
			t.Errorf("%s: the log says that it has happened:\n%s", name, g.log.String())
		}
	}
}

// TestWEB3_ATemplateThatFailsSaysNothing shows a page whose template fails for what somebody sent and for nothing that was tried
// when it was loaded.
func TestWEB3_ATemplateThatFailsSaysNothing(t *testing.T) {
	dir := t.TempDir()
	page := `{{define "title"}}x{{end}}{{define "main"}}{{if eq .Page.ReturnTo "/boom"}}{{index .Page.ReturnTo 999}}{{end}}{{end}}`
	if err := os.Mkdir(filepath.Join(dir, "pages"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pages", "sign-in.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := templates.Load(templates.Options{Dir: dir, Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t)
	g.pages.Templates = set
	b := g.browser()
	b.get("/email-link/sign-in").wants(t, 200, "")
	a := b.get("/email-link/sign-in?return_to=%2Fboom")
	if a.status != 500 || a.body != "500\n" {
		t.Errorf("%d: %q", a.status, a.body)
	}
	if !strings.Contains(g.log.String(), "event=template") {
		t.Errorf("the operator is not told:\n%s", g.log.String())
	}
}

// TestLOG1_APanicIsLoggedWithoutItsValue: it may hold what somebody typed.
func TestLOG1_APanicIsLoggedWithoutItsValue(t *testing.T) {
	g := newGate(t)
	g.pages.JWKS = func() []byte { panic("secret-value") }
	a := g.browser().get("/email-link/jwks.json").wants(t, 500, "")
	if strings.Contains(a.body+g.log.String(), "secret-value") || !strings.Contains(g.log.String(), "event=panic") {
		t.Errorf("the answer is %q, the log says:\n%s", a.body, g.log.String())
	}
}

// TestTOK1_ADeadLinkSetsNoCookie opens links that are dead by what they are, and one that is dead by its use.
func TestTOK1_ADeadLinkSetsNoCookie(t *testing.T) {
	g := newGate(t)
	g.account(known)
	b := g.browser()
	link := g.find(linkPattern, b.asks(known).Text)
	b.get(link).wants(t, 303, "/")
	for _, query := range []string{"/email-link/link", "/email-link/link?t=x", "/email-link/cancel?t=", link + "&t=b"} {
		if a := g.browser().get(query); a.status != 410 || len(a.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%.40s: %d %v", query, a.status, a.header.Values("Set-Cookie"))
		}
	}
	other := g.browser()
	other.get(link).wants(t, 303, "/email-link/confirm")
	for range 2 {
		if a := other.get("/email-link/confirm"); a.status != 410 || len(a.header.Values("Set-Cookie")) != 0 {
			t.Errorf("a used link: %d %v", a.status, a.header.Values("Set-Cookie"))
		}
		if a := other.post("/email-link/confirm", "h", "x"); a.status != 410 || len(a.header.Values("Set-Cookie")) != 0 {
			t.Errorf("a used link, pressed: %d %v", a.status, a.header.Values("Set-Cookie"))
		}
	}
}
