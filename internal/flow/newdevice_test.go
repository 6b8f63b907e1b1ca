package flow

import (
	"context"
	"errors"
	"strings"
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
					must[Done](t)(thief.press(g.stranger(3).mustAsk(SignIn, ada).link))
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

// notices returns how many mails about new devices ada has had.
func (g *gate) notices() (n int) {
	g.t.Helper()
	g.post()
	for _, m := range g.inbox.to(ada) {
		if m.kind == mailer.KindNewDevice {
			n++
		}
	}
	return n
}

// TestOWN5_WhoIsTold signs in for the first time in a browser, in each way, and then in those that are told of a new one.
func TestOWN5_WhoIsTold(t *testing.T) {
	ways := map[string]struct {
		signIn func(g *gate, b *browser) (Done, error)
		told   int
	}{
		"the link, in the browser that asked":     {func(_ *gate, b *browser) (Done, error) { return b.press(b.mustAsk(SignIn, ada).link) }, 0},
		"the link, there, by one click":           {func(_ *gate, b *browser) (Done, error) { return b.click(b.mustAsk(SignIn, ada).link) }, 0},
		"the link of a sign-up, there":            {func(_ *gate, b *browser) (Done, error) { return b.press(b.mustAsk(Activation, ada).link) }, 0},
		"the code":                                {func(_ *gate, b *browser) (Done, error) { return b.type_(b.mustAsk(SignIn, ada).code) }, 0},
		"the code of a second mail":               {secondMail, 0},
		"the link, in another browser":            {func(g *gate, b *browser) (Done, error) { return b.press(g.stranger(8).mustAsk(SignIn, ada).link) }, 1},
		"the link of a sign-up, in another":       {func(g *gate, b *browser) (Done, error) { return b.press(g.stranger(8).mustAsk(Activation, ada).link) }, 1},
		"the link, beside a flow of its own":      {besideItsOwn, 1},
		"the link that an operator has asked for": {operatorsLink, 1},
		"the password":                            {func(_ *gate, b *browser) (Done, error) { return b.signIn(ada, oldWords) }, 1},
		"the password, beside a flow of its own":  {besidePassword, 1},
	}
	bothModes(t, func(t *testing.T) {
		for name, first := range ways {
			g := newPasswordGate(t)
			for limit := range g.site.Limits {
				g.site.Limits[limit] = nil
			}
			g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			must[Done](t)(first.signIn(g, b))
			if n := g.notices(); n != first.told {
				t.Errorf("%s: %d mails about a new device, want %d", name, n, first.told)
			}
			for _, again := range []string{"the link, in another browser", "the password"} {
				b.session = "" // signed out
				must[Done](t)(ways[again].signIn(g, b))
				if n := g.notices(); n != first.told {
					t.Errorf("%s, then %s: %d mails about one browser", name, again, n)
				}
			}
		}
	})
}

func secondMail(g *gate, b *browser) (Done, error) {
	b.mustAsk(SignIn, ada)
	g.fake.Advance(DefaultResendWait)
	must[Pending](g.t)(b.resend())
	g.post()
	return b.type_(b.newest(ada).code)
}

// besideItsOwn opens a link in a browser that waits for another one.
func besideItsOwn(g *gate, b *browser) (Done, error) {
	theirs := g.stranger(8).mustAsk(SignIn, ada)
	b.mustAsk(SignIn, ada)
	return b.press(theirs.link)
}

func besidePassword(_ *gate, b *browser) (Done, error) {
	b.mustAsk(SignIn, ada)
	return b.signIn(ada, oldWords)
}

func operatorsLink(g *gate, b *browser) (Done, error) {
	link := must[Link](g.t)(g.Link(context.Background(), g.site, LinkInput{Email: ada}))
	_, text, _ := strings.Cut(link.URL, "?t=")
	return b.press(text)
}

// TestOWN5_ABrowserThatWasDisownedIsToldAgain signs in, where "this wasn't me" was pressed, in the same browser again.
func TestOWN5_ABrowserThatWasDisownedIsToldAgain(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		thief := g.stranger(1)
		for round := 1; round <= 3; round++ {
			must[Done](t)(thief.signIn(ada, oldWords))
			must[Done](t)(thief.signIn(ada, oldWords))
			if n := g.notices(); n != round {
				t.Fatalf("round %d: %d mails about a browser that was disowned each time", round, n)
			}
			if err := g.browser().cancel(g.deviceMail().cancel); err != nil || thief.signedIn() {
				t.Fatalf("round %d: %v, signed in: %v", round, err, thief.signedIn())
			}
			g.fake.Advance(time.Second)
		}
		must[Done](t)(thief.press(g.stranger(8).mustAsk(SignIn, ada).link))
		if n := g.notices(); n != 4 {
			t.Errorf("%d mails, want one about the link as well", n)
		}
	})
}

// TestOWN5_ASignOutHidesNoSession signs out in a new browser and in again, in it or in a copy of it, without a mail about it, before the owner presses
// the button.
func TestOWN5_ASignOutHidesNoSession(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		owner, thief := g.browser(), g.stranger(1)
		must[Done](t)(owner.press(owner.mustAsk(SignIn, ada).link))
		g.fake.Advance(time.Minute)
		must[Done](t)(thief.signIn(ada, oldWords))
		m := g.deviceMail()
		if err := g.Sessions.SignOut(context.Background(), thief.requester().Session, false, g.site.Origin, ""); err != nil {
			t.Fatal(err)
		}
		g.fake.Advance(time.Minute)
		copied := *thief
		copied.session, thief.session = "", ""
		must[Done](t)(thief.signIn(ada, oldWords))
		must[Done](t)(copied.signIn(ada, oldWords))
		if n := g.notices(); n != 1 {
			t.Fatalf("%d mails, want one", n)
		}
		if err := g.stranger(2).cancel(m.cancel); err != nil {
			t.Fatal(err)
		}
		if thief.signedIn() || copied.signedIn() || !owner.signedIn() {
			t.Errorf("signed in: the thief %v, in a copy %v, the owner %v", thief.signedIn(), copied.signedIn(), owner.signedIn())
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
