package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// proofMail returns the one mail with a code for an act among those that have arrived.
func (g *gate) proofMail() (found mailer.Message) {
	g.t.Helper()
	n := 0
	for _, m := range g.deliver() {
		if m.Subject == "Your code to download your data from Example" {
			found = m
			n++
		}
	}
	if n != 1 {
		g.t.Fatalf("%d mails with a code arrived, want 1", n)
	}
	return found
}

// TestOWN1_ADownloadNeedsACode downloads the account of somebody without a password, by page and by script.
func TestOWN1_ADownloadNeedsACode(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a := g.account(known)
	g.browser().json("POST", "/email-link/account/export", "{}").wants(t, 401, "").says(t, "sign_in_required")
	b := g.browser().signsIn(known)
	g.token(a.ID, "Calendar")
	g.deliver()
	b.get("/email-link/account").says(t, "Your data", "Email me a code").lacks(t, `name="current"`)
	b.get("/email-link/account/proof").wants(t, 303, "/email-link/account")
	b.post("/email-link/account/export", "form", "1").wants(t, 303, "/email-link/account/proof")
	m := g.proofMail()
	if strings.Contains(m.Text, "/link?t=") {
		t.Errorf("the mail has a link:\n%s", m.Text)
	}
	page := b.get("/email-link/account/proof").wants(t, 200, "").says(t, "Download your data", known)
	code := g.find(codePattern, m.Text)
	page.lacks(t, code, strings.ReplaceAll(code, " ", ""))
	thief := *b // another session of the same account, with this browser's cookie of the proof
	thief.cookies = map[string]string{}
	other := thief.signsIn(known)
	other.cookies["__Host-email_link_proof"] = b.cookies["__Host-email_link_proof"]
	other.post("/email-link/account/proof", "code", code).wants(t, 303, "/email-link/account")
	b.post("/email-link/account/proof", "code", "1").wants(t, 400, "").says(t, "eight digits", `aria-invalid="true"`)
	b.post("/email-link/account/proof", "code", code+"0").wants(t, 400, "")
	b.post("/email-link/code", "code", code).lacks(t, "Calendar")
	file := b.post("/email-link/account/proof", "code", code).wants(t, 200, "")
	if d := file.header.Get("Content-Disposition"); d != `attachment; filename="account.json"` || file.header.Get("Cache-Control") == "" {
		t.Errorf("the file comes with %v", file.header)
	}
	var body exportBody
	if err := json.Unmarshal([]byte(file.body), &body); err != nil {
		t.Fatal(err)
	}
	if body.Email != known || body.Sub != a.ID || len(body.Tokens) != 1 || body.Tokens[0].Name != "Calendar" || len(body.Sessions) != 2 || len(body.Events) < 4 || body.Created.IsZero() {
		t.Errorf("the file is %s", file.body)
	}
	b.post("/email-link/account/proof", "code", code).wants(t, 303, "/email-link/account")
	b.get("/email-link/account").says(t, "Account data downloaded")

	b.json("POST", "/email-link/account/export", "{}").wants(t, 202, "").says(t, `"status":"sent","expires_in":900`)
	code = g.find(codePattern, g.proofMail().Text)
	b.json("POST", "/email-link/account/proof", `{"code":"00000000"}`).wants(t, 403, "").says(t, "wrong_code")
	b.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`).wants(t, 200, "").says(t, known)
	b.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`).wants(t, 404, "").says(t, "no_flow")
	g.site.Acts = []selfservice.Act{selfservice.Name}
	b.get("/email-link/account").lacks(t, "Your data")
	b.json("POST", "/email-link/account/export", "{}").wants(t, 404, "").says(t, "not_found")
	b.json("POST", "/email-link/account/proof", `{"code":"1"}`).wants(t, 404, "").says(t, "not_found")
}

// TestOWN1_ADownloadNeedsThePassword: where the account has one, it is asked for on the form itself, and no code is mailed.
func TestOWN1_ADownloadNeedsThePassword(t *testing.T) {
	t.Parallel()
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	b := g.browser().signsIn(known)
	g.deliver()
	b.get("/email-link/account").says(t, "Your data", `name="current"`).lacks(t, "Email me a code")
	b.post("/email-link/account/export", "form", "1").wants(t, 400, "").says(t, "Enter your current password.")
	b.json("POST", "/email-link/account/export", `{}`).wants(t, 400, "").says(t, "missing_current_password")
	b.post("/email-link/account/export", "current", newWords).wants(t, 403, "").says(t, "not your current password").lacks(t, `"events"`)
	if mails := g.deliver(); len(mails) != 0 {
		t.Errorf("%d mails arrived", len(mails))
	}
	b.json("POST", "/email-link/account/export", `{"current":"`+oldWords+`"}`).wants(t, 200, "").says(t, known, `"events"`)
	stranger := g.browser()
	stranger.json("POST", "/email-link/account/export", `{"current":"`+oldWords+`"}`).wants(t, 401, "")
}

// TestOWN1_ThisWasNotMeSaysWhatItDoes presses the button of the mail of a code.
func TestOWN1_ThisWasNotMeSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	thief, owner := g.browser().signsIn(known), g.browser()
	g.deliver()
	thief.post("/email-link/account/export", "form", "1").wants(t, 303, "/email-link/account/proof")
	m := g.proofMail()
	owner.get(g.find(cancelPattern, m.Text)).wants(t, 303, "/email-link/confirm")
	page := owner.get("/email-link/confirm").wants(t, 200, "").says(t, "that browser is signed out")
	owner.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/email-link/cancel?ended")
	owner.get("/email-link/cancel?ended").wants(t, 200, "").says(t, "The browser that made it is signed out")
	thief.get("/email-link/account").wants(t, 303, signInForAccount)
}

// TestOWN5_TheMailSignsTheNewBrowserOut opens the link of the mail about a new device as a scanner and its owner do, in the window of another browser.
func TestOWN5_TheMailSignsTheNewBrowserOut(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	b, owner := g.browser(), g.browser().signsIn(known)
	if mails := g.deliver(); len(mails) != 0 {
		t.Errorf("%d mails about the browser that asked", len(mails))
	}
	elsewhere := func() {
		b.get(g.find(linkPattern, g.browser().asks(known).Text)).wants(t, 303, "/email-link/confirm")
		page := b.get("/email-link/confirm").wants(t, 200, "")
		b.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/")
	}
	elsewhere()
	mails := g.deliver()
	if len(mails) != 1 || mails[0].Subject != "New sign-in to Example" || strings.Contains(mails[0].Text, "/link?t=") {
		t.Fatalf("%+v", mails)
	}
	link := g.find(cancelPattern, mails[0].Text)
	g.browser().get(link).wants(t, 303, "/email-link/confirm")
	owner.get(link).wants(t, 303, "/email-link/confirm")
	page := owner.get("/email-link/confirm").wants(t, 200, "").says(t, "You did not sign in?", "j•••@example.com", "that browser is signed out").lacks(t, known)
	b.get("/email-link/account").wants(t, 200, "")
	owner.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/email-link/cancel?device")
	owner.get("/email-link/cancel?device").wants(t, 200, "").says(t, "That browser is signed out", "Change the password")
	b.get("/email-link/account").wants(t, 303, signInForAccount)
	owner.get("/email-link/account").says(t, "A new browser was signed out")
	g.clock.Advance(time.Second)
	for _, want := range []int{1, 0} { // it is new once more, and then known
		elsewhere()
		if mails := g.deliver(); len(mails) != want {
			t.Errorf("%d mails about a browser that was signed out so, want %d", len(mails), want)
		}
	}
}
