package operator_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestOWN2_AnOperatorTellsBothMailboxes gives an account another address, which cannot be that of another account.
func TestOWN2_AnOperatorTellsBothMailboxes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
		svc.Sites, svc.Site = []flow.Site{site}, func(string) (flow.Site, bool) { return site, true }
		ctx := t.Context()
		var id string
		for _, email := range []string{"bob@example.com", "ann@example.com"} {
			a, err := b.AddAccount(ctx, operator.AccountInput{Email: email})
			if err != nil {
				t.Fatal(err)
			}
			id = a.ID
		}
		for email, want := range map[string]string{"bob@example.com": "has an account already", "nothing": "cannot be used", "": "cannot be used"} {
			if _, err := b.ChangeAccount(ctx, id, operator.AccountChange{Email: &email}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", email, err)
			}
		}
		email := "ann@new.example.com"
		a, err := b.ChangeAccount(ctx, "ann@example.com", operator.AccountChange{Email: &email})
		if err != nil || a.Email != email || a.ID != id {
			t.Fatalf("%+v, %v", a, err)
		}
		mails, err := b.Mails(ctx)
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]int{}
		for _, m := range mails {
			told[m.To]++
		}
		if len(mails) != 2 || len(told) != 2 {
			t.Errorf("the mails are %+v", mails)
		}
	})
}

// TestOWN2_AnEarlierAddressIsRefusedWithWhatToDo asks every command that makes accounts for the address that an account has just given up, and then obeys
// the refusal.
func TestOWN2_AnEarlierAddressIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
		svc.Sites, svc.Site = []flow.Site{site}, func(string) (flow.Site, bool) { return site, true }
		ctx, before, now := t.Context(), "ann@example.com", "ann@new.example.com"
		ann, err := b.AddAccount(ctx, operator.AccountInput{Email: before})
		if err != nil {
			t.Fatal(err)
		}
		bob, err := b.AddAccount(ctx, operator.AccountInput{Email: "bob@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		changeAddress(t, svc, ann.ID, now)
		tries := map[string]func() error{
			"add": func() error {
				_, err := b.AddAccount(ctx, operator.AccountInput{Email: before})
				return err
			},
			"set": func() error {
				_, err := b.ChangeAccount(ctx, bob.ID, operator.AccountChange{Email: &before})
				return err
			},
			"link": func() error {
				_, err := b.MakeLink(ctx, operator.LinkInput{Email: before, For: flow.Activation})
				return err
			},
			"invite": func() error {
				_, err := b.Invite(ctx, operator.InvitationInput{Email: before, Print: true})
				return err
			},
			"import": func() error {
				report, err := b.Import(ctx, strings.NewReader(`{"email":"`+before+`"}`+"\n"), operator.ImportOptions{Format: "jsonl"})
				if err == nil && len(report.Bad) == 1 {
					err = errors.New(report.Bad[0].Reason)
				}
				return err
			},
		}
		for what, try := range tries {
			if err := try(); err == nil || !strings.Contains(err.Error(), "account "+ann.ID) || !strings.Contains(err.Error(), "take") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := b.ChangeAccount(ctx, ann.ID, operator.AccountChange{Email: &now}); err != nil { // as the refusals say
			t.Fatal(err)
		}
		if mails, err := b.Mails(ctx); err != nil || len(mails) != 1 {
			t.Errorf("a mailbox that stays the account's is told %d times: %v", len(mails), err)
		}
		for _, what := range []string{"link", "invite", "add"} {
			if err := tries[what](); err != nil {
				t.Errorf("%s, after the take-back has ended: %v", what, err)
			}
		}
	})
}

// changeAddress changes the address of an account, as the word of both mailboxes does.
func changeAddress(t *testing.T, svc *operator.Service, id, email string) {
	t.Helper()
	addr, err := address.Parse(email)
	if err != nil {
		t.Fatal(err)
	}
	end := svc.Vault.Clock.Now().Add(flow.TakeBackLifetime).Unix()
	change, back := storage.Key{End: end, Digest: storage.Digest{1}}, storage.Key{End: end, Digest: storage.Digest{2}}
	if err := svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
		if err := svc.Vault.Accounts.BeginAddressChange(tx, id, change); err != nil {
			return err
		}
		if _, err := svc.Vault.Accounts.ConfirmAddressChange(tx, id, change, accounts.NewMailbox); err != nil {
			return err
		}
		_, err := svc.Vault.Accounts.ChangeAddress(tx, id, change, accounts.OldMailbox, addr, back)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
