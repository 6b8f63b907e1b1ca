package flow

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestTOK2_OpeningAResetChangesNothingAndOneClickIsNone(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		mail := b.mustAsk(Reset, ada)
		g.spy.take()
		for range 20 {
			must[LinkPreview](t)(b.open(mail.link))
			must[LinkPreview](t)(g.stranger(1).open(mail.link))
			_, err := b.click(mail.link)
			wantErr(t, err, ErrChanged)
		}
		if _, writes := g.spy.take(); len(writes) != 0 {
			t.Errorf("opening wrote %v", writes)
		}
		must[Done](t)(b.set(mail.link, newWords))
	})
}

func TestTOK3_AResetLinkWorksAtItsOwnPurposeAndSiteOnly(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, g.record(oldWords))
		g.accountWith("eve@example.com", g.record(oldWords))
		b := g.browser()
		mail := b.mustAsk(Reset, ada)
		elsewhere := g.site
		elsewhere.Origin = "https://other.example.com"
		_, err := g.Open(context.Background(), elsewhere, b.requester(), mail.link)
		wantErr(t, err, ErrDead)
		o := must[LinkPreview](t)(b.open(mail.link))
		_, err = g.Confirm(context.Background(), elsewhere, b.requester(), ConfirmInput{Token: mail.link, H: o.H, Password: newWords})
		wantErr(t, err, ErrDead)
		_, err = g.Cancel(context.Background(), g.site, b.requester(), mail.link, o.H)
		wantErr(t, err, ErrChanged)
		_, err = b.set(mail.cancel, newWords)
		wantErr(t, err, ErrChanged)
		// A link that signs in sets no password.
		signIn := g.stranger(1).mustAsk(SignIn, ada)
		_, err = g.stranger(1).set(signIn.link, newWords)
		wantInvalid(t, err, "password", "not_offered")
		// Where a site offers no passwords any more its links are dead.
		g.site.Methods.Password = false
		_, err = b.open(mail.link)
		wantErr(t, err, ErrDead)
		g.site.Methods.Password = true
		if done := must[Done](t)(b.set(mail.link, newWords)); done.Account != id {
			t.Errorf("it was the account %s", done.Account)
		}
		must[Done](t)(g.stranger(2).signIn("eve@example.com", oldWords))
	})
}

func TestTOK3_NoCodeResets(t *testing.T) { noCodeResets(t) }

func TestTOK8_AResetHasNoCode(t *testing.T) { noCodeResets(t) }

func noCodeResets(t *testing.T) {
	t.Helper()
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		b.mustAsk(Reset, ada)
		_, err := b.type_("12345678")
		wantInvalid(t, err, "code", "off")
	})
}

func TestTOK4_AResetEndsToTheSecond(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, late := range []bool{false, true} {
			g := newPasswordGate(t)
			g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			mail := b.mustAsk(Reset, ada)
			o := must[LinkPreview](t)(b.open(mail.link))
			g.fake.Advance(DefaultReset - time.Second)
			if late {
				g.fake.Advance(time.Second)
			}
			_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: o.H, Password: newWords})
			if !late {
				wantErr(t, err, nil)
				continue
			}
			wantErr(t, err, ErrDead)
			must[Done](t)(b.signIn(ada, oldWords))
		}
	})
}

func TestTOK5_EveryMailOfAResetWorksUntilItEnds(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		first := b.mustAsk(Reset, ada)
		g.fake.Advance(DefaultResendWait)
		must[Pending](t)(b.resend())
		g.post()
		second := b.newest(ada)
		if first.link == second.link {
			t.Fatal("the mails have one link")
		}
		must[LinkPreview](t)(b.open(second.link))
		must[Done](t)(b.set(first.link, newWords))
		_, err := b.set(second.link, nth(2))
		wantErr(t, err, ErrDead)
	})
}

func TestTOK5_AFinishedResetKillsEveryOtherLinkAndFlow(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, change := range map[string]func(t *testing.T, g *gate){
			"reset": func(t *testing.T, g *gate) {
				b := g.browser()
				must[Done](t)(b.set(b.mustAsk(Reset, ada).link, newWords))
			},
			"change": func(t *testing.T, g *gate) {
				b := g.browser()
				must[Done](t)(b.signIn(ada, oldWords))
				must[Done](t)(b.change(oldWords, newWords))
			},
		} {
			t.Run(name, func(t *testing.T) {
				g := newPasswordGate(t)
				g.accountWith(ada, g.record(oldWords))
				other, again, unsent := g.stranger(1), g.stranger(2), g.stranger(3)
				link, reset := other.mustAsk(SignIn, ada), again.mustAsk(Reset, ada)
				operator := must[Link](t)(g.Link(context.Background(), g.site, LinkInput{Email: ada, Purpose: Reset}))
				must[RequestResult](t)(unsent.ask(Reset, ada)) // the worker has not seen it
				change(t, g)
				_, text, _ := strings.Cut(operator.URL, "?t=")
				for _, dead := range []string{link.link, reset.link, text} {
					_, err := g.stranger(4).open(dead)
					wantErr(t, err, ErrDead)
					_, err = g.stranger(4).set(dead, nth(3))
					wantErr(t, err, ErrDead)
				}
				_, err := other.type_(link.code)
				wantInvalid(t, err, "code", "wrong")
				parsed := len(g.inbox.to(ada))
				g.post()
				for _, m := range g.inbox.to(ada)[parsed:] {
					if m.link != "" {
						t.Error("a mail from before left afterwards with a link")
					}
				}
				must[Done](t)(g.stranger(5).signIn(ada, newWords))
			})
		}
	})
}

func TestTOK5_CancellingAResetEndsItsOneFlow(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		mail := b.mustAsk(Reset, ada)
		other := g.stranger(1).mustAsk(Reset, ada)
		wantErr(t, b.cancel(mail.cancel), nil)
		_, err := b.set(mail.link, newWords)
		wantErr(t, err, ErrDead)
		must[Done](t)(g.stranger(1).set(other.link, newWords))
	})
}

func TestTOK6_MalformedTokensOfResetsAreDeadAndHashNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.Passwords = must[*password.Hasher](t)(password.NewHasher(password.Options{
			Cost: cheap, Now: func() time.Time { t.Error("something was hashed"); return start },
		}))
		for _, text := range []string{"", "x", strings.Repeat("A", 50), strings.Repeat("A", 10<<20), "AAAA\x00"} {
			_, err := g.Confirm(context.Background(), g.site, Requester{}, ConfirmInput{Token: text, Password: newWords})
			wantErr(t, err, ErrDead)
		}
	})
}

func TestTOK7_ARefusedPasswordUsesNothingUp(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.site.Passwords.Last = 2
		g.site.PasswordWords = []string{"Wintergarten"}
		g.accountWith(ada, g.record(nth(0)))
		b := g.browser()
		must[Done](t)(b.set(b.mustAsk(Reset, ada).link, oldWords))
		mail := b.mustAsk(Reset, ada)
		g.spy.take()
		for typed, reason := range map[string]password.Reason{
			"":                       password.TooShort,
			"short":                  password.TooShort,
			"passwordpassword":       password.TooCommon,
			"wintergarten1":          password.ContainsName,
			"ada@example.com":        password.ContainsName,
			oldWords:                 password.SameAsCurrent,
			nth(0):                   password.Reused,
			"nul\x00 in a password":  password.InvalidCharacters,
			"\xed\xa0\x80 surrogate": password.InvalidCharacters,
			strings.Repeat("é", 257): password.TooLong,
			strings.Repeat("a long password ", 10<<20/16): password.TooLong,
		} {
			for range 7 {
				_, err := b.set(mail.link, typed)
				wantInvalid(t, err, "password", string(reason))
			}
		}
		// What is told by comparing is counted, and that alone.
		if updates, writes := g.spy.take(); updates != 14 || len(writes) != 1 || writes["counter"] != 14 {
			t.Errorf("%d updates wrote %v", updates, writes)
		}
		must[Done](t)(b.set(mail.link, newWords))
	})
}

func TestTOK7_AFailureUsesNothingUp(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		mail := b.mustAsk(Reset, ada)
		g.spy.break_(storage.ErrDamaged)
		_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, Password: newWords})
		wantErr(t, err, ErrUnavailable)
		g.spy.break_(nil)
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		o := must[LinkPreview](t)(b.open(mail.link))
		if _, err = g.Confirm(gone, g.site, b.requester(), ConfirmInput{Token: mail.link, H: o.H, Password: newWords}); err == nil {
			t.Error("a reset of nobody succeeded")
		}
		must[Done](t)(b.set(mail.link, newWords))
	})
}

func TestFLOW7_AResetConfirmsOnlyWhatWasShown(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		g.accountWith("eve@example.com", g.record(oldWords))
		b := g.browser()
		one, two := b.mustAsk(Reset, ada), g.stranger(1).mustAsk(Reset, "eve@example.com")
		o := must[LinkPreview](t)(b.open(one.link))
		_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: two.link, H: o.H, Password: newWords})
		wantErr(t, err, ErrChanged)
		// Nor is anything told about a password that was sent with something else than the page that is open.
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: one.link, H: "x", Password: oldWords})
		wantErr(t, err, ErrChanged)
		must[Done](t)(b.signIn("eve@example.com", oldWords))
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: one.link, H: o.H, Password: newWords})
		wantErr(t, err, ErrChanged)
		if o = must[LinkPreview](t)(b.open(one.link)); o.OtherAccount == "" {
			t.Error("the page does not say that somebody else is signed in")
		}
		eves := b.session
		must[Done](t)(b.set(one.link, newWords))
		b.session = eves
		if !b.signedIn() {
			t.Error("the reset of one account ended a session of another")
		}
	})
}
