package web

import (
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/mailer"
)

const newAddress = "known@new.example.com"

// mailTo returns the one mail to an address with a subject among those that have arrived.
func (g *gate) mailTo(to, subject string, mails []mailer.Message) (found mailer.Message) {
	g.t.Helper()
	n := 0
	for _, m := range mails {
		if m.To == to && m.Subject == subject {
			found = m
			n++
		}
	}
	if n != 1 {
		g.t.Fatalf("%d mails %q to %s arrived, want 1", n, subject, to)
	}
	return found
}

// opens opens a mailed link and returns the value that its form sends back.
func (b *browser) opens(link string, words ...string) (h string) {
	b.g.t.Helper()
	b.get(link).wants(b.g.t, 303, "/email-link/confirm")
	page := b.get("/email-link/confirm").wants(b.g.t, 200, "").says(b.g.t, words...)
	_, h, _ = strings.Cut(page.body, `name="h" value="`)
	h, _, _ = strings.Cut(h, `"`)
	return h
}

// TestOWN1_AnAddressIsChangedOnThePage walks through a change, its take-back and what comes before them.
func TestOWN1_AnAddressIsChangedOnThePage(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a := g.account(known)
	g.account("sam@example.com")
	b := g.browser().signsIn(known)
	b.get("/email-link/account").says(t, "New email address", "Email me a code", "Both addresses get an email")
	for email, says := range map[string]string{known: "already", "x": "address", "jo\u200b@example.com": "invisible"} {
		b.post("/email-link/account/address", "email", email).wants(t, 400, "").says(t, says, `aria-invalid="true"`)
	}
	b.json("POST", "/email-link/account/address", `{"email":"`+known+`"}`).wants(t, 400, "").says(t, `"code":"same_address"`, `"field":"email"`)
	b.json("POST", "/email-link/account/address", `{"email":["`+newAddress+`"]}`).wants(t, 400, "")
	g.deliver()
	b.post("/email-link/account/address", "email", newAddress).wants(t, 303, "/email-link/account/proof")
	b.get("/email-link/account/proof").says(t, "Change your email address", known, newAddress).lacks(t, "Download")
	mails := g.deliver()
	if len(mails) != 1 {
		t.Fatalf("%d mails before the proof", len(mails))
	}
	m := g.mailTo(known, "Your code to change your address at Example", mails)
	if !strings.Contains(m.Text, newAddress) {
		t.Errorf("the mail does not name the address:\n%s", m.Text)
	}
	b.get("/email-link/account").lacks(t, "0 of 2")
	b.post("/email-link/account/proof", "code", g.find(codePattern, m.Text)).wants(t, 303, "/email-link/account")
	b.get("/email-link/account").says(t, "0 of 2 confirmed", newAddress, "Stop the change", "Code from the email to the new address")
	mails = g.deliver()
	toNew := g.mailTo(newAddress, "Confirm this address for Example", mails)
	if strings.Contains(toNew.Text, known) {
		t.Errorf("the mail to a mailbox that has not proven itself names the account:\n%s", toNew.Text)
	}
	toOld := g.mailTo(known, "A new address for your account at Example", mails)

	owner := g.browser()
	h := owner.opens(g.find(linkPattern, toOld.Text), "Agree to the change", known, newAddress)
	owner.post("/email-link/confirm", "h", h+"x").wants(t, 409, "").says(t, "Agree to the change")
	owner.post("/email-link/confirm", "h", h).wants(t, 303, "/email-link/confirm?confirmed_old")
	owner.get("/email-link/confirm?confirmed_old").wants(t, 200, "").says(t, "1 of 2 confirmed", "The new one has to confirm")
	b.get("/email-link/account").says(t, "1 of 2 confirmed", "The new address has not confirmed yet", "An email asking to agree")
	if own := b.json("GET", "/email-link/account", ""); !strings.Contains(own.body, `"address_change":{"email":"`+newAddress+`","new":false,"old":true,"code":true,`) {
		t.Errorf("JSON has %s", own.body)
	}
	b.post("/email-link/account/address/code", "code", "1").wants(t, 400, "").says(t, "eight digits", `aria-invalid="true"`)
	b.json("POST", "/email-link/account/address/code", `{"code":"00000000"}`).wants(t, 403, "").says(t, "wrong_code")
	b.post("/email-link/account/address/code", "code", g.find(codePattern, toNew.Text)).wants(t, 303, "/email-link/account?changed")
	b.get("/email-link/account?changed").wants(t, 200, "").says(t, "Your account has its new address", newAddress, "Email address changed").lacks(t, "1 of 2")

	mails = g.deliver()
	g.mailTo(newAddress, "Your address at Example has changed", mails)
	back := g.mailTo(known, "Your address at Example has changed", mails)
	thief := b
	h = owner.opens(g.find(linkPattern, back.Text), "Take your account back", known)
	body := owner.json("GET", "/email-link/confirm", "").wants(t, 200, "").body
	if !strings.Contains(body, `"purpose":"take_back"`) {
		t.Errorf("JSON has %s", body)
	}
	owner.json("POST", "/email-link/confirm", `{"h":"`+h+`"}`).wants(t, 200, "").says(t, `"status":"restored"`)
	owner.get("/email-link/confirm?address_restored").wants(t, 200, "").says(t, "You have your account back")
	thief.get("/email-link/account").wants(t, 303, signInForAccount)
	if again := g.browser().signsIn(known).own(); again.Sub != a.ID || again.Email != known {
		t.Errorf("the account is %+v", again)
	}
	owner.get(g.find(linkPattern, back.Text))
	owner.get("/email-link/confirm").wants(t, 410, "")
}

// TestOWN1_AChangeOfTheAddressIsStopped stops a change from the page, and from the mail to the present mailbox, which signs out who asked.
func TestOWN1_AChangeOfTheAddressIsStopped(t *testing.T) {
	t.Parallel()
	g := newPasswordGate(t)
	g.account(known)
	b := g.browser().signsIn(known)
	begins := func() (toOld mailer.Message) {
		g.deliver()
		b.json("POST", "/email-link/account/address", `{"email":"`+newAddress+`"}`).wants(t, 202, "").says(t, `"status":"sent"`)
		code := g.find(codePattern, g.mailTo(known, "Your code to change your address at Example", g.deliver()).Text)
		b.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`).wants(t, 202, "").says(t, `"status":"mailed","expires_in":86400`)
		return g.mailTo(known, "A new address for your account at Example", g.deliver())
	}
	first := begins()
	b.post("/email-link/account/address/stop", "form", "1").wants(t, 303, "/email-link/account?stopped")
	b.get("/email-link/account?stopped").says(t, "Your address stays the same", "Change of the email address stopped").lacks(t, "0 of 2")
	b.post("/email-link/account/address/stop", "form", "1").wants(t, 303, "/email-link/account?stopped")
	b.json("POST", "/email-link/account/address/stop", "{}").wants(t, 404, "").says(t, "no_flow")
	owner := g.browser()
	owner.get(g.find(linkPattern, first.Text))
	owner.get("/email-link/confirm").wants(t, 410, "")
	second := begins()
	h := owner.opens(g.find(cancelPattern, second.Text), "that browser is signed out")
	owner.post("/email-link/confirm", "h", h).wants(t, 303, "/email-link/cancel?ended")
	b.get("/email-link/account").wants(t, 303, signInForAccount)
}

// TestOWN4_AnAddressIsOnesOwnWhereSignUpIsOpen withholds the change where no address could sign up, and an address that could not.
func TestOWN4_AnAddressIsOnesOwnWhereSignUpIsOpen(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	b := g.browser().signsIn(known)
	g.site.SignUp.Domains = []string{"example.com"}
	b.post("/email-link/account/address", "email", newAddress).wants(t, 403, "").says(t, "administrators can do it for you", newAddress)
	b.json("POST", "/email-link/account/address", `{"email":"`+newAddress+`"}`).wants(t, 403, "").says(t, "address_not_admitted")
	for _, mode := range []flow.SignUpMode{flow.SignUpClosed, flow.SignUpInvite} {
		g.site.SignUp = flow.SignUp{Mode: mode}
		b.get("/email-link/account").says(t, "administrators change it").lacks(t, "New email address")
		b.json("POST", "/email-link/account/address", `{"email":"`+newAddress+`"}`).wants(t, 404, "").says(t, "not_found")
	}
	g.site.SignUp = flow.SignUp{Mode: flow.SignUpOpen}
	g.site.Acts = []selfservice.Act{selfservice.Name}
	b.get("/email-link/account").lacks(t, "New email address", "Email address</h2>")
	b.json("POST", "/email-link/account/address", `{"email":"`+newAddress+`"}`).wants(t, 404, "").says(t, "not_found")
}
