package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// starts is what an app starts a flow with; each has an id of its own.
func (g *gate) starts(purpose, email string) StartInput {
	g.started++
	return StartInput{
		Audience: "shop", ID: fmt.Sprint(g.started), Expiry: g.Clock.Wall().Add(time.Minute), Purpose: purpose, Email: email,
		Subject: "42", State: "s1", Continue: "/finish",
	}
}

func (b *browser) starts(in StartInput) (RequestResult, error) {
	result, err := b.g.Start(context.Background(), b.g.site, b.requester(), in)
	if err == nil {
		b.flow = result.FlowCookie
	}
	return result, err
}

// mustStart starts a flow and returns its mail.
func (b *browser) mustStart(in StartInput) letter {
	b.g.t.Helper()
	b.g.post()
	if _, err := b.starts(in); err != nil {
		b.g.t.Fatalf("start: %v", err)
	}
	b.g.post()
	return b.newest(in.Email)
}

// holdsHandoff makes sure that a flow has ended in a hand-over to the app and in nothing else.
func (b *browser) handedOver(done Done, err error) Handoff {
	b.g.t.Helper()
	if err != nil {
		b.g.t.Fatal(err)
	}
	if !done.App || done.SessionCookie != "" || done.Account != "" || done.Reset || done.PasswordSet || done.KnownCookie == "" {
		b.g.t.Errorf("it ended in %+v", done)
	}
	h, ok := b.g.ReadHandoff(b.g.site, done.HandoffCookie)
	if !ok || h.ID == "" || h.Audience != "shop" {
		b.g.t.Fatalf("the hand-over: %+v, %v", h, ok)
	}
	b.handover = done.HandoffCookie
	return h
}

// TestTOK3_AppFlowsKnowNoAccounts ends flows of an app for a mailbox that has an account here, has a disabled one, or none: they
// end alike, nobody looks an account up, and nothing of the account or its sessions changes.
func TestTOK3_AppFlowsKnowNoAccounts(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.disable(g.account("dora@example.com"))
		here := g.browser()
		mail := here.mustAsk(SignIn, "ada@example.com")
		must[Done](t)(here.press(mail.link))
		for _, email := range []string{"ada@example.com", "dora@example.com", "nobody@example.com"} {
			for _, purpose := range []string{Activation, SignIn, Reset} {
				g.fake.Advance(time.Hour)
				b := g.browser()
				g.spy.take()
				in := g.starts(purpose, email)
				in.Subject, in.State = "sub of "+email, purpose
				mail := b.mustStart(in)
				if want := map[string]mailer.Kind{Activation: mailer.KindLink, SignIn: mailer.KindLink, Reset: mailer.KindReset}[purpose]; mail.kind != want {
					t.Fatalf("%s of %s: a mail of the kind %q", purpose, email, mail.kind)
				}
				if _, writes := g.spy.take(); writes["account look-up"] != 0 {
					t.Errorf("asking looked an account up: %v", writes)
				}
				o := must[LinkPreview](t)(b.open(mail.link))
				if !o.App || o.AskPassword || o.AskName || !o.SameBrowser || o.ReturnTo != "/finish" {
					t.Errorf("opened as %+v", o)
				}
				h := b.handedOver(b.press(mail.link))
				if h.Subject != in.Subject || h.State != purpose || h.Email != email || h.Purpose != purpose || h.Continue != "/finish" || fmt.Sprint(h.Methods) != "[link]" {
					t.Errorf("handed over: %+v", h)
				}
				if _, writes := g.spy.take(); writes["account look-up"] != 0 {
					t.Errorf("redeeming looked an account up: %v", writes)
				}
			}
		}
		if n := g.accounts(); n != 2 {
			t.Errorf("%d accounts", n)
		}
		if live := here.requester().Session; live == nil {
			t.Error("the session of the gate has ended")
		}
	})
}

// TestTOK1_AppStartsOnce has many requests bring one start at once, and again later: it has one effect.
func TestTOK1_AppStartsOnce(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		in := g.starts(SignIn, "ada@example.com")
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			good int
		)
		for i := range 20 {
			requester := g.stranger(i).requester()
			wg.Go(func() {
				_, err := g.Start(context.Background(), g.site, requester, in)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					good++
				} else if !errors.Is(err, ErrReplayed) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		g.post()
		if good != 1 || g.inbox.count() != 1 {
			t.Errorf("%d effects, %d mails", good, g.inbox.count())
		}
		g.restart()
		_, err := g.browser().starts(in)
		wantErr(t, err, ErrReplayed)
		anew := in
		anew.Expiry = in.Expiry.Add(30 * time.Second)
		_, err = g.browser().starts(anew)
		wantErr(t, err, ErrReplayed)
		other := in
		other.Audience = "other"
		if _, err := g.browser().starts(other); err != nil {
			t.Errorf("another app's word for its own start: %v", err)
		}
		midnight := g.starts(SignIn, "bo@example.com")
		midnight.Expiry = in.Expiry.Truncate(24 * time.Hour).Add(24*time.Hour - time.Second)
		for i := range 3 {
			if _, err := g.browser().starts(midnight); (err == nil) != (i == 0) {
				t.Errorf("around midnight: %v", err)
			}
			midnight.Expiry = midnight.Expiry.Add(time.Duration(3*i-2) * -time.Second)
		}
		g.fake.Advance(startMarkLifetime + 24*time.Hour + time.Minute)
		if _, err := g.bolt.Sweep(context.Background(), g.Clock.Now(), 1_000_000); err != nil {
			t.Fatal(err)
		}
		if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
			found, err := g.startSeen(tx, g.site, in)
			if found {
				t.Error("the mark is still there")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMAIL3_AppStartsCount counts mails that apps ask for as all others: the same words go on with the same flow and its resends,
// other words are a new flow, and the mailbox's limit holds for all.
func TestMAIL3_AppStartsCount(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		first := must[RequestResult](t)(b.starts(g.starts(SignIn, "ada@example.com")))
		again := must[RequestResult](t)(b.starts(g.starts(SignIn, "ada@example.com")))
		if again.FlowCookie != first.FlowCookie || again.Pending.ResendsLeft != first.Pending.ResendsLeft {
			t.Errorf("too early: %+v", again.Pending)
		}
		g.fake.Advance(DefaultResendWait)
		again = must[RequestResult](t)(b.starts(g.starts(SignIn, "ada@example.com")))
		if again.FlowCookie != first.FlowCookie || again.Pending.ResendsLeft != first.Pending.ResendsLeft-1 || !again.Pending.App {
			t.Errorf("again: %+v", again.Pending)
		}
		if result := must[RequestResult](t)(b.ask(SignIn, "ada@example.com")); result.FlowCookie == first.FlowCookie || result.Pending.App {
			t.Error("the gate's own form goes on with the app's flow")
		}
		for _, change := range []func(*StartInput){
			func(in *StartInput) { in.State = "s2" }, func(in *StartInput) { in.Subject = "43" },
			func(in *StartInput) { in.Continue = "/other" }, func(in *StartInput) { in.Audience = "other" },
		} {
			b.flow = first.FlowCookie
			in := g.starts(SignIn, "ada@example.com")
			change(&in)
			if result, err := b.starts(in); err == nil && result.FlowCookie == first.FlowCookie {
				t.Errorf("%+v goes on with the flow of before", in)
			}
		}
		b.flow = ""
		_, err := b.starts(g.starts(SignIn, "ada@example.com"))
		var limited *Limited
		if !errors.As(err, &limited) || limited.Name != "mail_address" {
			t.Errorf("the sixth mail in an hour: %v", err)
		}
	})
}

// TestENUM1_AppsThatKnowNobody mails "no account" where the app says so, and is otherwise the same for the browser that asked; no
// code that is guessed ends such a flow.
func TestENUM1_AppsThatKnowNobody(t *testing.T) { appsThatKnowNobody(t) }

func TestTOK3_AFlowOfNobodyIsNotRedeemed(t *testing.T) { appsThatKnowNobody(t) }

func appsThatKnowNobody(t *testing.T) {
	t.Helper()
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b, known := g.browser(), g.stranger(1)
		in := g.starts(Reset, "nobody@example.com")
		in.NoAccount = true
		result := must[RequestResult](t)(b.starts(in))
		of := must[RequestResult](t)(known.starts(g.starts(Reset, "somebody@example.com")))
		g.post()
		mail := b.newest("nobody@example.com")
		if mail.kind != mailer.KindNoAccount || mail.link != "" || mail.code != "" || mail.cancel == "" {
			t.Errorf("the mail: %+v", mail)
		}
		result.Pending.Address, result.Pending.Typed = of.Pending.Address, of.Pending.Typed
		if result.Pending != of.Pending {
			t.Errorf("the pages differ: %+v, %+v", result.Pending, of.Pending)
		}
		in = g.starts(SignIn, "nobody@example.com")
		in.NoAccount = true
		b.mustStart(in)
		var f currentFlow
		if err := g.bolt.View(context.Background(), func(tx storage.Tx) (err error) {
			f, _, err = g.current(tx, g.site.withDefaults(), b.flow, g.Clock.Now())
			if err != nil {
				return err
			}
			flow, err := g.withAccount(tx, f)
			if err != nil {
				return err
			}
			if _, good, err := g.validate(tx, g.site, flow, f.Private, g.Clock.Now(), false); good || err != nil {
				t.Errorf("a flow for nobody can end well: %v", err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTOK5_AppFlowsDie ends flows of apps as all others: by cancel, by their time, by a restored backup.
func TestTOK5_AppFlowsDie(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		mail := b.mustStart(g.starts(SignIn, "ada@example.com"))
		if err := b.cancel(mail.cancel); err != nil {
			t.Fatal(err)
		}
		_, err := b.press(mail.link)
		wantErr(t, err, ErrDead)

		other := g.stranger(1)
		late := other.mustStart(g.starts(Reset, "bo@example.com"))
		g.fake.Advance(DefaultReset)
		_, err = other.press(late.link)
		wantErr(t, err, ErrDead)

		third := g.stranger(2)
		reusedLimits := third.mustStart(g.starts(Activation, "cy@example.com"))
		if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
			_, err := tx.Epochs().Raise(storage.GlobalEpoch)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		_, err = third.press(reusedLimits.link)
		wantErr(t, err, ErrDead)
	})
}
