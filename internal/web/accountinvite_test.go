package web

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	guest          = "guest@example.org"
	invitationPath = "/email-link/account/invitations/new"
)

// randomText is what is different each time: the ids of accounts, sessions and invitations.
var randomText = regexp.MustCompile(`[\w-]{16,}`)

// invitesBy lets the role family give others.
func (g *gate) invitesBy(gives ...string) *gate {
	g.pages.Flows.Invites = []flow.InviteRule{{By: "family", Gives: gives}}
	return g
}

func (g *gate) delete(id string) {
	g.t.Helper()
	if err := g.state.Store.Update(g.t.Context(), func(tx storage.Tx) error { return g.state.Accounts.Delete(tx, id) }); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gate) setRoles(id string, roles ...string) {
	g.t.Helper()
	if err := g.state.Store.Update(g.t.Context(), func(tx storage.Tx) error { return g.state.Accounts.SetRoles(tx, id, roles) }); err != nil {
		g.t.Fatal(err)
	}
}

// family returns a browser that is signed in to an account which may invite.
func (g *gate) family() (b *browser, id string) {
	g.t.Helper()
	id = g.account(known).ID
	g.setRoles(id, "family")
	b = g.browser().signsIn(known)
	g.deliver()
	return b, id
}

// inviteCode posts the form of an invitation and returns the mail of its code.
func (b *browser) inviteCode(pairs ...string) mailer.Message {
	b.g.t.Helper()
	b.post(invitationPath, pairs...).wants(b.g.t, 303, "/email-link/account/proof")
	return b.g.mailAbout("Your code to send an invitation from Example")
}

// invites sends an invitation by a code and returns the mail of it.
func (b *browser) invites(email string) mailer.Message {
	b.g.t.Helper()
	m := b.inviteCode("email", email, "role.guest", "1")
	b.post("/email-link/account/proof", "code", b.g.find(codePattern, m.Text)).wants(b.g.t, 303, "/email-link/account?invited")
	return b.g.mailAbout("You're invited to Example")
}

// statuses returns the states of the invitations of a browser's account, as JSON has them.
func (b *browser) statuses() (list []string) {
	b.g.t.Helper()
	for _, i := range b.own().Invitations {
		list = append(list, i.Email+" "+i.Status)
	}
	return list
}

// TestINV8_InvitingFromThePage invites by a code: the mail and the page that takes it name all of it, the list shows it, and its owner alone withdraws it.
func TestINV8_InvitingFromThePage(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	b, id := g.family()
	b.get("/email-link/account").lacks(t, "Invitations", "Invite someone")
	b.get(invitationPath).wants(t, 404, "")
	b.json("POST", invitationPath, `{"email":"`+guest+`","role":"guest"}`).wants(t, 404, "").says(t, "not_found")
	g.invitesBy("guest")
	b.get("/email-link/account").says(t, "Invitations", `href="/email-link/account/invitations/new"`)
	b.get(invitationPath).wants(t, 200, "").says(t, `name="role.guest" type="checkbox" value="1" checked`, "works for 7 days", "Email me a code").lacks(t, `name="site"`, `name="current"`)
	b.json("GET", invitationPath, "").wants(t, 405, "")
	g.browser().json("POST", invitationPath, `{"email":"`+guest+`","role":"guest"}`).wants(t, 401, "").says(t, "sign_in_required")
	g.browser().get(invitationPath).wants(t, 303, "/email-link/sign-in?return_to=%2Femail-link%2Faccount")

	m := b.inviteCode("email", " "+guest, "role.guest", "1")
	if want := "asked to invite " + guest + " to Example as guest, from your account at Example."; !strings.Contains(strings.Join(strings.Fields(m.Text), " "), want) || !strings.Contains(m.HTML, "guest@example.org") {
		t.Errorf("the mail does not say %q:\n%s", want, m.Text)
	}
	b.get("/email-link/account/proof").wants(t, 200, "").says(t, "<bdi>guest@example.org</bdi>", "<bdi>Example</bdi>", "as <strong><bdi>guest</bdi></strong>", "Send the invitation")
	if got := b.statuses(); len(got) != 0 {
		t.Fatalf("before the code there are %v", got)
	}
	code := g.find(codePattern, m.Text)
	b.post("/email-link/account/proof", "code", code).wants(t, 303, "/email-link/account?invited")
	b.post("/email-link/account/proof", "code", code).wants(t, 303, "/email-link/account")
	page := b.get("/email-link/account?invited").says(t, "The invitation is on its way to <strong><bdi>guest@example.org</bdi></strong>", "<strong><bdi>guest@example.org</bdi></strong>",
		"<bdi>Example</bdi>: <bdi>guest</bdi>", "open until", "You invited someone")
	page.lacks(t, "Something else")
	invitation := g.mailAbout("You're invited to Example")
	if invitation.To != guest || !strings.Contains(invitation.Text, known) {
		t.Errorf("the invitation is %+v", invitation)
	}
	own := b.own()
	if len(own.Invitations) != 1 {
		t.Fatalf("the list is %+v", own.Invitations)
	}
	one := own.Invitations[0]
	if one.Email != guest || one.Site != origin || !cmp.Equal(one.Roles, []string{"guest"}) || one.Status != "sent" || one.Ends.Sub(one.Sent) != 7*24*time.Hour || one.ID == "" {
		t.Errorf("the invitation is %+v", one)
	}

	// Others withdraw nothing: no other account, and no page elsewhere.
	sam := g.account("sam@example.com")
	g.setRoles(sam.ID, "family")
	other := g.browser().signsIn("sam@example.com")
	other.json("POST", "/email-link/account/invitations", `{"invitation":"`+one.ID+`"}`).wants(t, 404, "").says(t, "not_found")
	other.get("/email-link/account").lacks(t, guest)
	g.browser().json("POST", "/email-link/account/invitations", `{"invitation":"`+one.ID+`"}`).wants(t, 401, "")
	b.json("POST", "/email-link/account/invitations", `{"invitation":"x"}`).wants(t, 404, "")
	for _, path := range []string{"/email-link/account/invitations", invitationPath} {
		b.do("POST", path, "application/x-www-form-urlencoded", "invitation="+one.ID, func(r *http.Request) {
			r.Header.Set("Origin", "https://evil.example.com")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}).wants(t, 403, "")
	}
	if got := b.statuses(); !cmp.Equal(got, []string{guest + " sent"}) {
		t.Fatalf("the list is %v", got)
	}
	b.post("/email-link/account/invitations", "invitation", one.ID).wants(t, 303, "/email-link/account?withdrawn")
	b.post("/email-link/account/invitations", "invitation", one.ID).wants(t, 303, "/email-link/account?withdrawn") // as a second press
	b.get("/email-link/account?withdrawn").says(t, "That invitation no longer works", "An invitation was withdrawn", ", ended").lacks(t, "open until", `name="invitation"`)
	b.get("/email-link/account?invited").lacks(t, "is on its way")
	link := g.find(linkPattern, invitation.Text)
	dead := g.browser()
	dead.get(link).wants(t, 303, "/email-link/confirm")
	dead.get("/email-link/confirm").wants(t, 410, "")

	// By script, and in the download.
	b.json("POST", invitationPath, `{"email":"`+guest+`","role":"guest"}`).wants(t, 202, "").says(t, `"status":"sent","expires_in":900`)
	code = g.find(codePattern, g.mailAbout("Your code to send an invitation from Example").Text)
	b.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`).wants(t, 200, "").says(t, `{"status":"invited"}`)
	if got := b.statuses(); !cmp.Equal(got, []string{guest + " sent", guest + " ended"}) {
		t.Errorf("the list is %v", got)
	}
	b.json("POST", "/email-link/account/invitations", `{"invitation":"`+b.own().Invitations[0].ID+`"}`).wants(t, 200, "").says(t, `{"status":"withdrawn"}`)
	b.post("/email-link/account/export", "form", "1").wants(t, 303, "/email-link/account/proof")
	b.post("/email-link/account/proof", "code", g.find(codePattern, g.proofMail().Text)).wants(t, 200, "").says(t, `"invitations"`, guest, `"status": "ended"`).lacks(t, "revoked", "accepted")
	if !strings.Contains(g.log.String(), "event=invited purpose=invite outcome=ok account="+id) {
		t.Error("the log has no line about it")
	}
	if strings.Contains(g.log.String(), guest) {
		t.Error("the log has the address")
	}
}

// TestINV8_RefusalsInWords sends what cannot be an invitation: each is said in words, what was typed comes back, and nothing is mailed.
func TestINV8_RefusalsInWords(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	b, _ := g.family()
	g.invitesBy("guest", "photos")
	b.get(invitationPath).says(t, `name="role.guest"`, `name="role.photos"`).lacks(t, "checked")
	for _, c := range []struct{ email, code, words string }{
		{"JO@example.com", "own_address", "This is your own address"},
		{"a@example.org, b@example.org", "several_addresses", "Enter one address only"},
		{"a@example.org;b@example.org", "several_addresses", "Enter one address only"},
		{"a@example.org b@example.org", "several_addresses", "Enter one address only"},
		{"a@example", "invalid_email", "does not look like an email address"},
		{"a\u200b@example.org", "invalid_email", "is invisible"},
		{"a\x1b[31m@example.org", "invalid_email", ""},
		{"", "missing_email", "Enter your email address"},
	} {
		page := b.post(invitationPath, "email", c.email, "role.photos", "1").wants(t, 400, "").says(t, c.words, `name="role.photos" type="checkbox" value="1" checked`, `aria-invalid="true" aria-describedby="problem" autofocus`)
		page.lacks(t, `name="role.guest" type="checkbox" value="1" checked`)
		body := strings.NewReplacer("\x1b", `\u001b`).Replace(c.email)
		b.json("POST", invitationPath, `{"email":"`+body+`","role":"photos"}`).wants(t, 400, "").says(t, `"code":"`+c.code+`"`)
	}
	b.post(invitationPath, "email", guest).wants(t, 400, "").says(t, "at least one of the roles", `value="guest@example.org"`)
	for body, code := range map[string]string{
		`"role":"family"`: "invalid_role", `"role":"guest admin"`: "invalid_role", `"role":""`: "invalid_role", `"role":"a,b"`: "invalid_role",
		`"role":"\u001b[31m"`: "invalid_role", `"role.admin":true`: "bad_form", `"role":"guest","site":"https://evil.example.com"`: "bad_form",
		`"role":"guest","name":"Bob"`: "bad_form", `"role":"guest","note":"Hello"`: "bad_form", `"role":["guest"]`: "bad_form",
	} {
		b.json("POST", invitationPath, `{"email":"`+guest+`",`+body+`}`).wants(t, 400, "").says(t, code)
	}
	g.site.NoMail = true
	b.get("/email-link/account").lacks(t, "Invite someone")
	b.get(invitationPath).wants(t, 403, "").says(t, "sends no email")
	b.json("POST", invitationPath, `{"email":"`+guest+`","role":"guest"}`).wants(t, 403, "").says(t, "mail_off")
	b.post(invitationPath, "email", guest, "role.guest", "1").wants(t, 403, "").says(t, "sends no email")
	g.site.NoMail = false
	if mails := g.deliver(); len(mails) != 0 {
		t.Errorf("%d mails arrived", len(mails))
	}
}

// TestINV8_InvitingNeedsThePassword: where the account has one it is asked for on the form, and no code is mailed.
func TestINV8_InvitingNeedsThePassword(t *testing.T) {
	t.Parallel()
	g := newPasswordGate(t).invitesBy("guest")
	id := g.accountWith(known, oldWords)
	g.setRoles(id, "family")
	b := g.browser().signsIn(known)
	g.deliver()
	b.get(invitationPath).wants(t, 200, "").says(t, `name="current"`).lacks(t, "Email me a code")
	b.post(invitationPath, "email", guest, "role.guest", "1").wants(t, 400, "").says(t, "Enter your current password.", `value="guest@example.org"`, "checked")
	b.post(invitationPath, "email", guest, "role.guest", "1", "current", newWords).wants(t, 403, "").says(t, "not your current password", `value="guest@example.org"`)
	b.json("POST", invitationPath, `{"email":"`+guest+`","role":"guest","current":"`+newWords+`"}`).wants(t, 403, "").says(t, "wrong_current_password")
	if got := b.statuses(); len(got) != 0 || len(g.deliver()) != 0 {
		t.Fatalf("without the password there are %v", got)
	}
	b.post(invitationPath, "email", guest, "role.guest", "1", "current", oldWords).wants(t, 303, "/email-link/account?invited")
	g.mailAbout("You're invited to Example")
	b.json("POST", invitationPath, `{"email":"other@example.org","role":"guest","current":"`+oldWords+`"}`).wants(t, 200, "").says(t, "invited")
	if got := b.statuses(); len(got) != 2 {
		t.Errorf("the list is %v", got)
	}
}

// TestINV8_TwentyAndTheLimits sends as many as may be open, and as many as a day has: both are said in words, before a code is mailed where that is
// known, and in its step, where the form comes back.
func TestINV8_TwentyAndTheLimits(t *testing.T) {
	t.Parallel()
	g := newPasswordGate(t).invitesBy("guest")
	g.site.Limits[limit.MailInvite] = nil
	id := g.accountWith(known, oldWords)
	g.setRoles(id, "family")
	b := g.browser().signsIn(known)
	send := func(n int) answer {
		return b.post(invitationPath, "email", fmt.Sprintf("guest%d@example.org", n), "role.guest", "1", "current", oldWords)
	}
	for n := range flow.MaxOpenInvitations {
		send(n).wants(t, 303, "/email-link/account?invited")
	}
	send(20).wants(t, 409, "").says(t, "20 of your invitations are open already. Withdraw one", `value="guest20@example.org"`, "checked")
	b.json("POST", invitationPath, `{"email":"`+guest+`","role":"guest","current":"`+oldWords+`"}`).wants(t, 409, "").says(t, "too_many_invitations")
	b.post("/email-link/account/invitations", "invitation", b.own().Invitations[3].ID).wants(t, 303, "/email-link/account?withdrawn")
	send(20).wants(t, 303, "/email-link/account?invited")
	page := b.get("/email-link/account")
	if n := strings.Count(page.body, `name="invitation"`); n != flow.MaxOpenInvitations {
		t.Errorf("%d can be withdrawn", n)
	}
	b.post("/email-link/account/invitations", "invitation", b.own().Invitations[3].ID).wants(t, 303, "/email-link/account?withdrawn")
	rates, err := limit.Parse("1-D")
	if err != nil {
		t.Fatal(err)
	}
	g.site.Limits[limit.MailInvite] = rates
	send(21).wants(t, 303, "/email-link/account?invited")
	b.post("/email-link/account/invitations", "invitation", b.own().Invitations[0].ID).wants(t, 303, "/email-link/account?withdrawn")
	limited := send(22).wants(t, 429, "").says(t, "You have sent too many invitations. Please try again in", `value="guest22@example.org"`)
	if limited.header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	b.json("POST", invitationPath, `{"email":"`+guest+`","role":"guest","current":"`+oldWords+`"}`).wants(t, 429, "").says(t, "invitations_limited")
}

// TestINV8_WhatChangesBeforeTheCode takes the right code after what it was for has become impossible: it is used up, nothing is sent, and the form says why,
// with what was typed.
func TestINV8_WhatChangesBeforeTheCode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(g *gate, b *browser, id string)
		status int
		says   []string
	}{
		"the role is lost":     {func(g *gate, _ *browser, id string) { g.setRoles(id) }, 404, nil},
		"the rule is gone":     {func(g *gate, _ *browser, _ string) { g.pages.Flows.Invites = nil }, 404, nil},
		"another role instead": {func(g *gate, _ *browser, _ string) { g.invitesBy("photos") }, 400, []string{"at least one of the roles", `value="guest@example.org"`}},
		"the limit of the mailbox": {func(g *gate, _ *browser, _ string) {
			rates, err := limit.Parse("1-D")
			if err != nil {
				g.t.Fatal(err)
			}
			g.site.Limits[limit.MailMailbox] = rates
			g.browser().post("/email-link/sign-up", "email", guest).wants(g.t, 303, "/email-link/resend")
			g.deliver()
		}, 429, []string{"Too many requests for this address", `value="guest@example.org"`, "checked"}},
		"no mail leaves": {func(g *gate, _ *browser, _ string) { g.site.NoMail = true }, 403, []string{"sends no email"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t).invitesBy("guest")
			b, id := g.family()
			code := g.find(codePattern, b.inviteCode("email", guest, "role.guest", "1").Text)
			c.change(g, b, id)
			b.post("/email-link/account/proof", "code", code).wants(t, c.status, "").says(t, c.says...)
			g.site.NoMail = false
			b.post("/email-link/account/proof", "code", code).lacks(t, "on its way")
			if got := b.statuses(); len(got) != 0 {
				t.Errorf("there are %v", got)
			}
			for _, m := range g.deliver() {
				if strings.HasPrefix(m.Subject, "You're invited") {
					t.Error("it was mailed")
				}
			}
		})
	}
}

// TestINV8_AnEndedSessionWithdrawsNothing withdraws by a session that ends between the request and its step.
func TestINV8_AnEndedSessionWithdrawsNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t).invitesBy("guest")
	b, _ := g.family()
	b.invites(guest)
	thief, err := g.state.Sessions.Find(t.Context(), b.cookies["__Host-email_link"], origin)
	if err != nil || thief == nil {
		t.Fatal(thief, err)
	}
	one := b.own().Invitations[0].ID
	b.post("/email-link/sign-out", "form", "1")
	if err := g.pages.Self.RevokeInvitation(t.Context(), thief, one, selfservice.Client{Site: origin}); !errors.Is(err, session.ErrEnded) {
		t.Errorf("RevokeInvitation = %v", err)
	}
	if got := b.signsIn(known).statuses(); !cmp.Equal(got, []string{guest + " sent"}) {
		t.Errorf("the list is %v", got)
	}
}

// TestINV8_TheWordsOfAccountDoNotWithholdIt: the rule alone permits to invite, whatever `account` names.
func TestINV8_TheWordsOfAccountDoNotWithholdIt(t *testing.T) {
	t.Parallel()
	g := newGate(t).invitesBy("guest")
	g.site.Acts = []selfservice.Act{selfservice.Name}
	b, _ := g.family()
	b.invites(guest)
	if got := b.statuses(); !cmp.Equal(got, []string{guest + " sent"}) {
		t.Errorf("the list is %v", got)
	}
}
