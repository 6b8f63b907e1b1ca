package web

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sameForAll is an answer with what may differ between two people made alike: the typed address, cookie values.
func sameForAll(a answer, email string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		for _, v := range a.header[name] {
			b.WriteString(name + ": " + cookieValue.ReplaceAllString(v, "=…;") + "\n")
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
			browsers[email].get("/email-link/resend").wants(t, 200, "").says(t, "not waiting for a mail")
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
			last.wants(t, 429, "").says(t, "Too many attempts", `value="`+email+`"`)
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
