//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// home is a gate with a portal and six apps on two domains that have nothing in common.
type home struct {
	*gate
	port string
}

const portalHost = "auth.example.com"

var homeApps = []string{
	"photos.example.com", "music.example.com", "files.example.com", "feeds.example.org", "calendar.example.org", "pumps.example.org",
}

var homeApp = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Host}}</title>
<link rel="icon" href="data:,">
<h1 id="host">{{.Host}}</h1>
<p>You are <b id="email-seen">{{.Email}}</b>.</p>
`))

// serveHome is each of the apps. The last one is an app in the browser, with a service worker.
func serveHome(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	if host == homeApps[len(homeApps)-1] {
		serveWorkers(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = homeApp.Execute(w, map[string]string{"Host": host, "Email": r.Header.Get("Remote-User")})
}

// newHome runs Caddy in a directory of its own until the test ends, with further lines of the global option.
func newHome(t *testing.T, more ...string) *home {
	t.Helper()
	h := &home{gate: &gate{t: t, dir: t.TempDir(), client: &http.Client{Timeout: 5 * time.Second}, backend: newBackend(t), read: map[string]bool{}}, port: gatetest.Port(t)}
	h.backend.app, h.origin = serveHome, h.at(portalHost)
	sites, bases := "", h.origin
	for _, host := range homeApps {
		bases += " " + h.at(host)
		sites += h.at(host) + " {\n\tbind 127.0.0.1\n\ttls internal\n\temail_link {\n\t\theaders {\n\t\t\tRemote-User {http.auth.user.email}\n\t\t}\n\t}\n\treverse_proxy " + h.backend.address + "\n}\n"
	}
	h.write("Caddyfile", gatetest.Config{
		Admin: gatetest.Address(t), Options: "skip_install_trust\n\tauto_https disable_redirects", BaseURL: bases, Mailer: "file ./mails",
		Gate:  "contact help@example.com\n\t\tportal " + h.origin + " {\n\t\t\tname Home\n\t\t}\n\t\t" + strings.Join(append(more, unlimited), "\n"),
		Sites: h.origin + " {\n\tbind 127.0.0.1\n\ttls internal\n\temail_link\n}\n" + sites,
	}.String())
	h.run()
	h.client.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // Caddy's own authority, in a test
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+h.port)
		},
	}
	t.Cleanup(h.client.CloseIdleConnections)
	for _, host := range append([]string{portalHost}, homeApps...) { // each waits for its certificate
		h.origin = h.at(host)
		h.awaitHealth()
	}
	h.origin = h.at(portalHost)
	return h
}

func (h *home) at(host string) string { return "https://" + host + ":" + h.port }

// browser returns a Chromium that finds each host at this machine.
func (h *home) browser(name string) *browser {
	h.t.Helper()
	return newBrowserWith(h.t, name, options{flags: map[string]any{"host-resolver-rules": "MAP * 127.0.0.1", "ignore-certificate-errors": true}})
}

// wantApp checks that a browser is at a path of an app, which knows the person.
func (h *home) wantApp(b *browser, host, path, email string) {
	h.t.Helper()
	if got := evaluate[string](b, `document.location.href`); got != h.at(host)+path || b.status != http.StatusOK {
		h.t.Fatalf("%s is at %s (%d), not at %s%s:\n%s", b.name, got, b.status, host, path, b.text())
	}
	if host != homeApps[len(homeApps)-1] && (b.element("email-seen") != email || b.element("host") != host) {
		h.t.Fatalf("%s: %s sees %q", b.name, b.element("host"), b.element("email-seen"))
	}
	if got := evaluate[string](b, `document.cookie`); got != "" {
		h.t.Errorf("a script of %s sees the cookies %q", host, got)
	}
}

// back goes a page back, as the button of the browser does, and waits until that is at an address; an empty host is anywhere below the portal.
// Chromium may take the page from its memory, without a request.
func (h *home) back(b *browser, host, path string) {
	h.t.Helper()
	there := "document.location.href === '" + h.at(host) + path + "'"
	if host == "" {
		there = "document.location.href.startsWith('" + h.origin + "/')"
	}
	b.does(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		history, err := cdp.Call(ctx, t, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, t, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID})
		return err
	})).until("the page before", there)
}

// wantForm checks that a browser is at the portal's form.
func (h *home) wantForm(b *browser) {
	h.t.Helper()
	if got := evaluate[string](b, `document.location.href`); !strings.HasPrefix(got, h.origin+"/email-link/sign-in") || b.status != http.StatusOK {
		h.t.Fatalf("%s is at %s (%d), not at the portal's form:\n%s", b.name, got, b.status, b.text())
	}
}

// TestPORT9_SixAppsOneMail goes by Chromium without scripts to six apps on two domains, with one mail for all; back and forth through what the
// browser remembers; another person takes the device over; and a sign-out at the portal closes all six.
func TestPORT9_SixAppsOneMail(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.account("anna@example.com")
	h.account("ben@example.com")
	anna := h.browser("anna")
	anna.open(h.at(homeApps[0]) + "/album?x=1")
	h.wantForm(anna)
	anna.says("To open " + homeApps[0])
	other := anna.tab() // of another app, before anybody has signed in
	other.open(h.at(homeApps[3]) + "/unread")
	h.wantForm(other)
	anna.types("Email address", "anna@example.com").presses("Email me a link").says("Check your email")
	letter := h.mail("anna@example.com")
	mailbox := anna.tab()
	mailbox.open(letter.link())
	h.wantApp(mailbox, homeApps[0], "/album?x=1", "anna@example.com")
	other.goes(chromedp.Reload())
	h.wantApp(other, homeApps[3], "/unread", "anna@example.com")
	anna.presses("I have opened the link")
	h.wantApp(anna, homeApps[0], "/album?x=1", "anna@example.com")
	for _, host := range homeApps {
		anna.open(h.at(host) + "/")
		h.wantApp(anna, host, "/", "anna@example.com")
	}
	if m, more := h.unread("anna@example.com", linkPattern.MatchString); more {
		t.Errorf("a second mail: %s", m.text)
	}
	// Back through all of them, and beyond to the page of the mail: nothing there asks again, and no step leads round.
	for i := len(homeApps) - 2; i >= 0; i-- {
		h.back(anna, homeApps[i], "/")
		h.wantApp(anna, homeApps[i], "/", "anna@example.com")
	}
	h.back(anna, homeApps[0], "/album?x=1")
	h.wantApp(anna, homeApps[0], "/album?x=1", "anna@example.com")
	h.back(anna, "", "")
	anna.lacks("went wrong")
	anna.open(h.origin+"/").says("Your sites", "anna@example.com").says(homeApps...)

	// Another person has the device, and none of the apps takes her for the first one.
	anna.open(h.cli("link", "ben@example.com", "--site", h.at(homeApps[1]))).says("b•••@example.com", "a•••@example.com", homeApps[1])
	anna.presses("Sign in here")
	h.wantApp(anna, homeApps[1], "/", "ben@example.com")
	for _, host := range homeApps {
		anna.open(h.at(host) + "/")
		h.wantApp(anna, host, "/", "ben@example.com")
	}
	anna.open(h.origin + "/").presses("Sign out here")
	for _, host := range homeApps {
		anna.open(h.at(host) + "/")
		h.wantForm(anna)
	}
}

// TestPORT9_ThePhoneOpensTheLink has a phone open the link that a desktop has asked for, and then an app's service worker end with the
// session, both in one Chromium.
func TestPORT9_ThePhoneOpensTheLink(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.account("anna@example.com")
	desktop := h.browser("desktop")
	phone := desktop.profile(t, "phone", options{})
	desktop.open(h.at(homeApps[1]) + "/list")
	h.wantForm(desktop)
	desktop.types("Email address", "anna@example.com").presses("Email me a link").says("Check your email")
	phone.open(h.mail("anna@example.com").link()).says(homeApps[1])
	phone.presses("Sign in here")
	h.wantApp(phone, homeApps[1], "/list", "anna@example.com")
	desktop.presses("I have opened the link").says("This browser is not signed in.")
	desktop.open(h.at(homeApps[1]) + "/list")
	h.wantForm(desktop)
	phone.open(h.at(homeApps[4]) + "/")
	h.wantApp(phone, homeApps[4], "/", "anna@example.com")
	h.account("ben@example.com") // whose phone only shows what the link is for, while the code is typed on the desktop
	desktop.types("Email address", "ben@example.com").presses("Email me a link")
	letter := h.mail("ben@example.com")
	phone.profile(t, "ben's phone", options{}).open(letter.link()).says(homeApps[1])
	desktop.types("Code from the email", letter.code()).presses("Continue")
	h.wantApp(desktop, homeApps[1], "/list", "ben@example.com")

	app := h.at(homeApps[len(homeApps)-1]) + "/"
	worker := desktop.profile(t, "worker", options{scripts: true, tabs: true})
	signIn := func() {
		t.Helper()
		worker.visits(h.cli("link", "anna@example.com", "--site", strings.TrimSuffix(app, "/")))
		worker.until("the page of the link", atConfirm).does(chromedp.Click(chromedp.CSS("form[action$='/confirm'] button")))
		worker.until("the app", atApp)
	}
	signIn()
	worker.does(chromedp.Evaluate[chromedp.Void](`localStorage.setItem('kind', 'cache-first')`))
	worker.visits(app)
	worker.until("the app's worker", hasWorker)
	h.cli("sessions", "end", "anna@example.com")
	worker.visits(app)
	worker.until("the portal's form", atForm+` && document.location.host.startsWith('`+portalHost+`')`)
	signIn()
}

// tunnel leads whatever a browser asks for, by CONNECT, to a port of this machine.
func tunnel(t *testing.T, port string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		there, err := new(net.Dialer).DialContext(r.Context(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = there.Close() }()
		here, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = here.Close() }()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		done := make(chan struct{}, 2)
		go func() { _, _ = io.Copy(there, rw); done <- struct{}{} }()
		go func() { _, _ = io.Copy(here, there); done <- struct{}{} }()
		<-done
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestPORT10_TextBrowser goes the whole way by w3m, which says nothing about its requests: each app asks once for the press of a button.
func TestPORT10_TextBrowser(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.account("anna@example.com")
	b := newTextBrowser(t, h.gate, "w3m")
	b.proxy = tunnel(t, h.port)
	text := func(address string) string { return b.shows("-dump", address) }
	app := h.at(homeApps[0]) + "/album"
	if shown := text(app); !strings.Contains(shown, "To open "+homeApps[0]) {
		t.Fatalf("a stranger at the app:\n%s", shown)
	}
	form := b.shows("-dump_source", app)
	_, back, _ := strings.Cut(form, `name="return_to" value="`)
	back, _, _ = strings.Cut(back, `"`)
	b.does(h.origin+"/email-link/sign-in?return_to="+url.QueryEscape(back), types("email", "anna@example.com"), presses("/sign-in", ""))
	b.does(h.mail("anna@example.com").link(), presses("/confirm", ""))
	for _, host := range []string{homeApps[0], homeApps[3]} {
		if shown := text(h.at(host) + "/"); strings.Contains(shown, "You are") {
			continue // the press has led on to this one
		}
		b.does(h.at(host)+"/email-link/confirm", presses("/confirm", ""))
		if shown := text(h.at(host) + "/"); !strings.Contains(shown, "You are anna@example.com") {
			t.Errorf("%s after its button:\n%s", host, shown)
		}
	}
	b.does(h.origin+"/email-link/sign-out", presses("/sign-out", ""))
	for _, host := range []string{homeApps[0], homeApps[3]} {
		if shown := text(h.at(host) + "/"); !strings.Contains(shown, "To open "+host) {
			t.Errorf("%s after the sign-out at the portal:\n%s", host, shown)
		}
	}
}
