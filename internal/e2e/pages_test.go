//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// look is one way of looking at a page.
type look struct {
	name   string
	width  int64
	scheme string
	zoom   float64 // of the text alone, as in the settings of a browser
}

var looks = []look{
	{"320-light", 320, "light", 1},
	{"320-dark", 320, "dark", 1},
	{"320-big", 320, "light", 2},
	{"1280-light", 1280, "light", 1},
	{"1280-dark", 1280, "dark", 1},
}

// shows looks at the page in all ways, checks each and keeps a picture of it (go test -artifacts keeps the folder).
func (b *browser) shows(name string) {
	b.t.Helper()
	for _, l := range looks {
		b.does(chromedp.EmulateViewport(l.width, 640), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
			})
			return err
		}))
		big := "''"
		if l.zoom != 1 {
			big = "'200%'"
		}
		evaluate[chromedp.Void](b, "void (document.documentElement.style.fontSize = "+big+")")
		evaluate[chromedp.Void](b, "document.getAnimations().forEach((a) => a.finish())") // colours fade over
		where := name + " as " + l.name
		if !b.alien {
			if p := evaluate[inspection](b, inspectPage); p.Wide > p.Window {
				b.t.Errorf("%s: the page is %v wide in a window of %v", where, p.Wide, p.Window)
			}
			for _, low := range evaluate[[]string](b, lowContrast) {
				b.t.Errorf("%s: %s", where, low)
			}
		}
		ctx, cancel := b.limited()
		shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		cancel()
		if err = errors.Join(err, os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+"-"+l.name+".png"), shot, 0o600)); err != nil {
			b.t.Fatal(err)
		}
	}
	evaluate[chromedp.Void](b, "void document.documentElement.removeAttribute('style')")
	b.does(chromedp.EmulateViewport(320, 640))
}

// lowContrast lists texts whose contrast is below WCAG 2.2 AA: 4.5, or 3 for large ones.
const lowContrast = `(() => {
	const numbers = (c) => (c.match(/[\d.]+/g) || []).map(Number);
	const light = (c) => {
		const [r, g, b] = numbers(c).map((v) => (v /= 255, v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = numbers(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return getComputedStyle(e).backgroundColor;
		}
		return 'rgb(255, 255, 255)';
	};
	const found = [];
	for (const e of document.querySelectorAll('body *:not(option)')) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
		const style = getComputedStyle(e), a = light(style.color), b = light(ground(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
		if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5))
			found.push('contrast ' + ratio.toFixed(2) + ' of ' + style.color + ' on ' + ground(e) + ': ' + e.innerText.slice(0, 40));
	}
	return found;
})()`

// long is an address that no line of a small window holds.
var long = "anna.maria." + strings.Repeat("x", 50) + "@" + strings.Repeat("mailbox", 8) + "." + strings.Repeat("sub.", 20) + "example.com"

// TestEveryPage comes to each page by hand and looks at it small, large, light, dark and with big letters.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{site: "public /hint"})
	g.account("sam@example.com")
	b, other := newBrowser(t, "anna"), newBrowser(t, "other")
	b.open(g.origin + "/reports?year=2026").shows("sign-in")
	b.presses("Sign up").shows("sign-up")
	b.types("Email address", "anna@nowhere").presses("Email me a link").at("/email-link/sign-up", 400).shows("sign-up-invalid")
	b.keys(kb.End + ".example.com").presses("Email me a link").shows("check-your-mail")
	b.presses("Send it again").at("/email-link/resend", 429).shows("check-your-mail-too-early")
	b.types("Code from the email", "1").presses("Continue").at("/email-link/code", 400).shows("check-your-mail-invalid-code")
	m := g.mail("anna@nowhere.example.com")
	other.open(m.webmail())
	other.alien = true
	other.shows("mail-sign-up")
	other.alien = false
	other.open(m.link()).at("/email-link/confirm", 200).shows("confirm-sign-up-elsewhere")
	other.open(m.cancel()).at("/email-link/confirm", 200).shows("cancel")
	b.open(m.link()).isApp("/reports?year=2026", "anna@nowhere.example.com")
	b.presses("Your account").at("/email-link/", 200).shows("account")
	b.presses("Account settings").at("/email-link/account", 200).shows("account-settings")
	b.open(g.origin + "/email-link/sign-out").shows("sign-out")
	other.open(m.link()).at("/email-link/confirm", 410).shows("dead")
	other.open(m.cancel()).at("/email-link/confirm", 410)
	sam := other.asks(g, "sam@example.com")
	other.open(sam.webmail())
	other.alien = true
	other.shows("mail-sign-in")
	other.alien = false
	b.open(sam.link()).at("/email-link/confirm", 200).says("This browser is signed in as").shows("confirm-as-somebody-else")
	b.open(sam.cancel()).presses("It was not me").at("/email-link/cancel?done", 200).shows("cancelled")
	b.open(g.origin + "/email-link/confirm").says("No link is open here").shows("confirm-nothing")
	b.open(g.origin+"/email-link/nowhere").at("/email-link/nowhere", 404).shows("not-found")
	b.open(g.origin + "/email-link/sign-out").presses("Sign out here").shows("signed-out")
	b.open(g.origin + "/email-link/resend").says("No sign-in is in progress").shows("no-flow")
}

// TestMisdirectedPage is for whoever comes by an address that the gate does not use.
func TestMisdirectedPage(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{anyHost: true})
	b := newBrowser(t, "anna")
	_, port, _ := strings.Cut(g.origin, "http://localhost:")
	b.open("http://127.0.0.1:"+port+"/email-link/sign-in").at("/email-link/sign-in", 421)
	b.says("This site has another address").shows("misdirected")
	b.presses("Go to localhost:"+port).at("/email-link/sign-in", 200)
	if cookies := b.cookies("http://127.0.0.1:" + port); len(cookies) != 0 {
		t.Errorf("cookies: %v", cookies)
	}
}

// TestEveryPageOfALongAddress comes to the pages that show an address with one that has no place to break.
func TestEveryPageOfALongAddress(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	b, other := newBrowser(t, "anna"), newBrowser(t, "other")
	path := "/" + strings.Repeat("verylongpath", 40)
	b.open(g.origin+path).presses("Sign up").types("Email address", long).presses("Email me a link")
	b.at("/email-link/resend", 200).says(long).shows("long-check-your-mail")
	m := g.mail(long)
	other.open(m.webmail())
	other.alien = true
	other.shows("long-mail")
	other.alien = false
	other.open(m.link()).at("/email-link/confirm", 200).shows("long-confirm")
	b.open(m.link()).isApp(path, long)
	b.open(g.origin + "/email-link/").shows("long-account")
	b.open(g.origin + "/email-link/account").shows("long-account-settings")
}

// TestForbiddenPage is for whoever is signed in and may not come in.
func TestForbiddenPage(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{site: "require email *@staff.example.com"})
	b := newBrowser(t, "anna")
	b.open(g.origin+"/email-link/sign-up").types("Email address", "anna@example.com").presses("Email me a link")
	b.open(g.mail("anna@example.com").link()).at("/", 403).says("Your account has no access here", "anna@example.com").shows("forbidden")
	b.presses("Your account").at("/email-link/", 200)
}

// TestClosedAndMailless is for the pages of gates that hand links out otherwise.
func TestClosedAndMailless(t *testing.T) {
	t.Parallel()
	closed := newGate(t, setup{site: "sign_up closed"})
	b := newBrowser(t, "anna")
	b.open(closed.origin + "/").lacks("Sign up")
	b.open(closed.origin+"/email-link/sign-up").at("/email-link/sign-up", 200).says("Sign-up is closed", "help@example.com").shows("closed")
	link := closed.cli("link", "anna@example.com", "--for", "activation")
	b.open(link).at("/email-link/confirm", 200).lacks("two ways to go on").shows("confirm-operator")
	b.presses("Create my account").isApp("/", "anna@example.com")
}
