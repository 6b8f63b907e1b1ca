package flow

import (
	"context"
	"testing"
)

// TestTOK1_OnlyTheBrowserThatPressedGetsItsAnswer: a redemption of unknown outcome has happened. Whoever has the link, and not the flow's
// cookie, another password, or comes after the session has ended, gets nothing from it.
func TestTOK1_OnlyTheBrowserThatPressedGetsItsAnswer(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		lose := func(step func() (Done, error)) {
			t.Helper()
			there := g.Store
			g.Store = unknown{there}
			_, err := step()
			g.Store = there
			wantErr(t, err, ErrUnavailable)
		}
		b := g.browser()
		mail := b.mustAsk(SignIn, ada)
		lose(func() (Done, error) { return b.press(mail.link) })
		for name, other := range map[string]*browser{"without a flow": g.stranger(1), "with a flow of its own": g.stranger(2)} {
			if name != "without a flow" {
				other.mustAsk(SignIn, ada)
			}
			if _, err := other.press(mail.link); err == nil || other.signedIn() {
				t.Errorf("a browser %s: %v", name, err)
			}
		}
		must[Done](t)(b.press(mail.link))
		if !b.signedIn() {
			t.Error("the browser is not signed in")
		}

		again := g.browser()
		mail = again.mustAsk(SignIn, ada)
		lose(func() (Done, error) { return again.press(mail.link) })
		wantErr(t, g.Sessions.EndAll(context.Background()), nil)
		if _, err := again.press(mail.link); err == nil || again.signedIn() {
			t.Errorf("after the end of the session: %v", err)
		}

		reset := g.browser()
		mail = reset.mustAsk(Reset, ada)
		lose(func() (Done, error) { return reset.set(mail.link, newWords) })
		if _, err := reset.set(mail.link, nth(4)); err == nil {
			t.Error("another password than the one that was set is said to be set")
		}
		if done, err := reset.set(mail.link, newWords); err != nil || !done.PasswordSet {
			t.Errorf("the password that was set: %+v, %v", done, err)
		}
	})
}
