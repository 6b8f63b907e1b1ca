package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestINV2_ThePageSaysWhatHasEnded ends invitations in every way and lets one go on: the list says "ended", and never why.
func TestINV2_ThePageSaysWhatHasEnded(t *testing.T) {
	t.Parallel()
	account := func(g *gate, email string) string { return g.account(email).ID }
	for name, c := range map[string]struct {
		end  func(g *gate, b *browser, id string, m mailer.Message)
		want string
	}{
		"nothing": {func(*gate, *browser, string, mailer.Message) {}, "sent"},
		"accepted": {func(g *gate, _ *browser, _ string, m mailer.Message) {
			invited := g.browser()
			invited.get(g.find(linkPattern, m.Text))
			page := invited.get("/email-link/confirm")
			invited.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(g.t, 303, "/")
		}, "ended"},
		"the address has an account": {func(g *gate, _ *browser, _ string, _ mailer.Message) { account(g, guest) }, "sent"},
		"that account is deleted": {func(g *gate, _ *browser, _ string, _ mailer.Message) {
			g.delete(account(g, guest))
		}, "sent"},
		"the role is lost": {func(g *gate, _ *browser, id string, _ mailer.Message) { g.setRoles(id, "other") }, "ended"},
		"the role is lost and is back": {func(g *gate, _ *browser, id string, _ mailer.Message) {
			g.setRoles(id, "other")
			g.setRoles(id, "family")
		}, "sent"},
		"disabled and enabled": {func(g *gate, b *browser, id string, _ mailer.Message) {
			g.disable(id)
			if err := g.state.Store.Update(g.t.Context(), func(tx storage.Tx) error { return g.state.Accounts.SetStatus(tx, id, storage.StatusActive) }); err != nil {
				g.t.Fatal(err)
			}
			g.clock.Advance(time.Minute)
			b.signsIn(known)
		}, "ended"},
		"the rule is gone": {func(g *gate, _ *browser, _ string, _ mailer.Message) { g.pages.Flows.Invites = nil }, "ended"},
		"this wasn't me": {func(g *gate, b *browser, _ string, _ mailer.Message) {
			thief := g.browser().signsIn(known)
			g.deliver()
			thief.post("/email-link/account/export", "form", "1").wants(g.t, 303, "/email-link/account/proof")
			anybody := g.browser()
			anybody.get(g.find(cancelPattern, g.proofMail().Text))
			anybody.post("/email-link/confirm", "h", g.find(hPattern, anybody.get("/email-link/confirm").body))
		}, "ended"},
		"deleted and kept": {func(g *gate, b *browser, _ string, _ mailer.Message) {
			b.post("/email-link/account/delete", "email", known).wants(g.t, 303, "/email-link/account/proof")
			b.post("/email-link/account/proof", "code", g.find(codePattern, g.mailAbout("Your code to delete your account at Example").Text)).wants(g.t, 303, "/email-link/account/delete?deleted")
			undo := g.browser()
			undo.get(g.find(linkPattern, g.mailAbout("Your account at Example is being deleted").Text))
			undo.post("/email-link/confirm", "h", g.find(hPattern, undo.get("/email-link/confirm").body)).wants(g.t, 303, "/email-link/cancel?kept")
			g.clock.Advance(time.Minute)
			b.signsIn(known)
		}, "ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t).invitesBy("guest")
			b, id := g.family()
			m := b.invites(guest)
			c.end(g, b, id, m)
			if got := b.statuses(); !cmp.Equal(got, []string{guest + " " + c.want}) {
				t.Errorf("the list is %v, want %s", got, c.want)
			}
			page := b.get("/email-link/account").says(t, guest)
			if open := strings.Contains(page.body, "open until"); open != (c.want == "sent") || strings.Contains(page.body, `name="invitation"`) != open {
				t.Errorf("the page shows it as open: %t", open)
			}
			page.lacks(t, "accepted", "Something else")
		})
	}
}

// TestENUM1_InvitingSaysNothingOfAccounts invites an address without an account, with one, with a disabled and with a deleted one. All answers are the same to the byte, over
// the whole life of the invitation.
func TestENUM1_InvitingSaysNothingOfAccounts(t *testing.T) {
	t.Parallel()
	var first []string
	for _, c := range []struct {
		name string
		make func(g *gate)
	}{
		{"none", func(*gate) {}},
		{"one", func(g *gate) { g.account(guest) }},
		{"disabled", func(g *gate) { g.disable(g.account(guest).ID) }},
		{"deleted", func(g *gate) { g.delete(g.account(guest).ID) }},
	} {
		g := newGate(t).invitesBy("guest")
		b, _ := g.family()
		at := g.clock.Clock().Now()
		c.make(g)
		g.clock.Advance(time.Minute - g.clock.Clock().Now().Sub(at))
		var seen []string
		look := func(a answer) answer {
			seen = append(seen, sameForAll(a, guest))
			return a
		}
		look(b.post(invitationPath, "email", guest, "role.guest", "1"))
		m := g.mailAbout("Your code to send an invitation from Example")
		look(b.get("/email-link/account/proof"))
		look(b.post("/email-link/account/proof", "code", "1"))
		look(b.post("/email-link/account/proof", "code", g.find(codePattern, m.Text)))
		list := func(path string) {
			if n := len(b.own().Invitations); n != 1 {
				t.Fatalf("%d invitations", n)
			}
			look(b.get(path))
			look(b.json("GET", "/email-link/account", ""))
		}
		list("/email-link/account?invited")
		g.deliver()
		list("/email-link/account")
		look(b.json("POST", invitationPath, `{"email":"`+guest+`","role":"guest"}`))
		look(b.post("/email-link/account/invitations", "invitation", b.own().Invitations[0].ID))
		list("/email-link/account?withdrawn")
		if first == nil {
			first = seen
		}
		for i := range seen {
			if diff := cmp.Diff(randomText.ReplaceAllString(first[i], "ID"), randomText.ReplaceAllString(seen[i], "ID")); diff != "" {
				t.Errorf("%s: step %d differs:\n%s", c.name, i, diff)
			}
		}
	}
}

// TestINV8_ThePortalInvitesToItsSites invites at a portal: to a site that the person may open, chosen where there are several, and the invited person lands there.
func TestINV8_ThePortalInvitesToItsSites(t *testing.T) {
	t.Parallel()
	s := newSeveral(t)
	s.invitesBy("guest")
	id := s.account(known).ID
	s.setRoles(id, "family")
	p := s.person()
	p.signIn(known, "")
	new := authOrigin + invitationPath
	if got := p.visit(photosOrigin + invitationPath); p.at() != authOrigin+"/email-link/account" || got.status != 200 {
		t.Errorf("at a site it leads to %v", p.trail)
	}
	p.visit(new).wants(t, 200, "").says(t, `<option value="https://photos.example.org">photos.example.org</option>`, `value="https://files.example.net"`)
	form := url.Values{"email": {guest}, "role.guest": {"1"}}
	p.visit(new, form).wants(t, 400, "")
	form.Set("site", authOrigin)
	p.visit(new, form).wants(t, 400, "")
	portal := s.sites[authOrigin].Portal
	portal.Sites[1].Admits = func(*accounts.Account) bool { return false }
	form.Set("site", filesOrigin)
	p.visit(new, form).wants(t, 400, "")
	p.visit(new).wants(t, 200, "").lacks(t, "<select id=\"site\"")
	form.Set("site", photosOrigin)
	p.visit(new, form).wants(t, 200, "").says(t, "<bdi>photos.example.org</bdi>")
	if p.at() != authOrigin+"/email-link/account/proof" {
		t.Fatalf("the form leads to %v", p.trail)
	}
	m := s.mailAbout("Your code to send an invitation from auth.example.com")
	if !strings.Contains(strings.Join(strings.Fields(m.Text), " "), "asked to invite guest@example.org to photos.example.org as guest") {
		t.Errorf("the mail is\n%s", m.Text)
	}
	p.visit(authOrigin+"/email-link/account/proof", url.Values{"code": {s.find(codePattern, m.Text)}}).wants(t, 200, "").says(t, "is on its way", "<bdi>photos.example.org</bdi>: <bdi>guest</bdi>")
	m = s.mailAbout("You're invited to photos.example.org")
	invited := s.person()
	_, link, _ := strings.Cut(m.Text, authOrigin+"/email-link/link?t=")
	link, _, _ = strings.Cut(link, "\n")
	page := invited.visit(authOrigin+"/email-link/link?t="+link).says(t, "invites you", "photos.example.org")
	if got := invited.visit(authOrigin+"/email-link/confirm", url.Values{"h": {s.find(hPattern, page.body)}}); got.body != "app of photos.example.org" {
		t.Errorf("the invited person is led to %d by way of %v", got.status, invited.trail)
	}

	// Whoever may open no site invites to the portal itself.
	portal.Sites[0].Admits = portal.Sites[1].Admits
	p.visit(new, url.Values{"email": {"other@example.org"}, "role.guest": {"1"}}).says(t, "<bdi>auth.example.com</bdi>")
}
