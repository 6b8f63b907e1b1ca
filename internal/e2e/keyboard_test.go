//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused names what has the focus, and how it shows.
type focused struct {
	Words   string
	Outline string
	Shown   bool
}

const focusedNow = `(() => {
	const e = document.activeElement, style = getComputedStyle(e), r = e.getBoundingClientRect();
	return {
		Words: e.labels && e.labels.length ? e.labels[0].innerText.trim() : e === document.body ? '' : e.innerText.trim(),
		Outline: style.outlineStyle + ' ' + style.outlineWidth,
		Shown: r.top > -1 && r.bottom < innerHeight + 1 && r.left > -1 && r.right < innerWidth + 1,
	};
})()`

// tabsTo presses Tab until a control with these words has the focus, and checks that it shows. It returns what it passed.
func (b *browser) tabsTo(words string) (passed []string) {
	b.t.Helper()
	for range 10 {
		b.does(chromedp.KeyEvent(kb.Tab))
		var f focused
		shown := b.await(func() bool { // the page scrolls to it
			f = evaluate[focused](b, focusedNow)
			return f.Words == "" || f.Shown
		})
		if f.Words == "" {
			continue // the browser's own controls
		}
		if f.Outline != "solid 3px" || !shown {
			b.t.Errorf("%s at %s: the focus on %q shows as %q, within the window: %t", b.name, b.path(), f.Words, f.Outline, shown)
		}
		if f.Words == words {
			return passed
		}
		passed = append(passed, f.Words)
	}
	b.t.Fatalf("%s at %s: Tab never comes to %q, but to %q", b.name, b.path(), words, passed)
	return nil
}

// keys types into whatever has the focus.
func (b *browser) keys(text string) *browser {
	b.t.Helper()
	return b.does(chromedp.KeyEvent(text))
}

func (b *browser) enter() *browser {
	b.t.Helper()
	return b.goes(chromedp.KeyEvent(kb.Enter))
}

func TestKeyboardOnly(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	b := newBrowser(t, "anna")
	b.open(g.origin + "/kept")
	if passed := b.tabsTo("Email address"); len(passed) != 0 {
		t.Errorf("before the address come %q", passed)
	}
	b.tabsTo("Sign up")
	b.enter().at("/email-link/sign-up?return_to=%2fkept", 200)
	b.tabsTo("Email address")
	b.keys("not an address@@").does(chromedp.KeyEvent(kb.Enter)) // Chromium itself refuses
	b.at("/email-link/sign-up?return_to=%2fkept", 200)
	b.does(chromedp.KeyEvent("a", chromedp.KeyModifiers(2))).keys("anna@nowhere").enter()
	// The focus is in the field that is wrong, and what was typed is still there.
	b.at("/email-link/sign-up", 400).says("That did not work.")
	if f := evaluate[focused](b, focusedNow); f.Words != "Email address" {
		t.Fatalf("after an error the focus is on %q", f.Words)
	}
	b.does(chromedp.KeyEvent(kb.End)).keys(".example.com").enter()
	b.at("/email-link/resend", 200).says("anna@nowhere.example.com")

	b.tabsTo("Code from the email")
	b.keys("11").enter().at("/email-link/code", 400)
	b.does(chromedp.KeyEvent("a", chromedp.KeyModifiers(2))) // what was typed is still there
	b.keys(fmt.Sprint(g.mail("anna@nowhere.example.com").code())).enter().isApp("/kept", "anna@nowhere.example.com")

	b.open(g.origin + "/email-link/")
	if passed := b.tabsTo("Sign out everywhere"); strings.Join(passed, ", ") != "Go to Example, Account settings, Sign out here" {
		t.Errorf("before %q come %q", "Sign out everywhere", passed)
	}
	b.does(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(8)))
	b.goes(chromedp.KeyEvent(" ")).at("/email-link/sign-out", 200).says("You are signed out")
}
