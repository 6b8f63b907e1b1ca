package web

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	oldWords = "eleven quiet herons over Trondheim"
	newWords = "a kettle of brass and seven plums"
)

// newPasswordGate is a gate whose site offers passwords. Hashes are cheap, and no answer waits.
func newPasswordGate(t *testing.T) *gate {
	t.Helper()
	g := newGate(t)
	g.hash(password.Options{})
	return g
}

func (g *gate) hash(o password.Options) {
	g.t.Helper()
	o.Cost = password.Cost{Kind: password.Argon2id, N: 64, R: 1, P: 1}
	o.After = func(time.Duration) <-chan time.Time {
		c := make(chan time.Time, 1)
		c <- time.Time{}
		return c
	}
	h, err := password.NewHasher(o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.pages.Flows.Passwords = h
	g.site.Methods = flow.Methods{Link: true, Code: true, Password: true}
}

// accountWith makes an account with a password.
func (g *gate) accountWith(email, words string) string {
	g.t.Helper()
	ctx := context.Background()
	r, err := g.pages.Flows.Passwords.Hash(ctx, words)
	if err != nil {
		g.t.Fatal(err)
	}
	addr, err := address.Parse(email)
	if err != nil {
		g.t.Fatal(err)
	}
	var id string
	err = g.state.Store.Update(ctx, func(tx storage.Tx) error {
		a, err := g.state.Accounts.Create(tx, accounts.NewAccount{Address: addr, Password: r})
		id = a.ID
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.clock.Advance(time.Second)
	return id
}

// asksReset asks for a new password and opens the link of the only mail that arrives.
func (b *browser) asksReset(email string) (link string) {
	b.g.t.Helper()
	b.g.deliver()
	b.post("/email-link/reset", "email", email).wants(b.g.t, 303, "/email-link/resend")
	mails := b.g.deliver()
	if len(mails) != 1 {
		b.g.t.Fatalf("%d mails arrived, want 1", len(mails))
	}
	if codePattern.MatchString(mails[0].Text) {
		b.g.t.Fatalf("a reset carries a code:\n%s", mails[0].Text)
	}
	return b.g.find(linkPattern, mails[0].Text)
}

var (
	usernamePattern = regexp.MustCompile(`<input id="username" name="username" type="text" autocomplete="username" value="([^"]*)" readonly hidden>`)
	newPattern      = regexp.MustCompile(`<input id="password" name="password" type="password" autocomplete="new-password"[^>]* minlength="12" maxlength="4096"[^>]*>`)
	regexpH         = regexp.MustCompile(`"h":"([^"]+)"`)
)
