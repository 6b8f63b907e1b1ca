//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// cookies returns what the browser holds for an address, by name.
func (b *browser) cookies(address string) map[string]*network.Cookie {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{address}})
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]*network.Cookie{}
	for _, c := range got.Cookies {
		found[c.Name] = c
	}
	return found
}

// holds checks which cookies a browser holds, and how they are kept. Lives are rounded down to hours.
func (b *browser) holds(g *gate, want map[string]time.Duration) {
	b.t.Helper()
	secure := strings.HasPrefix(g.origin, "https:")
	prefix := ""
	if secure {
		prefix = "__Host-"
	}
	got := b.cookies(g.origin)
	if len(got) != len(want) {
		b.t.Errorf("%s at %s holds %v", b.name, b.path(), got)
	}
	for name, life := range want {
		c := got[prefix+name]
		if c == nil {
			b.t.Errorf("%s at %s holds no %s: %v", b.name, b.path(), prefix+name, got)
			continue
		}
		if !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Path != "/" || c.Domain != "localhost" || c.Secure != secure || c.Session {
			b.t.Errorf("%s is kept as %+v", name, *c)
		}
		left := time.Until(time.Unix(int64(c.Expires), 0))
		if left > life+time.Minute || left < life-10*time.Minute {
			b.t.Errorf("%s is kept for %v, wanted %v", name, left, life)
		}
	}
}

const (
	sessionLife = 30 * 24 * time.Hour
	knownLife   = 400 * 24 * time.Hour
	flowLife    = 15 * time.Minute
	parkedLife  = 10 * time.Minute
)

// walkOfCookies goes through a sign-in and a sign-out and looks at the cookies at each step.
func walkOfCookies(t *testing.T, g *gate, b, other *browser) {
	t.Helper()
	g.account("anna@example.com")
	b.open(g.origin + "/")
	b.holds(g, nil)
	link := b.asks(g, "anna@example.com").link()
	b.holds(g, map[string]time.Duration{"email_link_flow": flowLife})
	other.open(link).at("/email-link/confirm", 200)
	other.holds(g, map[string]time.Duration{"email_link_token": parkedLife})
	b.open(link).isApp("/", "anna@example.com")
	b.holds(g, map[string]time.Duration{"email_link": sessionLife, "email_link_known": knownLife})
	if scripts := evaluate[string](b, "document.cookie"); scripts != "" {
		t.Errorf("scripts see the cookies %q", scripts)
	}
	b.open(g.origin + "/email-link/").presses("Sign out here")
	b.holds(g, map[string]time.Duration{"email_link_known": knownLife})
}

func TestCookiesOnLocalhost(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	b, other := newBrowser(t, "anna"), newBrowser(t, "other")
	walkOfCookies(t, g, b, other)
	if hsts, ok := b.header["strict-transport-security"]; ok {
		t.Errorf("HSTS on plain http: %q", hsts)
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{https: true})
	o := options{flags: map[string]any{"ignore-certificate-errors": true}}
	b, other := newBrowserWith(t, "anna", o), newBrowserWith(t, "other", o)
	walkOfCookies(t, g, b, other)
	if hsts := b.open(g.origin + "/email-link/sign-in").header["strict-transport-security"]; !strings.HasPrefix(hsts, "max-age=") {
		t.Errorf("Strict-Transport-Security: %q", hsts)
	}
}
