//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// varies is what the time alone changes: countdowns, and until when the mails stay good.
var varies = regexp.MustCompile(`\d+ seconds?|(\d+ \w+ \d{4}, )?\d\d:\d\d UTC|datetime="[^"]*"`)

// sees posts one of the app's forms from a browser of its own, and returns what is seen of it: the gate's answer, each cookie without its
// value, and the page that follows.
func (s *shop) sees(path, email string) string {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var seen strings.Builder
	client := &http.Client{Jar: jar, Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	address, method, form := s.origin+path, http.MethodPost, url.Values{"email": {email}}.Encode()
	for range 2 {
		r, err := http.NewRequestWithContext(s.t.Context(), method, address, strings.NewReader(form))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header.Set("Origin", s.origin)
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := client.Do(r)
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		seen.WriteString(resp.Status + " " + resp.Header.Get("Location") + "\n")
		for _, c := range resp.Cookies() {
			c.Value, c.Expires, c.MaxAge = "", time.Time{}, (c.MaxAge+30)/60*60 // a second may pass in between
			seen.WriteString(c.String() + "\n")
		}
		seen.Write(body)
		address, method, form = s.origin+resp.Header.Get("Location"), http.MethodGet, ""
	}
	return varies.ReplaceAllString(strings.ReplaceAll(seen.String(), email, "somebody"), "…")
}

// TestENUM1_ExpressForms asks at both forms for addresses that have a user, none, and one who never finished.
func TestENUM1_ExpressForms(t *testing.T) {
	t.Parallel()
	s := openShop(t, "", "", "DATABASE="+filepath.Join(t.TempDir(), "app.sqlite"))
	b := newBrowser(t, "ada")
	s.member(b, "ada@example.com")
	s.sees("/sign-up", "pen@example.com")
	first := s.mail("pen@example.com")
	for path, unknown := range map[string]string{"/reset": "non@example.com", "/sign-up": "new@example.com"} {
		want := s.sees(path, unknown)
		if !strings.HasPrefix(want, "303 See Other /email-link/resend\n") || !strings.Contains(want, "Check your email") || !strings.Contains(want, "Max-Age") {
			t.Fatalf("%s: %s", path, want)
		}
		for _, email := range []string{"pen@example.com", "ada@example.com"} {
			if d := cmp.Diff(want, s.sees(path, email)); d != "" {
				t.Errorf("%s for %s, and for an address that nobody has:\n%s", path, email, d)
			}
		}
	}
	s.notice("non@example.com", "no account")

	// The page behind the link goes by the user, whichever form was used.
	for range 2 {
		m := s.mail("ada@example.com")
		again := newBrowser(t, "again")
		s.opens(again, m.link(), "ada@example.com")
		again.says("New password").lacks("Your name")
		if strings.Contains(m.subject, "password") == strings.Contains(again.text(), "You have an account already.") {
			t.Errorf("by the mail %q: %s", m.subject, again.text())
		}
	}
	late := newBrowser(t, "late")
	s.notice("pen@example.com", "no account")
	for _, m := range []mail{first, s.mail("pen@example.com")} {
		s.opens(late, m.link(), "pen@example.com")
		late.says("Welcome", "Your name")
	}
	late.saves("Pen", firstWords).at("/password", 200).says("Your password is set.")
	s.signsIn(late, "pen@example.com", firstWords).at("/", 200).says("Hello Pen")
}
