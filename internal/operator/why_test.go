package operator_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// enginesService is a service over the storage that the suite runs over.
func enginesService(t *testing.T) *operator.Service {
	t.Helper()
	v, err := vault.Open(t.Context(), vault.Config{
		Store: enginetest.Open(t, t.TempDir()), Clock: clock.NewFake(noon).Clock(),
		Masters: func([]byte) ([][]byte, error) { return [][]byte{bytes.Repeat([]byte{1, 2, 3, 4}, 8)}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return &operator.Service{Vault: v, Limiter: &limit.Limiter{Ring: v.Ring}, Rates: limit.Defaults()}
}

// TestWHY1_WhatThePersonHas asks for people with and without account, session, mails and spent limits, at a site of its own and at one whose people
// sign in at a portal, over the storage that the suite runs over.
func TestWHY1_WhatThePersonHas(t *testing.T) {
	t.Parallel()
	svc := enginesService(t)
	const auth, own, led, other = "https://auth.example.com", "https://a.example.com", "https://led.example.com", "https://other.example.com"
	svc.Route = func(q operator.RouteQuestion) (a operator.RouteAnswer, err error) {
		a.NeedsSession, a.Origin = true, strings.TrimSuffix(q.URL, "/")
		if a.Origin == led || a.Origin == other {
			a.Portal = auth
		}
		return a, nil
	}
	ids := map[string]string{}
	for _, email := range []string{"ann@example.com", "bob@example.com", "off@example.com"} {
		a, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: email})
		if err != nil {
			t.Fatal(err)
		}
		ids[email] = a.ID
	}
	fillAccount(t, svc, ids["ann@example.com"], "ann@example.com") // a session at its own site, a mail that waits, a limit that is spent
	disabled := "disabled"
	if _, err := svc.ChangeAccount(t.Context(), "off@example.com", operator.AccountChange{Status: &disabled}); err != nil {
		t.Fatal(err)
	}
	openThrough(t, svc, ids["ann@example.com"], "ann@example.com", auth, led)
	for _, c := range []struct {
		email, url string
		status     int
		decides    string
	}{
		{"stranger@example.com", own, 303, "account: there is none for this address"},
		{"off@example.com", own, 303, "account: " + ids["off@example.com"] + " is disabled"},
		{"bob@example.com", own, 303, "session: not signed in there"},
		{"bob@example.com", led, 303, "session: not signed in there"},
		{"ann@example.com", own, 0, ""},
		{"ann@example.com", led, 0, ""},
		{"ann@example.com", other, 303, "session: signed in at " + auth + " since 2031-05-04T12:00:00Z, which leads there without a mail"},
		{"ann@example.com", "https://fourth.example.com", 303, "limit mail_mailbox"},
	} {
		w, err := svc.Explain(t.Context(), operator.ExplainQuery{Email: c.email, URL: c.url})
		if err != nil {
			t.Fatal(err)
		}
		decides := ""
		for _, r := range w.Rules {
			if r.Decides {
				decides += r.Rule + ": " + r.Says
			}
		}
		text := fmt.Sprint(w.Rules)
		if w.Status != c.status || !strings.HasPrefix(decides, c.decides) || c.decides == "" && decides != "" {
			t.Errorf("%s at %s: %d, decided by %q of %s", c.email, c.url, w.Status, decides, text)
		}
		if ann := c.email == "ann@example.com"; ann != strings.Contains(text, "mail sign_in") || ann != strings.Contains(text, "is spent until") {
			t.Errorf("%s at %s: mails and limits: %s", c.email, c.url, text)
		}
	}
}

// openThrough signs an account in at a portal, and through it at a site; at another one it was signed in before there was a portal.
func openThrough(t *testing.T, svc *operator.Service, id, email, portal, site string) {
	t.Helper()
	addr, err := address.Parse(email)
	if err != nil {
		t.Fatal(err)
	}
	err = svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
		a, _, err := svc.Vault.Accounts.Get(tx, id)
		if err != nil {
			return err
		}
		in := session.OpenInput{Mailbox: addr.Mailbox(svc.Vault.Ring), Methods: []string{"link"}, Idle: time.Hour, Absolute: time.Hour}
		in.Site = "https://other.example.com"
		if _, _, err := svc.Vault.Sessions.Open(tx, a, in); err != nil {
			return err
		}
		in.Site = portal
		_, parent, err := svc.Vault.Sessions.Open(tx, a, in)
		if err != nil {
			return err
		}
		in.Site, in.Parent = site, &parent
		_, _, err = svc.Vault.Sessions.Open(tx, a, in)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
