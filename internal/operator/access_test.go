package operator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const origin = "https://app.example.com"

// refusal returns the kind of a refusal and its words, 0 for anything else.
func refusal(err error) (operator.Kind, string) {
	var e *operator.Error
	if !errors.As(err, &e) {
		return 0, ""
	}
	return e.Kind, e.Message
}

// signIn opens a session of an account and returns what finds it. The session is in memory then.
func signIn(t *testing.T, svc *operator.Service, id string) func() *session.Live {
	t.Helper()
	addr, err := address.Parse("ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	cookie := ""
	err = svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
		a, _, err := svc.Vault.Accounts.Get(tx, id)
		if err != nil {
			return err
		}
		cookie, _, err = svc.Vault.Sessions.Open(tx, a, session.OpenInput{
			Site: origin, Mailbox: addr.Mailbox(svc.Vault.Ring), Methods: []string{"link"}, Idle: time.Hour, Absolute: time.Hour,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	find := func() *session.Live {
		live, err := svc.Vault.Sessions.Find(t.Context(), cookie, origin)
		if err != nil {
			t.Fatal(err)
		}
		return live
	}
	if find() == nil {
		t.Fatal("the session is not there")
	}
	return find
}

// uncertain is a store whose commits happen, and are told as if that were not known.
type uncertain struct{ storage.Store }

func (u uncertain) Update(ctx context.Context, f func(storage.Tx) error) error {
	return errors.Join(u.Store.Update(ctx, f), storage.ErrUnknown)
}

// TestFLOW5_WhatAnOperatorChangesHoldsAtOnce has each change of an account meet a session that is in memory, also where the commit's
// outcome is not known.
func TestFLOW5_WhatAnOperatorChangesHoldsAtOnce(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		change func(svc *operator.Service) error
		holds  func(live *session.Live) bool
	}{
		"disabled": {
			func(svc *operator.Service) error {
				_, err := svc.ChangeAccount(context.Background(), "ada@example.com", operator.AccountChange{Status: text("disabled")})
				return err
			},
			func(live *session.Live) bool { return live == nil },
		},
		"deleted": {
			func(svc *operator.Service) error {
				return second(svc.DeleteAccount(context.Background(), "ada@example.com"))
			},
			func(live *session.Live) bool { return live == nil },
		},
		"other roles": {
			func(svc *operator.Service) error {
				_, err := svc.ChangeAccount(context.Background(), "ada@example.com", operator.AccountChange{Roles: &[]string{"guest"}})
				return err
			},
			func(live *session.Live) bool { return live != nil && strings.Join(live.Account.Roles, ",") == "guest" },
		},
		"another name": {
			func(svc *operator.Service) error {
				_, err := svc.ChangeAccount(context.Background(), "ada@example.com", operator.AccountChange{Name: text("Ada")})
				return err
			},
			func(live *session.Live) bool { return live != nil && live.Account.Name == "Ada" },
		},
		"another time zone": {
			func(svc *operator.Service) error {
				_, err := svc.ChangeAccount(context.Background(), "ada@example.com", operator.AccountChange{Timezone: text("Asia/Kathmandu")})
				return err
			},
			func(live *session.Live) bool { return live != nil && live.Account.Timezone == "Asia/Kathmandu" },
		},
		"signed out": {
			func(svc *operator.Service) error {
				return second(svc.EndSessions(context.Background(), "ada@example.com"))
			},
			func(live *session.Live) bool { return live == nil },
		},
	} {
		for _, unknown := range []bool{false, true} {
			svc, _ := newService(t)
			a, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "ada@example.com", Roles: []string{"admin"}})
			if err != nil {
				t.Fatal(err)
			}
			find := signIn(t, svc, a.ID)
			if unknown && name != "signed out" { // that is the sessions' own commit
				svc.Vault.Store = uncertain{svc.Vault.Store}
			}
			if err := c.change(svc); err != nil && !errors.Is(err, storage.ErrUnknown) {
				t.Fatalf("%s: %v", name, err)
			}
			if live := find(); !c.holds(live) {
				t.Errorf("%s, outcome unknown %v: the session is %+v", name, unknown, live)
			}
		}
	}
}

// TestChangeAccount_RefusesUnknownWords: nothing changes.
func TestChangeAccount_RefusesUnknownWords(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	for _, status := range []string{"", "Active", "enabled", "pending"} {
		_, err := svc.ChangeAccount(t.Context(), "ada@example.com", operator.AccountChange{Status: &status, Roles: &[]string{"admin"}})
		if kind, words := refusal(err); kind != operator.Invalid || !strings.Contains(words, "active, disabled") {
			t.Errorf("%q: %v", status, err)
		}
	}
	if a, err := svc.Account(t.Context(), "ada@example.com"); err != nil || a.Status != "active" || len(a.Roles) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "Ada@Example.com"}); err == nil {
		t.Error("a second account of the mailbox was added")
	} else if kind, _ := refusal(err); kind != operator.Conflict {
		t.Errorf("a second account of the mailbox: %v", err)
	}
}

// TestKEY1_EachKeyIsForItsUse: the key that opens assertions is not the one that signs what the app says, nor another app's.
func TestKEY1_EachKeyIsForItsUse(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	for sign, want := range map[bool][]byte{false: svc.Vault.Ring.AudienceKey("app.example.com"), true: svc.Vault.Ring.SignKey("app.example.com")} {
		k, err := svc.AudienceKey(t.Context(), "app.example.com", sign)
		use := map[bool]string{false: "key", true: "sign_key"}[sign]
		if err != nil || k.Key != base64.RawURLEncoding.EncodeToString(want) || k.Use != use || k.Audience != "app.example.com" {
			t.Errorf("sign %v: %+v, %v", sign, k, err)
		}
	}
	for _, name := range []string{"", "https://app.example.com", "app example.com", "app.example.com\n", "\x7f"} {
		if k, err := svc.AudienceKey(t.Context(), name, false); err == nil {
			t.Errorf("%q: %+v", name, k)
		}
	}
	if text, err := svc.MasterKeys(t.Context()); err == nil || text != "" {
		t.Errorf("the keys are in the configuration, and yet there is a key file: %q", text)
	} else if kind, _ := refusal(err); kind != operator.Conflict {
		t.Error(err)
	}
}

// TestLimits_OfWhom reads and forgets what is counted, for the subjects that can be named and for no others.
func TestLimits_OfWhom(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	svc.Limiter, svc.Rates = &limit.Limiter{Ring: svc.Vault.Ring}, limit.Defaults()
	client := netip.MustParseAddr("192.0.2.1")
	spend := func(n int) {
		for range n {
			err := svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
				_, err := svc.Limiter.Spend(tx, noon, svc.Rates.LimitsFor(limit.RedeemIP, limit.Subject{Client: client})...)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	counted := func(who ...string) (n int64) {
		t.Helper()
		list, err := svc.Limits(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			n += l.Count
		}
		return n
	}
	for _, who := range []string{"192.0.2.1", "::ffff:192.0.2.1"} {
		spend(3)
		if n := counted(who); n != 3 {
			t.Errorf("%s: %d are counted, want 3", who, n)
		}
		if n := counted("192.0.2.2"); n != 0 {
			t.Errorf("another client: %d are counted", n)
		}
		if done, err := svc.ResetLimits(t.Context(), []string{who}); err != nil || done.Reset != 1 || counted("192.0.2.1") != 0 {
			t.Errorf("%s: %+v, %v", who, done, err)
		}
	}
	spend(3)
	for _, who := range [][]string{
		{}, {""}, {"192.0.2.1", "192.0.2.2"}, {"ada@example.com", "bob@example.com"}, {"shared", "192.0.2.1"}, {"192.0.2.0/24"}, {"ada"},
	} {
		if list, err := svc.Limits(t.Context(), who); err == nil {
			t.Errorf("%q: %+v", who, list)
		}
		done, err := svc.ResetLimits(t.Context(), who)
		if kind, _ := refusal(err); kind != operator.Invalid {
			t.Errorf("%q: %+v, %v", who, done, err)
		}
	}
	if n := counted("192.0.2.1"); n != 3 {
		t.Errorf("a refusal has left %d of 3", n)
	}
}

// TestLOG1_TheListOfMailsMasksAddresses: strangers request mails, and the list is printed.
func TestLOG1_TheListOfMailsMasksAddresses(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	svc.Flows.Limiter, svc.Flows.Wake = &limit.Limiter{Ring: svc.Vault.Ring}, func() {}
	site := flow.Site{Origin: origin, Prefix: "/email-link", Limits: limit.Defaults(), SignUp: flow.SignUp{Mode: flow.SignUpOpen}}
	if _, err := svc.Flows.Request(t.Context(), site, flow.Requester{}, flow.RequestInput{Purpose: flow.SignIn, Email: "Ada.Lovelace@example.com"}); err != nil {
		t.Fatal(err)
	}
	list, err := svc.Mails(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	text, err := json.Marshal(list)
	if err != nil || strings.Contains(strings.ToLower(string(text)), "lovelace") || list[0].To == "" || list[0].State != operator.MailWaiting || list[0].Purpose != flow.SignIn {
		t.Errorf("%s, %v", text, err)
	}
}

// TestSES6_ASiteIsNamed: a link or a token is for one site of the gate, which is named where there are several.
func TestSES6_ASiteIsNamed(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	svc.Scopes = []string{"calendar"}
	svc.Site = func(at string) (flow.Site, bool) {
		for _, s := range svc.Sites {
			if s.Origin == at {
				return s, true
			}
		}
		return flow.Site{}, false
	}
	if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	one := []flow.Site{{Origin: origin, Prefix: "/email-link"}}
	two := append(one[:1:1], flow.Site{Origin: "https://b.example.com", Prefix: "/email-link"})
	for _, c := range []struct {
		sites       []flow.Site
		named, made string
	}{
		{nil, "", ""},
		{one, "", origin},
		{one, origin, origin},
		{one, origin + "/", origin},
		{one, "https://b.example.com", ""},
		{one, "http://app.example.com", ""},
		{two, "", ""},
		{two, "https://b.example.com", "https://b.example.com"},
		{two, "https://c.example.com", ""},
	} {
		svc.Sites = c.sites
		l, err := svc.MakeLink(t.Context(), operator.LinkInput{Email: "ada@example.com", Site: c.named})
		if (err == nil) != (c.made != "") || l.Site != c.made || !strings.HasPrefix(l.URL, c.made) {
			t.Errorf("of %d sites, %q: %+v, %v", len(c.sites), c.named, l, err)
		}
		token, err := svc.CreateToken(t.Context(), operator.MachineTokenInput{Who: "ada@example.com", Scopes: svc.Scopes, Site: c.named})
		if (err == nil) != (c.made != "") || token.Site != c.made {
			t.Errorf("of %d sites, %q: %+v, %v", len(c.sites), c.named, token, err)
		}
		if kind, _ := refusal(err); err != nil && kind != operator.Invalid {
			t.Error(err)
		}
	}
}

// TestMACH2_TheListSaysWhichTokensAreGood: an ended or a revoked one is not shown as good.
func TestMACH2_TheListSaysWhichTokensAreGood(t *testing.T) {
	t.Parallel()
	svc, _ := newService(t)
	site := flow.Site{Origin: origin}
	svc.Sites, svc.Scopes = []flow.Site{site}, []string{"calendar", "files"}
	if _, err := svc.AddAccount(t.Context(), operator.AccountInput{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	make1 := func(name string) string {
		made, err := svc.CreateToken(t.Context(), operator.MachineTokenInput{Who: "ada@example.com", Scopes: []string{"files", "calendar"}, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	old, revoked := make1("old"), make1("revoked")
	if _, err := svc.RevokeToken(t.Context(), revoked); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.EndSessions(t.Context(), "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	valid := make1("valid")
	svc.Scopes = []string{"calendar"}
	list, err := svc.Tokens(t.Context(), "")
	for _, one := range list {
		states[one.ID] = one.State
		if one.Token != "" || strings.Join(one.Lost, ",") != "files" {
			t.Errorf("%+v", one)
		}
	}
	if err != nil || states[old] != "ended" || states[revoked] != "revoked" || states[valid] != "good" {
		t.Errorf("%v, %v", states, err)
	}
}
