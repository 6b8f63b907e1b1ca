//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// mail is what a person finds in the mailbox.
type mail struct {
	t             *testing.T
	subject, text string
	html          string
}

// mail waits for the next mail with a link to an address, in the folder of `mailer file`.
func (g *gate) mail(to string) mail {
	g.t.Helper()
	return g.awaitMail("link for "+to, to, linkPattern.MatchString)
}

// notice waits for the next mail to an address that holds words, and no link to sign in with.
func (g *gate) notice(to, words string) mail {
	g.t.Helper()
	return g.awaitMail("notice for "+to, to, func(text string) bool {
		return strings.Contains(text, words) && !linkPattern.MatchString(text)
	})
}

func (g *gate) awaitMail(what, to string, fits func(text string) bool) mail {
	g.t.Helper()
	var found mail
	g.await(what, func() (ok bool) {
		found, ok = g.unread(to, fits)
		return ok
	})
	return found
}

// unread returns the first mail to an address that fits and was not read yet.
func (g *gate) unread(to string, fits func(text string) bool) (mail, bool) {
	g.t.Helper()
	names, err := filepath.Glob(filepath.Join(g.dir, "mails", "*.eml"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names { // sorted by the time of the mail
		if g.read[name] {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			g.t.Fatal(err)
		}
		m, err := mailertest.Parse(raw)
		if err != nil {
			g.t.Fatalf("%s: %v", name, err)
		}
		if m.To == to && fits(m.Text) {
			g.read[name] = true
			return mail{t: g.t, subject: m.Subject, text: m.Text, html: m.HTML}, true
		}
	}
	return mail{}, false
}

var (
	linkPattern   = regexp.MustCompile(`http\S+/email-link/link\?t=\S+`)
	cancelPattern = regexp.MustCompile(`http\S+/email-link/cancel\?t=\S+`)
	codePattern   = regexp.MustCompile(`(?m)^\s+(\d{4}[ \x{a0}]\d{4})\s*$`) // the space does not break where the mail runs from the right
)

func (m mail) find(p *regexp.Regexp) string {
	m.t.Helper()
	found := p.FindStringSubmatch(m.text)
	if found == nil {
		m.t.Fatalf("nothing like %s in the mail %q:\n%s", p, m.subject, m.text)
	}
	return found[len(found)-1]
}

func (m mail) link() string   { m.t.Helper(); return m.find(linkPattern) }
func (m mail) cancel() string { m.t.Helper(); return m.find(cancelPattern) }
func (m mail) code() string   { m.t.Helper(); return m.find(codePattern) }

// webmail serves the mail at an origin of another site, as a mailbox in a browser does, and returns the address.
func (m mail) webmail() string {
	m.t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(m.html))
	}))
	m.t.Cleanup(s.Close)
	if !strings.HasPrefix(s.URL, "http://127.0.0.1:") { // localhost would be the same site
		m.t.Fatalf("the mailbox is at %s", s.URL)
	}
	return s.URL
}
