//go:build e2e

package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// textBrowser is a browser in a terminal. Each step is a run of its own, with one file of cookies.
type textBrowser struct {
	t    *testing.T
	g    *gate
	name string
	home string
	// proxy is asked for what is https, where it is set, and no certificate is looked at.
	proxy string
}

func newTextBrowser(t *testing.T, g *gate, name string) *textBrowser {
	t.Helper()
	for tool, from := range map[string]string{name: name, "script": "bsdutils", "stty": "coreutils"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("no %s: apt-get install %s", tool, from)
		}
	}
	b := &textBrowser{t: t, g: g, name: name, home: t.TempDir()}
	for file, text := range map[string]string{
		"lynx.cfg":      "PERSISTENT_COOKIES:TRUE\nACCEPT_ALL_COOKIES:TRUE\nFORCE_COOKIE_PROMPT:yes\nFORCE_SSL_PROMPT:yes\n",
		"cookies":       "",
		".w3m/config":   "use_cookie 1\naccept_cookie 1\nshow_cookie 0\nconfirm_qq 0\n",
		".w3m/cookie":   "",
		".w3m/keymap":   "",
		".w3m/history":  "",
		".w3m/mailcap":  "",
		".w3m/siteconf": "",
	} {
		path := filepath.Join(b.home, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// arguments are those of each run.
func (b *textBrowser) arguments(more ...string) []string {
	if b.name == "w3m" {
		own := []string{"w3m", "-config", b.home + "/.w3m/config", "-cookie", "-no-mouse"}
		if b.proxy != "" {
			own = append(own, "-o", "ssl_verify_server=0")
		}
		return append(own, more...)
	}
	cookies := b.home + "/cookies"
	return append([]string{"lynx", "-cfg=" + b.home + "/lynx.cfg", "-accept_all_cookies", "-cookie_file=" + cookies, "-cookie_save_file=" + cookies, "-nopause", "-nocolor"}, more...)
}

func (b *textBrowser) environment() []string {
	return append(os.Environ(), "HOME="+b.home, "TERM=vt100", "LANG=C.UTF-8", "http_proxy=", "HTTP_PROXY=", "HTTPS_PROXY="+b.proxyURL(), "https_proxy="+b.proxyURL())
}

func (b *textBrowser) proxyURL() string {
	if b.proxy == "" {
		return ""
	}
	return "http://" + b.proxy
}

func (b *textBrowser) run(stdin string, args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = b.environment()
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var refused *exec.ExitError // lynx says by its status that the page's is one of an error
	if err != nil && !(errors.As(err, &refused) && refused.ExitCode() == 1 && len(out) > 0) {
		b.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// shows returns the text of a page, or its source.
func (b *textBrowser) shows(how, address string) string {
	b.t.Helper()
	if how == "-source" && b.name == "w3m" {
		how = "-dump_source"
	}
	return b.run("", b.arguments(how, address)...)
}

// isApp checks that the browser is signed in.
func (b *textBrowser) isApp(email string, signedIn bool) {
	b.t.Helper()
	if text := b.shows("-dump", b.g.origin+"/"); strings.Contains(text, email) != signedIn {
		b.t.Fatalf("%s: signed in %v, wanted %v:\n%s", b.name, !signedIn, signedIn, text)
	}
}

// act is something to do with one control of a page: to type into the field with an id, or without words to press the button of a form, or
// the one that has more in its tag.
type act struct{ id, words, form, more string }

func types(id, words string) act    { return act{id: id, words: words} }
func presses(form, more string) act { return act{form: form, more: more} }

// tag is a form, or what a browser in a terminal stops at: a link, a field, a list, a button. Such browsers know nothing of the attribute hidden.
var tag = regexp.MustCompile(`(?s)<form [^>]*>|<a [^>]*href=[^>]*>|<input [^>]*>|<select [^>]*>|<button[^>]*>`)

// find returns how many controls stand before the one of an act.
func (a act) find(html string) (before int, found bool) {
	form := ""
	for _, text := range tag.FindAllString(html, -1) {
		switch {
		case strings.HasPrefix(text, "<form"):
			form = text
			continue
		case strings.Contains(text, `type="hidden"`):
			continue
		case a.id != "" && strings.Contains(text, `id="`+a.id+`"`),
			a.id == "" && strings.HasPrefix(text, "<button") && strings.Contains(form, `action="/email-link`+a.form+`"`) &&
				strings.Contains(form, `method="post"`) && strings.Contains(text, a.more):
			return before, true
		}
		before++
	}
	return 0, false
}

// does opens a page and does something there by its keyboard. The keys are counted from the page as this browser gets it.
func (b *textBrowser) does(address string, acts ...act) {
	b.t.Helper()
	html := b.shows("-source", address)
	at := 0
	var lynx, w3m strings.Builder
	w3m.WriteString("[") // the first control
	for _, a := range acts {
		to, found := a.find(html)
		if !found || to < at {
			b.t.Fatalf("%s at %s: no %+v behind control %d in\n%s", b.name, address, a, at, html)
		}
		lynx.WriteString(strings.Repeat("key <tab>\n", to-at))
		w3m.WriteString(strings.Repeat("\t", to-at) + "\r")
		at = to
		if a.id == "" {
			lynx.WriteString("key ^J\n")
			continue
		}
		for _, r := range a.words {
			key := string(r)
			if r == ' ' {
				key = "<space>"
			}
			lynx.WriteString("key " + key + "\n")
		}
		w3m.WriteString(a.words + "\r")
	}
	if b.name == "w3m" {
		b.terminal(w3m.String()+"Q", address)
		return
	}
	script := filepath.Join(b.home, "keys")
	// A page that begins with fields for text gets no commands before they are left behind.
	if err := os.WriteFile(script, []byte(lynx.String()+"key <tab>\nkey <tab>\nkey q\nkey y\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.terminal("", "-cmd_script="+script, address)
}

// terminal runs the browser in a terminal of 200 lines, in which every page of ours is seen whole, and types keys once the page is there.
func (b *textBrowser) terminal(keys string, args ...string) {
	b.t.Helper()
	quoted := ""
	for _, arg := range b.arguments(args...) {
		quoted += " '" + arg + "'"
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "script", "-qec", "stty rows 200 cols 100; exec"+quoted, "/dev/null")
	cmd.Env = b.environment()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	var out shown
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	if keys != "" {
		b.g.await("page in the terminal", func() bool { return strings.Contains(out.String(), "Viewing") })
		_, err = io.WriteString(stdin, keys)
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		b.t.Fatalf("%s%s: %v\n%q", b.name, quoted, err, out.String())
	}
}

// shown collects what a terminal shows.
type shown struct {
	mu  sync.Mutex
	all strings.Builder
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// TestWEB2_TextBrowsers goes through every flow with lynx and w3m, by their keyboards.
func TestWEB2_TextBrowsers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"lynx", "w3m"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{global: passwords})
			const email = "anna@example.com"
			b := newTextBrowser(t, g, name)
			page := func(path string) string { return g.origin + "/email-link" + path }
			signOut := func() {
				t.Helper()
				b.does(page("/sign-out"), presses("/sign-out", ""))
				b.isApp(email, false)
			}
			b.does(page("/sign-up"), types("email", email), presses("/sign-up", ""))
			b.does(g.mail(email).link(), types("password", oldWords), presses("/confirm", ""))
			b.isApp(email, true)
			if text := b.shows("-dump", page("/")); !strings.Contains(text, email) {
				t.Errorf("the account page:\n%s", text)
			}
			signOut()
			b.does(page("/sign-in"), types("email", email), presses("/sign-in", `name="mail"`))
			b.does(page("/resend"), types("code", g.mail(email).code()), presses("/code", ""))
			b.isApp(email, true)
			signOut()
			b.does(page("/sign-in"), types("email", email), types("password", oldWords), presses("/sign-in", ""))
			b.isApp(email, true)
			signOut()
			b.does(page("/reset"), types("email", email), presses("/reset", ""))
			b.does(g.mail(email).link(), types("password", newWords), presses("/confirm", ""))
			b.does(page("/sign-in"), types("email", email), types("password", newWords), presses("/sign-in", ""))
			b.isApp(email, true)
			signOut()

			// What another browser has asked for, to sign in here and to cancel.
			other := &profile{browser: &browser{t: t}, g: g, email: email}
			b.does(other.asksElsewhere(other.elsewhere()), presses("/confirm", ""))
			b.isApp(email, true)
			asker := other.elsewhere()
			other.sends(asker, http.MethodPost, "/email-link/sign-in", url.Values{"email": {email}, "mail": {"1"}})
			m := g.mail(email)
			b.does(m.cancel(), presses("/confirm", ""))
			other.sends(asker, http.MethodGet, m.link(), nil)
			if res, body, err := asker.Send(t.Context(), http.MethodGet, "/email-link/confirm", nil, gatetest.Navigation); err != nil || res.StatusCode != http.StatusGone {
				t.Errorf("after the cancel: %v %v\n%s", res, err, body)
			}
			b.looksAfterAccount(email, "next@example.com")
			for _, path := range []string{"/link?t=x", "/nowhere", "/confirm"} {
				if text := b.shows("-dump", page(path)); !strings.Contains(text, "Example") {
					t.Errorf("%s:\n%s", path, text)
				}
			}
		})
	}
}

// looksAfterAccount gives the account of a browser that is signed in a name and another address, deletes it and keeps it. Its password is newWords.
func (b *textBrowser) looksAfterAccount(email, next string) {
	b.t.Helper()
	g := b.g
	page := func(path string) string { return g.origin + "/email-link" + path }
	b.does(page("/account"), types("name", "Anna"), presses("/account/name", ""))
	text := b.shows("-dump", page("/account"))
	for _, words := range []string{email, "Anna", "Where you are signed in", "This browser", "Sign out here", "What happened", "Name changed", "Delete this account"} {
		if !strings.Contains(text, words) {
			b.t.Errorf("%s: the account page lacks %q:\n%s", b.name, words, text)
		}
	}
	b.does(page("/account"), types("email", next), types("address-current", newWords), presses("/account/address", ""))
	b.does(g.mail(next).link(), presses("/confirm", ""))
	b.does(g.mail(email).link(), presses("/confirm", ""))
	b.isApp(next, true)
	b.does(page("/account/delete"), types("email", next), types("current", newWords), presses("/account/delete", ""))
	b.isApp(next, false)
	b.does(g.mail(next).link(), presses("/confirm", ""))
	b.does(page("/sign-in"), types("email", next), types("password", newWords), presses("/sign-in", ""))
	b.isApp(next, true)
}
