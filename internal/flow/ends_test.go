package flow

import (
	"context"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestTOK5_EveryMailOfAFlowWorksUntilItEnds(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		first := b.mustAsk(SignIn, "ada@example.com")
		g.fake.Advance(DefaultResendWait)
		must[Pending](t)(b.resend())
		g.post()
		second := b.newest("ada@example.com")
		if second.link == first.link || second.code == first.code {
			t.Fatal("a second mail with the secrets of the first")
		}
		must[Done](t)(b.press(first.link))
		_, err := g.stranger(1).open(second.link)
		wantErr(t, err, ErrDead)
	})
}

func TestTOK5_DisablingKillsEveryLinkAtOnce(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		id := g.account("ada@example.com")
		bound, unbound := g.browser(), g.stranger(1)
		mail := bound.mustAsk(SignIn, "ada@example.com")
		if _, err := unbound.ask(SignIn, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		g.disable(id)
		_, err := bound.open(mail.link)
		wantErr(t, err, ErrDead)
		before := g.inbox.count()
		g.post()
		if n := g.inbox.count(); n != before {
			t.Error("a disabled account got a mail that was queued before")
		}
		if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
			return g.Accounts.SetStatus(tx, id, storage.StatusActive)
		}); err != nil {
			t.Fatal(err)
		}
		_, err = bound.press(mail.link)
		wantErr(t, err, ErrDead)
	})
}

func TestTOK5_CancelEndsItsOneFlowOnly(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		a, b := g.browser(), g.stranger(1)
		first, second := a.mustAsk(SignIn, "ada@example.com"), b.mustAsk(SignIn, "ada@example.com")
		if err := g.stranger(5).cancel(second.cancel); err != nil {
			t.Fatal(err)
		}
		_, err := b.open(second.link)
		wantErr(t, err, ErrDead)
		wantErr(t, g.stranger(5).cancel(second.cancel), ErrDead)
		for range 2 { // the form of the page that is shown for either kind of token
			_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: second.cancel})
			wantErr(t, err, ErrDead)
		}
		if n := g.events(eventReplayed); n != 1 {
			t.Errorf("%d replays recorded, want 1", n)
		}
		must[Done](t)(a.press(first.link))
	})
}

func TestTOK5_MailsOfBothKindsCarryTheirOwnSecrets(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		mail := g.browser().mustAsk(Activation, "ada@example.com")
		form := func(text string) bool { return len(text) == token.Size }
		if g.site.Stateless {
			form = token.IsLink
		}
		if mail.kind != mailer.KindLink || !form(mail.link) || !form(mail.cancel) || mail.link == mail.cancel || len(mail.code) != token.CodeDigits {
			t.Errorf("the letter says %+v", mail)
		}
	})
}

func TestTOK5_AMailQueuedBeforeACancelDoesNotLeave(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		must[Done](t)(b.press(b.mustAsk(SignIn, "ada@example.com").link)) // known: no mute holds its mails back
		g.post()
		mail := b.mustAsk(SignIn, "ada@example.com")
		g.fake.Advance(DefaultResendWait)
		must[Pending](t)(b.resend())
		if err := g.stranger(1).cancel(mail.cancel); err != nil {
			t.Fatal(err)
		}
		n := g.inbox.count()
		g.post()
		if g.inbox.count() != n {
			t.Error("a mail of a cancelled flow left")
		}
	})
}

func TestTOK5_AMailQueuedBeforeAChangeDoesNotLeave(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, change := range map[string]func(g *gate, id string) error{
			"disabled and enabled again": func(g *gate, id string) error {
				return g.bolt.Update(context.Background(), func(tx storage.Tx) error {
					if err := g.Accounts.SetStatus(tx, id, storage.StatusDisabled); err != nil {
						return err
					}
					return g.Accounts.SetStatus(tx, id, storage.StatusActive)
				})
			},
			"everything ended": func(g *gate, _ string) error {
				return g.bolt.Update(context.Background(), func(tx storage.Tx) error {
					_, err := tx.Epochs().Raise(storage.GlobalEpoch)
					return err
				})
			},
		} {
			g := newGate(t)
			id := g.account("ada@example.com")
			b := g.browser()
			if _, err := b.ask(SignIn, "ada@example.com"); err != nil {
				t.Fatal(err)
			}
			if err := change(g, id); err != nil {
				t.Fatal(err)
			}
			g.post()
			if n := g.inbox.count(); n != 0 {
				t.Errorf("%s: %d mails left", name, n)
			}
			g.fake.Advance(DefaultResendWait)
			must[Pending](t)(b.resend())
			g.post()
			must[Done](t)(b.press(b.newest("ada@example.com").link))
		}
	})
}
