package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
)

// TestFLOW6_EachModeAdmitsWhomItNames asks for a sign-up, and signs in as an unknown address, in every mode there is and in one
// that there is not.
func TestFLOW6_EachModeAdmitsWhomItNames(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		modes := 0
		for mode := SignUpMode(0); modes == int(mode); mode++ {
			if mode.String() != "unknown" {
				modes++
				if read, err := ParseSignUp(mode.String()); err != nil || read.Mode != mode {
					t.Errorf("%s is read as %s (%v)", mode, read.Mode, err)
				}
			}
			for _, domains := range [][]string{nil, {"example.org", "example.com"}, {"example.org"}} {
				g := newGate(t)
				g.site.SignUp = SignUp{Mode: mode, Domains: domains}
				admitted := mode == SignUpOpen && (domains == nil || slices.Contains(domains, "example.com"))
				b := g.browser()
				_, err := b.ask(Activation, ada)
				if mode == SignUpInvite { // asking is answered alike, and nobody was invited
					g.post()
					admitted = err == nil && b.newest(ada).link == ""
				}
				if admitted != (err == nil) || !admitted && !errors.Is(err, ErrClosed) {
					t.Errorf("%s %v: signing up: %v", mode, domains, err)
				}
				for _, other := range []string{"ada@sub.example.com", "ada@example.com.example.net", "ada@xexample.com"} {
					if _, err := g.stranger(1).ask(Activation, other); domains != nil && mode != SignUpInvite && !errors.Is(err, ErrClosed) {
						t.Errorf("%s %v: %s: %v", mode, domains, other, err)
					}
				}
				// The mail to an unknown address that asks to sign in offers no more than the policy does.
				if mail := g.stranger(2).mustAsk(SignIn, "bob@example.com"); mail.link != "" || mail.code != "" {
					t.Errorf("%s %v: an unknown address got %q with a link", mode, domains, mail.kind)
				}
				if n := g.accounts(); n != 0 {
					t.Errorf("%s %v: %d accounts", mode, domains, n)
				}
			}
		}
		if modes != 3 {
			t.Errorf("%d modes", modes)
		}
	})
}

// TestFLOW7_TheButtonIsBoundToOneThingAtATime changes one thing between the page and the press and leaves all others as they
// were: another link of the same mailbox, the session, the account.
func TestFLOW7_TheButtonIsBoundToOneThingAtATime(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		signedIn := func(g *gate, i int, email string) string {
			b := g.stranger(i)
			must[Done](t)(b.press(b.mustAsk(SignIn, email).link))
			return b.session
		}
		for name, c := range map[string]struct {
			// before and after are the session at the GET and at the POST; other presses another link of the mailbox.
			before, after func(g *gate) string
			other, same   bool
		}{
			"nothing":                   {same: true},
			"another link of that box":  {other: true},
			"signed in meanwhile":       {after: func(g *gate) string { return signedIn(g, 1, ada) }},
			"signed out meanwhile":      {before: func(g *gate) string { return signedIn(g, 1, ada) }, after: func(*gate) string { return "" }},
			"the same account anew":     {before: func(g *gate) string { return signedIn(g, 1, ada) }, after: func(g *gate) string { return signedIn(g, 2, ada) }},
			"another account meanwhile": {before: func(g *gate) string { return signedIn(g, 1, ada) }, after: func(g *gate) string { return signedIn(g, 2, "eve@example.com") }},
		} {
			for _, cancels := range []bool{false, true} {
				g := newGate(t)
				g.account(ada)
				g.account("eve@example.com")
				mine, strangers := g.browser().mustAsk(SignIn, ada), g.stranger(5).mustAsk(SignIn, ada)
				b := g.stranger(3)
				if c.before != nil {
					b.session = c.before(g)
				}
				texts := [2]string{mine.link, strangers.link}
				if cancels {
					texts = [2]string{mine.cancel, strangers.cancel}
				}
				shown := must[LinkPreview](t)(b.open(texts[0]))
				if c.after != nil {
					b.session = c.after(g)
				}
				pressed := texts[0]
				if c.other {
					pressed = texts[1]
				}
				var err error
				if cancels {
					_, err = g.Cancel(context.Background(), g.site, b.requester(), pressed, shown.H)
				} else {
					_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: pressed, H: shown.H})
				}
				if c.same && err != nil || !c.same && !errors.Is(err, ErrChanged) {
					t.Errorf("%s, cancels %v: %v", name, cancels, err)
				}
			}
		}
	})
}

// TestFLOW7_TheButtonOfOnePageIsNoOtherPages presses "this wasn't me" with what the page of the link had, and the other way round.
func TestFLOW7_TheButtonOfOnePageIsNoOtherPages(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(ada)
		b := g.browser()
		mail := b.mustAsk(SignIn, ada)
		link, cancel := must[LinkPreview](t)(b.open(mail.link)), must[LinkPreview](t)(b.open(mail.cancel))
		_, err := g.Cancel(context.Background(), g.site, b.requester(), mail.cancel, link.H)
		wantErr(t, err, ErrChanged)
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: cancel.H})
		wantErr(t, err, ErrChanged)
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.cancel, H: cancel.H})
		wantErr(t, err, ErrChanged)
		_, err = g.Cancel(context.Background(), g.site, b.requester(), mail.link, link.H)
		wantErr(t, err, ErrChanged)
		must[Done](t)(b.press(mail.link))
	})
}

// TestRL4_WrongCodesCountAgainstTheClient types wrong codes into one flow after the other, so that the count of a single flow
// refuses nothing.
func TestRL4_WrongCodesCountAgainstTheClient(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(ada)
		g.account("eve@example.com")
		g.site.Limits[limit.RedeemIP] = must[limit.Rates](t)(limit.Parse("3-H"))
		b := g.browser()
		first := b.mustAsk(SignIn, ada)
		for range 2 {
			_, err := b.type_(otherCode(first.code))
			wantInvalid(t, err, "code", "wrong")
		}
		c := g.browser() // the same client, another browser and flow
		second := c.mustAsk(SignIn, "eve@example.com")
		_, err := c.type_(otherCode(second.code))
		wantInvalid(t, err, "code", "wrong")
		for _, code := range []string{otherCode(second.code), second.code} {
			limited := new(Limited)
			if _, err := c.type_(code); !errors.As(err, &limited) || limited.Name != limit.RedeemIP {
				t.Errorf("the fourth code: %v, want the client's limit", err)
			}
		}
		must[Done](t)(c.press(second.link)) // links go on
		far := g.stranger(1)
		must[Done](t)(far.type_(far.mustAsk(SignIn, ada).code)) // and so do other clients
	})
}

// otherCode returns a code that is not this one.
func otherCode(code string) string {
	if code == "00000000" {
		return "00000001"
	}
	return "00000000"
}

// TestRL4_EveryStepThatMailsTellsTheClientsLimit spends mail_ip and takes each step that asks for a mail.
func TestRL4_EveryStepThatMailsTellsTheClientsLimit(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, step := range map[string]func(g *gate, b *browser) error{
			"a request":          func(_ *gate, b *browser) error { _, err := b.ask(SignIn, "other@example.com"); return err },
			"a sign-up":          func(_ *gate, b *browser) error { _, err := b.ask(Activation, "other@example.com"); return err },
			"the same once more": func(_ *gate, b *browser) error { _, err := b.ask(SignIn, ada); return err },
			"a resend":           func(_ *gate, b *browser) error { _, err := b.resend(); return err },
			"a sign-up where it is closed": func(g *gate, b *browser) error {
				g.site.SignUp = SignUp{}
				_, err := b.ask(Activation, "other@example.com")
				return err
			},
			"a start by an app": func(g *gate, b *browser) error { _, err := b.starts(g.starts(SignIn, "other@example.com")); return err },
		} {
			g := newGate(t)
			g.account(ada)
			g.site.Limits[limit.MailIP] = must[limit.Rates](t)(limit.Parse("1-D"))
			b := g.browser()
			b.mustAsk(SignIn, ada)
			g.fake.Advance(DefaultResendWait)
			limited := new(Limited)
			if err := step(g, b); !errors.As(err, &limited) || limited.Name != limit.MailIP {
				t.Errorf("%s: %v, want the client's limit", name, err)
			}
			n := g.inbox.count()
			g.post()
			if g.inbox.count() != n {
				t.Errorf("%s: a mail left", name)
			}
		}
	})
}

// TestDOS1_RightPasswordsOfOneClientAreCounted signs in to one account after the other, so that no mailbox's count refuses.
func TestDOS1_RightPasswordsOfOneClientAreCounted(t *testing.T) {
	g := newPasswordGate(t)
	g.site.Limits[limit.PasswordIP] = must[limit.Rates](t)(limit.Parse("1-H"))
	record := g.record(oldWords)
	good, limited := 0, new(Limited)
	for i := range 30 {
		email := fmt.Sprintf("u%d@example.com", i)
		g.accountWith(email, record)
	}
	for i := range 30 {
		_, err := g.stranger(1).signIn(fmt.Sprintf("u%d@example.com", i), oldWords)
		switch {
		case err == nil:
			good++
		case !errors.As(err, &limited):
			t.Fatal(err)
		}
	}
	if good != 20 || limited.Name != limit.PasswordSuccess {
		t.Errorf("%d sign-ins until %q, want 20", good, limited.Name)
	}
	must[Done](t)(g.stranger(2).signIn("u29@example.com", oldWords)) // another client
}

// TestTOK7_NothingIsHashedForADeadLink presses the button of a link that was good when its page was shown.
func TestTOK7_NothingIsHashedForADeadLink(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, purpose := range []string{Reset, Activation} {
			for name, kill := range map[string]func(g *gate, first, second letter, id string){
				"used":            func(g *gate, _, second letter, _ string) { must[Done](t)(g.stranger(1).set(second.link, newWords)) },
				"its flow is":     func(g *gate, first, _ letter, _ string) { must[Done](t)(g.stranger(1).set(first.link, newWords)) },
				"cancelled":       func(g *gate, first, _ letter, _ string) { wantErr(t, g.stranger(1).cancel(first.cancel), nil) },
				"everything over": func(g *gate, _, _ letter, _ string) { wantErr(t, g.Sessions.EndAll(context.Background()), nil) },
				"its time is over": func(g *gate, _, _ letter, _ string) {
					g.fake.Advance(DefaultActivation)
				},
			} {
				g := newPasswordGate(t)
				id := ""
				if purpose == Reset {
					id = g.accountWith(ada, g.record(oldWords))
				}
				b := g.browser()
				first := b.mustAsk(purpose, ada)
				g.fake.Advance(DefaultResendWait)
				must[Pending](t)(b.resend())
				g.post()
				second := b.newest(ada)
				shown := must[LinkPreview](t)(b.open(second.link))
				kill(g, first, second, id)
				g.Passwords = must[*password.Hasher](t)(password.NewHasher(password.Options{
					Cost: cheap, Now: func() time.Time { t.Errorf("%s, %s: something was hashed", purpose, name); return start },
				}))
				_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: second.link, H: shown.H, Password: nth(6)})
				wantErr(t, err, ErrDead)
			}
			// A link that is good, and a button of no page that was shown for it.
			g := newPasswordGate(t)
			if purpose == Reset {
				g.accountWith(ada, g.record(oldWords))
			}
			b := g.browser()
			mail := b.mustAsk(purpose, ada)
			g.Passwords = must[*password.Hasher](t)(password.NewHasher(password.Options{
				Cost: cheap, Now: func() time.Time {
					t.Errorf("%s: something was hashed for a button that was not shown", purpose)
					return start
				},
			}))
			_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: "x", Password: nth(6)})
			wantErr(t, err, ErrChanged)
		}
	})
}
