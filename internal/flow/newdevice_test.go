package flow

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// deviceMail returns the newest mail to ada, which has to be about a new device.
func (g *gate) deviceMail() letter {
	g.t.Helper()
	g.post()
	m := g.browser().newest(ada)
	if m.kind != mailer.KindNewDevice || m.link != "" || m.code != "" || m.cancel == "" {
		g.t.Fatalf("the newest mail is %+v, want one about a new device that has nothing but a link to sign it out", m)
	}
	return m
}

// TestOWN5_ThisWasNotMeSignsOutThatBrowserAlone presses the button of the mail about a new device, of a password and of a link, in a browser of
// nobody's, after whatever the thief has done meanwhile to keep the session.
func TestOWN5_ThisWasNotMeSignsOutThatBrowserAlone(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, meanwhile := range map[string]func(g *gate, thief *browser){
			"nothing": func(*gate, *browser) {},
			"the thief signs in again": func(g *gate, thief *browser) {
				before := thief.session
				must[Done](t)(thief.signIn(ada, oldWords))
				if thief.session == before {
					t.Error("the cookie is the same")
				}
			},
			"the thief sets a new password": func(g *gate, thief *browser) {
				if done, err := thief.change(oldWords, newWords); err != nil {
					t.Fatal(done, err)
				}
			},
			"a restart": func(g *gate, _ *browser) { g.restart() },
		} {
			for _, byLink := range []bool{false, true} {
				g := newPasswordGate(t)
				g.accountWith(ada, g.record(oldWords))
				owner, thief := g.browser(), g.stranger(1)
				must[Done](t)(owner.signIn(ada, oldWords))
				g.deviceMail()
				if byLink {
					must[Done](t)(thief.press(thief.mustAsk(SignIn, ada).link))
				} else {
					must[Done](t)(thief.signIn(ada, oldWords))
				}
				m := g.deviceMail()
				meanwhile(g, thief)
				anybody := g.stranger(2)
				for range 3 { // what scanners do
					must[LinkPreview](t)(g.Open(context.Background(), g.site, anybody.requester(), m.cancel))
				}
				if !thief.signedIn() {
					t.Fatalf("%s: looking at the page has signed the browser out", name)
				}
				o := must[LinkPreview](t)(g.Open(context.Background(), g.site, anybody.requester(), m.cancel))
				if !o.Cancel || o.Purpose != NewDevice || o.OneClick || o.Device != thief.device {
					t.Errorf("%s: the page says %+v", name, o)
				}
				must[Cancelled](t)(g.Cancel(context.Background(), g.site, anybody.requester(), m.cancel, o.H))
				if thief.signedIn() {
					t.Errorf("%s, by link %v: the browser is signed in still", name, byLink)
				}
				if name != "the thief sets a new password" && !owner.signedIn() {
					t.Errorf("%s: the owner's other browser is signed out", name)
				}
				if _, err := g.Cancel(context.Background(), g.site, anybody.requester(), m.cancel, o.H); !errors.Is(err, ErrDead) {
					t.Errorf("%s: pressed again: %v", name, err)
				}
			}
		}
	})
}

// TestOWN5_TheLinkEnds lets its time pass, and opens it where it does nothing else.
func TestOWN5_TheLinkEnds(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(ada, g.record(oldWords))
	b := g.browser()
	must[Done](t)(b.signIn(ada, oldWords))
	m := g.deviceMail()
	o := must[LinkPreview](t)(b.open(m.cancel))
	if _, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: m.cancel, H: o.H}); err == nil {
		t.Error("the link was confirmed as one that signs in")
	}
	elsewhere := g.site
	elsewhere.Origin = "https://other.example.com"
	if _, err := g.Open(context.Background(), elsewhere, g.browser().requester(), m.cancel); !errors.Is(err, ErrDead) {
		t.Errorf("at another site: %v", err)
	}
	g.fake.Advance(72*time.Hour - time.Second)
	must[LinkPreview](t)(g.browser().open(m.cancel))
	g.fake.Advance(2 * time.Second)
	if _, err := g.Open(context.Background(), g.site, g.browser().requester(), m.cancel); !errors.Is(err, ErrDead) {
		t.Errorf("after its time: %v", err)
	}
	if !b.signedIn() {
		t.Error("the browser is signed out")
	}
}
