package flow

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// signUpElsewhere asks for a sign-up in the browser that it returns, and opens the link on a phone.
func signUpElsewhere(g *gate) (pc *browser, account string) {
	g.t.Helper()
	pc = g.browser()
	mail := pc.mustAsk(Activation, ada)
	account = must[Done](g.t)(g.stranger(1).press(mail.link)).Account
	g.fake.Advance(DefaultResendWait)
	must[Pending](g.t)(pc.resend())
	g.post()
	return pc, account
}

// TestFLOW4_ASignUpThatWasFinishedElsewhereGoesOnAsASignIn: the page that waits at the PC gets a mail whose code it takes, and whose link opens here.
func TestFLOW4_ASignUpThatWasFinishedElsewhereGoesOnAsASignIn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, enter := range map[string]func(b *browser, mail letter) (Done, error){
			"by code": func(b *browser, mail letter) (Done, error) { return b.type_(mail.code) },
			"by link": func(b *browser, mail letter) (Done, error) {
				o := must[LinkPreview](t)(b.open(mail.link))
				if o.Purpose != SignIn || !o.SameBrowser {
					t.Errorf("opened as %+v", o)
				}
				return b.press(mail.link)
			},
		} {
			g := newGate(t)
			pc, account := signUpElsewhere(g)
			mail := pc.newest(ada)
			if mail.kind != mailer.KindAccountExists {
				t.Fatalf("%s: a mail of the kind %s", name, mail.kind)
			}
			done := must[Done](t)(enter(pc, mail))
			if done.Purpose != SignIn || done.Account != account || done.SessionCookie == "" || g.accounts() != 1 {
				t.Errorf("%s: done as %+v, %d accounts", name, done, g.accounts())
			}
			_, err := g.stranger(2).press(mail.link)
			wantErr(t, err, ErrDead)
		}
	})
}

// TestFLOW4_ASignUpForAnAccountSignsIn: a person who has forgotten about the account need not ask twice, and leaves it as it was.
func TestFLOW4_ASignUpForAnAccountSignsIn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.site.AskName = true
		id := g.account(ada)
		b := g.browser()
		mail := b.mustAsk(Activation, ada)
		b.navigation = true
		if o := must[LinkPreview](t)(b.open(mail.link)); !o.OneClick || o.AskName {
			t.Errorf("opened as %+v", o)
		}
		b.navigation = false
		if done := must[Done](t)(b.type_(mail.code)); done.Account != id || done.Owner.Name != "Ada" {
			t.Errorf("done as %+v", done)
		}
		g.post()
		if n := len(g.inbox.to(ada)); n != 1 { // nothing about a new device: it is the one that asked
			t.Errorf("%d mails, the last one is %s", n, b.newest(ada).kind)
		}
		names := map[string]string{}
		if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
			list, err := tx.Events().List(storage.EventFilter{}, 20)
			for _, e := range list {
				names[e.Name] = e.Purpose
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if names[eventConfirmed] != SignIn || names[eventSignedIn] != SignIn {
			t.Errorf("the audit log has %v", names)
		}
	})
}

// TestTOK4_ASignUpSignsInAsLongAsASignIn: the flow of a sign-up lives for a day, and what its mails do for an account that is there ends with the time
// of a sign-in.
func TestTOK4_ASignUpSignsInAsLongAsASignIn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(ada)
		b := g.browser()
		first := b.mustAsk(Activation, ada)
		g.fake.Advance(DefaultSignIn - time.Second)
		must[LinkPreview](t)(b.open(first.link))
		g.fake.Advance(time.Second)
		_, err := b.open(first.link)
		wantErr(t, err, ErrDead)
		_, err = b.press(first.link)
		wantErr(t, err, ErrDead)
		_, err = b.type_(first.code)
		wantInvalid(t, err, "code", "wrong")

		must[Pending](t)(b.resend())
		g.post()
		again := b.newest(ada)
		g.fake.Advance(DefaultSignIn - time.Second)
		must[Done](t)(b.type_(again.code))

		// The mailbox of a newcomer has the whole day.
		late := g.browser()
		mail := late.mustAsk(Activation, "new@example.com")
		g.fake.Advance(DefaultActivation - time.Second)
		must[Done](t)(late.press(mail.link))
	})
}

// TestFLOW4_ASignUpOffersNoSignInThatTheSiteDoesNot: where a site signs in by codes alone, or by passwords alone, so does the mail of a sign-up for an
// account that is there.
func TestFLOW4_ASignUpOffersNoSignInThatTheSiteDoesNot(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			methods    Methods
			link, code bool
		}{
			"link":     {Methods{Link: true}, true, false},
			"code":     {Methods{Code: true}, false, true},
			"both":     {Methods{}, true, true},
			"password": {Methods{Password: true}, false, false},
		} {
			g := newPasswordGate(t)
			g.account(ada)
			g.site.Methods = c.methods
			mail := g.browser().mustAsk(Activation, ada)
			if mail.kind != mailer.KindAccountExists || (mail.link != "") != c.link || (mail.code != "") != c.code {
				t.Errorf("%s: the mail says %+v", name, mail)
			}
		}
	})
}

// TestFLOW5_ASignUpSignsInToNoDisabledAccount: what was mailed before goes dead, and a new mail does not leave.
func TestFLOW5_ASignUpSignsInToNoDisabledAccount(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		id := g.account(ada)
		b := g.browser()
		mail := b.mustAsk(Activation, ada)
		g.disable(id)
		_, err := b.press(mail.link)
		wantErr(t, err, ErrDead)
		_, err = b.type_(mail.code)
		wantInvalid(t, err, "code", "wrong")
		n := g.inbox.count()
		g.fake.Advance(DefaultResendWait)
		must[Pending](t)(b.resend())
		g.post()
		if g.inbox.count() != n {
			t.Error("a disabled account got a mail")
		}
	})
}
