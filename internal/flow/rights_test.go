package flow

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// TestMAIL3_SignInsBombNoMailbox: anyone who knows a password signs in from ever new browsers, and the owner gets a few mails about it.
func TestMAIL3_SignInsBombNoMailbox(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		for i := range 30 {
			must[Done](t)(g.stranger(i).signIn(ada, oldWords))
		}
		g.post()
		n := 0
		for _, mail := range g.inbox.to(ada) {
			if mail.kind == mailer.KindNewDevice {
				n++
			}
		}
		if n != 5 {
			t.Errorf("%d notices of new devices within an hour, want 5", n)
		}
	})
}

// TestDOS1_RightPasswordsAreCounted: somebody who has an account keeps the hasher busy only so long, by whatever compares passwords,
// and opens only so many sessions; somebody else is not in his way.
func TestDOS1_RightPasswordsAreCounted(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		var link string
		for name, again := range map[string]func(g *gate, known *browser) error{
			"from one address": func(g *gate, _ *browser) error {
				_, err := g.stranger(1).signIn(ada, oldWords)
				return err
			},
			"from a known browser": func(_ *gate, known *browser) error {
				_, err := known.signIn(ada, oldWords)
				return err
			},
			"changing it for the same": func(_ *gate, known *browser) error {
				_, err := known.change(oldWords, oldWords)
				return err
			},
			"resetting it to the same": func(_ *gate, known *browser) error {
				_, err := known.set(link, oldWords)
				return err
			},
		} {
			g := newPasswordGate(t)
			g.accountWith(ada, g.record(oldWords))
			g.accountWith("eve@example.com", g.record(oldWords))
			g.site.Limits[limit.PasswordMailbox] = must[limit.Rates](t)(limit.Parse("1-H"))
			known := g.browser()
			must[Done](t)(known.signIn(ada, oldWords))
			link = known.mustAsk(Reset, ada).link
			limited, compared := new(Limited), 1
			for compared < 100 && !errors.As(again(g, known), &limited) {
				compared++
			}
			if name == "resetting it to the same" {
				compared-- // has a count of its own: anyone who signs in again and again keeps nobody from a reset
			}
			if compared != 20 || limited.Name != limit.PasswordSuccess {
				t.Errorf("%s: %d right passwords until %q, want 20", name, compared, limited.Name)
			}
			must[Done](t)(g.stranger(2).signIn("eve@example.com", oldWords))
			if _, err := g.stranger(3).signIn("nobody@example.com", oldWords); errors.As(err, &limited) {
				t.Errorf("%s: a stranger is told of a limit: %v", name, err)
			}
			if name == "resetting it to the same" {
				link = g.stranger(4).mustAsk(Reset, ada).link
			}
			must[Done](t)(g.stranger(4).set(link, newWords))
			g.fake.Advance(time.Hour + time.Minute)
			must[Done](t)(g.stranger(1).signIn(ada, newWords))
		}
	})
}
