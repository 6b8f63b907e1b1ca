package web

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// mailAbout returns the one mail with a subject among those that have arrived.
func (g *gate) mailAbout(subject string) (found mailer.Message) {
	g.t.Helper()
	n := 0
	for _, m := range g.deliver() {
		if m.Subject == subject {
			found = m
			n++
		}
	}
	if n != 1 {
		g.t.Fatalf("%d mails %q arrived, want 1", n, subject)
	}
	return found
}

// TestOWN7_DeletingByPage walks through the deletion of an account with a token, by a code, and keeps it.
func TestOWN7_DeletingByPage(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a := g.account(known)
	g.browser().get("/email-link/account/delete").wants(t, 303, signInForAccount)
	g.browser().json("POST", "/email-link/account/delete", `{"email":"`+known+`"}`).wants(t, 401, "")
	b := g.browser().signsIn(known)
	token := g.token(a.ID, "Calendar")
	g.deliver()
	b.get("/email-link/account").says(t, "Delete this account")
	b.get("/email-link/account/delete").wants(t, 200, "").says(t, "3 days", "Email me a code").lacks(t, "Nobody else has these roles", `name="current"`)
	for _, typed := range []string{"", "sam@example.com", known + "," + known, "delete"} {
		b.post("/email-link/account/delete", "email", typed).wants(t, 400, "").says(t, "That is not the address of this account")
		b.json("POST", "/email-link/account/delete", `{"email":"`+typed+`"}`).wants(t, 400, "").says(t, "other_address", `"field":"email"`)
	}
	if mails := g.deliver(); len(mails) != 0 {
		t.Fatalf("%d mails arrived", len(mails))
	}
	b.post("/email-link/account/delete", "email", strings.ToUpper(known)).wants(t, 303, "/email-link/account/proof")
	code := g.find(codePattern, g.mailAbout("Your code to delete your account at Example").Text)
	b.get("/email-link/account/proof").wants(t, 200, "").says(t, "Delete your account", "switched off when you enter it")
	b.post("/email-link/account/proof", "code", code).wants(t, 303, "/email-link/account/delete?deleted")
	if b.cookies["__Host-email_link"] != "" {
		t.Error("the browser has its session cookie still")
	}
	b.get("/email-link/account/delete?deleted").wants(t, 200, "").says(t, "Your account is switched off")
	b.get("/email-link/account").wants(t, 303, signInForAccount)
	if list, err := g.state.Machines.List(t.Context(), a.ID); err != nil || len(list) != 1 || list[0].ID != token.ID || !list[0].Ended {
		t.Errorf("the token is %+v, %v", list, err)
	}
	link := g.find(linkPattern, g.mailAbout("Your account at Example is being deleted").Text)
	owner := g.browser()
	owner.get(link).wants(t, 303, "/email-link/confirm")
	page := owner.get("/email-link/confirm").wants(t, 200, "").says(t, "Keep your account?").lacks(t, known)
	owner.post("/email-link/confirm", "h", g.find(hPattern, page.body)).wants(t, 303, "/email-link/cancel?kept")
	owner.get("/email-link/cancel?kept").wants(t, 200, "").says(t, "Your account is not deleted")
	owner.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	owner.signsIn(known)
	owner.get("/email-link/account").says(t, "Account deleted, with 72 hours to undo it", "Account kept").lacks(t, "Calendar")

	owner.json("POST", "/email-link/account/delete", `{"email":"`+known+`"}`).wants(t, 202, "")
	code = g.find(codePattern, g.mailAbout("Your code to delete your account at Example").Text)
	owner.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`).wants(t, 200, "").says(t, `"status":"deleted"`, `"undo_for":259200`)
	g.clock.Advance(72 * time.Hour)
	if _, err := g.state.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, found, err := g.state.Accounts.Lookup(t.Context(), known); found || err != nil {
		t.Errorf("the account is there still: %v", err)
	}
}

// TestOWN7_DeletingNeedsThePassword: where the account has one, no code is mailed for it.
func TestOWN7_DeletingNeedsThePassword(t *testing.T) {
	t.Parallel()
	g := newPasswordGate(t)
	id := g.accountWith(known, oldWords)
	b := g.browser().signsIn(known)
	g.deliver()
	b.get("/email-link/account/delete").wants(t, 200, "").says(t, `name="current"`).lacks(t, "Email me a code")
	b.post("/email-link/account/delete", "email", known).wants(t, 400, "").says(t, "Enter your current password.", "Delete my account")
	b.post("/email-link/account/delete", "email", known, "current", newWords).wants(t, 403, "").says(t, "not your current password")
	b.get("/email-link/account").wants(t, 200, "")
	b.post("/email-link/account/delete", "email", known, "current", oldWords).wants(t, 303, "/email-link/account/delete?deleted")
	b.get("/email-link/account").wants(t, 303, signInForAccount)
	var now accounts.Account
	if err := g.state.Store.View(t.Context(), func(tx storage.Tx) (err error) {
		now, _, err = g.state.Accounts.Get(tx, id)
		return err
	}); err != nil || now.Status != accounts.Disabled || now.Deletes.IsZero() {
		t.Errorf("the account is %+v, %v", now, err)
	}
}

// TestOWN7_TheLastOfARoleIsWarned deletes the account of the last one with a role that a site requires, and of one of two.
func TestOWN7_TheLastOfARoleIsWarned(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a, sam := g.account(known), g.account("sam@example.com")
	roles := func(id string, roles ...string) {
		if err := g.state.Store.Update(t.Context(), func(tx storage.Tx) error { return g.state.Accounts.SetRoles(tx, id, roles) }); err != nil {
			t.Fatal(err)
		}
	}
	g.pages.RequiredRoles = []string{"admin", "staff"}
	roles(a.ID, "admin", "staff", "reader")
	roles(sam.ID, "staff")
	b := g.browser().signsIn(known)
	b.get("/email-link/account/delete").wants(t, 200, "").says(t, "Nobody else has these roles", "<bdi>admin</bdi>").lacks(t, "<bdi>staff</bdi>", "reader")
	g.disable(sam.ID)
	b.get("/email-link/account/delete").says(t, "<bdi>admin</bdi>", "<bdi>staff</bdi>")
	b.post("/email-link/account/delete", "email", "x").wants(t, 400, "").says(t, "<bdi>admin</bdi>")
	roles(sam.ID, "admin", "staff")
	if err := g.state.Store.Update(t.Context(), func(tx storage.Tx) error {
		return g.state.Accounts.SetStatus(tx, sam.ID, storage.StatusActive)
	}); err != nil {
		t.Fatal(err)
	}
	b.get("/email-link/account/delete").lacks(t, "Nobody else has these roles")
	g.site.Acts = []selfservice.Act{selfservice.Name}
	b.get("/email-link/account").lacks(t, "Delete this account")
	b.get("/email-link/account/delete").wants(t, 404, "")
	b.json("POST", "/email-link/account/delete", `{"email":"`+known+`"}`).wants(t, 404, "")
}
