package flow

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestENUM1_EveryAddressCostsAsMuch counts what steps and pages do in the database for addresses without an account, invited ones, and those of
// active and of disabled accounts: asking, looking, a wrong code and another mail, at each form, and a change of the address to them.
func TestENUM1_EveryAddressCostsAsMuch(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, form := range []struct {
			mode    SignUpMode
			purpose string
		}{{SignUpOpen, SignIn}, {SignUpOpen, Activation}, {SignUpInvite, Activation}, {SignUpOpen, Reset}, {SignUpOpen, Address}} {
			var first []string
			for _, kind := range []string{"unknown", "invited", "active", "disabled"} {
				seen := costs(t, form.mode, form.purpose, kind)
				if first == nil {
					first = seen
				} else if diff := cmp.Diff(first, seen); diff != "" {
					t.Errorf("sign_up %v, %s: %s differs from unknown:\n%s", form.mode, form.purpose, kind, diff)
				}
			}
		}
	})
}

// costs returns what each step for an address of a kind does.
func costs(t *testing.T, mode SignUpMode, purpose, kind string) (seen []string) {
	t.Helper()
	g := newPasswordGate(t)
	g.account(ada)
	b := g.signedIn(ada)
	g.site.SignUp.Mode = mode
	switch kind {
	case "invited":
		g.invite(InviteInput{Email: newAda})
	case "active":
		g.account(newAda)
	case "disabled":
		g.disable(g.account(newAda))
	}
	g.post()
	c := g.cuttable()
	b.requester() // the use of the session is written
	ctx := context.Background()
	note := func(what string, do func() error) {
		before := c.things
		err := do()
		seen = append(seen, fmt.Sprintf("%s: %d things, %v", what, c.things-before, err))
	}
	if purpose != Address {
		b = g.stranger(1)
		note("asks", func() error { _, err := b.ask(purpose, newAda); return err })
		wrong := func() { note("wrong code", func() error { _, err := b.type_("00000000"); return err }) }
		look := func() { note("looks", func() error { _, _, err := g.Status(ctx, g.site, b.requester()); return err }) }
		look()
		wrong()
		g.post()
		look()
		wrong()
		g.fake.Advance(DefaultResendWait)
		note("another mail", func() error { _, err := b.resend(); return err })
		g.post()
		for range MaxWrongCodes {
			wrong()
		}
		look()
		return seen
	}
	var cookie string
	note("asks", func() (err error) { cookie, err = b.asksForAddress(ada, newAda); return err })
	wrong := func() {
		note("wrong code", func() error {
			_, err := g.SubmitAddressCode(ctx, g.site, b.requester(), cookie, "00000000")
			return err
		})
	}
	look := func() {
		note("looks", func() error { _, err := g.PendingAddressChange(ctx, g.site, b.requester(), cookie); return err })
	}
	wrong()
	consent := g.last(ada).link
	look()
	wrong()
	note("the old mailbox", func() error { _, err := g.browser().confirms(consent); return err })
	look()
	for range MaxWrongCodes {
		wrong()
	}
	note("stops", func() error { return g.StopAddressChange(ctx, g.site, b.requester()) })
	return seen
}
