//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// workers are service workers as apps have them, by how they answer a navigation.
var workers = []struct{ kind, answer string }{
	// Workbox and vite-plugin-pwa by default.
	{"cache-first", `event.respondWith(caches.match('/index.html').then((kept) => kept || fetch(event.request)));`},
	{"network-first", `event.respondWith(fetch(event.request).catch(() => caches.match('/index.html')));`},
	{"stale-while-revalidate", `
		const fresh = fetch(event.request).then(async (answer) => {
			if (answer.ok) await (await caches.open('app')).put('/index.html', answer.clone());
			return answer;
		});
		event.waitUntil(fresh.catch(() => {}));
		event.respondWith(caches.match('/index.html').then((kept) => kept || fresh));`},
	// As cache-first. The app registers it where there is none, and from a folder below its scope.
	{"register-once", `event.respondWith(caches.match('/index.html').then((kept) => kept || fetch(event.request)));`},
}

const workerScript = `
self.addEventListener('install', (event) => event.waitUntil((async () => {
	await (await caches.open('app')).add('/index.html');
	await self.skipWaiting();
})()));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
	if (event.request.url.endsWith('/who-answers')) event.respondWith(new Response('the worker of the app'));
	if (event.request.mode !== 'navigate' || event.request.method !== 'GET') return;
	%s
});
`

// shell is the one page of an app in the browser. What kind of worker it has is kept in the browser.
const shell = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>The app</title>
<link rel="icon" href="data:,">
<h1 id="shell">The app</h1>
<label for="draft">Draft</label> <input id="draft">
<script>
const kind = localStorage.getItem('kind');
const once = kind === 'register-once';
navigator.serviceWorker.getRegistration().then((registered) => {
	if (kind && !(once && registered)) navigator.serviceWorker.register((once ? '/static/' : '/') + kind + '.js', {scope: '/'});
});
</script>
`

// serveWorkers is an app in the browser with each kind of service worker.
func serveWorkers(w http.ResponseWriter, r *http.Request) {
	kind, script := strings.CutSuffix(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], ".js")
	if r.URL.Path == "/who-answers" {
		_, _ = fmt.Fprint(w, "the app")
		return
	}
	if !script {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, shell)
		return
	}
	w.Header().Set("Content-Type", "text/javascript")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Service-Worker-Allowed", "/")
	for _, worker := range workers {
		if worker.kind == kind {
			_, _ = fmt.Fprintf(w, workerScript, worker.answer)
		}
	}
}

// until waits for an expression to hold in the page, across navigations that happen by themselves.
func (b *browser) until(what, expression string) *browser {
	b.t.Helper()
	if !b.await(func() bool { return b.holdsNow(expression) }) {
		b.t.Fatalf("%s never came to %s:\n%s", b.name, what, b.describe())
	}
	return b
}

func (b *browser) holdsNow(expression string) bool {
	ctx, cancel := b.limited()
	defer cancel()
	holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.readyState === 'complete' && `+expression, chromedp.EvalAwaitPromise)) // it fails while a page goes away
	return err == nil && holds
}

const (
	atForm    = `!document.getElementById('shell') && document.location.pathname === '/email-link/sign-in' && !!document.getElementById('email')`
	atConfirm = `!document.getElementById('shell') && document.location.pathname === '/email-link/confirm' && !!document.querySelector('input[name=h]')`
	atApp     = `!!document.getElementById('shell') && !document.location.pathname.startsWith('/email-link')`
	hasWorker = atApp + ` && !!navigator.serviceWorker.controller && fetch('/who-answers').then((answer) => answer.text()).then((text) => text === 'the worker of the app')`
)

// visits types an address into the browser, whoever answers, and does not wait for the page: a worker may lead away from it.
func (b *browser) visits(address string) *browser {
	b.t.Helper()
	return b.does(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.Navigate, page.NavigateParams{URL: address})
		return err
	}))
}

// writes types into the field with an id, and by that uses the window.
func (b *browser) writes(id, text string) *browser {
	b.t.Helper()
	return b.does(chromedp.Evaluate[chromedp.Void](`document.getElementById('`+id+`').focus()`), chromedp.KeyEvent(text))
}

// profile is a person's browser in which an app with one kind of worker is signed in.
type profile struct {
	*browser
	g     *gate
	email string
	// form is another tab, with text in a form.
	form *browser
}

// newProfile signs an account in, in a profile of its own, where the app has a worker of a kind from its next page on.
func newProfile(t *testing.T, first *browser, g *gate, kind string) *profile {
	t.Helper()
	email := kind + "@example.com"
	g.account(email)
	p := &profile{browser: first.profile(t, kind, options{scripts: true, tabs: true}), g: g, email: email}
	p.visits(g.origin + "/")
	p.signsInAtForm()
	p.until("the app", atApp).does(chromedp.Evaluate[chromedp.Void](`localStorage.setItem('kind', '` + kind + `')`))
	p.visits(g.origin + "/")
	return p
}

// signsInAtForm signs in by the form that the browser is at or on its way to.
func (p *profile) signsInAtForm() {
	p.t.Helper()
	p.until("the form", atForm).writes("email", p.email+kb.Enter)
	p.until("check your mail", `document.location.pathname === '/email-link/resend'`)
	p.visits(p.g.mail(p.email).link())
}

// comesToApp waits for the app. Where the session has ended before the app was there, the person signs in again: an idle end of seconds
// passes while a busy machine is at the other profiles.
func (p *profile) comesToApp() {
	p.t.Helper()
	if !p.await(func() bool {
		if p.holdsNow(atForm) {
			p.signsInAtForm()
		}
		return p.holdsNow(atApp)
	}) {
		p.t.Fatalf("%s never came to the app:\n%s", p.name, p.describe())
	}
}

// updateWorker is how an app looks for a new script of its worker. Chromium does so by itself after a navigation, but not at each one while
// another tab keeps a registration that was ended and taken up again: on a busy machine it then leaves it for as long as that tab lives.
const updateWorker = atApp + ` && navigator.serviceWorker.getRegistration().then((registration) => registration && registration.update()).then(() => true)`

// hasItsWorker waits for the app and its worker, and now and then looks for a new script as the app may, and loads the page again. Where
// the session has ended before the worker was there, the person signs in again, as in comesToApp.
func (p *profile) hasItsWorker() {
	p.t.Helper()
	p.comesToApp()
	next := time.Now().Add(patience / 40)
	poll := time.NewTicker(200 * time.Millisecond) // Chromium waits with an update while there are requests
	defer poll.Stop()
	for tries := 0; !p.holdsNow(hasWorker); <-poll.C {
		switch {
		case p.holdsNow(atForm):
			p.signsInAtForm()
		case time.Now().After(next):
			if tries++; tries > 20 {
				p.t.Fatalf("%s: the app's worker never came back:\n%s", p.name, p.describe())
			}
			p.holdsNow(updateWorker)
			p.visits(p.g.origin + "/")
			next = time.Now().Add(patience / 40)
		}
	}
}

// opensForm opens the app in a second tab and types into a form there, or does so in the first one and goes on in the second.
func (p *profile) opensForm(second bool) {
	p.t.Helper()
	p.form = p.more(p.name+", second tab", options{scripts: true, tabs: true}, chromedp.WithNewWindow(false))
	p.form.visits(p.g.origin+"/").until("the app", hasWorker)
	if !second {
		p.form, p.browser = p.browser, p.form
	}
	p.form.looks().writes("draft", "a long letter")
	p.looks()
}

// looks brings a tab to the front.
func (b *browser) looks() *browser {
	b.t.Helper()
	return b.does(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.BringToFront, cdp.Empty{})
		return err
	}))
}

// keepsForm checks that what was typed in the other tab is still there.
func (p *profile) keepsForm() {
	p.t.Helper()
	if text := evaluate[string](p.form, `(document.getElementById('draft') || {value: document.location.href}).value`); text != "a long letter" {
		p.t.Errorf("%s: of the form is left %q", p.name, text)
	}
}

// elsewhere is another browser of the same person, without scripts or workers.
func (p *profile) elsewhere() *gatetest.Browser {
	return gatetest.NewBrowser(p.g.origin, &http.Transport{DisableKeepAlives: true})
}

// asksElsewhere has another browser ask for a mail, and returns its link.
func (p *profile) asksElsewhere(b *gatetest.Browser) string {
	p.t.Helper()
	p.sends(b, http.MethodPost, "/email-link/sign-in", url.Values{"email": {p.email}})
	return p.g.mail(p.email).link()
}

// sends sends a request of another browser, which is redirected or answered.
func (p *profile) sends(b *gatetest.Browser, method, target string, form url.Values) {
	p.t.Helper()
	header := gatetest.Navigation
	if method == http.MethodPost {
		header = gatetest.Submission
	}
	res, body, err := b.Send(p.t.Context(), method, target, form, header)
	if err != nil || res.StatusCode >= 400 {
		p.t.Fatalf("%s %s: %v %v\n%s", method, target, res, err, body)
	}
}

// ends are what ends a session while its browser does not look.
var ends = []func(p *profile){
	func(p *profile) { p.g.cli("sessions", "end", p.email) },
	func(p *profile) { // sign-out elsewhere
		b := p.elsewhere()
		p.sends(b, http.MethodGet, p.asksElsewhere(b), nil)
		p.sends(b, http.MethodPost, "/email-link/sign-out", url.Values{"everywhere": {"1"}})
	},
}

// endsIdle waits until the session has ended by itself. To ask the gate for it by the browser would be a use.
func endsIdle(p *profile) {
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	p.g.await("end of the session", func() bool {
		<-poll.C
		return p.g.cli("sessions", "list", p.email, "--json") == ""
	})
}

// target is where a person goes whose session has ended, and how she signs in once the gate is reached.
type target struct {
	goes, signsIn func(p *profile)
}

var targets = []target{
	{func(p *profile) { p.visits(p.g.origin + "/") }, (*profile).signsInAtForm},
	{func(p *profile) { p.visits(p.g.origin + "/email-link/sign-in") }, (*profile).signsInAtForm},
	{func(p *profile) { p.visits(p.asksElsewhere(p.elsewhere())) }, func(p *profile) {
		p.until("the page of the link", atConfirm).does(chromedp.Click(chromedp.CSS("form[action$='/confirm'] button")))
	}},
}

// workerEnded holds once the registration is gone. An app that asks the network first shows the form at once, and its worker ends later.
const workerEnded = `navigator.serviceWorker.getRegistration().then((registration) => !registration)`

// comesBack ends the sessions of profiles, has each go to its target, and signs in again. All profiles wait at once for what Chromium does
// in its own time. The app's worker is back at a later page: while another tab still has the worker that has ended, Chromium takes that
// registration up again, and brings its script up to date afterwards.
func comesBack(profiles []*profile, end func(i int) func(p *profile), to func(i int) target) {
	for i, p := range profiles {
		end(i)(p)
		to(i).goes(p)
	}
	for i, p := range profiles {
		p.until("the end of the worker", workerEnded)
		to(i).signsIn(p)
	}
	for _, p := range profiles {
		p.comesToApp()
		p.visits(p.g.origin + "/")
	}
	for _, p := range profiles {
		p.hasItsWorker()
	}
}

// withWorkers returns a signed-in profile for each kind of worker.
func withWorkers(t *testing.T, g *gate) (profiles []*profile) {
	t.Helper()
	first := newBrowserWith(t, "workers", options{scripts: true})
	for _, worker := range workers {
		profiles = append(profiles, newProfile(t, first, g, worker.kind))
	}
	for _, p := range profiles {
		p.hasItsWorker()
	}
	return profiles
}

// TestWEB4_ServiceWorkersLetPeopleSignIn ends the sessions of an app with each kind of worker and goes to each target. A second tab keeps
// what was typed there.
func TestWEB4_ServiceWorkersLetPeopleSignIn(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{app: serveWorkers, global: unlimited})
	profiles := withWorkers(t, g)
	for i, p := range profiles {
		p.opensForm(i%2 == 0)
	}
	for round := range targets {
		comesBack(profiles, func(i int) func(p *profile) { return ends[(i+round)%len(ends)] }, func(int) target { return targets[round] })
	}
	for _, p := range profiles {
		p.keepsForm()
	}
}

// TestWEB4_ServiceWorkersLetPeopleSignInAfterTheIdleEnd: the same where sessions end by themselves. To the gate all ends are one.
func TestWEB4_ServiceWorkersLetPeopleSignInAfterTheIdleEnd(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{app: serveWorkers, global: "session idle 8s\n" + unlimited})
	profiles := withWorkers(t, g)
	comesBack(profiles, func(int) func(p *profile) { return endsIdle }, func(i int) target { return targets[i%len(targets)] })
}

// TestWEB4_OurPagesAnswerTheWorker asks a page of ours as the worker does that ends an app's: it is one, and is not reloaded under a person
// who types there.
func TestWEB4_OurPagesAnswerTheWorker(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	b := newBrowserWith(t, "anna", options{scripts: true})
	for _, path := range []string{"/email-link/sign-in", "/email-link/sign-up", "/email-link/link?t=x"} {
		b.visits(g.origin + path)
		b.until("an answer of "+path, `document.location.href.endsWith('`+path+`') && new Promise((resolve) => {
			const {port1, port2} = new MessageChannel();
			port1.onmessage = (event) => resolve(event.data === 'email_link');
			navigator.serviceWorker.dispatchEvent(new MessageEvent('message', {data: 'email_link', ports: [port2]}));
			setTimeout(() => resolve(false), 500);
		})`)
	}
}
