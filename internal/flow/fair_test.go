package flow

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
)

// flood asks for a mail to a mailbox from n networks, the first of which is stranger number from, until each is refused.
func (g *gate) flood(email string, from, n int) {
	g.t.Helper()
	for i := range n {
		for {
			if _, err := g.stranger(from+i).ask(SignIn, email); err != nil {
				limitOf(g.t, err)
				break
			}
		}
	}
	g.post()
}

// limitOf returns the refusal of a limit.
func limitOf(t *testing.T, err error) *Limited {
	t.Helper()
	l := new(Limited)
	if !errors.As(err, &l) {
		t.Fatalf("got %v, want the refusal of a limit", err)
	}
	return l
}

// links returns how many mails with a link have arrived at an address: those that somebody has asked for.
func (g *gate) links(email string) (n int) {
	for _, l := range g.inbox.to(email) {
		if l.link != "" {
			n++
		}
	}
	return n
}

// newDay lets time pass until the window begins in which the mails to a mailbox are counted.
func (g *gate) newDay(email string) {
	g.t.Helper()
	g.newWindow(limit.Table{limit.MailMailbox: g.site.Limits[limit.MailMailbox]}, email)
}

// TestFAIR3_ASpentMailboxRefusesNoOwnNetworkAndNoKnownBrowser lets four networks of strangers spend the limit of a mailbox. Its owner
// gets in at a known browser, and on a new device in a network where she is signed in.
func TestFAIR3_ASpentMailboxRefusesNoOwnNetworkAndNoKnownBrowser(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.newDay("ada@example.com")
		known := g.browser()
		must[Done](t)(known.press(known.mustAsk(SignIn, "ada@example.com").link))
		g.flood("ada@example.com", 1, 4)
		count := func() int { return g.links("ada@example.com") }
		before := count()
		if before != 20 {
			t.Fatalf("%d mails, want 20", before)
		}

		fresh := g.browser()
		fresh.client = netip.MustParseAddr("203.0.113.99")
		result, err := fresh.ask(SignIn, "ada@example.com")
		if l := limitOf(t, err); l.Name != limit.MailMailbox || !l.ByMailbox || !l.Reserve {
			t.Errorf("refused with %+v", l)
		}
		fresh.flow = result.FlowCookie
		g.post()
		if n := count(); n != before+1 {
			t.Fatalf("%d mails to a new device in a network of the owner's, want 1", n-before)
		}
		mail := fresh.newest("ada@example.com")
		if p, found, err := g.Status(context.Background(), g.site, fresh.requester()); err != nil || !found || !p.Reserve {
			t.Errorf("the page that waits: %+v, %v, %v", p, found, err)
		}
		must[Done](t)(fresh.type_(mail.code))

		for i := range 6 { // elsewhere
			_, err := g.stranger(50+i).ask(SignIn, "ada@example.com")
			if l := limitOf(t, err); !l.Reserve {
				t.Errorf("a stranger's answer is another one: %+v", l)
			}
		}
		again := g.stranger(60)
		for range 2 { // who asks again is told again, and not that a mail is on its way
			result, err := again.ask(SignIn, "ada@example.com")
			limitOf(t, err)
			again.flow = result.FlowCookie
		}
		g.post()
		if n := count(); n != before+1 {
			t.Errorf("%d mails that strangers asked for above the limit", n-before-1)
		}
		if known.mustAsk(SignIn, "ada@example.com").link == "" || count() != before+2 {
			t.Errorf("%d mails to a known browser, want 1", count()-before-1)
		}
		must[Done](t)(known.press(known.newest("ada@example.com").link))
	})
}

// TestFAIR3_NeighboursLeaveSomethingToKnownBrowsers spends from the owner's own network all that strangers there can spend.
func TestFAIR3_NeighboursLeaveSomethingToKnownBrowsers(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.newDay("ada@example.com")
		known := g.browser()
		must[Done](t)(known.press(known.mustAsk(SignIn, "ada@example.com").link))
		g.flood("ada@example.com", 1, 4)
		before := g.links("ada@example.com")
		for range 5 {
			_, _ = g.browser().ask(SignIn, "ada@example.com")
			g.post()
		}
		if n := g.links("ada@example.com") - before; n != 3 {
			t.Errorf("neighbours got %d mails of the reserve, want 3", n)
		}
		for range 3 {
			known.flow = ""
			_, _ = known.ask(SignIn, "ada@example.com")
			g.post()
		}
		if n := g.links("ada@example.com") - before; n != 5 {
			t.Errorf("with those of a known browser %d, want 5", n)
		}
	})
}

// TestENUM1_AboveTheMailboxLimitAllAddressesAreAnsweredAlike compares what a stranger sees, and what each of his requests writes, for an
// address with an account that has sessions and for one without.
func TestENUM1_AboveTheMailboxLimitAllAddressesAreAnsweredAlike(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		owner := g.browser()
		must[Done](t)(owner.press(owner.mustAsk(SignIn, "ada@example.com").link))
		type seen struct {
			Limited Limited
			Pending Pending
			Cookie  int
			Writes  map[string]int
		}
		look := func(email string) (all []seen) {
			for i := range 3 { // the first is in the owner's network
				b := g.stranger(100 + i)
				if i == 0 {
					b.client = owner.client
				}
				g.spy.take()
				result, err := b.ask(SignIn, email)
				_, writes := g.spy.take()
				l := *limitOf(t, err)
				l.RetryAt, l.Mailbox = time.Time{}, "" // each mailbox has windows and a digest of its own
				p := result.Pending
				p.Address, p.Typed = "", ""
				p.End = p.End.Truncate(time.Second)
				all = append(all, seen{l, p, len(result.FlowCookie), writes})
				g.post()
			}
			return all
		}
		for _, email := range []string{"ada@example.com", "bob@example.com"} {
			g.flood(email, 1, 5)
		}
		if diff := cmp.Diff(look("ada@example.com"), look("bob@example.com")); diff != "" {
			t.Errorf("(-with an account +without):\n%s", diff)
		}
	})
}

// TestFAIR3_WhoAsksAgainIsToldAndHelped asks for a mail, lets strangers spend the mailbox's limit, and asks again in the same browser: the answer
// says so, the flow goes on, and work brings another mail.
func TestFAIR3_WhoAsksAgainIsToldAndHelped(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		g.newDay("ada@example.com")
		victim := g.browser()
		victim.mustAsk(SignIn, "ada@example.com")
		g.flood("ada@example.com", 1, 5)
		if _, err := victim.ask(SignIn, "ada@example.com"); err != nil {
			t.Errorf("while none is due: %v", err)
		}
		g.fake.Advance(DefaultResendWait)
		before := g.links("ada@example.com")
		result, err := victim.ask(SignIn, "ada@example.com")
		l := limitOf(t, err)
		if !l.Reserve || !l.ByMailbox || l.Name != limit.MailMailbox || result.FlowCookie != victim.flow {
			t.Errorf("%+v, another flow: %v", l, result.FlowCookie != victim.flow)
		}
		solution := victim.solve(l)
		if _, err := victim.pay(SignIn, "ada@example.com", solution); err != nil {
			t.Fatal(err)
		}
		g.post()
		if n := g.links("ada@example.com"); n != before+1 {
			t.Errorf("%d mails for work, want 1", n-before)
		}
		must[Done](t)(victim.press(victim.newest("ada@example.com").link))
	})
}
