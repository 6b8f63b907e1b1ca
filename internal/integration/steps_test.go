package integration

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

var codeIn = regexp.MustCompile(`\b\d{4}[ -]?\d{4}\b`)

// TestCFG2_BetweenAnyTwoSteps reloads, or ends and starts anew, between any two steps of a sign-up, by link in another browser
// and by code in the same one, and of a sign-out: nothing is lost, and what is used stays used.
func TestCFG2_BetweenAnyTwoSteps(t *testing.T) {
	bothModes(t, func(t *testing.T, links string) {
		s := setup{global: "sign_up open\nresend 5 1ms\n" + links}
		for name, disturb := range map[string]func(*world){
			"reload": func(w *world) { w.load(s) },
			"restart": func(w *world) {
				if err := caddy.Stop(); err != nil {
					w.t.Fatal(err)
				}
				w.load(s)
			},
		} {
			t.Run(name, func(t *testing.T) {
				w := start(t, s)
				asking, other := patiently(w.client()), patiently(w.client())
				step := func(what string, status, want int) {
					t.Helper()
					if status != want {
						t.Fatalf("%s: %d, want %d", what, status, want)
					}
					disturb(w)
				}
				status, _, _ := asking.post("/email-link/sign-up", url.Values{"email": {"ada@example.com"}, "return_to": {"/there"}})
				step("asking", status, http.StatusSeeOther)
				status, _, page := asking.visit("/email-link/resend")
				if !strings.Contains(page, "ada@example.com") {
					t.Error("the page has forgotten who asked")
				}
				step("the page", status, http.StatusOK)
				status, _, _ = asking.post("/email-link/resend", url.Values{})
				step("the mail again", status, http.StatusSeeOther)
				_, first := w.mail()
				mail, link := w.mail()
				status, _, _ = other.visit(link)
				step("the link elsewhere", status, http.StatusSeeOther)
				status, _, page = other.visit("/email-link/confirm")
				h := hiddenIn(page)
				step("what is to be confirmed", status, http.StatusOK)
				status, _, _ = asking.post("/email-link/code", url.Values{"code": {"00000000"}})
				if status == http.StatusSeeOther {
					t.Fatal("a wrong code was taken")
				}
				disturb(w)
				status, _, _ = other.post("/email-link/confirm", url.Values{"h": {h}})
				step("confirming", status, http.StatusSeeOther)
				for _, used := range []string{first, link} {
					status = patiently(w.client()).press(used)
					step("a used link", status, http.StatusGone)
				}
				if status, _, _ = asking.post("/email-link/code", url.Values{"code": {codeIn.FindString(mail.Text)}}); status == http.StatusSeeOther {
					t.Error("the code of a used flow works")
				}

				status, _, _ = asking.post("/email-link/sign-in", url.Values{"email": {"ada@example.com"}})
				step("asking again", status, http.StatusSeeOther)
				mail, _ = w.mail()
				status, _, _ = asking.post("/email-link/code", url.Values{"code": {codeIn.FindString(mail.Text)}})
				step("the code", status, http.StatusSeeOther)
				for _, c := range []*client{asking, other} {
					status, _ = c.get("/x")
					step("signed in", status, http.StatusOK)
				}
				old := http.Header{"Cookie": {other.cookie()}}
				status, _, _ = asking.post("/email-link/sign-out", url.Values{"everywhere": {"1"}})
				step("signing out everywhere", status, http.StatusSeeOther)
				for _, header := range []http.Header{old, nil} {
					status, _, _ = patiently(w.client()).do(http.MethodGet, "/x", nil, header)
					step("signed out", status, http.StatusUnauthorized)
				}
			})
		}
	})
}

// patient is a client that comes again when its connection is cut without an answer. At a reload Caddy closes kept
// connections, and those that wait at a listener it has just replaced, with or without a gate. A request that had been carried
// out all the same would be carried out twice, and the test would see it.
type patient struct{ *http.Transport }

func patiently(c *client) *client {
	c.Transport = &patient{c.Transport.(*http.Transport)}
	return c
}

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	for range 3 {
		res, err := p.Transport.RoundTrip(r)
		if err == nil || r.Body != nil && r.GetBody == nil {
			return res, err
		}
		r = r.Clone(r.Context())
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		p.CloseIdleConnections()
	}
	return p.Transport.RoundTrip(r)
}
