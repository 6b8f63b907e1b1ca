package flow

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestFLOW1_NothingFromBeforeTheProofSurvivesIt(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		eve, ada := g.stranger(1), g.browser()
		early := eve.mustAsk(Activation, "ada@example.com")
		if _, err := eve.ask(Activation, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		done := must[Done](t)(ada.press(early.link))
		if p, _, err := g.Status(context.Background(), g.site, eve.requester()); err != nil || p.SignedIn {
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
	})
}

func TestFLOW1_AParallelSignUpDiesWithTheFirst(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
	})
}

func TestFLOW2_UnfinishedSignUpsLeaveNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
			events, err := tx.Events().List(storage.EventFilter{}, 10)
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
	})
}

func TestFLOW4_AnotherBrowserSeesWhoAndWhereAndPresses(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.account("eve@example.com")
		mail := g.browser().mustAsk(SignIn, "ada@example.com")
		b := g.stranger(1)
		b.navigation = true
		o := must[LinkPreview](t)(b.open(mail.link))
		if o.OneClick || o.SameBrowser || o.Masked != "a•••@example.com" || o.Device != "Firefox on Linux" ||
			o.Network != "203.0.113.0/24" || o.Site != g.site.Origin || o.ReturnTo != "/private?x=1" || o.OtherAccount != "" {
			t.Errorf("opened as %+v", o)
		}
		b.navigation = false
		must[Done](t)(b.press(b.mustAsk(SignIn, "eve@example.com").link))
		if o := must[LinkPreview](t)(b.open(mail.link)); o.OtherAccount != "e•••@example.com" {
			t.Errorf("signed in as somebody else, the page says %q", o.OtherAccount)
		}
	})
}

func TestFLOW5_ADisabledAccountGetsNoLink(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
	})
}

func TestFLOW6_AnEmptyConfigAdmitsNobody(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
	})
}

func TestFLOW7_OnlyWhatWasShownIsConfirmed(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.account("eve@example.com")
		b := g.stranger(1)
		ada, eve := g.browser().mustAsk(SignIn, "ada@example.com"), g.browser().mustAsk(SignIn, "eve@example.com")
		shown := must[LinkPreview](t)(b.open(ada.link))
		_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: eve.link, H: shown.H})
		wantErr(t, err, ErrChanged)
		// Another sign-in between GET and POST.
		other := g.stranger(2)
		other.mustAsk(SignIn, "eve@example.com")
		must[Done](t)(other.press(other.newest("eve@example.com").link))
		b.session = other.session
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: ada.link, H: shown.H})
		wantErr(t, err, ErrChanged)
		_, err = g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: ada.link})
		wantErr(t, err, ErrChanged)
		must[Done](t)(b.press(ada.link))
		if live, err := g.Sessions.Find(context.Background(), other.session, g.site.Origin); err != nil || live != nil {
			t.Errorf("the session that was replaced lives on (%v)", err)
		}
	})
}

// observed is all that a browser sees of asking, resending and typing, without random values.
// neutralRun asks until everything is spent, and notes what it sees.
func TestMAIL2_UnprovenMailboxesGetNothingTheAskerWrote(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		b.device = "Firefox\r\nBcc: eve@example.com"
		mail := b.mustAsk(SignIn, "bob@example.com")
		if mail.kind != mailer.KindNoAccount || mail.link != "" || mail.code != "" {
			t.Errorf("an unknown address got %+v", mail)
		}
		if strings.Contains(mail.message.Text, "\r") || strings.Contains(mail.message.Text, "Ada") || strings.Contains(mail.message.Text, "/private") {
			t.Errorf("the letter holds what it must not: %q", mail.message.Text)
		}
	})
}

func TestKnown_ANewDeviceIsToldToTheOwner(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		must[Done](t)(b.press(g.stranger(2).mustAsk(SignIn, "ada@example.com").link))
		g.post()
		notice := b.newest("ada@example.com")
		if notice.kind != mailer.KindNewDevice || notice.link != "" || notice.code != "" || notice.cancel == "" {
			t.Errorf("the newest mail is %+v, want a notice without a link that signs in", notice)
		}
		n := g.inbox.count()
		must[Done](t)(b.press(g.stranger(2).mustAsk(SignIn, "ada@example.com").link))
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
	})
}

func TestRL6_TheKnownCookieIsBoundToSiteMailboxAndTime(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		now := g.Clock.Now()
		mailbox := func(i int) storage.Digest {
			return parseAddress(t, fmt.Sprintf("u%d@example.com", i)).Mailbox(g.Ring)
		}
		cookie := ""
		for i := range 6 {
			cookie = g.rememberBrowser(g.site, cookie, mailbox(i), now)
		}
		for i := range 6 {
			if got, want := g.isKnownBrowser(g.site, cookie, mailbox(i), now), i >= 2; got != want {
				t.Errorf("mailbox %d known: %v, want %v", i, got, want)
			}
		}
		other := g.site
		other.Origin = "https://other.example.com"
		if g.isKnownBrowser(other, cookie, mailbox(5), now) || g.isKnownBrowser(g.site, cookie, mailbox(5), now.Add(KnownBrowserLifetime)) ||
			g.isKnownBrowser(g.site, cookie[:len(cookie)-1], mailbox(5), now) || g.isKnownBrowser(g.site, "", mailbox(5), now) {
			t.Error("known at another site, after its time, or without a whole cookie")
		}
		raw := must[[]byte](t)(base64.RawURLEncoding.DecodeString(cookie))
		tag := g.knownTag(g.site, mailbox(0))
		copy(raw[8:], tag[:])
		if g.isKnownBrowser(g.site, base64.RawURLEncoding.EncodeToString(raw), mailbox(0), now) {
			t.Error("known by a forged cookie")
		}
	})
}

func TestLink_OperatorsMakeLinksWithoutMail(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.site.SignUp, g.site.NoMail = SignUp{}, true
		_, err := g.browser().ask(SignIn, "ada@example.com")
		wantErr(t, err, ErrNoMail)
		link := must[Link](t)(g.Link(context.Background(), g.site, LinkInput{Email: "ada@example.com", Purpose: Activation, TTL: time.Hour}))
		prefix := "https://app.example.com/email-link/link?t="
		if len(link.URL) <= len(prefix) || link.URL[:len(prefix)] != prefix {
			t.Fatalf("the link is %s", link.URL)
		}
		g.restart()
		b := g.browser()
		b.navigation = true
		if o := must[LinkPreview](t)(b.open(link.URL[len(prefix):])); o.OneClick || o.SameBrowser || !o.CodeOff {
			t.Errorf("opened as %+v", o)
		}
		must[Done](t)(b.press(link.URL[len(prefix):]))
		_, err = g.Link(context.Background(), g.site, LinkInput{Email: "ada@example.com", Purpose: Activation})
		wantErr(t, err, ErrTaken)
		link = must[Link](t)(g.Link(context.Background(), g.site, LinkInput{Email: "ADA@example.com"}))
		if !link.Ends.Equal(g.Clock.Now().Add(DefaultSignIn)) {
			t.Errorf("ends %v", link.Ends)
		}
		must[Done](t)(g.stranger(1).press(link.URL[len(prefix):]))
		if g.inbox.count() != 0 {
			t.Error("a mail left")
		}
	})
}

func TestRestartInTheMiddleLosesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		if _, err := b.ask(Activation, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		g.restart()
		g.post()
		mail := b.newest("ada@example.com")
		g.restart()
		p, found, err := g.Status(context.Background(), g.site, b.requester())
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
	})
}

func TestCLK1_AClockThatJumpsBackRevivesNothing(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		g.fake.Advance(DefaultSignIn)
		g.fake.Set(start)
		_, err := b.open(mail.link)
		wantErr(t, err, ErrDead)
	})
}

func TestENUM1_AskingAgainContinuesTheFlow(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		first := must[RequestResult](t)(b.ask(SignIn, "ada@example.com"))
		again := must[RequestResult](t)(b.ask(SignIn, "ADA@example.com"))
		if again.FlowCookie != first.FlowCookie || again.Pending.ResendsLeft != DefaultResends {
			t.Errorf("too early: %+v", again)
		}
		g.fake.Advance(DefaultResendWait)
		again = must[RequestResult](t)(b.ask(SignIn, "ada@example.com"))
		if again.FlowCookie != first.FlowCookie || again.Pending.ResendsLeft != DefaultResends-1 || !again.Pending.End.Equal(first.Pending.End) {
			t.Errorf("a minute later: %+v", again)
		}
		other := must[RequestResult](t)(b.ask(SignIn, "eve@example.com"))
		if other.FlowCookie == first.FlowCookie {
			t.Error("another mailbox continues the flow")
		}
	})
}

func TestResend_WaitsAndEnds(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		b := g.browser()
		if _, err := b.resend(); !errors.Is(err, ErrNoFlow) {
			t.Errorf("without a flow: %v", err)
		}
		result := must[RequestResult](t)(b.ask(Activation, "ada@example.com"))
		var limited *Limited
		if _, err := b.resend(); !errors.As(err, &limited) || limited.Name != LimitResend || !limited.RetryAt.Equal(result.Pending.NextResend) {
			t.Errorf("too early: %v", err)
		}
		g.site.Limits[limit.MailAddress] = nil
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
	})
}
