//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a Chromium with a profile of its own, 320 pixels wide and without JavaScript. Each page of ours that it comes
// to is checked, see inspect.
type browser struct {
	t      *testing.T
	name   string
	ctx    context.Context
	status int // of the page it is at
	header map[string]string
	// alien is set while pages of others are shown, which nobody checks.
	alien bool

	mu         sync.Mutex
	complaints []string
}

// options changes a browser before it starts.
type options struct {
	scripts bool // JavaScript runs
	tabs    bool // of the tabs of one window one is seen, as people have it; otherwise each believes to be
	flags   map[string]any
}

func newBrowser(t *testing.T, name string) *browser { return newBrowserWith(t, name, options{}) }

func newBrowserWith(t *testing.T, name string, o options) *browser {
	t.Helper()
	path, err := exec.LookPath("/usr/bin/chromium")
	if err != nil {
		t.Fatal("no /usr/bin/chromium: apt-get install chromium")
	}
	profile, err := os.MkdirTemp("", "email-link-e2e-profile-") //nolint:usetesting // Chromium's last child may still write while it is removed
	if err != nil {
		t.Fatal(err)
	}
	args := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
	}
	for _, flag := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage",
		"disable-default-apps", "disable-extensions", "use-mock-keychain", "no-pings", "disable-breakpad",
	} {
		args = append(args, chromedp.Flag(flag, true))
	}
	args = append(args, chromedp.Flag("password-store", "basic"), chromedp.Flag("force-color-profile", "srgb"))
	for flag, value := range o.flags {
		args = append(args, chromedp.Flag(flag, value))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), args...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &browser{t: t, name: name, ctx: ctx}
	t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("%s was at:\n%s", b.name, b.describe())
		}
		cancel()
		stop()
		_ = os.RemoveAll(profile) // what is left is in the directory for temporary files
		b.quiet()
	})
	if err := b.start(o); err != nil {
		t.Fatalf("%s: starting Chromium: %v", name, err)
	}
	return b
}

func (b *browser) start(o options) error {
	// The first run starts the browser, which lives as long as its context: no deadline here.
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(320, 640)); err != nil {
		return err
	}
	if err := chromedp.Listen(b.ctx, b.hear); err != nil {
		return err
	}
	return chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, audits.Enable, cdp.Empty{})
		_, focus := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: !o.tabs})
		if err = errors.Join(err, focus); err != nil || o.scripts {
			return err
		}
		_, err = cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// tab opens a second tab of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	return b.more(b.name+"'s second tab", options{})
}

// profile opens a window of the same browser that has nothing in common with the others: cookies, storage and service workers of its own.
func (b *browser) profile(t *testing.T, name string, o options) *browser {
	t.Helper()
	own := &browser{t: t, name: name, ctx: b.ctx}
	return own.more(name, o, chromedp.WithNewBrowserContext())
}

func (b *browser) more(name string, o options, how ...chromedp.ContextOption) *browser {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, how...)
	b.t.Cleanup(cancel)
	another := &browser{t: b.t, name: name, ctx: ctx}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("%s was at:\n%s", name, another.describe())
		}
	})
	if err := another.start(o); err != nil {
		b.t.Fatalf("%s: %v", another.name, err)
	}
	b.t.Cleanup(another.quiet)
	return another
}

// hear collects what the browser has to complain about: its console, violations of the Content-Security-Policy, and what
// Chromium calls issues (cookies, forms without labels, quirks mode).
func (b *browser) hear(ev any) {
	var complaint string
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		// That an answer has a status of 400 and above is for the tests to judge. An icon is the app's affair; the browser may
		// ask for it when the gate has stopped already.
		if ev.Entry.Source == log.EntrySourceNetwork &&
			(strings.Contains(ev.Entry.Text, "the server responded with a status of") || strings.HasSuffix(ev.Entry.URL, "/favicon.ico")) {
			return
		}
		complaint = fmt.Sprintf("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		complaint = fmt.Sprintf("console.%s", ev.Type)
	case *runtime.EventExceptionThrown:
		complaint = "exception: " + ev.ExceptionDetails.Text
	case *audits.EventIssueAdded:
		if ev.Issue.Code == audits.InspectorIssueCodePerformanceIssue { // the test itself reads document.cookie
			return
		}
		// A portal leads through a site that nobody has touched in this tab: Chromium says that it may forget such cookies after 45 days.
		if ev.Issue.Code == audits.InspectorIssueCodeBounceTrackingIssue {
			return
		}
		// The test itself leaves pages that nobody has touched.
		if d := ev.Issue.Details.GenericIssueDetails; d != nil && d.ErrorType == audits.GenericIssueErrorTypeNavigationEntryMarkedSkippable {
			return
		}
		complaint = fmt.Sprintf("issue %s %+v", ev.Issue.Code, issueDetails(ev.Issue))
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, complaint)
}

func issueDetails(i *audits.InspectorIssue) any {
	switch d := i.Details; {
	case d.GenericIssueDetails != nil:
		return *d.GenericIssueDetails
	case d.ContentSecurityPolicyIssueDetails != nil:
		return *d.ContentSecurityPolicyIssueDetails
	case d.CookieIssueDetails != nil:
		return *d.CookieIssueDetails
	case d.QuirksModeIssueDetails != nil:
		return *d.QuirksModeIssueDetails
	default:
		return *d
	}
}

// quiet fails the test for each complaint so far.
func (b *browser) quiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		b.t.Errorf("%s complains: %s", b.name, complaint)
	}
	b.complaints = nil
}

// await polls the page until something has happened that ends no step.
func (b *browser) await(done func() bool) bool {
	b.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); !done(); <-poll.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// limited bounds one step.
func (b *browser) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, patience)
}

// goes runs steps that lead to another page, and waits for it.
func (b *browser) goes(steps ...chromedp.Action[chromedp.Void]) *browser {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	resp, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		b.t.Fatalf("%s: %v", b.name, err)
	}
	if resp == nil {
		b.t.Fatalf("%s: no answer", b.name)
	}
	b.landed(resp)
	return b
}

func (b *browser) landed(resp *network.Response) {
	b.t.Helper()
	b.status, b.header = int(resp.Status), map[string]string{}
	for name, value := range resp.Headers {
		b.header[strings.ToLower(name)] = fmt.Sprint(value)
	}
	if strings.HasPrefix(b.path(), "/email-link/") {
		b.unfolds()
		b.inspect()
	}
}

// does runs steps that stay on the page.
func (b *browser) does(steps ...chromedp.Action[chromedp.Void]) *browser {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", b.name, err)
	}
	return b
}

// open types an address into the browser.
func (b *browser) open(address string) *browser {
	b.t.Helper()
	return b.goes(chromedp.Navigate(address))
}

// types types into the field with a label.
func (b *browser) types(label, text string) *browser {
	b.t.Helper()
	return b.does(chromedp.SendKeys(field(label), text))
}

// retypes types in the place of what is in the field.
func (b *browser) retypes(label, text string) *browser {
	b.t.Helper()
	return b.does(chromedp.Focus(field(label)), chromedp.KeyEvent("a", chromedp.KeyModifiers(2)), chromedp.KeyEvent(text))
}

// presses presses the button, or follows the link, with these words.
func (b *browser) presses(words string) *browser {
	b.t.Helper()
	return b.goes(chromedp.Click(control(words)))
}

func field(label string) string {
	return fmt.Sprintf("//input[@id=//label[normalize-space()=%q]/@for]", label)
}

func control(words string) string {
	return fmt.Sprintf("//button[normalize-space()=%[1]q] | //a[normalize-space()=%[1]q]", words)
}

// evaluate asks the page, as the tools of a developer do; scripts of the page need not run for that.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := b.limited()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %s: %v", b.name, expression, err)
	}
	return v
}

func (b *browser) text() string {
	b.t.Helper()
	return strings.Join(strings.Fields(evaluate[string](b, `document.body.innerText`)), " ")
}

func (b *browser) path() string {
	b.t.Helper()
	u, err := url.Parse(evaluate[string](b, `document.location.href`))
	if err != nil {
		b.t.Fatal(err)
	}
	return u.RequestURI()
}

// unfolds opens what a page has folded away, as a person does who looks for it.
func (b *browser) unfolds() {
	b.t.Helper()
	evaluate[chromedp.Void](b, "document.querySelectorAll('details').forEach((d) => { d.open = true })")
}

// says checks the words of the page.
func (b *browser) says(words ...string) *browser {
	b.t.Helper()
	text := b.text()
	for _, w := range words {
		if !strings.Contains(text, w) {
			b.t.Errorf("%s at %s: %q is not in %q", b.name, b.path(), w, text)
		}
	}
	return b
}

// lacks checks that words are not on the page.
func (b *browser) lacks(words ...string) *browser {
	b.t.Helper()
	text := b.text()
	for _, w := range words {
		if strings.Contains(text, w) {
			b.t.Errorf("%s at %s: %q is in %q", b.name, b.path(), w, text)
		}
	}
	return b
}

// at checks where the browser is.
func (b *browser) at(path string, status int) *browser {
	b.t.Helper()
	if got := b.path(); got != path || b.status != status {
		b.t.Fatalf("%s is at %s (%d), wanted %s (%d): %s", b.name, got, b.status, path, status, b.text())
	}
	return b
}

// element returns the text of an element of the app's page.
func (b *browser) element(id string) string {
	b.t.Helper()
	return strings.TrimSpace(evaluate[string](b, fmt.Sprintf(`(document.getElementById(%q) || {textContent: "no such element"}).textContent`, id)))
}

// isApp checks that the app behind the gate was reached and saw who it is.
func (b *browser) isApp(path, email string) *browser {
	b.t.Helper()
	b.at(path, 200)
	if got := b.element("email-seen"); got != email || b.element("path") != path || b.element("subject") == "" {
		b.t.Fatalf("%s: the app sees %q at %q, wanted %q at %q", b.name, got, b.element("path"), email, path)
	}
	if got := b.element("cookies"); got != "" {
		b.t.Errorf("SES-2: the app sees the cookies %q", got)
	}
	return b
}

// describe is for failed tests.
func (b *browser) describe() string {
	ctx, cancel := b.limited()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	if shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100)); err == nil {
		path := filepath.Join(b.t.ArtifactDir(), "failed-"+b.name+".png")
		_ = os.WriteFile(path, shot, 0o600) // a help, no part of the test
	}
	return v
}
