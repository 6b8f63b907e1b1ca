package operator_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestSES1_OneSessionEndsByItsID lists everybody's sessions, ends one by the id in the list, and leaves the other alone.
func TestSES1_OneSessionEndsByItsID(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
		svc.Sites, svc.Site = []flow.Site{site}, func(origin string) (flow.Site, bool) { return site, origin == site.Origin }
		svc.Limiter, svc.Rates = &limit.Limiter{Ring: svc.Vault.Ring}, limit.Defaults()
		ctx := t.Context()
		for _, email := range []string{"ann@example.com", "bob@example.com"} {
			a, err := b.AddAccount(ctx, operator.AccountInput{Email: email})
			if err != nil {
				t.Fatal(err)
			}
			fillAccount(t, svc, a.ID, email)
		}
		live := func(site string) map[string]operator.Session {
			found := map[string]operator.Session{}
			err := b.AllSessions(ctx, site, func(s operator.Session) error { found[s.Email] = s; return nil })
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		all := live("")
		if len(all) != 2 || len(live(site.Origin)) != 2 || all["ann@example.com"].ID == all["bob@example.com"].ID {
			t.Fatalf("%+v", all)
		}
		err := b.AllSessions(ctx, "https://elsewhere.example.com", func(operator.Session) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "is not a site of this gate") {
			t.Errorf("another site: %v", err)
		}
		ann := all["ann@example.com"]
		ended, err := b.EndSessions(ctx, ann.ID)
		if err != nil || ended.Session != ann.ID || ended.ID != ann.Account || ended.SessionsEnded != 1 {
			t.Errorf("end: %+v, %v", ended, err)
		}
		if text, err := json.Marshal(ended); err != nil || strings.Contains(string(text), "status") || strings.Contains(string(text), "created") {
			t.Errorf("end: %s has what was not looked up, %v", text, err)
		}
		if _, err := b.EndSessions(ctx, " "); err == nil || !strings.Contains(err.Error(), "name it by its address or id") {
			t.Errorf("of nothing: %v", err)
		}
		if left := live(""); len(left) != 1 || left["bob@example.com"].ID == "" {
			t.Errorf("left: %+v", left)
		}
		for _, gone := range []string{ann.ID, "AAAAAAAAAAAAAAAA"} {
			if _, err := b.EndSessions(ctx, gone); err == nil || !strings.Contains(err.Error(), "no account and no live session "+gone) {
				t.Errorf("%s: %v", gone, err)
			}
		}
	})
}

// TestSES1_AnOperatorEndsElevenHundredSessions lists the sessions of one account, ends the last one by its id, and then all, and is told how many
// there were.
func TestSES1_AnOperatorEndsElevenHundredSessions(t *testing.T) {
	t.Parallel()
	const number = 1100
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		ctx := t.Context()
		added, err := b.AddAccount(ctx, operator.AccountInput{Email: "ann@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		err = svc.Vault.Store.Update(ctx, func(tx storage.Tx) error {
			a, _, err := svc.Vault.Accounts.Get(tx, added.ID)
			for i := 0; err == nil && i < number; i++ {
				_, _, err = svc.Vault.Sessions.Open(tx, a, session.OpenInput{
					Site: "https://a.example.com", Mailbox: storage.Digest{1}, Methods: []string{"link"}, Idle: time.Hour, Absolute: time.Hour,
				})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := b.Sessions(ctx, "ann@example.com")
		if err != nil || len(list) != number {
			t.Fatalf("%d are listed, want %d: %v", len(list), number, err)
		}
		for _, one := range []operator.Session{list[0], list[number-1]} {
			if ended, err := b.EndSessions(ctx, one.ID); err != nil || ended.SessionsEnded != 1 {
				t.Errorf("one by its id: %+v, %v", ended, err)
			}
		}
		if ended, err := b.EndSessions(ctx, "ann@example.com"); err != nil || ended.SessionsEnded != number-2 {
			t.Errorf("all: %+v, %v; want %d", ended, err, number-2)
		}
		if list, err := b.Sessions(ctx, "ann@example.com"); err != nil || len(list) != 0 {
			t.Errorf("%d are left, %v", len(list), err)
		}
	})
}

// TestHistory_TellsWhatLedToTheAccount: a request names no account, its flow does.
func TestHistory_TellsWhatLedToTheAccount(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		ctx := t.Context()
		a, err := b.AddAccount(ctx, operator.AccountInput{Email: "ann@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		err = svc.Vault.Store.Update(ctx, func(tx storage.Tx) error {
			for i, e := range []storage.Event{
				{Name: "requested", Flow: "mine"},
				{Name: "requested", Flow: "other"},
				{Name: "mailed", Flow: "mine", Account: a.ID},
				{Name: "mailed", Flow: "other", Account: "somebody"},
				{Name: "signed_in", Flow: "mine", Account: a.ID},
			} {
				e.Time = noon.AddDate(0, 0, 1).AddDate(0, 0, i)
				if err := tx.Events().Append(e, e.Time.Add(storage.EventLifetime)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []string{"ann@example.com", a.ID} {
			list, err := b.History(ctx, who, 50)
			var words []string
			for _, e := range list {
				words = append(words, e.Event)
			}
			if got := strings.Join(words, " "); err != nil || got != "changed requested mailed signed_in" {
				t.Errorf("%s: %q, %v", who, got, err)
			}
		}
		if _, err := b.History(ctx, "nobody@example.com", 50); err == nil {
			t.Error("an address without an account has a history")
		}
	})
}
