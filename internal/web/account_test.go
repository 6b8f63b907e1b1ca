package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// signsIn signs a browser in by a mailed link.
func (b *browser) signsIn(email string) *browser {
	b.g.t.Helper()
	b.get(b.g.find(linkPattern, b.asks(email).Text)).wants(b.g.t, 303, "/")
	return b
}

// signInForAccount is where a browser without a session goes that opens the page of the account.
const signInForAccount = "/email-link/sign-in?return_to=%2Femail-link%2Faccount"

// TestRED1_BackToTheAccountPage signs in from the page of the account, and from what lies below it: the first is come back to, and no other page
// of ours is.
func TestRED1_BackToTheAccountPage(t *testing.T) {
	t.Parallel()
	g := newPasswordGate(t)
	g.accountWith(known, oldWords)
	for to, want := range map[string]string{
		"/email-link/account": "/email-link/account", "/email-link/account/delete": "/", "/email-link/account?x": "/", "/email-link/accountx": "/",
		"/email-link/Account": "/", "/email-link//account": "/", "/email-link/account/": "/", "/email-link/": "/", "/email-link/sign-out": "/",
	} {
		b := g.browser()
		b.post("/email-link/sign-in", "email", known, "password", oldWords, "return_to", to).wants(t, 303, want)
	}
	b := g.browser()
	for _, path := range []string{"", "/delete", "/tokens/new", "/proof"} {
		b.get("/email-link/account"+path).wants(t, 303, signInForAccount)
	}
	b.get(signInForAccount).wants(t, 200, "").says(t, `name="return_to" value="/email-link/account"`)
	b.post("/email-link/account/name", "name", "Jo").wants(t, 401, "").says(t, `href="`+signInForAccount+`"`)
}

// own returns the account of a browser as JSON.
func (b *browser) own() (body accountBody) {
	b.g.t.Helper()
	a := b.json("GET", "/email-link/account", "").wants(b.g.t, 200, "")
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		b.g.t.Fatal(err)
	}
	return body
}

// token makes a machine token of an account.
func (g *gate) token(id, name string) machinetoken.Token {
	g.t.Helper()
	_, made, err := g.state.Machines.Create(g.t.Context(), machinetoken.Input{
		Account: id, Site: origin, Scopes: []string{"calendar"}, TTL: time.Hour, Name: name,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return made
}

// TestOWN3_ThePageShowsAndEndsWhatIsOnesOwn walks through the page of an account that is signed in twice.
func TestOWN3_ThePageShowsAndEndsWhatIsOnesOwn(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a, sam := g.account(known), g.account("sam@example.com")
	g.browser().get("/email-link/account").wants(t, 303, signInForAccount)
	b := g.browser().signsIn(known)
	phone := g.browser()
	phone.agent, phone.client = iphone, "198.51.100.9:1"
	phone.signsIn(known)
	stranger := g.browser().signsIn("sam@example.com")
	calendar, foreign := g.token(a.ID, "Calendar"), g.token(sam.ID, "Sam's own")

	page := b.get("/email-link/account").wants(t, 200, "").says(t, known, "Firefox on Linux", "This browser", "Safari on iPhone", "198.51.100.0/24",
		"Sign out everywhere else", "Calendar", "Signed in by a link from an email", "Access token created")
	page.lacks(t, "Sam&#39;s own", "sam@example.com", "198.51.100.9")
	own := b.own()
	if len(own.Sessions) != 2 || !own.Sessions[0].Current || own.Sessions[1].Current || own.Sub != a.ID || len(own.Tokens) != 1 || len(own.Events) < 3 {
		t.Fatalf("the account is %+v", own)
	}
	theirs := stranger.own()

	// Neither a session nor a token of another account can be ended, and no page elsewhere ends one.
	b.json("POST", "/email-link/account/sessions", `{"session":"`+theirs.Sessions[0].ID+`"}`).wants(t, 404, "").says(t, "not_found")
	b.json("POST", "/email-link/account/tokens", `{"token":"`+foreign.ID+`"}`).wants(t, 404, "").says(t, "not_found")
	b.do("POST", "/email-link/account/sessions", "application/x-www-form-urlencoded", "others=1", func(r *http.Request) {
		r.Header.Set("Origin", "https://evil.example.com")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}).wants(t, 403, "")
	for _, fields := range [][]string{{}, {"others", "2"}, {"others", "1", "session", own.Sessions[1].ID}, {"session", own.Sessions[1].ID, "x", "y"}} {
		b.post("/email-link/account/sessions", fields...).wants(t, 400, "")
	}
	if n := len(phone.own().Sessions) + len(stranger.own().Tokens); n != 3 {
		t.Fatalf("%d sessions and tokens are left", n)
	}

	b.post("/email-link/account/tokens", "token", calendar.ID).wants(t, 303, "/email-link/account?revoked")
	b.get("/email-link/account?revoked").says(t, "That access token no longer works", "Access token revoked").lacks(t, "Calendar")
	b.post("/email-link/account/sessions", "session", own.Sessions[1].ID).wants(t, 303, "/email-link/account?ended")
	phone.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	b.post("/email-link/account/sessions", "session", own.Sessions[1].ID).wants(t, 303, "/email-link/account?ended") // as a second press
	b.get("/email-link/account?ended").says(t, "That browser is signed out", "A browser was signed out").lacks(t, "Safari on iPhone", "everywhere else")

	g.clock.Advance(time.Minute)
	phone.signsIn(known)
	b.json("POST", "/email-link/account/sessions", `{"others":true}`).wants(t, 200, "").says(t, `"status":"ended"`)
	phone.json("GET", "/email-link/account", "").wants(t, 401, "").says(t, "sign_in_required")
	phone.json("POST", "/email-link/account/sessions", `{"others":true}`).wants(t, 401, "")
	b.get("/email-link/account").says(t, "Signed out everywhere else")
	b.post("/email-link/account/sessions", "session", own.Sessions[0].ID).wants(t, 303, "/email-link/sign-out")
	b.get("/email-link/").wants(t, 303, "/email-link/sign-in")
	stranger.get("/email-link/").wants(t, 200, "")
}

// TestOWN3_NameAndLanguage changes what harms nobody, and refuses what no account holds.
func TestOWN3_NameAndLanguage(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.account(known)
	b := g.browser().signsIn(known)
	b.post("/email-link/account/name", "name", "Jo Doe").wants(t, 303, "/email-link/account?name")
	b.get("/email-link/account?name").says(t, "Your name is saved.", `value="Jo Doe"`, "Name changed")
	b.post("/email-link/account/language", "language", "de").wants(t, 303, "/email-link/account?language")
	b.get("/email-link/account").says(t, `<option value="de" lang="de" dir="ltr" selected>`, "Language of emails changed")
	if m := b.asksAgain(known); !strings.Contains(m, "Ihr Anmeldelink") {
		t.Errorf("the mail after it is %q", m)
	}
	for _, name := range []string{"A\u202eB", "A\nB", "\x1b[31m", strings.Repeat("n", accounts.MaxName+1)} {
		b.post("/email-link/account/name", "name", name).wants(t, 400, "").says(t, "contains characters that aren&#39;t allowed", `aria-invalid="true"`)
		body, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		b.json("POST", "/email-link/account/name", string(body)).wants(t, 400, "").says(t, "invalid_name", `"field":"name"`)
	}
	b.post("/email-link/account/language", "language", "xx").wants(t, 400, "")
	if own := b.own(); own.Name != "Jo Doe" || own.Language != "de" {
		t.Errorf("the account is %+v", own)
	}
	for _, form := range []string{"sessions", "tokens", "name", "language"} {
		b.get("/email-link/account/"+form).wants(t, 303, "/email-link/account")
		b.json("GET", "/email-link/account/"+form, "").wants(t, 405, "")
		g.browser().post("/email-link/account/"+form, "name", "x").wants(t, 401, "")
	}
}

// asksAgain returns the subject of the mail that another browser asks for.
func (b *browser) asksAgain(email string) string { return b.g.browser().asks(email).Subject }

// TestOWN3_AThousandSessions shows the last ones of very many, and ends them all in one press.
func TestOWN3_AThousandSessions(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	a := g.account(known)
	b := g.browser().signsIn(known)
	err := g.state.Store.Update(t.Context(), func(tx storage.Tx) error {
		first, _, err := tx.Accounts().Get(a.ID)
		for i := 0; err == nil && i < 1000; i++ {
			_, _, err = g.state.Sessions.Open(tx, a, session.OpenInput{
				Site: origin, Mailbox: first.Mailbox, Methods: []string{"link"}, Device: fmt.Sprintf("Browser %d", i), Client: netip.MustParseAddr("192.0.2.1"),
				Idle: time.Hour, Absolute: 24 * time.Hour,
			})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	page := b.get("/email-link/account").wants(t, 200, "").says(t, "more browsers are signed in", "Sign out everywhere else")
	if n := strings.Count(page.body, `name="session"`); n > maxShownSessions || len(page.body) > 64<<10 {
		t.Errorf("the page has %d rows and %d bytes", n, len(page.body))
	}
	b.post("/email-link/account/sessions", "others", "1").wants(t, 303, "/email-link/account?others")
	if own := b.own(); len(own.Sessions) != 1 || !own.Sessions[0].Current {
		t.Errorf("%d sessions are left", len(own.Sessions))
	}
}

// TestOWN4_WhatPeopleMayDoIsTheOperatorsToSay withholds each act: it is on no page, in no JSON, and cannot be posted.
func TestOWN4_WhatPeopleMayDoIsTheOperatorsToSay(t *testing.T) {
	t.Parallel()
	for act, c := range map[selfservice.Act]struct{ target, body, shown string }{
		selfservice.Name:     {"/account/name", `{"name":"x"}`, "Your name"},
		selfservice.Sessions: {"/account/sessions", `{"others":true}`, "Where you are signed in"},
		selfservice.Tokens:   {"/account/tokens", `{"token":"x"}`, "Access tokens"},
		selfservice.Password: {"/password", `{"current":"x","password":"y"}`, "Set a password"},
	} {
		t.Run(string(act), func(t *testing.T) {
			t.Parallel()
			g := newPasswordGate(t)
			a := g.account(known)
			b := g.browser().signsIn(known)
			g.token(a.ID, "Calendar")
			b.get("/email-link/account").says(t, c.shown)
			if got := b.json("POST", "/email-link"+c.target, c.body); strings.Contains(got.body, "not_found") != (act == selfservice.Tokens) {
				t.Fatalf("where it is permitted: %d %s", got.status, got.body)
			}
			for _, other := range selfservice.AllActs() {
				if other != act {
					g.site.Acts = append(g.site.Acts, other)
				}
			}
			b.get("/email-link/account").wants(t, 200, "").lacks(t, c.shown)
			b.json("POST", "/email-link"+c.target, c.body).wants(t, 404, "").says(t, "not_found")
			own := b.own()
			if act == selfservice.Sessions && own.Sessions != nil || act == selfservice.Tokens && own.Tokens != nil {
				t.Errorf("JSON has it: %+v", own)
			}
			if act == selfservice.Password {
				b.get("/email-link/").lacks(t, "/password")
				b.get("/email-link/password").wants(t, 404, "")
			}
		})
	}
}
