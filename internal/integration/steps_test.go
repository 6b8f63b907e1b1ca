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
			if name == "reload" && links == "links stateless" {
				continue // TestCFG2_LinksOfBothModesAreHonoured reloads
			}
			t.Run(name, func(t *testing.T) {
				w := start(t, s)
				asking, other := w.client(), w.client()
				for _, c := range []*client{asking, other} {
					// Caddy closes kept connections at a reload, with or without a gate.
					c.Transport.(*http.Transport).DisableKeepAlives = true
				}
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
					status = w.client().press(used)
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
					status, _, _ = w.client().do(http.MethodGet, "/x", nil, header)
					step("signed out", status, http.StatusUnauthorized)
				}
			})
		}
	})
}
