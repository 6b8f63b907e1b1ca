package flow

import (
	"context"
	"errors"
	"testing"
)

// TestREST2_ThisWasNotMeOfABackupIsOver presses "this wasn't me" in mails from before a backup was put back: there is nothing of theirs to end, and
// what people have asked for since then, and whom they have invited, is not touched.
func TestREST2_ThisWasNotMeOfABackupIsOver(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, mail := range map[string]func(g *gate, b *browser) letter{
			"a sign-in": func(g *gate, _ *browser) letter { return g.browser().mustAsk(SignIn, ada) },
			"an act":    func(_ *gate, b *browser) letter { _, m := b.proof(Act{Kind: Export}); return m },
			"the new mailbox": func(_ *gate, b *browser) letter {
				_, m, _ := b.mustAskForAddress(ada, newAda)
				return m
			},
			"the present mailbox": func(_ *gate, b *browser) letter {
				_, _, m := b.mustAskForAddress(ada, newAda)
				return m
			},
			"a new device": func(g *gate, _ *browser) letter {
				must[Done](g.t)(g.stranger(1).press(g.browser().mustAsk(SignIn, ada).link))
				return g.deviceMail()
			},
		} {
			t.Run(name, func(t *testing.T) {
				g := newGate(t)
				id := g.account(ada)
				g.setRoles(id, "family")
				m := mail(g, g.signedIn(ada))
				if m.cancel == "" {
					t.Fatalf("the mail is %+v", m)
				}
				if err := g.Sessions.EndAll(context.Background()); err != nil { // as the start on a restored backup does
					t.Fatal(err)
				}
				b := g.signedIn(ada)
				link := b.invitedBy(InviteInput{Email: invited, Roles: []string{"guest"}})
				if err := g.browser().cancel(m.cancel); !errors.Is(err, ErrDead) {
					t.Errorf("the link: %v", err)
				}
				if !b.isSignedIn() {
					t.Error("a later session has ended")
				}
				must[Done](t)(g.browser().press(link))
				if n := g.events(eventCancelled); n != 0 {
					t.Errorf("%d flows were cancelled", n)
				}
			})
		}
	})
}
