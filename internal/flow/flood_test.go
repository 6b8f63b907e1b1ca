package flow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// slowServer is a mail server that takes its time for each mail and notes when the first one for each address arrived.
type slowServer struct {
	takes time.Duration
	began time.Time

	mu      sync.Mutex
	arrived map[string]time.Duration
	count   int
}

func (s *slowServer) Send(_ context.Context, m mailer.Message) error {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if _, before := s.arrived[m.To]; !before {
		s.arrived[m.To] = time.Since(s.began)
	}
	return nil
}

func (s *slowServer) Close(context.Context) error { return nil }

// since returns how long after asked the first mail for an address arrived; ok is false if none has.
func (s *slowServer) since(email string, asked time.Time) (took time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.arrived[email]
	return at - asked.Sub(s.began), ok
}

func (s *slowServer) sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// flooded is a gate in virtual time, whose worker runs over a slow server.
type flooded struct {
	*gate
	server *slowServer
}

// inFlood runs a test in virtual time, which begins with an hour in which shares are counted.
func inFlood(t *testing.T, setUp func(g *gate), test func(f *flooded)) {
	t.Helper()
	inCopy(t, "", setUp, func(f *flooded) {
		f.awaitWindow()
		test(f)
	})
}

// awaitWindow lets time pass until the window of an hour of what all share ends.
func (f *flooded) awaitWindow() {
	f.t.Helper()
	if err := f.bolt.View(context.Background(), func(tx storage.Tx) error {
		counted, err := f.Limiter.Usage(tx, f.Clock.Now(), limit.Table{limit.MailUnknown: f.site.Limits[limit.MailUnknown]}, limit.Subject{})
		if err != nil || len(counted) == 0 {
			return errors.Join(errors.New("no window"), err)
		}
		time.Sleep(counted[0].Ends.Sub(f.Clock.Now()))
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
}

// inCopy is inFlood over a copy of a database, where there is one: so the windows of its limits end when those of another copy do.
func inCopy(t *testing.T, database string, setUp func(g *gate), test func(f *flooded)) {
	t.Helper()
	enginetest.NeedsFile(t) // which is copied; and the time of a bubble does not go on while a connection is read
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		if database != "" {
			copied, err := os.ReadFile(database)
			if err = errors.Join(err, g.bolt.Close(), os.WriteFile(filepath.Join(g.dir, "gate.db"), copied, 0o600)); err != nil {
				t.Fatal(err)
			}
			g.open(g.fake.Clock())
		}
		setUp(g)
		if err := g.bolt.Close(); err != nil {
			t.Fatal(err)
		}
		g.open(clock.New(time.Now))
		f := &flooded{gate: g, server: &slowServer{takes: 300 * time.Millisecond, began: time.Now(), arrived: map[string]time.Duration{}}}
		f.deliverBy(f.server)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.worker.Run(ctx) }()
		test(f)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// inNetwork returns a browser at an address.
func (g *gate) inNetwork(addr string) *browser {
	return &browser{g: g, client: netip.MustParseAddr(addr), device: "Firefox on Linux"}
}

// signUps asks for n sign-ups of invented addresses, in turn from the clients, and returns how many were accepted.
func (f *flooded) signUps(name string, n int, clients ...string) (accepted int) {
	f.t.Helper()
	for i := range n {
		if _, err := f.inNetwork(clients[i%len(clients)]).ask(Activation, fmt.Sprintf("%s%d@invented.example", name, i)); err == nil {
			accepted++
		}
		time.Sleep(time.Millisecond)
	}
	return accepted
}

// ofOne48 returns clients of ten /64 of one /48.
func ofOne48() (clients []string) {
	for i := range 10 {
		clients = append(clients, fmt.Sprintf("2001:db8:7:%x::1", i))
	}
	return clients
}

// TestFAIR1_OneNetworkStopsNobodysSignUp floods a gate with default limits by 600 sign-ups from ten /64 of one /48, and looks when those get
// their mail who ask behind it.
func TestFAIR1_OneNetworkStopsNobodysSignUp(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		inFlood(t, func(g *gate) { g.account("ada@example.com") }, func(f *flooded) {
			if n := f.signUps("flood", 600, ofOne48()...); n != 600 {
				t.Errorf("%d sign-ups accepted, want 600", n)
			}
			asked := time.Now()
			for _, who := range []struct{ purpose, email, client string }{
				{Activation, "newcomer@example.net", "198.51.100.7"},
				{Activation, "neighbour@example.net", "2001:db8:8::1"},
				{SignIn, "ada@example.com", "192.0.2.1"},
			} {
				if _, err := f.inNetwork(who.client).ask(who.purpose, who.email); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(4 * time.Minute)
			for email, within := range map[string]time.Duration{
				"newcomer@example.net": 20 * time.Second, "neighbour@example.net": 20 * time.Second, "ada@example.com": 2*time.Second + f.server.takes,
			} {
				if took, ok := f.server.since(email, asked); !ok || took > within {
					t.Errorf("the mail to %s arrived: %v, after %s; want it within %s", email, ok, took, within)
				} else {
					t.Logf("the mail to %s took %s", email, took)
				}
			}
			if n := f.server.sent(); n > 53 {
				t.Errorf("%d mails left, want at most 50 to the flood's addresses", n)
			}
		})
	})
}

// TestFAIR2_AnAccountsMailPassesItsOwnNetworksFlood asks for an account's mail in the flooding network itself.
func TestFAIR2_AnAccountsMailPassesItsOwnNetworksFlood(t *testing.T) {
	inFlood(t, func(g *gate) { g.account("ada@example.com") }, func(f *flooded) {
		f.signUps("flood", 150, ofOne48()...)
		asked := time.Now()
		if _, err := f.inNetwork("2001:db8:7:ff::1").ask(SignIn, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if took, ok := f.server.since("ada@example.com", asked); !ok || took > 2*time.Second {
			t.Errorf("the mail arrived: %v, after %s", ok, took)
		}
	})
}

// TestFAIR2_AFloodForAccountsDelaysNoOtherNetworksAccount asks for mails to many known accounts from one network, more than leave at once.
func TestFAIR2_AFloodForAccountsDelaysNoOtherNetworksAccount(t *testing.T) {
	const accounts = 200
	inFlood(t, func(g *gate) {
		g.account("ada@example.com")
		for i := range accounts {
			g.account(fmt.Sprintf("known%d@example.com", i))
		}
	}, func(f *flooded) {
		clients := ofOne48()
		for i := range accounts {
			if _, err := f.inNetwork(clients[i%len(clients)]).ask(SignIn, fmt.Sprintf("known%d@example.com", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		asked := time.Now()
		if _, err := f.inNetwork("198.51.100.7").ask(SignIn, "ada@example.com"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if took, ok := f.server.since("ada@example.com", asked); !ok || took > 2*time.Second {
			t.Errorf("the mail arrived: %v, after %s", ok, took)
		}
	})
}

// TestFAIR1_ManyNetworksLeaveSomethingForTheNextOne floods from 20 networks at once, each with more than it may have.
func TestFAIR1_ManyNetworksLeaveSomethingForTheNextOne(t *testing.T) {
	inFlood(t, func(g *gate) {
		g.site.Limits[limit.MailUnknown] = must[limit.Rates](t)(limit.Parse("100-H"))
		g.site.Limits[limit.MailNetwork] = must[limit.Rates](t)(limit.Parse("10-H"))
	}, func(f *flooded) {
		for i := range 20 {
			f.signUps(fmt.Sprintf("flood%d-", i), 12, fmt.Sprintf("10.0.%d.1", i))
		}
		asked := time.Now()
		if _, err := f.inNetwork("198.51.100.7").ask(Activation, "newcomer@example.net"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		took, ok := f.server.since("newcomer@example.net", asked)
		if !ok || took > 20*time.Second {
			t.Errorf("the newcomer's mail arrived: %v, after %s", ok, took)
		}
		t.Logf("the newcomer's mail took %s, %d mails left", took, f.server.sent())
	})
}

// TestFAIR1_OneNetworksMailsOfADay asks for 8 sign-ups each hour of a day, from another /64 of the same /48, of which 5 are its share of an
// hour and 20 of a day.
func TestFAIR1_OneNetworksMailsOfADay(t *testing.T) {
	inFlood(t, func(g *gate) {
		g.site.Limits[limit.MailUnknown] = must[limit.Rates](t)(limit.Parse("50-H", "200-D"))
		g.site.Limits[limit.MailNetwork] = must[limit.Rates](t)(limit.Parse("5-H", "20-D"))
	}, func(f *flooded) {
		accepted := 0
		for hour := range 24 {
			accepted += f.signUps(fmt.Sprintf("hour%d-", hour), 8, fmt.Sprintf("2001:db8:7:%x::1", hour))
			time.Sleep(time.Hour)
		}
		// The windows of a day and of the test begin at different times, so that two days of the network are in it.
		n := f.server.sent()
		if accepted != 24*8 || n == 0 || n > 2*20 {
			t.Errorf("%d mails of %d left in a day", n, accepted)
		}
		t.Logf("%d mails of %d left in a day", n, accepted)
	})
}

// TestFAIR4_ArrivalsSayNothingAboutAnAccount asks for mails to addresses of one's own, for a target's, and for one more of one's own: for every
// number of them around each budget. When one's own arrive is the same whether the target has an account or none.
func TestFAIR4_ArrivalsSayNothingAboutAnAccount(t *testing.T) {
	database := filepath.Join(newGate(t).dir, "gate.db")
	disabled := false
	arrivals := func(t *testing.T, n int, purpose string, account, owned bool, limits func(limit.Table)) (arrived map[string]time.Duration) {
		const target = "target@corp.example"
		own := func(i int) string { return fmt.Sprintf("own%d@corp.example", i) }
		inCopy(t, database, func(g *gate) {
			limits(g.site.Limits)
			if account {
				if id := g.account(target); disabled {
					g.disable(id)
				}
			}
			if owned {
				for i := range n + 1 {
					g.account(own(i))
				}
			}
		}, func(f *flooded) {
			ask := func(email string) {
				if _, err := f.inNetwork("203.0.113.7").ask(purpose, email); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Millisecond) // so that mails of one place have an order
			}
			for i := range n - 1 {
				ask(own(i))
			}
			ask(target)
			ask(own(n))
			time.Sleep(3 * time.Hour)
			f.server.mu.Lock()
			defer f.server.mu.Unlock()
			delete(f.server.arrived, target)
			arrived = f.server.arrived
		})
		return arrived
	}
	small := func(table limit.Table) {
		table[limit.MailUnknown] = must[limit.Rates](t)(limit.Parse("12-H", "20-D"))
		table[limit.MailNetwork] = must[limit.Rates](t)(limit.Parse("6-H", "9-D"))
	}
	whole := func(table limit.Table) { table[limit.MailUnknown] = must[limit.Rates](t)(limit.Parse("5-H")) }
	defaults := func(limit.Table) {}
	for _, c := range []struct {
		name   string
		limits func(limit.Table)
		n      []int
	}{
		{"a share", small, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{"the whole", whole, []int{3, 4, 5, 6, 7}},
		{"defaults", defaults, []int{4, 5, 50, 51, 59}},
	} {
		for _, n := range c.n {
			for _, purpose := range []string{Activation, SignIn} {
				if n > 10 && purpose == SignIn {
					continue
				}
				t.Run(fmt.Sprint(c.name, " ", n, " ", purpose), func(t *testing.T) {
					with, without := arrivals(t, n, purpose, true, false, c.limits), arrivals(t, n, purpose, false, false, c.limits)
					if diff := cmp.Diff(without, with); diff != "" {
						t.Errorf("arrivals beside an account differ (-without +with):\n%s", diff)
					}
				})
			}
		}
	}
	disabled = true
	for _, n := range []int{5, 6} {
		t.Run(fmt.Sprint("a disabled account ", n), func(t *testing.T) {
			if diff := cmp.Diff(arrivals(t, n, Activation, false, false, defaults), arrivals(t, n, Activation, true, false, defaults)); diff != "" {
				t.Errorf("arrivals beside a disabled account differ (-without +with):\n%s", diff)
			}
		})
	}
	disabled = false
	for _, n := range []int{1, 5, 6, 7} {
		t.Run(fmt.Sprint("accounts of one's own ", n), func(t *testing.T) {
			if diff := cmp.Diff(arrivals(t, n, SignIn, false, true, small), arrivals(t, n, SignIn, true, true, small)); diff != "" {
				t.Errorf("arrivals beside an account differ (-without +with):\n%s", diff)
			}
		})
	}
}
