package web

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// invites sends an invitation in the name of an operator and returns the address of its link below the site.
func (g *gate) invites(in flow.InviteInput) (link string) {
	g.t.Helper()
	if _, err := g.pages.Flows.Invite(g.t.Context(), g.site.Site, in); err != nil {
		g.t.Fatal(err)
	}
	for _, m := range g.deliver() {
		if m.To == in.Email && strings.HasPrefix(m.Subject, "You're invited") {
			link = g.find(linkPattern, m.Text)
			if strings.Contains(m.Text, "Bob") || strings.Contains(m.Text+m.HTML, "For the trip") {
				g.t.Errorf("the mail has what is the page's alone:\n%s", m.Text)
			}
		}
	}
	return link
}

// TestINV1_AScannerChangesNothing opens the link of an invitation as mail scanners and browsers do ahead of people, and accepts it afterwards.
func TestINV1_AScannerChangesNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.site.SignUp.Mode = flow.SignUpClosed
	link := g.invites(flow.InviteInput{Email: "bob@example.com", Roles: []string{"family", "guest"}, ReturnTo: "/albums", Name: "Bob", Note: "For the trip <b>"})
	for name, header := range map[string][2]string{
		"prefetch": {"Sec-Purpose", "prefetch"}, "prerender": {"Sec-Purpose", "prefetch;prerender"}, "preview": {"X-Purpose", "preview"}, "link": {"User-Agent", "scanner"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			b := g.browser()
			b.do(method, link, "", "", func(r *http.Request) { r.Header.Set(header[0], header[1]) })
			if b.get("/email-link/confirm"); len(g.deliver()) != 0 {
				t.Errorf("%s %s sends mail", method, name)
			}
		}
	}
	b := g.browser()
	b.get(link).wants(t, 303, "/email-link/confirm")
	page := b.get("/email-link/confirm").wants(t, 200, "").says(t, "You&#39;re invited to Example", "family, guest", "For the trip &lt;b&gt;", `value="Bob"`, "Accept")
	b.json("GET", "/email-link/confirm", "").wants(t, 200, "").says(t, `"purpose":"invite"`, `"invitation":{"site":"https://app.example.com","roles":["family","guest"]`)
	if err := g.state.Store.View(t.Context(), func(tx storage.Tx) error {
		any, err := tx.Accounts().Any()
		if any {
			t.Error("there is an account")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b.post("/email-link/confirm", "h", g.find(hPattern, page.body), "name", "Bob").wants(t, 303, "/albums")
	b.get(link).wants(t, 303, "/albums")
	g.browser().get(link)
	dead := g.browser()
	dead.get(link).wants(t, 303, "/email-link/confirm")
	dead.get("/email-link/confirm").wants(t, 410, "")
}

// TestINV3_ThePageLeadsToTheSignIn opens an invitation for an address that has an account, signed out and signed in as somebody else.
func TestINV3_ThePageLeadsToTheSignIn(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	g.account("eve@example.com")
	link := g.invites(flow.InviteInput{Email: known, Roles: []string{"guest"}})
	b := g.browser()
	b.get(link)
	page := b.get("/email-link/confirm").wants(t, 200, "").says(t, "has an account here already", `href="/email-link/sign-in"`).lacks(t, "Accept<")
	if strings.Contains(page.body, known) {
		t.Error("the page names the whole address")
	}
	b.json("POST", "/email-link/confirm", `{"h":"x"}`).wants(t, 409, "")
	other := g.browser().signsIn("eve@example.com")
	other.get(link)
	other.get("/email-link/confirm").says(t, `href="/email-link/sign-in?other"`)
	own := g.browser().signsIn(known)
	own.get(link)
	page = own.get("/email-link/confirm").wants(t, 200, "").says(t, "Accepting adds this")
	own.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/")
	if got := own.own(); len(got.Roles) != 1 || got.Roles[0] != "guest" {
		t.Errorf("the account is %+v", got)
	}
	own.get("/email-link/account").says(t, "You accepted an invitation", "An invitation was emailed to you").lacks(t, "Password changed", "Something else")
}

// TestENUM1_SignUpByInvitationIsTheSameForEverybody asks at the form for an address that was invited, one that was not, and one that has an
// account: until the flow ends each answer is the same, and the form is that of `open`.
func TestENUM1_SignUpByInvitationIsTheSameForEverybody(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		open := sameForAll(g.browser().get("/email-link/sign-up"), "")
		g.site.SignUp.Mode = flow.SignUpInvite
		if got := sameForAll(g.browser().get("/email-link/sign-up"), ""); got != open {
			t.Errorf("the form is not that of open: %s", cmp.Diff(open, got))
		}
		g.account("known1@example.com")
		g.invites(flow.InviteInput{Email: "guest1@example.com", Roles: []string{"guest"}})
		emails := []string{"nobody@example.com", "guest1@example.com", "known1@example.com"}
		browsers := map[string]*browser{}
		for i, email := range emails {
			browsers[email] = g.browser()
			browsers[email].client = []string{"192.0.2.1:1", "198.51.100.1:1", "203.0.113.1:1"}[i]
		}
		mails := map[string]int{}
		for n, step := range []func(b *browser, email string) answer{
			func(b *browser, email string) answer { return b.post("/email-link/sign-up", "email", email) },
			func(b *browser, _ string) answer { return b.get("/email-link/resend") },
			func(b *browser, _ string) answer { return b.post("/email-link/code", "code", "00000000") },
			func(b *browser, _ string) answer {
				for _, m := range b.g.deliver() {
					mails[m.To]++
				}
				return b.get("/email-link/resend")
			},
			func(b *browser, _ string) answer { return b.json("POST", "/email-link/code", `{"code":"00000001"}`) },
			func(b *browser, email string) answer {
				return b.json("POST", "/email-link/sign-up", `{"email":"`+email+`"}`)
			},
			func(b *browser, _ string) answer { return b.json("GET", "/email-link/resend", "") },
		} {
			var first string
			for i, email := range emails {
				got := sameForAll(step(browsers[email], email), email)
				if i == 0 {
					first = got
				} else if got != first {
					t.Errorf("step %d: %s: %s", n, email, cmp.Diff(first, got))
				}
			}
		}
		if mails["nobody@example.com"] != 0 || mails["guest1@example.com"] != 1 || mails["known1@example.com"] != 1 {
			t.Errorf("mails: %v", mails)
		}
	})
}
