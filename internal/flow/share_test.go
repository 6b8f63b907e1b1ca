package flow

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// shareOf sets the rates of what all networks share, and of one network.
func (g *gate) shareOf(whole, network string) {
	g.t.Helper()
	for name, words := range map[string]string{limit.MailUnknown: whole, limit.MailNetwork: network} {
		g.site.Limits[name] = must[limit.Rates](g.t)(limit.Parse(strings.Fields(words)...))
	}
}

// TestFAIR1_SharesAreExactUnderParallelRequestsAndRestart asks from 100 clients of one network at once, half of them after a restart.
func TestFAIR1_SharesAreExactUnderParallelRequestsAndRestart(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.shareOf("100-D", "10-D")
		for round := range 2 {
			var asked sync.WaitGroup
			for i := range 50 {
				b := g.browser()
				b.client = netip.AddrFrom4([4]byte{192, 0, 2, byte(50*round + i)})
				asked.Go(func() {
					if _, err := b.ask(Activation, fmt.Sprintf("u%d-%d@example.com", round, i)); err != nil {
						t.Error(err)
					}
				})
			}
			asked.Wait()
			g.restart()
			g.post()
		}
		if n := g.inbox.count(); n != 10 {
			t.Errorf("%d mails left, want 10", n)
		}
	})
}

// TestFAIR1_AMailAboveItsShareWaitsAQuarterOfItsFlow: in that time it leaves as soon as its share permits it, afterwards it is dropped.
func TestFAIR1_AMailAboveItsShareWaitsAQuarterOfItsFlow(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.shareOf("10-H", "1-H")
		pending := func(n int) RequestResult {
			return must[RequestResult](t)(g.browser().ask(Activation, fmt.Sprintf("u%d@example.com", n)))
		}
		first, second := pending(1), pending(2)
		if first.Pending.End != second.Pending.End || first.Pending.ResendsLeft != second.Pending.ResendsLeft {
			t.Error("the page says that a mail waits")
		}
		g.post()
		if n := g.inbox.count(); n != 1 {
			t.Fatalf("%d mails left at once, want 1", n)
		}
		g.fake.Advance(time.Hour)
		g.post()
		if n := len(g.inbox.to("u2@example.com")); n != 1 {
			t.Errorf("%d mails left an hour later, want 1", n)
		}
		g.shareOf("10-D", "1-D")
		pending(3)
		pending(4)
		g.fake.Advance(6*time.Hour + time.Second)
		g.shareOf("100-D", "50-D") // now its share would permit it
		g.post()
		if n := len(g.inbox.to("u4@example.com")); n != 0 {
			t.Error("a mail left after a quarter of its flow's life")
		}
	})
}

// TestFAIR2_KnownBrowsersSpendNothingOfWhatAllShare asks at a browser that has signed in before, when everything is spent.
func TestFAIR2_KnownBrowsersSpendNothingOfWhatAllShare(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account("ada@example.com")
		b := g.browser()
		must[Done](t)(b.press(b.mustAsk(SignIn, "ada@example.com").link))
		g.shareOf("1-D", "1-D")
		g.browser().mustAsk(Activation, "u@example.com")
		before := len(g.inbox.to("ada@example.com"))
		if _, err := b.ask(SignIn, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		if err := g.bolt.View(t.Context(), func(tx storage.Tx) error {
			_, waits, err := tx.Outbox().NextDue(storage.LaneNew)
			if waits {
				t.Error("the mail of a known browser waits to be looked up")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		g.post()
		if n := len(g.inbox.to("ada@example.com")); n != before+1 {
			t.Errorf("%d mails more, want 1", n-before)
		}
	})
}

// TestFAIR1_TheLogWarnsOfWhatIsSpent: once of a network and once of half of the whole, however many mails follow.
func TestFAIR1_TheLogWarnsOfWhatIsSpent(t *testing.T) {
	g := newGate(t)
	var text bytes.Buffer
	g.Log = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g.shareOf("8-D", "5-D")
	for i := range 20 {
		if _, err := g.browser().ask(Activation, fmt.Sprintf("u%d@example.com", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"limit=mail_network rate=5-D spent=5 client=203.0.113.0/24", "limit=mail_unknown rate=8-D"} {
		if n := strings.Count(text.String(), want); n != 1 {
			t.Errorf("%d lines with %q in\n%s", n, want, text.String())
		}
	}
}
