package flow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestFLOW1_NothingFromBeforeTheProofSurvivesIt(t *testing.T) {
	g := newGate(t)
	eve, ada := g.stranger(1), g.browser()
	early := eve.mustAsk(Activation, "ada@example.com")
	if _, err := eve.ask(Activation, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	done := must[Done](t)(ada.press(early.link))
	if p, _, err := g.Status(context.Background(), g.site, eve.asker()); err != nil || p.SignedIn {
		t.Errorf("the browser that asked is signed in by somebody else's press (%v)", err)
	}
	_, err := eve.type_(early.code)
	var invalid *Invalid
	if !errors.As(err, &invalid) || invalid.Code != "wrong" {
		t.Errorf("a code of a finished flow: %v", err)
	}
	if g.accounts() != 1 || done.Account == "" {
		t.Errorf("%d accounts, session of %q", g.accounts(), done.Account)
	}
}

func TestFLOW1_AParallelSignUpDiesWithTheFirst(t *testing.T) {
	g := newGate(t)
	a, b := g.browser(), g.stranger(1)
	first, second := a.mustAsk(Activation, "ada@example.com"), b.mustAsk(Activation, "Ada@Example.com")
	if second.kind == "" {
		second = b.newest("Ada@example.com")
	}
	must[Done](t)(a.press(first.link))
	_, err := b.press(second.link)
	wantErr(t, err, ErrDead)
	if g.accounts() != 1 {
		t.Errorf("%d accounts, want 1", g.accounts())
	}
}

func TestFLOW2_UnfinishedSignUpsLeaveNothing(t *testing.T) {
	g := newGate(t)
	for i := range 20 {
		b := g.stranger(i)
		b.mustAsk(Activation, fmt.Sprintf("u%d@example.com", i))
		g.fake.Advance(DefaultResendWait)
		if _, err := b.resend(); err != nil {
			t.Fatal(err)
		}
		g.post()
	}
	g.fake.Advance(2*DefaultActivation + time.Hour)
	if _, err := g.bolt.Sweep(context.Background(), g.Clock.Now(), 1_000_000); err != nil {
		t.Fatal(err)
	}
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		events, err := tx.Events().List(10)
		if err != nil {
			return err
		}
		waiting, err := tx.Outbox().List(false, 10)
		if err != nil {
			return err
		}
		dead, err := tx.Outbox().List(true, 10)
		if err == nil && len(events)+len(waiting)+len(dead) != 0 {
			t.Errorf("left behind: %d events, %d mails, %d dead letters", len(events), len(waiting), len(dead))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if g.accounts() != 0 {
		t.Error("an account that nobody activated")
	}
	if n, err := g.bolt.Sweep(context.Background(), g.Clock.Now(), 1_000_000); n != 0 || err != nil {
		t.Errorf("a second sweep deleted %d (%v)", n, err)
	}
}

func TestFLOW4_AnotherBrowserSeesWhoAndWhereAndPresses(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	g.account("eve@example.com")
	mail := g.browser().mustAsk(SignIn, "ada@example.com")
	b := g.stranger(1)
	b.navigation = true
	o := must[Opened](t)(b.open(mail.link))
	if o.OneClick || o.SameBrowser || o.Masked != "a•••@example.com" || o.Device != "Firefox on Linux" ||
		o.Network != "203.0.113.0/24" || o.Site != g.site.Origin || o.ReturnTo != "/private?x=1" || o.Other != "" {
		t.Errorf("opened as %+v", o)
	}
	b.navigation = false
	must[Done](t)(b.press(b.mustAsk(SignIn, "eve@example.com").link))
	if o := must[Opened](t)(b.open(mail.link)); o.Other != "e•••@example.com" {
		t.Errorf("signed in as somebody else, the page says %q", o.Other)
	}
}

func TestFLOW5_ADisabledAccountGetsNoLink(t *testing.T) {
	g := newGate(t)
	id := g.account("ada@example.com")
	g.disable(id)
	for _, purpose := range []string{SignIn, Activation} {
		if mail := g.browser().mustAsk(purpose, "ada@example.com"); mail.kind != "" {
			t.Errorf("%s: a disabled account got %q", purpose, mail.kind)
		}
	}
	_, err := g.Link(context.Background(), g.site, LinkInput{Email: "ada@example.com"})
	wantErr(t, err, ErrNoAccount)
}

func TestFLOW6_AnEmptyConfigAdmitsNobody(t *testing.T) {
	g := newGate(t)
	g.site.SignUp = SignUp{}
	_, err := g.browser().ask(Activation, "ada@example.com")
	wantErr(t, err, ErrClosed)
	if mail := g.browser().mustAsk(SignIn, "ada@example.com"); mail.kind != "" {
		t.Errorf("an unknown address got %q", mail.kind)
	}
	if g.accounts() != 0 {
		t.Error("an account appeared")
	}
}

func TestFLOW7_OnlyWhatWasShownIsConfirmed(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	g.account("eve@example.com")
	b := g.stranger(1)
	ada, eve := g.browser().mustAsk(SignIn, "ada@example.com"), g.browser().mustAsk(SignIn, "eve@example.com")
	shown := must[Opened](t)(b.open(ada.link))
	_, err := g.Confirm(context.Background(), g.site, b.asker(), ConfirmInput{Token: eve.link, H: shown.H})
	wantErr(t, err, ErrChanged)
	// Another sign-in between GET and POST.
	other := g.stranger(2)
	other.mustAsk(SignIn, "eve@example.com")
	must[Done](t)(other.press(other.newest("eve@example.com").link))
	b.session = other.session
	_, err = g.Confirm(context.Background(), g.site, b.asker(), ConfirmInput{Token: ada.link, H: shown.H})
	wantErr(t, err, ErrChanged)
	_, err = g.Confirm(context.Background(), g.site, b.asker(), ConfirmInput{Token: ada.link})
	wantErr(t, err, ErrChanged)
	must[Done](t)(b.press(ada.link))
	if live, err := g.Sessions.Find(context.Background(), other.session, g.site.Origin); err != nil || live != nil {
		t.Errorf("the session that was replaced lives on (%v)", err)
	}
}

// observed is all that a browser sees of asking, resending and typing, without random values.
type observed struct {
	Pending Pending
	Err     string
	Writes  map[string]int
	Updates int
}

func watch(g *gate, p Pending, err error) observed {
	updates, writes := g.spy.take()
	p.Address, p.Typed = "", ""
	o := observed{Pending: p, Writes: writes, Updates: updates}
	if err != nil {
		o.Err = err.Error()
		var invalid *Invalid
		if errors.As(err, &invalid) {
			o.Err += fmt.Sprint(invalid.Left)
		}
	}
	return o
}

func TestENUM1_AskingIsNeutral(t *testing.T) {
	for _, mode := range []SignUpMode{SignUpClosed, SignUpInvite, SignUpOpen} {
		for _, purpose := range []string{SignIn, Activation} {
			t.Run(mode.String()+" "+purpose, func(t *testing.T) {
				var first []observed
				for _, kind := range []string{"unknown", "active", "disabled"} {
					g := newGate(t)
					g.site.SignUp.Mode = mode
					g.account("ada@example.com")
					g.disable(g.account("eve@example.com"))
					email := map[string]string{"unknown": "bob@example.com", "active": "ada@example.com", "disabled": "eve@example.com"}[kind]
					g.spy.take()
					seen := neutralRun(g, purpose, email)
					if first == nil {
						first = seen
						continue
					}
					if diff := cmp.Diff(first, seen); diff != "" {
						t.Errorf("%s differs from unknown:\n%s", kind, diff)
					}
				}
			})
		}
	}
}

// neutralRun asks until everything is spent, and notes what it sees.
func neutralRun(g *gate, purpose, email string) (seen []observed) {
	b := g.browser()
	// Windows of limits begin at moments that differ from mailbox to mailbox, so caps are looked at while no time passes.
	g.site.Limits.MailAddress, g.site.Limits.MailMailbox = nil, nil
	for range 2 {
		asked, err := b.ask(purpose, email)
		seen = append(seen, watch(g, asked.Pending, err))
		g.post()
		g.spy.take()
	}
	for range 7 {
		g.fake.Advance(DefaultResendWait)
		p, err := b.resend()
		seen = append(seen, watch(g, p, err))
		g.post()
		g.spy.take()
		_, err = b.type_("12345678")
		seen = append(seen, watch(g, Pending{}, err))
	}
	g.site.Limits = limit.Defaults()
	for range 7 { // fresh browsers, up to the mailbox's cap
		asked, err := g.browser().ask(purpose, email)
		seen = append(seen, watch(g, asked.Pending, err))
		g.post()
		g.spy.take()
	}
	return seen
}

func TestENUM1_WhatHappensElsewhereDoesNotShow(t *testing.T) {
	run := func(elsewhere func(g *gate, id string, mail letter)) (seen []observed) {
		g := newGate(t)
		id := g.account("ada@example.com")
		b := g.browser()
		if _, err := b.ask(SignIn, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		g.post()
		_, err := b.type_("00000000")
		seen = append(seen, watch(g, Pending{}, err))
		elsewhere(g, id, b.newest("ada@example.com"))
		g.spy.take()
		_, err = b.type_("00000000")
		o := watch(g, Pending{}, err)
		o.Writes = nil
		seen = append(seen, o)
		for range 4 {
			g.fake.Advance(DefaultResendWait)
			g.spy.take()
			p, err := b.resend()
			o := watch(g, p, err)
			o.Writes = nil
			seen = append(seen, o)
			g.post()
			g.spy.take()
			_, err = b.type_("00000000")
			o = watch(g, Pending{}, err)
			o.Writes = nil
			seen = append(seen, o)
			asked, err := b.ask(SignIn, "ada@example.com")
			o = watch(g, asked.Pending, err)
			o.Writes = nil
			seen = append(seen, o)
			p, found, err := g.Status(context.Background(), g.site, b.asker())
			if !found {
				t.Error("the flow is gone")
			}
			seen = append(seen, watch(g, p, err))
		}
		return seen
	}
	quiet := run(func(*gate, string, letter) {})
	for name, elsewhere := range map[string]func(g *gate, id string, mail letter){
		"redeemed":  func(g *gate, _ string, mail letter) { must[Done](t)(g.stranger(9).press(mail.link)) },
		"cancelled": func(g *gate, _ string, mail letter) { wantErr(t, g.stranger(9).cancel(mail.cancel), nil) },
		"disabled":  func(g *gate, id string, _ letter) { g.disable(id) },
		"limited": func(g *gate, _ string, _ letter) {
			for i := range 30 {
				_, _ = g.stranger(i).ask(SignIn, "ada@example.com")
			}
		},
	} {
		if diff := cmp.Diff(quiet, run(elsewhere)); diff != "" {
			t.Errorf("%s elsewhere shows:\n%s", name, diff)
		}
	}
}

func TestENUM1_TheRequestLooksNoAccountUp(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	g.spy.take()
	if _, err := g.browser().ask(SignIn, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	updates, writes := g.spy.take()
	if updates != 1 || writes["account look-up"] != 0 {
		t.Errorf("%d updates, writes %v", updates, writes)
	}
}

func TestENUM1_ALinkUsedElsewhereCanBeHadAgain(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.browser()
	mail := b.mustAsk(SignIn, "ada@example.com")
	must[Done](t)(g.stranger(1).press(mail.link))
	g.fake.Advance(DefaultResendWait)
	must[Pending](t)(b.resend())
	g.post()
	again := b.newest("ada@example.com")
	if again.link == mail.link {
		t.Fatal("no new mail")
	}
	b.navigation = true
	if o := must[Opened](t)(b.open(again.link)); !o.OneClick {
		t.Errorf("opened as %+v, want one click", o)
	}
	b.navigation = false
	must[Done](t)(b.type_(again.code))
}

func TestMAIL2_UnprovenMailboxesGetNothingTheAskerWrote(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	b.device = "Firefox\r\nBcc: eve@example.com"
	mail := b.mustAsk(SignIn, "bob@example.com")
	if mail.kind != outbox.KindNoAccount || mail.link != "" || mail.code != "" {
		t.Errorf("an unknown address got %+v", mail)
	}
}

func TestMAIL3_CapsByMailboxAreExactUnderParallelRequestsAndRestart(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	const parallel = 100
	results := make(chan error, parallel)
	half := func(from, to int) {
		for i := from; i < to; i++ {
			asker := g.stranger(i).asker()
			go func() {
				_, err := g.Request(context.Background(), g.site, asker, RequestInput{Purpose: SignIn, Email: fmt.Sprintf("ada+%d@example.com", i)})
				results <- err
			}()
		}
	}
	good := 0
	collect := func(n int) {
		for range n {
			err := <-results
			var limited *Limited
			switch {
			case err == nil:
				good++
			case !errors.As(err, &limited) || limited.Name != limit.MailMailbox || !limited.RetryAt.After(g.Clock.Now()):
				t.Errorf("refused with %v", err)
			}
		}
	}
	half(0, 10)
	collect(10)
	g.restart()
	half(10, parallel)
	collect(parallel - 10)
	if good != 20 {
		t.Errorf("%d mails to one mailbox, want 20", good)
	}
}

func TestMAIL3_ASpentCapKeepsResendsBackWithoutAWord(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.browser()
	b.mustAsk(SignIn, "ada@example.com")
	for i := range 30 {
		_, _ = g.stranger(i).ask(SignIn, "ada@example.com")
	}
	g.post()
	n := g.inbox.count()
	g.fake.Advance(DefaultResendWait)
	if p := must[Pending](t)(b.resend()); p.ResendsLeft != DefaultResends-1 {
		t.Errorf("%d left", p.ResendsLeft)
	}
	g.post()
	if g.inbox.count() != n {
		t.Error("a mail above the cap left")
	}
}

func TestMAIL3_OneAddressCannotSpray(t *testing.T) {
	g := newGate(t)
	good := 0
	for i := range 80 {
		_, err := g.browser().ask(SignIn, fmt.Sprintf("u%d@example.com", i))
		var limited *Limited
		switch {
		case err == nil:
			good++
		case !errors.As(err, &limited) || limited.Name != limit.MailIP:
			t.Fatal(err)
		}
	}
	if good != 60 {
		t.Errorf("%d mails from one address, want 60", good)
	}
	g.spy.take()
	if _, err := g.browser().ask(SignIn, "x@example.com"); err == nil {
		t.Fatal("not limited")
	}
	if _, writes := g.spy.take(); len(writes) != 0 {
		t.Errorf("a refusal wrote %v", writes)
	}
}

func TestMAIL3_UnknownAddressesAreToldOnceADay(t *testing.T) {
	g := newGate(t)
	for i := range 3 {
		g.stranger(i).mustAsk(SignIn, "bob@example.com")
		g.fake.Advance(7 * time.Hour)
	}
	if n := len(g.inbox.to("bob@example.com")); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
	g.fake.Advance(4 * time.Hour)
	g.stranger(9).mustAsk(SignIn, "bob@example.com")
	if n := len(g.inbox.to("bob@example.com")); n != 2 {
		t.Errorf("%d mails after a day, want 2", n)
	}
}

func TestMAIL3_StrangersCannotSpendWhatAccountsNeed(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	rates := must[limit.Rates](t)(limit.Parse("2-H"))
	g.worker.Use(outbox.Delivery{Mailer: g.inbox, Render: render, Source: g.Accounts, Strangers: rates})
	for i := range 5 {
		g.stranger(i).mustAsk(Activation, fmt.Sprintf("u%d@example.com", i))
	}
	if n := g.inbox.count(); n != 2 {
		t.Errorf("%d mails to strangers, want 2", n)
	}
	if mail := g.browser().mustAsk(SignIn, "ada@example.com"); mail.kind != outbox.KindSignIn {
		t.Error("an account got nothing")
	}
}

func TestRL_ASlotComesBackWhenTheLinkIsUsed(t *testing.T) {
	g := newGate(t)
	rates := must[limit.Rates](t)(limit.Parse("1-H"))
	g.site.Limits.MailIP = rates
	for i := range 3 {
		email := fmt.Sprintf("u%d@example.com", i)
		mail := g.browser().mustAsk(Activation, email)
		must[Done](t)(g.browser().press(mail.link))
	}
	g.browser().mustAsk(Activation, "last@example.com")
	_, err := g.browser().ask(Activation, "more@example.com")
	var limited *Limited
	if !errors.As(err, &limited) || limited.Name != limit.MailIP {
		t.Errorf("got %v, want the limit by address", err)
	}
}

func TestRL4_FailedRedemptionsAreCountedAndGoodLinksStillWork(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.browser()
	mail := b.mustAsk(SignIn, "ada@example.com")
	other := newGate(t) // a link of another gate: well formed and never stored here
	forged := other.browser().mustAsk(Activation, "x@example.com").link
	var limited *Limited
	for i := range 61 {
		g.spy.take()
		_, err := g.Confirm(context.Background(), g.site, b.asker(), ConfirmInput{Token: forged})
		if i < 60 {
			wantErr(t, err, ErrDead)
		} else if !errors.As(err, &limited) || limited.Name != limit.RedeemIP {
			t.Fatalf("guess %d: %v", i+1, err)
		}
	}
	if _, writes := g.spy.take(); len(writes) != 0 {
		t.Errorf("a limited guess wrote %v", writes)
	}
	if _, err := b.type_("12345678"); !errors.As(err, &limited) {
		t.Errorf("a code from there: %v", err)
	}
	must[Done](t)(b.press(mail.link))
}

func TestRL5_AFailingStoreIsUnavailable(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	if _, err := b.ask(SignIn, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	g.spy.break_(errors.New("disk full"))
	_, err := b.ask(SignIn, "ada@example.com")
	wantErr(t, err, ErrUnavailable)
	_, err = b.resend()
	wantErr(t, err, ErrUnavailable)
	_, err = b.type_("12345678")
	wantErr(t, err, ErrUnavailable)
	_, _, err = g.Status(context.Background(), g.site, b.asker())
	wantErr(t, err, ErrUnavailable)
}

func TestRL6_AStrangerWithAThousandAddressesLocksNobodyOut(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	ada := g.browser()
	must[Done](t)(ada.press(ada.mustAsk(SignIn, "ada@example.com").link))
	ada.session = ""
	for i := range 1000 {
		eve := g.stranger(i)
		if asked, err := eve.ask(SignIn, "ada@example.com"); err == nil {
			eve.flow = asked.FlowCookie
			_, _ = eve.type_("12345678")
		}
	}
	// Strangers behind the owner's own address as well.
	for i := range 400 {
		_, _ = g.browser().ask(SignIn, fmt.Sprintf("u%d@example.com", i))
	}
	g.post()
	before := len(g.inbox.to("ada@example.com"))
	mail := ada.mustAsk(SignIn, "ada@example.com")
	if n := len(g.inbox.to("ada@example.com")); n != before+1 {
		t.Fatalf("%d new mails, want 1", n-before)
	}
	must[Done](t)(ada.press(mail.link))
}

func TestCancel_MutesStrangersOfThatNetworkForADay(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	ada, eve := g.browser(), g.stranger(1)
	must[Done](t)(ada.press(ada.mustAsk(SignIn, "ada@example.com").link))
	ada.session = ""
	mail := eve.mustAsk(SignIn, "ada@example.com")
	if err := g.stranger(7).cancel(mail.cancel); err != nil {
		t.Fatal(err)
	}
	count := func() int { return len(g.inbox.to("ada@example.com")) }
	before := count()
	for range 2 { // the same network, also by a fresh browser
		g.stranger(1).mustAsk(SignIn, "ada@example.com")
	}
	g.fake.Advance(DefaultResendWait)
	_, _ = eve.resend()
	g.post()
	if n := count(); n != before {
		t.Errorf("%d mails from a muted network", n-before)
	}
	ada.client = eve.client // the owner in the same network, at a known browser
	ada.mustAsk(SignIn, "ada@example.com")
	g.stranger(2).mustAsk(SignIn, "ada@example.com")
	if n := count(); n != before+2 {
		t.Errorf("%d mails to a known browser and another network, want 2", n-before)
	}
	g.fake.Advance(24*time.Hour - 2*DefaultResendWait)
	g.stranger(1).mustAsk(SignIn, "ada@example.com")
	if n := count(); n != before+2 {
		t.Error("the mute ended early")
	}
	g.fake.Advance(2 * DefaultResendWait)
	g.stranger(1).mustAsk(SignIn, "ada@example.com")
	if n := count(); n != before+3 {
		t.Error("the mute did not end")
	}
}

func TestKnown_ANewDeviceIsToldToTheOwner(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.browser()
	must[Done](t)(b.press(b.mustAsk(SignIn, "ada@example.com").link))
	g.post()
	notice := b.newest("ada@example.com")
	if notice.kind != outbox.KindNewDevice || notice.link != "" || notice.code != "" || notice.cancel != "" {
		t.Errorf("the newest mail is %+v, want a notice without links", notice)
	}
	n := g.inbox.count()
	must[Done](t)(b.press(b.mustAsk(SignIn, "ada@example.com").link))
	g.post()
	if g.inbox.count() != n+1 {
		t.Error("a known browser caused another notice")
	}
	fresh := g.stranger(1)
	must[Done](t)(fresh.press(fresh.mustAsk(Activation, "new@example.com").link))
	n = g.inbox.count()
	g.post()
	if g.inbox.count() != n {
		t.Error("a new account got a notice about itself")
	}
}

func TestKnown_TheCookieIsBoundToSiteMailboxAndTime(t *testing.T) {
	g := newGate(t)
	now := g.Clock.Now()
	mailbox := func(i int) storage.Digest {
		return parseAddress(t, fmt.Sprintf("u%d@example.com", i)).Mailbox(g.Ring)
	}
	cookie := ""
	for i := range 6 {
		cookie = g.remember(g.site, cookie, mailbox(i), now)
	}
	for i := range 6 {
		if got, want := g.knows(g.site, cookie, mailbox(i), now), i >= 2; got != want {
			t.Errorf("mailbox %d known: %v, want %v", i, got, want)
		}
	}
	other := g.site
	other.Origin = "https://other.example.com"
	if g.knows(other, cookie, mailbox(5), now) || g.knows(g.site, cookie, mailbox(5), now.Add(KnownLife)) ||
		g.knows(g.site, cookie[:len(cookie)-1], mailbox(5), now) || g.knows(g.site, "_"+cookie[1:], mailbox(5), now) {
		t.Error("known at another site, after its time, or with a forged cookie")
	}
}

func TestLink_OperatorsMakeLinksWithoutMail(t *testing.T) {
	g := newGate(t)
	g.site.SignUp, g.site.NoMail = SignUp{}, true
	_, err := g.browser().ask(SignIn, "ada@example.com")
	wantErr(t, err, ErrNoMail)
	made := must[Link](t)(g.Link(context.Background(), g.site, LinkInput{Email: "ada@example.com", Purpose: Activation, TTL: time.Hour}))
	prefix := "https://app.example.com/email-link/link?t="
	if len(made.URL) <= len(prefix) || made.URL[:len(prefix)] != prefix {
		t.Fatalf("the link is %s", made.URL)
	}
	g.restart()
	b := g.browser()
	b.navigation = true
	if o := must[Opened](t)(b.open(made.URL[len(prefix):])); o.OneClick || o.SameBrowser || !o.CodeOff {
		t.Errorf("opened as %+v", o)
	}
	must[Done](t)(b.press(made.URL[len(prefix):]))
	_, err = g.Link(context.Background(), g.site, LinkInput{Email: "ada@example.com", Purpose: Activation})
	wantErr(t, err, ErrTaken)
	made = must[Link](t)(g.Link(context.Background(), g.site, LinkInput{Email: "ADA@example.com"}))
	if !made.Ends.Equal(g.Clock.Now().Add(DefaultSignIn)) {
		t.Errorf("ends %v", made.Ends)
	}
	must[Done](t)(g.stranger(1).press(made.URL[len(prefix):]))
	if g.inbox.count() != 0 {
		t.Error("a mail left")
	}
}

func TestRestartInTheMiddleLosesNothing(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	if _, err := b.ask(Activation, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	g.restart()
	g.post()
	mail := b.newest("ada@example.com")
	g.restart()
	p, found, err := g.Status(context.Background(), g.site, b.asker())
	if err != nil || !found || p.Typed != "ada@example.com" {
		t.Fatalf("the flow after a restart: %+v, %v, %v", p, found, err)
	}
	done := must[Done](t)(b.type_(mail.code))
	g.restart()
	if live, err := g.Sessions.Find(context.Background(), done.SessionCookie, g.site.Origin); err != nil || live == nil {
		t.Errorf("the session after a restart: %v, %v", live, err)
	}
	_, err = g.stranger(1).open(mail.link)
	wantErr(t, err, ErrDead)
}

func TestCLK1_AClockThatJumpsBackRevivesNothing(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.browser()
	mail := b.mustAsk(SignIn, "ada@example.com")
	g.fake.Advance(DefaultSignIn)
	g.fake.Set(start)
	_, err := b.open(mail.link)
	wantErr(t, err, ErrDead)
}

func TestRequest_AskingAgainContinuesTheFlow(t *testing.T) {
	g := newGate(t)
	g.account("ada@example.com")
	b := g.browser()
	first := must[Asked](t)(b.ask(SignIn, "ada@example.com"))
	again := must[Asked](t)(b.ask(SignIn, "ADA@example.com"))
	if again.FlowCookie != first.FlowCookie || again.Pending.ResendsLeft != DefaultResends {
		t.Errorf("too early: %+v", again)
	}
	g.fake.Advance(DefaultResendWait)
	again = must[Asked](t)(b.ask(SignIn, "ada@example.com"))
	if again.FlowCookie != first.FlowCookie || again.Pending.ResendsLeft != DefaultResends-1 || !again.Pending.End.Equal(first.Pending.End) {
		t.Errorf("a minute later: %+v", again)
	}
	other := must[Asked](t)(b.ask(SignIn, "eve@example.com"))
	if other.FlowCookie == first.FlowCookie {
		t.Error("another mailbox continues the flow")
	}
}

func TestResend_WaitsAndEnds(t *testing.T) {
	g := newGate(t)
	b := g.browser()
	if _, err := b.resend(); !errors.Is(err, ErrNoFlow) {
		t.Errorf("without a flow: %v", err)
	}
	asked := must[Asked](t)(b.ask(Activation, "ada@example.com"))
	var limited *Limited
	if _, err := b.resend(); !errors.As(err, &limited) || limited.Name != LimitResend || !limited.RetryAt.Equal(asked.Pending.NextResend) {
		t.Errorf("too early: %v", err)
	}
	g.site.Limits.MailAddress = nil
	for i := range DefaultResends {
		g.fake.Advance(DefaultResendWait)
		p := must[Pending](t)(b.resend())
		if p.ResendsLeft != DefaultResends-1-i {
			t.Errorf("%d left after %d", p.ResendsLeft, i+1)
		}
	}
	g.fake.Advance(DefaultResendWait)
	if p, err := b.resend(); !errors.As(err, &limited) || limited.Name != LimitResends || p.ResendsLeft != 0 || !limited.RetryAt.Equal(p.End) {
		t.Errorf("spent: %v", err)
	}
	g.post()
	if n := len(g.inbox.to("ada@example.com")); n != 1+DefaultResends {
		t.Errorf("%d mails, want %d", n, 1+DefaultResends)
	}
}
