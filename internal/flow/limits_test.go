package flow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestMAIL3_CapsByMailboxAreExactUnderParallelRequestsAndRestart(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		const parallel = 100
		results := make(chan error, parallel)
		half := func(from, to int) {
			for i := from; i < to; i++ {
				requester := g.stranger(i).requester()
				go func() {
					_, err := g.Request(context.Background(), g.site, requester, RequestInput{Purpose: SignIn, Email: fmt.Sprintf("ada+%d@example.com", i)})
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
	})
}

// newWindow lets time pass until the window of a mailbox's limit ends: the next one ends at no moment of a test that takes less.
func (g *gate) newWindow(table limit.Table, email string) {
	g.t.Helper()
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) error {
		counted, err := g.Limiter.Usage(tx, g.Clock.Now(), table, limit.Subject{Mailbox: parseAddress(g.t, email).LimitKey(g.Ring)})
		if len(counted) != 1 {
			g.t.Fatalf("%d windows", len(counted))
		}
		g.fake.Advance(counted[0].Ends.Sub(g.Clock.Now()))
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
}

func TestMAIL3_ASpentCapKeepsResendsBackWithoutAWord(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.newWindow(limit.Table{limit.MailMailbox: g.site.Limits[limit.MailMailbox]}, "ada@example.com")
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
	})
}

func TestMAIL3_OneAddressCannotSpray(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
	})
}

func TestMAIL3_UnknownAddressesAreToldOnceADay(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
	})
}

func TestMAIL3_StrangersCannotSpendWhatAccountsNeed(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.site.Limits[limit.MailUnknown] = must[limit.Rates](t)(limit.Parse("2-H"))
		for i := range 5 {
			g.stranger(i).mustAsk(Activation, fmt.Sprintf("u%d@example.com", i))
		}
		if n := g.inbox.count(); n != 2 {
			t.Errorf("%d mails to strangers, want 2", n)
		}
		if mail := g.browser().mustAsk(SignIn, "ada@example.com"); mail.kind != mailer.KindLink {
			t.Error("an account got nothing")
		}
	})
}

func TestRL4_ASlotComesBackWhenTheLinkIsUsed(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		rates := must[limit.Rates](t)(limit.Parse("1-H"))
		g.site.Limits[limit.MailIP] = rates
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
	})
}

func TestRL4_FailedRedemptionsAreCountedAndGoodLinksStillWork(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		other := newForeignGate(t) // a link of another gate: well formed and never stored here
		forged := other.browser().mustAsk(Activation, "x@example.com").link
		var limited *Limited
		for i := range 61 {
			g.spy.take()
			_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: forged})
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
	})
}

func TestRL5_AFailingStoreIsUnavailable(t *testing.T) {
	bothModes(t, func(t *testing.T) {
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
		_, _, err = g.Status(context.Background(), g.site, b.requester())
		wantErr(t, err, ErrUnavailable)
	})
}

func TestRL6_AStrangerWithAThousandAddressesLocksNobodyOut(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		ada := g.browser()
		must[Done](t)(ada.press(ada.mustAsk(SignIn, "ada@example.com").link))
		ada.session = ""
		for i := range 1000 {
			eve := g.stranger(i)
			if result, err := eve.ask(SignIn, "ada@example.com"); err == nil {
				eve.flow = result.FlowCookie
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
	})
}

// TestTOK5_ACancelMutesTheBrowserThatAsked presses the button in a browser without a session, as a scanner of mails does, and TestTOK5_TheOwnersCancelLastsADay
// in one that is signed in to the account. A browser that is known for the mailbox gets its mails all the same.
func TestTOK5_ACancelMutesTheBrowserThatAsked(t *testing.T) { cancelMutes(t, false, time.Hour) }

func TestTOK5_TheOwnersCancelLastsADay(t *testing.T) { cancelMutes(t, true, 24*time.Hour) }

func TestRL6_ACancelMutesNoKnownBrowser(t *testing.T) { cancelMutes(t, true, 24*time.Hour) }

func cancelMutes(t *testing.T, byOwner bool, lasts time.Duration) {
	t.Helper()
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		ada, eve := g.browser(), g.stranger(1)
		must[Done](t)(ada.press(ada.mustAsk(SignIn, "ada@example.com").link))
		mail := eve.mustAsk(SignIn, "ada@example.com")
		presser := g.stranger(7)
		if byOwner {
			presser = ada
		}
		if o := must[LinkPreview](t)(presser.open(mail.cancel)); o.Mute != lasts {
			t.Errorf("the page promises %v", o.Mute)
		}
		if err := presser.cancel(mail.cancel); err != nil {
			t.Fatal(err)
		}
		ada.session = ""
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
		other := g.stranger(1)
		other.device = "Safari on iPhone"
		other.mustAsk(SignIn, "ada@example.com")
		if n := count(); n != before+3 {
			t.Errorf("%d mails after another browser in that network has asked, want 3", n-before)
		}
		g.fake.Advance(lasts - 2*DefaultResendWait)
		g.stranger(1).mustAsk(SignIn, "ada@example.com")
		if n := count(); n != before+3 {
			t.Error("the mute ended early")
		}
		g.fake.Advance(2 * DefaultResendWait)
		g.stranger(1).mustAsk(SignIn, "ada@example.com")
		if n := count(); n != before+4 {
			t.Error("the mute did not end")
		}
	})
}

// TestNODE1_ACancelByASessionThatHasEndedElsewhere presses the button in a browser whose session has ended since it was found, as on a node
// that has not heard of the end yet: it mutes for no longer than anybody's press does.
func TestNODE1_ACancelByASessionThatHasEndedElsewhere(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		ada := g.browser()
		must[Done](t)(ada.press(ada.mustAsk(SignIn, "ada@example.com").link))
		mail := g.stranger(1).mustAsk(SignIn, "ada@example.com")
		stale := ada.requester()
		o := must[LinkPreview](t)(g.Open(context.Background(), g.site, stale, mail.cancel))
		if err := g.Sessions.End(context.Background(), stale.Session); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Cancel(context.Background(), g.site, stale, mail.cancel, o.H); err != nil {
			t.Fatal(err)
		}
		before := len(g.inbox.to("ada@example.com"))
		g.stranger(1).mustAsk(SignIn, "ada@example.com")
		if n := len(g.inbox.to("ada@example.com")); n != before {
			t.Errorf("%d mails from a muted network", n-before)
		}
		g.fake.Advance(time.Hour)
		g.stranger(1).mustAsk(SignIn, "ada@example.com")
		if n := len(g.inbox.to("ada@example.com")); n != before+1 {
			t.Error("a session that has ended mutes for longer than an hour")
		}
	})
}

// TestFAIR3_NoCancelMutesAnOwnNetwork presses the button of a mail that was asked for in a network where the account has a session.
func TestFAIR3_NoCancelMutesAnOwnNetwork(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		ada := g.browser()
		must[Done](t)(ada.press(ada.mustAsk(SignIn, "ada@example.com").link))
		mail := g.browser().mustAsk(SignIn, "ada@example.com")
		if err := g.stranger(7).cancel(mail.cancel); err != nil {
			t.Fatal(err)
		}
		before := len(g.inbox.to("ada@example.com"))
		g.browser().mustAsk(SignIn, "ada@example.com")
		if n := len(g.inbox.to("ada@example.com")); n != before+1 {
			t.Errorf("%d mails to a new browser beside the owner's, want 1", n-before)
		}
	})
}

// TestMAIL3_AFlowThatHasEndedElsewhereGivesNoResendBack: the successor of a flow has what is left of the five.
func TestMAIL3_AFlowThatHasEndedElsewhereGivesNoResendBack(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		mail := b.mustAsk(SignIn, "ada@example.com")
		resend := func(left int) {
			t.Helper()
			g.fake.Advance(DefaultResendWait)
			if p := must[Pending](t)(b.resend()); p.ResendsLeft != left {
				t.Errorf("%d resends left, want %d", p.ResendsLeft, left)
			}
		}
		resend(DefaultResends - 1)
		must[Done](t)(g.browser().press(mail.link))
		resend(DefaultResends - 2)
	})
}
