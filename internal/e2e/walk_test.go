//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// walkers look at the pages in different ways. Each width, theme and direction is met with scripts and without, and so are the colours that a
// person's system forces on pages.
var walkers = []struct {
	scripts       bool
	width         int64
	theme, locale string
	forced        bool
}{
	{false, 320, "light", "ar", false},
	{false, 390, "dark", "en", true},
	{false, 1280, "light", "en", false},
	{true, 320, "dark", "en", false},
	{true, 390, "light", "ar", true},
	{true, 1280, "dark", "ar", false},
}

// walker is a browser that looks at pages in one way, and audits each of ours that it comes to.
type walker struct {
	*browser
	scripts bool
	forced  bool
	dir     string
	axe     string
	seen    int
}

func newWalker(t *testing.T, name string, i int) *walker {
	t.Helper()
	how := walkers[i]
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("no axe-core: run scripts/tools, or npm ci in internal/e2e: %v", err)
	}
	w := &walker{scripts: how.scripts, forced: how.forced, dir: map[string]string{"ar": "rtl", "en": "ltr"}[how.locale], axe: string(axe)}
	w.browser = newBrowserWith(t, name, options{scripts: how.scripts, flags: map[string]any{"accept-lang": how.locale}})
	w.does(chromedp.EmulateViewport(how.width, 640), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		colours := map[bool]string{true: "active", false: "none"}[how.forced]
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: how.theme}, {Name: "forced-colors", Value: colours}},
		})
		return err
	}))
	return w
}

// audit is what axe-core finds against WCAG 2.2 AA, and how many of its rules hold.
type audit struct {
	Holds      int
	Violations []struct {
		ID    string
		Nodes []string
	}
}

// audits checks the page that the walker is at: where it is, its status, its direction, and axe-core's rules. That it fits the window and
// has what each page of ours has is looked at on the way, see inspect.
func (w *walker) audits(path string, status int) *walker {
	w.t.Helper()
	if got, _, _ := strings.Cut(w.path(), "?"); got != path || w.status != status {
		w.t.Fatalf("%s is at %s (%d), wanted %s (%d): %s", w.name, got, w.status, path, status, w.text())
	}
	w.seen++
	w.runsScripts(true) // axe-core waits for promises, which a page without scripts keeps waiting
	evaluate[chromedp.Void](w.browser, "document.getAnimations().forEach((a) => a.finish())")
	// Of a list with hundreds of entries the first ones are looked at: axe-core takes seconds for all.
	evaluate[chromedp.Void](w.browser, "document.querySelectorAll('optgroup:nth-of-type(n+3), optgroup option:nth-of-type(n+4)').forEach((e) => { if (!e.matches(':checked') && !e.querySelector(':checked')) e.remove() })")
	evaluate[chromedp.Void](w.browser, w.axe+"; void 0")
	ctx, cancel := w.limited()
	defer cancel()
	// Where colours are forced they are the system's, and so is their contrast.
	found, err := chromedp.Run(ctx, chromedp.Evaluate[audit](`axe.run(document, {
		runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
		rules: {'color-contrast': {enabled: !matchMedia('(forced-colors: active)').matches}},
	}).then((found) => ({Holds: found.passes.length, Violations: found.violations.map((v) => ({ID: v.id, Nodes: v.nodes.map((n) => n.html)}))}))`, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s at %s: axe-core: %v", w.name, w.path(), err)
	}
	if found.Holds < 10 {
		w.t.Errorf("%s at %s: axe-core has looked at %d rules alone", w.name, w.path(), found.Holds)
	}
	for _, v := range found.Violations {
		w.t.Errorf("%s at %s: axe-core: %s: %q", w.name, w.path(), v.ID, v.Nodes)
	}
	if forced := evaluate[bool](w.browser, "matchMedia('(forced-colors: active)').matches"); forced != w.forced {
		w.t.Errorf("%s at %s: colours are forced: %v, wanted %v", w.name, w.path(), forced, w.forced)
	}
	if w.forced {
		for _, flat := range evaluate[[]string](w.browser, flatControls) {
			w.t.Errorf("%s at %s: no border tells what can be pressed or filled in: %s", w.name, w.path(), flat)
		}
	}
	w.runsScripts(w.scripts)
	if dir := evaluate[string](w.browser, "getComputedStyle(document.body).direction"); dir != w.dir {
		w.t.Errorf("%s at %s: the page runs %s, wanted %s", w.name, w.path(), dir, w.dir)
	}
	return w
}

// flatControls are the buttons and fields that only a background tells from the page: a system that forces its colours on pages takes that away.
const flatControls = `[...document.querySelectorAll('input:not([type=hidden], [type=checkbox], [hidden]), button, a.button')].filter((e) => {
	const style = getComputedStyle(e);
	return e.offsetWidth > 0 && (style.borderTopStyle === 'none' || parseFloat(style.borderTopWidth) < 1) && style.textDecorationLine === 'none';
}).map((e) => e.outerHTML)`

func (w *walker) runsScripts(run bool) {
	w.t.Helper()
	w.does(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run})
		return err
	}))
}

func (w *walker) opens(g *gate, path string) *walker { w.t.Helper(); w.open(g.origin + path); return w }

// fills types into the field with an id.
func (w *walker) fills(id, text string) *walker {
	w.t.Helper()
	w.does(chromedp.SendKeys(chromedp.CSS("#"+id), text))
	return w
}

// submits presses the button of the form that leads to a path, or one with a name there.
func (w *walker) submits(path, button string) *walker {
	w.t.Helper()
	w.goes(chromedp.Click(chromedp.CSS(fmt.Sprintf("form[method=post][action$=%q] %s:not([type=button])", "/email-link"+path, button))))
	return w
}

// TestWEB2_TheWholeWalk goes through everything that a person does, in each way of looking.
func TestWEB2_TheWholeWalk(t *testing.T) {
	t.Parallel()
	for i, how := range walkers {
		t.Run(fmt.Sprintf("%d-%s-%s-scripts-%v", how.width, how.theme, how.locale, how.scripts), func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{global: passwords, site: "require email *@example.com"})
			w, other := newWalker(t, "anna", i), newWalker(t, "other", i)
			walkIn(w, other, g, "anna@example.com")
			walkOut(w, other, g, "anna@example.com")
			walkWrong(w, other, g, "anna@example.com", "sam@example.org")
		})
	}
}

// walkIn signs up by link, signs out, and signs in by code and by password.
func walkIn(w, other *walker, g *gate, email string) {
	w.t.Helper()
	w.opens(g, "/deep?a=b").audits("/email-link/sign-in", 200)
	w.opens(g, "/email-link/sign-up").audits("/email-link/sign-up", 200)
	w.fills("email", strings.Replace(email, "@example.com", "@nowhere", 1)).submits("/sign-up", "button").audits("/email-link/sign-up", 400)
	w.opens(g, "/email-link/sign-up").fills("email", email).submits("/sign-up", "button").audits("/email-link/resend", 200)
	m := g.mail(email)
	other.open(m.link())
	other.audits("/email-link/confirm", 200)
	w.open(m.link())
	w.audits("/email-link/confirm", 200).fills("password", oldWords).submits("/confirm", "button").isApp("/", email)
	w.opens(g, "/email-link/").audits("/email-link/", 200)
	w.opens(g, "/email-link/sign-out").audits("/email-link/sign-out", 200).submits("/sign-out", "button").audits("/email-link/sign-out", 200)

	w.opens(g, "/email-link/sign-in").fills("email", email).submits("/sign-in", "button[name=mail]").audits("/email-link/resend", 200)
	code := g.mail(email).code() // as it is written there
	if w.scripts {
		w.goes(chromedp.SendKeys(chromedp.CSS("#code"), code))
	} else {
		w.fills("code", code).submits("/code", "button")
	}
	w.isApp("/", email)
	w.opens(g, "/email-link/sign-out").submits("/sign-out", "button")
	w.opens(g, "/email-link/sign-in").fills("email", email).fills("password", newWords).submits("/sign-in", "button:not([name])").audits("/email-link/sign-in", 403)
	w.fills("password", oldWords).submits("/sign-in", "button:not([name])").isApp("/", email)
}

// walkOut changes the password, resets it, and cancels what another browser has asked for.
func walkOut(w, other *walker, g *gate, email string) {
	w.t.Helper()
	w.opens(g, "/email-link/password").audits("/email-link/password", 200)
	w.opens(g, "/email-link/sign-out").submits("/sign-out", "button")
	w.opens(g, "/email-link/reset").audits("/email-link/reset", 200).fills("email", email).submits("/reset", "button").audits("/email-link/resend", 200)
	w.open(g.mail(email).link())
	w.audits("/email-link/confirm", 200).fills("password", newWords).submits("/confirm", "button").audits("/email-link/sign-in", 200)
	other.opens(g, "/email-link/sign-in").fills("email", email).submits("/sign-in", "button[name=mail]").audits("/email-link/resend", 200)
	m := g.mail(email)
	w.open(m.cancel())
	w.audits("/email-link/confirm", 200).submits("/confirm", "button").audits("/email-link/cancel", 200)
	other.open(m.link())
	other.audits("/email-link/confirm", 410)
}

// walkWrong comes to what is refused.
func walkWrong(w, other *walker, g *gate, email, outsider string) {
	w.t.Helper()
	other.opens(g, "/email-link/link?t=x").audits("/email-link/link", 410)
	other.opens(g, "/email-link/nowhere").audits("/email-link/nowhere", 404)
	other.opens(g, "/email-link/resend").fills("code", "12").submits("/code", "button").audits("/email-link/code", 400)
	w.opens(g, "/email-link/confirm").audits("/email-link/confirm", 200)
	other.opens(g, "/email-link/sign-up").fills("email", outsider).submits("/sign-up", "button")
	other.open(g.mail(outsider).link())
	other.audits("/email-link/confirm", 200).submits("/confirm", "button").audits("/", 403)
	w.opens(g, "/email-link/sign-in").fills("email", email).submits("/sign-in", "button[name=mail]")
	other.open(g.mail(email).link())
	other.audits("/email-link/confirm", 200)
	if w.seen+other.seen < 25 {
		w.t.Errorf("%d pages were looked at", w.seen+other.seen)
	}
}
