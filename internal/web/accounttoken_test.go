package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
)

// TestOWN6_ATokenOfOnesOwn makes a token by a code, by page and by script. It has what was typed, and is shown once.
func TestOWN6_ATokenOfOnesOwn(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a := g.account(known)
	b := g.browser().signsIn(known)
	b.get("/email-link/account").lacks(t, "Create an access token")
	b.get("/email-link/account/tokens/new").wants(t, 404, "")
	b.json("POST", "/email-link/account/tokens/new", `{"scope":"calendar"}`).wants(t, 404, "").says(t, "not_found")
	g.site.SelfScopes = []string{"calendar", "files"}
	b.get("/email-link/account").says(t, "Create an access token")
	b.get("/email-link/account/tokens/new").wants(t, 200, "").says(t, `name="scope.calendar"`, `name="scope.files"`, "Email me a code").lacks(t, `name="site"`, `name="current"`)
	g.browser().json("POST", "/email-link/account/tokens/new", `{"scope":"calendar"}`).wants(t, 401, "")
	g.deliver()
	for body, code := range map[string]string{
		`{}`: "invalid_scope", `{"scope":"admin"}`: "invalid_scope", `{"scope":"calendar admin"}`: "invalid_scope",
		`{"scope":"calendar","days":"0"}`: "invalid_days", `{"scope":"calendar","days":"91"}`: "invalid_days", `{"scope":"calendar","days":"x"}`: "invalid_days",
		`{"scope":"calendar","days":"99999999999999999999"}`:            "invalid_days",
		`{"scope":"calendar","name":"\u001b[31m"}`:                      "invalid_name",
		`{"scope":"calendar","name":"A\u202eB"}`:                        "invalid_name",
		`{"scope":"calendar","name":"see evil.example.com"}`:            "invalid_name",
		`{"scope":"calendar","name":"` + strings.Repeat("n", 61) + `"}`: "invalid_name",
		`{"scope":"calendar","site":"https://evil.example.com"}`:        "bad_form", `{"scope.admin":true}`: "bad_form",
	} {
		b.json("POST", "/email-link/account/tokens/new", body).wants(t, 400, "").says(t, code)
	}
	b.post("/email-link/account/tokens/new", "name", "Phone", "days", "7").wants(t, 400, "").says(t, "Choose at least one thing", `value="Phone"`, `value="7"`)
	if mails := g.deliver(); len(mails) != 0 {
		t.Fatalf("%d mails arrived", len(mails))
	}
	b.post("/email-link/account/tokens/new", "name", "Phone", "scope.calendar", "1", "days", "7").wants(t, 303, "/email-link/account/proof")
	m := g.mailAbout("Your code to create an access token for Example")
	for _, words := range []string{"Name: Phone", "May be used for: calendar", "Site: app.example.com", "Works for: 7 days"} {
		if !strings.Contains(m.Text, words) {
			t.Errorf("the mail does not say %q:\n%s", words, m.Text)
		}
	}
	b.get("/email-link/account/proof").says(t, "Create an access token", "Phone", "calendar")
	if len(b.own().Tokens) != 0 {
		t.Fatal("there is a token before the code")
	}
	page := b.post("/email-link/account/proof", "code", g.find(codePattern, m.Text)).wants(t, 200, "").says(t, "elt_", "It is not shown again", "Phone")
	if page.header.Get("Cache-Control") == "" || !strings.Contains(page.header.Get("Cache-Control"), "no-store") {
		t.Errorf("the page may be kept: %q", page.header.Get("Cache-Control"))
	}
	b.post("/email-link/account/proof", "code", g.find(codePattern, m.Text)).wants(t, 303, "/email-link/account")
	own := b.own()
	if len(own.Tokens) != 1 || own.Tokens[0].Name != "Phone" || len(own.Tokens[0].Scopes) != 1 || own.Tokens[0].Scopes[0] != "calendar" ||
		own.Tokens[0].Site != origin || own.Tokens[0].Ends.Sub(own.Tokens[0].Created) != 7*24*time.Hour {
		t.Errorf("the tokens are %+v", own.Tokens)
	}
	b.get("/email-link/account").says(t, "Access token created", "Phone").lacks(t, "elt_")

	b.json("POST", "/email-link/account/tokens/new", `{"scope":"files calendar","days":"90"}`).wants(t, 202, "")
	code := g.find(codePattern, g.mailAbout("Your code to create an access token for Example").Text)
	made := b.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`).wants(t, 200, "").says(t, `"status":"created"`)
	var body struct{ Token, ID string }
	if err := json.Unmarshal([]byte(made.body), &body); err != nil || !strings.HasPrefix(body.Token, "elt_") {
		t.Fatalf("%s, %v", made.body, err)
	}
	live, err := g.state.Machines.Find(t.Context(), body.Token, origin)
	if err != nil || live == nil || live.Account.ID != a.ID {
		t.Errorf("the token is %+v, %v", live, err)
	}
	b.json("POST", "/email-link/account/tokens", `{"token":"`+body.ID+`"}`).wants(t, 200, "")
	if live, err := g.state.Machines.Find(t.Context(), body.Token, origin); live != nil || err != nil {
		t.Errorf("the revoked token is %+v, %v", live, err)
	}

	// Withheld between the mail and its code.
	b.json("POST", "/email-link/account/tokens/new", `{"scope":"files"}`).wants(t, 202, "")
	code = g.find(codePattern, g.mailAbout("Your code to create an access token for Example").Text)
	g.site.Acts = []selfservice.Act{selfservice.Export}
	b.json("POST", "/email-link/account/proof", `{"code":"`+code+`"}`).wants(t, 404, "").says(t, "no_flow")
	b.json("POST", "/email-link/account/tokens/new", `{"scope":"files"}`).wants(t, 404, "").says(t, "not_found")
}

// TestOWN6_ATokenNeedsThePassword: where the account has one, no code is mailed for it.
func TestOWN6_ATokenNeedsThePassword(t *testing.T) {
	t.Parallel()
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	g.site.SelfScopes = []string{"calendar"}
	b := g.browser().signsIn(known)
	b.get("/email-link/account/tokens/new").wants(t, 200, "").says(t, `name="current"`).lacks(t, "Email me a code")
	b.post("/email-link/account/tokens/new", "name", "Phone", "scope.calendar", "1", "days", "7").wants(t, 400, "").says(t, "Enter your current password.", `value="Phone"`, "checked")
	b.post("/email-link/account/tokens/new", "scope.calendar", "1", "days", "7", "current", newWords).wants(t, 403, "").lacks(t, "elt_")
	b.post("/email-link/account/tokens/new", "scope.calendar", "1", "days", "7", "current", oldWords).wants(t, 200, "").says(t, "elt_")
	if own := b.own(); len(own.Tokens) != 1 {
		t.Errorf("%d tokens", len(own.Tokens))
	}
}
