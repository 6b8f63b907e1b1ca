package web

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sameForAll is an answer with what may differ between two people made alike: the typed address, cookie values but for their lengths.
func sameForAll(a answer, email string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		for _, v := range a.header[name] {
			same := cookieValue.ReplaceAllStringFunc(v, func(v string) string { return "=" + strconv.Itoa(len(v)) + " bytes;" })
			b.WriteString(name + ": " + same + "\n")
		}
	}
	b.WriteString("\n" + strings.ReplaceAll(a.body, email, "ADDRESS"))
	return b.String()
}

var cookieValue = regexp.MustCompile(`=[\w-]{20,};`)

func TestENUM1_SameBytesForEverybody(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.site.SignUp.Mode = 0
		g.account("known1@example.com")
		gone := g.account("gone12@example.com")
		g.disable(gone.ID)
		type step struct {
			name string
			run  func(b *browser, email string) answer
		}
		steps := []step{
			{"ask", func(b *browser, email string) answer { return b.post("/email-link/sign-in", "email", email) }},
			{"page", func(b *browser, _ string) answer { return b.get("/email-link/resend") }},
			{"early", func(b *browser, _ string) answer { return b.post("/email-link/resend") }},
			{"wrong code", func(b *browser, _ string) answer { return b.post("/email-link/code", "code", "00000000") }},
			{"after delivery", func(b *browser, _ string) answer { b.g.deliver(); return b.get("/email-link/resend") }},
			{"wrong code later", func(b *browser, _ string) answer { return b.json("POST", "/email-link/code", `{"code":"00000001"}`) }},
			{"ask again", func(b *browser, email string) answer {
				return b.json("POST", "/email-link/sign-in", `{"email":"`+email+`"}`)
			}},
			{"asked as JSON", func(b *browser, _ string) answer { return b.json("GET", "/email-link/resend", "") }},
		}
		emails := []string{"known1@example.com", "nobody@example.com", "gone12@example.com"}
		browsers := map[string]*browser{}
		for i, email := range emails {
			browsers[email] = g.browser()
			browsers[email].client = []string{"192.0.2.1:1", "198.51.100.1:1", "203.0.113.1:1"}[i]
		}
		for _, s := range steps {
			var first string
			var status int
			for i, email := range emails {
				a := s.run(browsers[email], email)
				got := sameForAll(a, email)
				if i == 0 {
					first, status = got, a.status
					continue
				}
				if a.status != status || got != first {
					t.Errorf("%s: %s: %d, %d, %s", s.name, email, status, a.status, cmp.Diff(first, got))
				}
			}
		}
		// Until its time has ended a flow answers alike, whatever became of it.
		for len(g.deliver()) > 0 {
		}
		g.clock.Advance(14 * time.Minute)
		var first string
		for i, email := range emails {
			got := sameForAll(browsers[email].get("/email-link/resend"), email)
			if i == 0 {
				first = got
			} else if got != first {
				t.Errorf("late: %s", cmp.Diff(first, got))
			}
		}
		g.clock.Advance(time.Minute)
		for _, email := range emails {
			browsers[email].get("/email-link/resend").wants(t, 200, "").says(t, "No sign-in is in progress")
		}
	})
}

func TestENUM1_CapsAreNeutral(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("known1@example.com")
		var answers []string
		for _, email := range []string{"known1@example.com", "nobody@example.com"} {
			var last answer
			for range 6 {
				last = g.browser().post("/email-link/sign-in", "email", email)
			}
			last.wants(t, 429, "").says(t, "Too many requests", `value="`+email+`"`)
			answers = append(answers, last.body)
			// Counters start at moments of their own: the countdown is all that may differ.
		}
		in := regexp.MustCompile(`try again in [^.]*\.`)
		first := strings.ReplaceAll(in.ReplaceAllString(answers[0], "…"), "known1@", "nobody@")
		if second := in.ReplaceAllString(answers[1], "…"); first != second {
			t.Error(cmp.Diff(first, second))
		}
	})
}

// stranger asks in somebody's name by a form, tries five codes and asks for more mails; elsewhere happens after so many steps. It returns every
// answer, without the address and the cookies' values.
func stranger(g *gate, form, email string, after int, elsewhere func(mail string)) (seen []string) {
	b := g.browser()
	b.client = "198.51.100.9:99"
	step := func(a answer) { seen = append(seen, strconv.Itoa(a.status)+" "+a.location+"\n"+sameForAll(a, email)) }
	fields := []string{"email", email, "return_to", "/deep"}
	if form == "/email-link/reset" {
		fields = fields[:2]
	}
	asked := b.post(form, fields...)
	asked.wants(g.t, 303, "/email-link/resend")
	step(asked)
	first := ""
	for _, m := range g.deliver() {
		if strings.Contains(m.Text, "/email-link/link?t=") {
			first = m.Text
		}
	}
	for i := range 6 {
		if i == after {
			elsewhere(first)
			g.deliver()
		}
		g.clock.Advance(time.Minute)
		code := "0000000" + strconv.Itoa(i)
		step(b.get("/email-link/resend"))
		step(b.get("/email-link/resend?opened=1"))
		step(b.json("GET", "/email-link/resend", ""))
		step(b.json("GET", "/email-link/session", ""))
		if i%2 == 0 {
			step(b.post("/email-link/code", "code", code))
			step(b.post("/email-link/resend", "form", "1"))
		} else {
			step(b.json("POST", "/email-link/code", `{"code":"`+code+`"}`))
			step(b.json("POST", "/email-link/resend", "{}"))
		}
		g.deliver()
		step(b.get(form + "?change"))
	}
	step(b.get("/email-link/confirm"))
	step(b.json("GET", "/email-link/confirm", ""))
	step(b.post(form, fields...))
	return seen
}

// TestENUM1_AStrangerLearnsNothingOfTheOwner compares all that a stranger gets who has asked in somebody's name, with what the owner of
// the mailbox does before and after, and with an address that has no account.
func TestENUM1_AStrangerLearnsNothingOfTheOwner(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		run := func(email string, after int, elsewhere func(g *gate, mail string)) []string {
			g := newGate(t)
			g.account("known1@example.com")
			return stranger(g, "/email-link/sign-in", email, after, func(mail string) {
				if elsewhere != nil {
					elsewhere(g, mail)
				}
			})
		}
		redeem := func(g *gate, mail string) {
			owner := g.browser()
			owner.get(g.find(linkPattern, mail)).wants(t, 303, "/email-link/confirm")
			owner.post("/email-link/confirm", "h", g.find(hPattern, owner.get("/email-link/confirm").body)).wants(t, 303, "/deep")
		}
		cancel := func(g *gate, mail string) {
			owner := g.browser()
			owner.get(g.find(cancelPattern, mail)).wants(t, 303, "/email-link/confirm")
			owner.post("/email-link/confirm", "h", g.find(hPattern, owner.get("/email-link/confirm").body)).wants(t, 303, "/email-link/cancel?done")
		}
		unknown := run("nobody@example.com", 0, nil)
		for name, seen := range map[string][]string{
			"nothing happens":         run("known1@example.com", 0, nil),
			"redeemed before a code":  run("known1@example.com", 0, redeem),
			"redeemed after two":      run("known1@example.com", 2, redeem),
			"redeemed after all":      run("known1@example.com", 5, redeem),
			"cancelled before a code": run("known1@example.com", 0, cancel),
			"cancelled after two":     run("known1@example.com", 2, cancel),
		} {
			if diff := cmp.Diff(unknown, seen); diff != "" {
				t.Errorf("%s shows:\n%s", name, diff)
			}
		}
	})
}

// TestENUM1_AStrangerLearnsNothingByTheOtherForms does the same with the forms of sign-up and reset, at a site with passwords.
func TestENUM1_AStrangerLearnsNothingByTheOtherForms(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		run := func(form, email string, after int, elsewhere func(g *gate, id, mail string)) []string {
			g := newPasswordGate(t)
			id := g.accountWith("known1@example.com", oldWords)
			return stranger(g, form, email, after, func(mail string) { elsewhere(g, id, mail) })
		}
		nothing := func(*gate, string, string) {}
		redeem := func(g *gate, _, mail string) {
			owner := g.browser()
			owner.get(g.find(linkPattern, mail)).wants(t, 303, "/email-link/confirm")
			h := g.find(hPattern, owner.get("/email-link/confirm").body)
			if a := owner.post("/email-link/confirm", "h", h, "password", newWords); a.status != 303 {
				t.Errorf("the owner: %d %s", a.status, a.body)
			}
		}
		disable := func(g *gate, id, _ string) { g.disable(id) }
		const unknown, owned = "nobody@example.com", "known1@example.com"
		for form, others := range map[string]map[string][]string{
			"/email-link/sign-up": {
				"an account":               run("/email-link/sign-up", owned, 0, nothing),
				"signed up before a code":  run("/email-link/sign-up", unknown, 0, redeem),
				"signed up after two":      run("/email-link/sign-up", unknown, 2, redeem),
				"signed up after all":      run("/email-link/sign-up", unknown, 5, redeem),
				"an account, disabled now": run("/email-link/sign-up", owned, 2, disable),
			},
			"/email-link/reset": {
				"an account":               run("/email-link/reset", owned, 0, nothing),
				"reset before a code":      run("/email-link/reset", owned, 0, redeem),
				"reset after two":          run("/email-link/reset", owned, 2, redeem),
				"reset after all":          run("/email-link/reset", owned, 5, redeem),
				"an account, disabled now": run("/email-link/reset", owned, 2, disable),
			},
			"/email-link/sign-in": {
				"an account":               run("/email-link/sign-in", owned, 0, nothing),
				"an account, disabled now": run("/email-link/sign-in", owned, 2, disable),
			},
		} {
			want := run(form, unknown, 0, nothing)
			for name, seen := range others {
				if diff := cmp.Diff(want, seen); diff != "" {
					t.Errorf("%s, %s shows:\n%s", form, name, diff)
				}
			}
		}
	})
}
