package operator_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestAccount_ShowsThePerson fills everything that hangs on an account, of another one too, and looks at it from both sides.
func TestAccount_ShowsThePerson(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, svc *operator.Service, _ *failingStore, b operator.Operations) {
		site := flow.Site{Origin: "https://a.example.com", Prefix: "/email-link"}
		svc.Sites, svc.Site = []flow.Site{site}, func(string) (flow.Site, bool) { return site, true }
		svc.Scopes, svc.Limiter, svc.Rates = []string{"calendar"}, &limit.Limiter{Ring: svc.Vault.Ring}, limit.Defaults()
		ctx := t.Context()
		for _, email := range []string{"ann@example.com", "bob@example.com"} {
			a, err := b.AddAccount(ctx, operator.AccountInput{Email: email, Name: "Ann", Roles: []string{"admin"}, Language: "de"})
			if err != nil || len(a.SignIn) != 1 || a.SignIn[0] != "https://a.example.com/email-link/sign-in" {
				t.Fatalf("%+v, %v", a, err)
			}
			d, err := b.Account(ctx, email)
			if err != nil || d.LastSignIn != nil || d.Password || len(d.Sessions)+len(d.Tokens)+len(d.SpentLimits)+len(d.Mails) != 0 {
				t.Errorf("new: %+v, %v", d, err)
			}
			if _, err := b.CreateToken(ctx, operator.MachineTokenInput{Who: email, Scopes: []string{"calendar"}, Name: "phone"}); err != nil {
				t.Fatal(err)
			}
			fillAccount(t, svc, a.ID, email)
		}
		d, err := b.Account(ctx, "Ann@example.com")
		if err != nil || d.Email != "ann@example.com" || d.Name != "Ann" || len(d.Roles) != 1 || d.Language != "de" {
			t.Errorf("%+v, %v", d.Account, err)
		}
		if d.LastSignIn == nil || !d.LastSignIn.Equal(noon) || len(d.Sessions) != 1 || d.Sessions[0].Device != "Firefox on Linux" || d.Sessions[0].Network != "192.0.2.0/24" {
			t.Errorf("%v, %+v", d.LastSignIn, d.Sessions)
		}
		if len(d.Tokens) != 1 || d.Tokens[0].Name != "phone" || len(d.Mails) != 1 || d.Mails[0].To == "" {
			t.Errorf("%+v, %+v", d.Tokens, d.Mails)
		}
		if len(d.SpentLimits) == 0 || d.SpentLimits[0].Name != limit.MailMailbox {
			t.Errorf("%+v", d.SpentLimits)
		}
		ended, err := b.EndSessions(ctx, d.ID)
		if err != nil || ended.SessionsEnded != 1 || ended.Email != d.Email {
			t.Errorf("end: %+v, %v", ended, err)
		}
		d, err = b.Account(ctx, d.ID)
		if err != nil || len(d.Sessions) != 0 || d.LastSignIn == nil || !d.LastSignIn.Equal(noon) {
			t.Errorf("afterwards: %+v, %v", d, err)
		}
		disabled := "disabled"
		name := "Bob"
		for want, change := range []operator.AccountChange{{Name: &name}, {Status: &disabled}} {
			if changed, err := b.ChangeAccount(ctx, "bob@example.com", change); err != nil || changed.SessionsEnded != want {
				t.Errorf("%d: %+v, %v", want, changed, err)
			}
		}
		if gone, err := b.DeleteAccount(ctx, "bob@example.com"); err != nil || gone.SessionsEnded != 0 || gone.Status != "deleted" || gone.Email != "bob@example.com" {
			t.Errorf("delete: %+v, %v", gone, err)
		}
	})
}

// fillAccount gives an account a session, its event, a queued mail and a spent limit.
func fillAccount(t *testing.T, svc *operator.Service, id, email string) {
	t.Helper()
	addr, err := address.Parse(email)
	if err != nil {
		t.Fatal(err)
	}
	v := svc.Vault
	mail := storage.Mail{ID: outbox.NewID(noon), Due: noon, End: noon.Add(time.Hour), Queued: noon, Purpose: flow.SignIn}
	if mail.Sealed, err = (outbox.Payload{To: email}).Seal(v.Ring, mail.ID); err != nil {
		t.Fatal(err)
	}
	spent := svc.Rates.LimitsFor(limit.MailMailbox, limit.Subject{Mailbox: addr.LimitKey(v.Ring)})
	err = v.Store.Update(t.Context(), func(tx storage.Tx) error {
		for range 20 {
			if _, err := svc.Limiter.Spend(tx, noon, spent...); err != nil {
				return err
			}
		}
		a, _, err := v.Accounts.Get(tx, id)
		if err != nil {
			return err
		}
		if _, _, err = v.Sessions.Open(tx, a, session.OpenInput{
			Site: "https://a.example.com", Mailbox: addr.Mailbox(v.Ring), Methods: []string{"link"}, Device: "Firefox on Linux",
			Client: netip.MustParseAddr("192.0.2.7"), Idle: time.Hour, Absolute: time.Hour,
		}); err != nil {
			return err
		}
		if err := tx.Outbox().Enqueue(mail); err != nil {
			return err
		}
		return tx.Events().Append(storage.Event{Time: noon, Name: "signed_in", Account: id}, noon.Add(time.Hour))
	})
	if err != nil {
		t.Fatal(err)
	}
}
