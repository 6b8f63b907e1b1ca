package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	newAda   = "ada@new.example.com"
	thirdAda = "ada@third.example.com"
	evil     = "mallory@evil.example.com"
)

// last returns the newest mail to an address, after all that is due has left.
func (g *gate) last(email string) letter {
	g.t.Helper()
	g.post()
	return g.browser().newest(email)
}

// asksForAddress begins a change of the address by the code that is mailed to the present one.
func (b *browser) asksForAddress(present, email string) (cookie string, err error) {
	b.g.t.Helper()
	ctx := context.Background()
	proof, _, err := b.g.RequestProof(ctx, b.g.site, b.requester(), Act{Kind: NewAddress, Email: email})
	if err != nil {
		return "", err
	}
	r := b.requester()
	err = b.g.SubmitProof(ctx, b.g.site, r, proof, b.g.last(present).code, func(tx storage.Tx, act Act) (err error) {
		cookie, _, err = b.g.BeginAddressChange(tx, b.g.site, r, act.Email)
		return err
	})
	return cookie, err
}

// mustAskForAddress returns the mails of a change as well.
func (b *browser) mustAskForAddress(present, email string) (cookie string, toNew, toOld letter) {
	b.g.t.Helper()
	b.g.post() // what the sign-in has queued
	cookie = must[string](b.g.t)(b.asksForAddress(present, email))
	return cookie, b.g.last(email), b.g.last(present)
}

// confirms opens a link of a change and presses the button.
func (b *browser) confirms(token string) (AddressDone, error) {
	o, err := b.open(token)
	if err != nil {
		return AddressDone{}, err
	}
	done, err := b.g.ConfirmAddress(context.Background(), b.g.site, b.requester(), token, o.H)
	if err == nil && done.Session.SessionCookie != "" {
		b.session, b.known = done.Session.SessionCookie, done.Session.KnownCookie
	}
	return done, err
}

// changesAddress changes the address of the account that b is signed in to, as people do who have both mailboxes.
func (b *browser) changesAddress(present, email string) {
	b.g.t.Helper()
	_, toNew, toOld := b.mustAskForAddress(present, email)
	must[AddressDone](b.g.t)(b.g.browser().confirms(toNew.link))
	if done := must[AddressDone](b.g.t)(b.confirms(toOld.link)); !done.Changed {
		b.g.t.Fatalf("two words have done %+v", done)
	}
}

// addressOf returns the address of an account.
func (g *gate) addressOf(id string) (email string) {
	g.t.Helper()
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		a, _, err := g.Accounts.Get(tx, id)
		email = a.Email
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	return email
}

// isSignedIn reports whether the session of a browser is alive.
func (b *browser) isSignedIn() bool { return b.requester().Session != nil }

// TestOWN1_TwoMailboxesChangeTheAddress changes the address in either order, by link and by code, and tells both mailboxes.
func TestOWN1_TwoMailboxesChangeTheAddress(t *testing.T) {
	for _, how := range []string{"the new one first", "the old one first", "the old one, then the code", "the code, then the old one"} {
		t.Run(how, func(t *testing.T) {
			g := newGate(t)
			id := g.account(ada)
			b, elsewhere := g.signedIn(ada), g.signedIn(ada)
			cookie, toNew, toOld := b.mustAskForAddress(ada, newAda)
			if toNew.kind != mailer.KindAddressNew || toNew.link == "" || toNew.code == "" || toNew.cancel == "" {
				t.Fatalf("the mail to the new mailbox is %+v", toNew)
			}
			if toOld.kind != mailer.KindAddressConsent || toOld.link == "" || toOld.code != "" || toOld.cancel == "" {
				t.Fatalf("the mail to the old mailbox is %+v", toOld)
			}
			ctx := context.Background()
			oldOne := func() (AddressDone, error) { return b.confirms(toOld.link) }
			newOne := func() (AddressDone, error) { return g.browser().confirms(toNew.link) }
			code := func() (AddressDone, error) {
				done, err := g.SubmitAddressCode(ctx, g.site, b.requester(), cookie, toNew.code)
				if done.Session.SessionCookie != "" {
					b.session = done.Session.SessionCookie
				}
				return done, err
			}
			steps := map[string][]func() (AddressDone, error){
				"the new one first": {newOne, oldOne}, "the old one first": {oldOne, newOne},
				"the old one, then the code": {oldOne, code}, "the code, then the old one": {code, oldOne},
			}[how]
			if done := must[AddressDone](t)(steps[0]()); done.Changed || g.addressOf(id) != ada {
				t.Fatalf("one word has done %+v, the address is %s", done, g.addressOf(id))
			}
			p := must[AddressChange](t)(g.PendingAddressChange(ctx, g.site, b.requester(), cookie))
			if p.New == p.Present || p.New != (how == "the new one first" || how == "the code, then the old one") || p.Address != newAda || !p.Code {
				t.Errorf("the page says %+v", p)
			}
			g.fake.Advance(time.Minute)
			if done := must[AddressDone](t)(steps[1]()); !done.Changed || g.addressOf(id) != newAda {
				t.Fatalf("two words have done %+v, the address is %s", done, g.addressOf(id))
			}
			// The browser that brought the second word goes on where it was signed in, with a new session; every other one has ended.
			if elsewhere.isSignedIn() || b.isSignedIn() != (how != "the old one first") {
				t.Errorf("signed in: elsewhere %v, here %v", elsewhere.isSignedIn(), b.isSignedIn())
			}
			if m := g.last(ada); m.kind != mailer.KindAddressChanged || m.link == "" || m.cancel != "" || m.code != "" {
				t.Errorf("the old mailbox is told %+v", m)
			}
			if m := g.last(newAda); m.kind != mailer.KindAddressChanged || m.link != "" {
				t.Errorf("the new mailbox is told %+v", m)
			}
			if m := g.browser().mustAsk(SignIn, newAda); m.kind != mailer.KindLink {
				t.Errorf("the new address gets %s", m.kind)
			}
			for _, used := range []letter{toNew, toOld} {
				_, err := g.browser().confirms(used.link)
				wantErr(t, err, ErrDead)
				wantErr(t, g.browser().cancel(used.cancel), ErrDead)
			}
		})
	}
}

// TestOWN1_OneWordChangesNothing: a refused, expired, stopped and replaced change, and one that a reset or a new account of the address has
// ended, stays what it was.
func TestOWN1_OneWordChangesNothing(t *testing.T) {
	for what, c := range map[string]struct {
		meanwhile func(g *gate, b *browser, id string, toNew, toOld letter)
		signedOut bool
	}{
		"nothing": {meanwhile: func(*gate, *browser, string, letter, letter) {}},
		"refused by the old mailbox": {func(g *gate, _ *browser, _ string, _, toOld letter) {
			if err := g.browser().cancel(toOld.cancel); err != nil {
				g.t.Fatal(err)
			}
		}, true},
		"refused by the new mailbox": {func(g *gate, _ *browser, _ string, toNew, _ letter) {
			if err := g.browser().cancel(toNew.cancel); err != nil {
				g.t.Fatal(err)
			}
		}, false},
		"expired": {func(g *gate, _ *browser, _ string, _, _ letter) { g.fake.Advance(DefaultActivation) }, false},
		"stopped": {func(g *gate, b *browser, _ string, _, _ letter) {
			if err := g.StopAddressChange(context.Background(), g.site, b.requester()); err != nil {
				g.t.Fatal(err)
			}
		}, false},
		"replaced by another one": {func(g *gate, b *browser, _ string, _, _ letter) { b.mustAskForAddress(ada, thirdAda) }, false},
		"signed out everywhere": {func(g *gate, _ *browser, id string, _, _ letter) {
			if err := g.Sessions.EndEverywhere(context.Background(), id); err != nil {
				g.t.Fatal(err)
			}
		}, true},
		"disabled":                     {func(g *gate, _ *browser, id string, _, _ letter) { g.disable(id) }, true},
		"people keep their addresses":  {func(g *gate, _ *browser, _ string, _, _ letter) { g.site.KeepAddresses = true }, false},
		"the policy does not admit it": {func(g *gate, _ *browser, _ string, _, _ letter) { g.site.SignUp.Mode = SignUpClosed }, false},
	} {
		for _, first := range []string{"new", "old"} {
			t.Run(what+", after the word of the "+first+" one", func(t *testing.T) {
				g := newGate(t)
				id := g.account(ada)
				b := g.signedIn(ada)
				cookie, toNew, toOld := b.mustAskForAddress(ada, newAda)
				one, other := toNew, toOld
				if first == "old" {
					one, other = other, one
				}
				if done := must[AddressDone](t)(g.browser().confirms(one.link)); done.Changed {
					t.Fatalf("one word has done %+v", done)
				}
				c.meanwhile(g, b, id, toNew, toOld)
				if what != "nothing" {
					_, err := g.browser().confirms(other.link)
					wantErr(t, err, ErrDead)
					if b.isSignedIn() {
						_, err = g.SubmitAddressCode(context.Background(), g.site, b.requester(), cookie, toNew.code)
						if err == nil {
							t.Error("the code is taken")
						}
					}
				}
				_, err := g.browser().confirms(one.link) // a second press of one mailbox is no second word
				wantErr(t, err, ErrDead)
				if email := g.addressOf(id); email != ada {
					t.Errorf("the address is %s", email)
				}
				if b.isSignedIn() == c.signedOut {
					t.Errorf("signed in: %v", b.isSignedIn())
				}
			})
		}
	}
}

// TestOWN1_AnAddressNeedsTheProofOfThisChange offers what proves something else.
func TestOWN1_AnAddressNeedsTheProofOfThisChange(t *testing.T) {
	g := newGate(t)
	id := g.account(ada)
	owner := g.signedIn(ada)
	thief := *owner // a copy of all cookies
	cookie, toNew, _ := owner.mustAskForAddress(ada, newAda)
	ctx := context.Background()
	// The thief's copy has the session, and asks for an address of its own: the owner's change is replaced, and its code confirms nothing.
	if _, _, err := g.RequestProof(ctx, g.site, thief.requester(), Act{Kind: NewAddress, Email: evil}); err != nil {
		t.Fatal(err)
	}
	if p, err := g.PendingAddressChange(ctx, g.site, owner.requester(), cookie); err != nil || p.Address != newAda {
		t.Errorf("asking for a code alone has changed the page to %+v, %v", p, err)
	}
	g.fake.Advance(time.Minute)
	other := g.signedIn(ada)
	for name, by := range map[string]struct {
		b      *browser
		cookie string
		code   string
	}{
		"another session":        {other, cookie, toNew.code},
		"without the cookie":     {owner, "", toNew.code},
		"the session's cookie":   {owner, owner.session, toNew.code},
		"the code of a sign-in":  {owner, cookie, g.browser().mustAsk(SignIn, ada).code},
		"the code of an act":     {owner, cookie, func() string { _, m := owner.proof(Act{Kind: Export}); return m.code }()},
		"no session":             {g.browser(), cookie, toNew.code},
		"what is not eight long": {owner, cookie, "123"},
	} {
		if _, err := g.SubmitAddressCode(ctx, g.site, by.b.requester(), by.cookie, by.code); err == nil {
			t.Errorf("%s confirms", name)
		}
	}
	var done acts
	if err := g.SubmitProof(ctx, g.site, owner.requester(), cookie, toNew.code, done.perform); err == nil || len(done.done) != 0 {
		t.Errorf("the code of the new mailbox proves the act %v: %v", done.done, err)
	}
	if p := must[AddressChange](t)(g.PendingAddressChange(ctx, g.site, owner.requester(), cookie)); p.New || p.Present {
		t.Errorf("the page says %+v", p)
	}
	for _, bad := range []string{"", "ada", ada, "Ada@Example.com", "a@example.com, b@example.com", "a\u200b@example.com"} {
		if _, err := g.CheckNewAddress(g.site, owner.requester(), bad); err == nil {
			t.Errorf("%q is an address to change to", bad)
		}
	}
	g.site.SignUp.Domains = []string{"example.com"}
	_, err := g.CheckNewAddress(g.site, owner.requester(), evil)
	wantErr(t, err, ErrAddressClosed)
	if g.addressOf(id) != ada {
		t.Error("the address has changed")
	}
}

// TestOWN1_OneOfFiftyChangesTheAddress presses the second button fifty times at once, and then that of the take-back.
func TestOWN1_OneOfFiftyChangesTheAddress(t *testing.T) {
	g := newGate(t)
	id := g.account(ada)
	_, toNew, toOld := g.signedIn(ada).mustAskForAddress(ada, newAda)
	ctx := context.Background()
	race := func(tokens ...string) int {
		var wg sync.WaitGroup
		var changed atomic.Int32
		r, shown := g.browser().requester(), map[string]LinkPreview{}
		for _, text := range tokens {
			shown[text] = must[LinkPreview](t)(g.Open(ctx, g.site, r, text))
		}
		for i := range 50 {
			text := tokens[i%len(tokens)]
			wg.Go(func() {
				done, err := g.ConfirmAddress(ctx, g.site, r, text, shown[text].H)
				switch {
				case err == nil && done.Changed:
					changed.Add(1)
				case err != nil && !errors.Is(err, ErrDead):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return int(changed.Load())
	}
	if n := race(toNew.link, toOld.link); n != 1 || g.addressOf(id) != newAda {
		t.Fatalf("%d presses have changed the address, which is %s", n, g.addressOf(id))
	}
	back := g.last(ada)
	if n := race(back.link); n != 1 || g.addressOf(id) != ada {
		t.Fatalf("%d presses have taken it back, it is %s", n, g.addressOf(id))
	}
	if n := g.events(eventChanged); n != 2 {
		t.Errorf("%d events tell of a change", n)
	}
}

// TestOWN2_WhoEndsUpWithTheAccount is the table of a theft: the thief has a copy of the owner's session and reads a mailbox for a while.
func TestOWN2_WhoEndsUpWithTheAccount(t *testing.T) {
	const week = TakeBackLifetime
	reset := func(g *gate, present string) {
		if _, err := g.browser().set(g.browser().mustAsk(Reset, present).link, newWords); err != nil {
			g.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		// reads is the mailbox that the thief reads beside his own: none, old (which the account had until yesterday) or present.
		reads string
		// between is what the thief does once he has changed the address.
		between string
		// after is when the owner finds out.
		after time.Duration
		owner bool
	}{
		{"neither", "none", "", 0, true},
		{"the old one", "old", "", 0, false}, // for 7 days the old mailbox wins
		{"the old one, too late", "old", "", week, true},
		{"the present one", "present", "", 0, true},
		{"the present one, and a reset", "present", "reset", 0, true},
		{"the present one, and a second change", "present", "second change", 0, true},
		{"the present one, a second change and a reset", "present", "second change, reset", week - 2*time.Second, true},
		{"the present one, and everywhere", "present", "everywhere", 0, true},
		{"the present one, and disabled by the operator", "present", "disabled", 0, true},
		{"the present one, and a new account of its address", "present", "sign-up", 0, true},
		{"the present one, and an export", "present", "export", 0, true},
		{"the present one, and a deletion", "present", "delete", accounts.DeletionGrace + time.Hour, true},
		{"the present one, for a week", "present", "", week, false},
		{"the present one, a restored backup", "present", "restored", 0, false},
		{"the present one, and the operator's word", "present", "operator", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newPasswordGate(t)
			g.site.Limits = limit.Table{}
			id := g.account(ada)
			owner := g.signedIn(ada)
			present := ada
			if c.reads == "old" {
				owner.changesAddress(ada, newAda)
				present = newAda
				g.fake.Advance(24 * time.Hour)
				if c.after > 0 {
					g.fake.Advance(c.after)
				}
			}
			thief := *owner
			// A session alone, and with it the thief's own mailbox, gets as far as a mail to the owner.
			if _, _, err := g.RequestProof(context.Background(), g.site, thief.requester(), Act{Kind: NewAddress, Email: evil}); c.reads == "none" && err != nil {
				t.Fatal(err)
			}
			if m := g.last(evil); m.link != "" {
				t.Fatal("the thief's mailbox has a mail before the proof")
			}
			switch c.reads {
			case "old":
				_, err := thief.confirms(g.last(ada).link)
				if c.owner {
					wantErr(t, err, ErrDead)
				} else if err != nil {
					t.Fatal(err)
				}
				present = g.addressOf(id)
			case "present":
				thief.changesAddress(present, evil)
				back := g.last(ada)
				now := evil
				switch c.between {
				case "reset":
					reset(g, evil)
				case "second change", "second change, reset":
					thief.changesAddress(evil, thirdAda)
					if m := g.last(evil); m.kind != mailer.KindAddressChanged || m.link != "" {
						t.Fatalf("a second old mailbox has %+v", m)
					}
					if now = thirdAda; c.between != "second change" {
						reset(g, thirdAda)
					}
				case "everywhere":
					if err := g.Sessions.EndEverywhere(context.Background(), id); err != nil {
						t.Fatal(err)
					}
				case "disabled":
					g.disable(id)
				case "sign-up":
					g.fake.Advance(time.Minute)
					if m := g.browser().mustAsk(Activation, ada); m.kind == mailer.KindLink || m.kind == mailer.KindAccountExists {
						t.Fatalf("the reserved mailbox gets %+v", m)
					}
					if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
						_, err := g.Accounts.Create(tx, accounts.NewAccount{Address: parseAddress(t, ada)})
						return err
					}); !errors.Is(err, accounts.ErrTaken) {
						t.Fatalf("the reserved mailbox gets an account: %v", err)
					}
				case "export":
					thief.proofTo(evil, Act{Kind: Export})
				case "delete":
					if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
						if err := g.Accounts.BeginDeletion(tx, id, "flow", g.Clock.Now().Add(accounts.DeletionGrace)); err != nil {
							return err
						}
						list, err := g.Accounts.List(tx, "", 1)
						if err == nil && !list[0].Deletes.After(g.Clock.Now().Add(TakeBackLifetime-time.Minute)) {
							t.Errorf("operators are told that it goes at %s", list[0].Deletes)
						}
						return err
					}); err != nil {
						t.Fatal(err)
					}
				case "restored":
					if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
						_, err := tx.Epochs().Raise(storage.GlobalEpoch)
						return err
					}); err != nil {
						t.Fatal(err)
					}
				case "operator":
					if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
						return g.Accounts.SetAddress(tx, id, parseAddress(t, evil))
					}); err != nil {
						t.Fatal(err)
					}
				}
				g.fake.Advance(c.after)
				if n, err := g.Accounts.DeleteDue(context.Background(), g.Clock.Now()); n != 0 || err != nil {
					t.Errorf("%d accounts are deleted for good: %v", n, err)
				}
				g.post()
				done, err := g.browser().confirms(back.link)
				if !c.owner {
					wantErr(t, err, ErrDead)
				} else if err != nil || done.Session.SessionCookie != "" {
					t.Fatalf("the take-back is %+v, %v", done, err)
				}
				if c.owner {
					for _, to := range []string{ada, now} {
						if m := g.last(to); m.kind != mailer.KindAddressRestored || m.link != "" {
							t.Errorf("%s is told %+v", to, m)
						}
					}
					if thief.isSignedIn() {
						t.Error("the thief is signed in")
					}
					if c.between != "disabled" {
						if cr := g.credentials(ada); !cr.Passwords.Current.IsZero() {
							t.Error("there is a password")
						}
					}
					_, err := g.browser().confirms(back.link)
					wantErr(t, err, ErrDead)
				}
			}
			want := map[bool]string{true: present, false: evil}[c.owner]
			if c.reads == "old" {
				want = map[bool]string{true: newAda, false: ada}[c.owner]
			}
			if email := g.addressOf(id); email != want {
				t.Errorf("the account is at %s, want %s", email, want)
			}
		})
	}
}

// proofTo performs an act that is proven by a code to an address.
func (b *browser) proofTo(present string, act Act) {
	b.g.t.Helper()
	b.g.post()
	cookie, _, err := b.g.RequestProof(context.Background(), b.g.site, b.requester(), act)
	if err != nil {
		b.g.t.Fatal(err)
	}
	var done acts
	if err := b.g.SubmitProof(context.Background(), b.g.site, b.requester(), cookie, b.g.last(present).code, done.perform); err != nil || len(done.done) != 1 {
		b.g.t.Fatalf("%v was done: %v", done.done, err)
	}
}

// TestOWN2_ATakeBackSurvivesARestart takes an account back in another process than the one that changed it.
func TestOWN2_ATakeBackSurvivesARestart(t *testing.T) {
	g := newGate(t)
	id := g.account(ada)
	b := g.signedIn(ada)
	_, toNew, toOld := b.mustAskForAddress(ada, newAda)
	g.restart()
	must[AddressDone](t)(g.browser().confirms(toNew.link))
	g.restart()
	must[AddressDone](t)(g.browser().confirms(toOld.link))
	if g.addressOf(id) != newAda {
		t.Fatal("the change was lost")
	}
	g.restart()
	back := g.last(ada)
	var takeBack storage.Key
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		st, _, err := g.Accounts.AddressState(tx, id)
		takeBack = st.TakeBack
		return err
	}); err != nil || takeBack.Ends().Sub(g.Clock.Now()).Round(time.Minute) != TakeBackLifetime {
		t.Errorf("the take-back ends at %s: %v", takeBack.Ends(), err)
	}
	must[AddressDone](t)(g.browser().confirms(back.link))
	if g.addressOf(id) != ada {
		t.Fatal("the take-back was lost")
	}
}

// TestTOK2_LinksOfAnAddressWaitForAButton opens each link as scanners do.
func TestTOK2_LinksOfAnAddressWaitForAButton(t *testing.T) {
	g := newGate(t)
	id := g.account(ada)
	b := g.signedIn(ada)
	_, toNew, toOld := b.mustAskForAddress(ada, newAda)
	look := func(tokens ...string) {
		for _, text := range tokens {
			for range 3 {
				if o := must[LinkPreview](t)(b.open(text)); o.OneClick {
					t.Errorf("%s by one click", o.Purpose)
				}
				_, err := b.click(text)
				wantErr(t, err, ErrChanged)
			}
		}
	}
	look(toNew.link, toOld.link, toNew.cancel, toOld.cancel)
	if p := must[AddressChange](t)(g.PendingAddressChange(context.Background(), g.site, b.requester(), "")); p.New || p.Present {
		t.Errorf("a look has confirmed: %+v", p)
	}
	b.changesAddress(ada, newAda)
	back := g.last(ada)
	look(back.link)
	if g.addressOf(id) != newAda {
		t.Error("a look has taken the account back")
	}
}

// TestENUM1_ATakenAddressDoesNotShow changes to an address without an account, to one of an active and to one of a disabled account, over the
// whole life of the change: nothing differs but the mail.
func TestENUM1_ATakenAddressDoesNotShow(t *testing.T) {
	var first []string
	for _, kind := range []string{"unknown", "active", "disabled", "reserved"} {
		g := newGate(t)
		g.account(ada)
		switch kind {
		case "active":
			g.account(newAda)
		case "disabled":
			g.disable(g.account(newAda))
		case "reserved":
			g.account(newAda)
			g.signedIn(newAda).changesAddress(newAda, thirdAda)
		}
		b := g.signedIn(ada)
		g.post()
		before := len(g.inbox.to(newAda))
		g.site.Limits = limit.Table{limit.RedeemIP: nil}
		var seen []string
		note := func(what string, v any, err error) {
			_, writes := g.spy.take()
			seen = append(seen, fmt.Sprintf("%s: %+v %v %v", what, v, err, writes))
		}
		g.spy.take()
		cookie, err := b.asksForAddress(ada, newAda)
		note("ask", len(cookie), err)
		g.post()
		g.spy.take()
		toOld := g.last(ada)
		page := func() {
			p, err := g.PendingAddressChange(context.Background(), g.site, b.requester(), cookie)
			p.Started, p.End = time.Time{}, time.Time{}
			note("page", p, err)
		}
		page()
		_, err = g.SubmitAddressCode(context.Background(), g.site, b.requester(), cookie, "00000000")
		note("code", nil, err)
		done, err := g.browser().confirms(toOld.link)
		done.Account = ""
		note("old", done, err)
		page()
		for range MaxWrongCodes {
			_, err = g.SubmitAddressCode(context.Background(), g.site, b.requester(), cookie, "00000000")
			note("code", nil, err)
		}
		page()
		g.fake.Advance(DefaultActivation)
		page()
		mails := g.inbox.to(newAda)[before:]
		want := map[string]mailer.Kind{"unknown": mailer.KindAddressNew, "active": mailer.KindAccountExists}[kind]
		if (want == "") != (len(mails) == 0) || want != "" && (mails[0].kind != want || (mails[0].link != "") != (kind == "unknown") || (mails[0].code != "") != (kind == "unknown")) {
			t.Errorf("%s: the mailbox has %+v", kind, mails)
		}
		if first == nil {
			first = seen
		} else if diff := cmp.Diff(first, seen); diff != "" {
			t.Errorf("%s differs from unknown:\n%s", kind, diff)
		}
	}
}

// TestOWN2_TheEarlierAddressIsItsAccountsAlone changes an address back within the days in which it may be taken back. Until then nothing else that
// makes an account makes one of that address: what an operator asks for is refused with the account that has it, and a link of before is dead.
func TestOWN2_TheEarlierAddressIsItsAccountsAlone(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		ctx := context.Background()
		g := newGate(t)
		id := g.account(ada)
		before, _ := g.invite(InviteInput{Email: ada})
		b := g.signedIn(ada)
		b.changesAddress(ada, newAda)
		back := g.last(ada)
		_, err := g.Link(ctx, g.site, LinkInput{Email: ada, Purpose: Activation})
		wantReserved(t, err, id)
		_, err = g.Invite(ctx, g.site, InviteInput{Email: ada, Print: true})
		wantReserved(t, err, id)
		_, err = g.browser().press(before)
		wantErr(t, err, ErrDead)
		if n := g.accounts(); n != 1 {
			t.Fatalf("%d accounts", n)
		}

		g.fake.Advance(time.Hour)
		b.changesAddress(newAda, ada)
		if email := g.addressOf(id); email != ada {
			t.Fatalf("the address is %s", email)
		}
		if m := g.last(ada); m.kind != mailer.KindAddressChanged || m.link != "" {
			t.Errorf("the mailbox is told %+v", m)
		}
		g.fake.Advance(time.Hour)
		must[AddressDone](t)(g.browser().confirms(back.link))
		if email := g.addressOf(id); email != ada || b.isSignedIn() {
			t.Errorf("the address is %s, signed in: %v", email, b.isSignedIn())
		}
	})
}

func wantReserved(t *testing.T, err error, id string) {
	t.Helper()
	var reserved *accounts.ReservedError
	if !errors.As(err, &reserved) || reserved.Account != id || !errors.Is(err, accounts.ErrTaken) {
		t.Errorf("%v, want that %s may take the address back", err, id)
	}
}

// TestOWN1_ACodeIsAsDeadAsItsLink types the code of a new mailbox that has got an account meanwhile.
func TestOWN1_ACodeIsAsDeadAsItsLink(t *testing.T) {
	g := newGate(t)
	g.account(ada)
	b := g.signedIn(ada)
	cookie, toNew, _ := b.mustAskForAddress(ada, newAda)
	g.account(newAda)
	_, err := g.SubmitAddressCode(context.Background(), g.site, b.requester(), cookie, toNew.code)
	wantErr(t, err, ErrDead)
	_, err = g.browser().confirms(toNew.link)
	wantErr(t, err, ErrDead)
	if p := must[AddressChange](t)(g.PendingAddressChange(context.Background(), g.site, b.requester(), cookie)); p.New || p.Present {
		t.Errorf("the page says %+v", p)
	}
}
