//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// ofAccounts are the samples of pages on which people look after their accounts, and of what their mails and invitations open. The other pages
// are walked to.
var ofAccounts = regexp.MustCompile(`^(account|address|cancelled|confirm-(address|cancel|invite|undo)|delete|home|invitation|kept|prove|sign-out|token)`)

// serveSamples serves each sample at /email-link/<language>/<name>, with the headers of a page.
func serveSamples(t *testing.T) (origin string) {
	t.Helper()
	set, err := templates.Load(templates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]templates.PageSample{}
	for _, s := range templates.PageSamples() {
		samples[s.Name] = s
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _ := strings.CutPrefix(r.URL.Path, "/email-link/")
		if name, ok := strings.CutPrefix(path, "assets/"); ok {
			content, kind, _ := set.Asset(name)
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(content)
			return
		}
		language, name, _ := strings.Cut(path, "/")
		sample, found := samples[name]
		if !found {
			http.NotFound(w, r)
			return
		}
		sample.Frame.Language = language
		var b bytes.Buffer
		if err := set.Page(&b, sample.Frame, sample.Facts); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for name, value := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'", "Referrer-Policy": "strict-origin",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			w.Header().Set(name, value)
		}
		w.WriteHeader(sample.Status)
		_, _ = w.Write(b.Bytes())
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}

// TestWEB2_EveryStateOfAnAccount looks at each state of the pages of an account, with long names and without: each in one way of looking after
// the other, with letters of twice the size, and those with long names at 320 pixels as well.
func TestWEB2_EveryStateOfAnAccount(t *testing.T) {
	t.Parallel()
	origin := serveSamples(t)
	for way, i := range []int{0, 1, 5} {
		how := walkers[i]
		t.Run(fmt.Sprintf("%d-%s-%s", how.width, how.theme, how.locale), func(t *testing.T) {
			t.Parallel()
			w := newWalker(t, "reader", i)
			at := 0
			for _, s := range templates.PageSamples() {
				if !ofAccounts.MatchString(s.Name) {
					continue
				}
				at++
				path, audited := "/email-link/"+how.locale+"/"+s.Name, at%3 == way
				if !audited && (way != 0 || !strings.HasSuffix(s.Name, "-long")) {
					continue
				}
				if w.open(origin + path); audited {
					w.audits(path, s.Status)
				}
				evaluate[chromedp.Void](w.browser, "void (document.documentElement.style.fontSize = '200%')")
				if p := evaluate[inspection](w.browser, inspectPage); p.Wide > p.Window {
					t.Errorf("%s with big letters is %v wide in a window of %v", s.Name, p.Wide, p.Window)
				}
			}
			if w.seen < 20 {
				t.Errorf("%d pages were looked at", w.seen)
			}
		})
	}
}
