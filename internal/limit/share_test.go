package limit

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// shares spends what a mail costs of the shared budget, for a client.
type shares struct {
	t     *testing.T
	l     *Limiter
	tx    *fakeTx
	table Table
	now   time.Time
}

func newShares(t *testing.T, rates map[string]string) *shares {
	t.Helper()
	table := Defaults()
	for name, words := range rates {
		if err := table.Set(name, strings.Fields(words)...); err != nil {
			t.Fatal(err)
		}
	}
	return &shares{t: t, l: &Limiter{Ring: fakeRing{}}, tx: newTx(), table: table, now: start}
}

func (s *shares) spend(client string) Share {
	s.t.Helper()
	var addr netip.Addr
	if client != "" {
		addr = netip.MustParseAddr(client)
	}
	v, err := s.l.Spend(s.tx, s.now, s.table.Shares(addr)...)
	if err != nil || !v.Allowed {
		s.t.Fatalf("a share refused: %+v, %v", v, err)
	}
	return v.Share
}

// TestFAIR1_ANetworkSpendsATenthAtMost spends as one network, in any of its addresses, and then as another one.
func TestFAIR1_ANetworkSpendsATenthAtMost(t *testing.T) {
	for _, clients := range [][]string{{"192.0.2.1", "192.0.2.254", "::ffff:192.0.2.7"}, {"2001:db8:1::1", "2001:db8:1:ffff::1"}, {""}} {
		s, paid := newShares(t, nil), 0
		for i := range 600 {
			share := s.spend(clients[i%len(clients)])
			if share.Paid {
				paid++
			}
			if share.Turn != int64(paid)+map[bool]int64{true: 0, false: 1}[share.Paid] {
				t.Fatalf("%s: turn %d after %d", clients, share.Turn, paid)
			}
			if !share.Paid && (share.NetworkSpent == "" || share.Spent != int64(paid) || !share.RetryAt.After(s.now)) {
				t.Fatalf("%s: %+v", clients, share)
			}
		}
		if paid != 50 {
			t.Errorf("%s spent %d of 500", clients, paid)
		}
		if share := s.spend("198.51.100.1"); !share.Paid || share.Turn != 1 {
			t.Errorf("another network: %+v", share)
		}
	}
}

// TestFAIR1_ManyNetworksShareWhatIsLeft lets more and more networks ask for more than they may: the next one gets something, until some fifty of
// them have taken all.
func TestFAIR1_ManyNetworksShareWhatIsLeft(t *testing.T) {
	s := newShares(t, nil)
	spent := 0
	for network := range 40 {
		for range 60 {
			if s.spend(fmt.Sprintf("10.%d.%d.1", network/256, network%256)).Paid {
				spent++
			}
		}
		if network == 9 && spent > 400 {
			t.Errorf("ten networks spent %d of 500", spent)
		}
	}
	if share := s.spend("198.51.100.1"); !share.Paid || spent > 495 {
		t.Errorf("after %d mails of 40 networks another network's first: %+v", spent, share)
	}
}

// TestFAIR1_ANetworkAloneMayHaveTheWhole: an operator whose newcomers all come from one network gives it all that there is.
func TestFAIR1_ANetworkAloneMayHaveTheWhole(t *testing.T) {
	s, paid := newShares(t, map[string]string{MailNetwork: "500-H 2000-D"}), 0
	for range 600 {
		if s.spend("192.0.2.1").Paid {
			paid++
		}
	}
	if paid != 500 {
		t.Errorf("%d of 500 spent", paid)
	}
}

func TestFAIR1_TheWholeIsExact(t *testing.T) {
	s := newShares(t, map[string]string{MailUnknown: "20-H"})
	paid := 0
	var half []string
	for i := range 50 {
		share := s.spend(fmt.Sprintf("10.0.%d.1", i))
		if share.Paid {
			paid++
		} else if share.NetworkSpent != "" {
			t.Errorf("network %d has spent its share with one mail", i)
		}
		if share.HalfSpent != "" {
			half = append(half, fmt.Sprint(share.HalfSpent, " at ", i+1))
		}
	}
	if paid != 20 || strings.Join(half, ", ") != "20-H at 10" {
		t.Errorf("%d paid, half spent: %s", paid, half)
	}
	s.now = s.now.Add(time.Hour)
	if !s.spend("10.0.0.1").Paid {
		t.Error("refused in the next window")
	}
}

// TestFAIR1_AFasterStepTakesTheLastShare is an engine with row locks: what another step has taken since the check is not spent twice, and
// nothing is left behind.
func TestFAIR1_AFasterStepTakesTheLastShare(t *testing.T) {
	s := newShares(t, map[string]string{MailUnknown: "20-H 40-D"})
	raced := map[storage.Key]bool{}
	s.tx.race = func(k storage.Key) {
		if !raced[k] && len(raced) == 2 { // the third counter fills up before it is spent
			s.tx.counts[k] = 1000
		}
		raced[k] = true
	}
	if share := s.spend("192.0.2.1"); share.Paid || share.Turn != 1 || !share.RetryAt.After(s.now) {
		t.Errorf("%+v", share)
	}
	left := int64(0)
	for _, n := range s.tx.counts {
		left += n
	}
	if left != 1000 {
		t.Errorf("%d counted beside the other step", left-1000)
	}
}

func TestFAIR1_TheOperatorIsToldOnceInAWindow(t *testing.T) {
	s := newShares(t, map[string]string{MailNetwork: "2-H"})
	told := map[string]int{}
	ask := func(networks int) {
		for i := range networks {
			client := fmt.Sprintf("10.0.%d.1", i)
			for range 5 {
				network, err := s.l.NoticeSpent(s.tx, s.now, netip.MustParseAddr(client), s.spend(client))
				if err != nil {
					t.Fatal(err)
				}
				if network != "" {
					told[network]++
				}
			}
		}
	}
	ask(3)
	if len(told) != 3 || told["10.0.1.0/24"] != 1 {
		t.Errorf("told of %v", told)
	}
	ask(100)
	if len(told) != maxNotices {
		t.Errorf("told of %d networks in an hour, want %d", len(told), maxNotices)
	}
	for network, n := range told {
		if n != 1 {
			t.Errorf("told %d times of %s", n, network)
		}
	}
}

// TestCFG1_RatesThatContradictEachOtherAreRefused obeys each refusal, and then nothing is refused.
func TestCFG1_RatesThatContradictEachOtherAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		rates map[string]string
		want  string // the line to write; empty where nothing is refused
	}{
		{"a share above its whole", map[string]string{MailNetwork: "600-H"}, "limit mail_network 500-H"},
		{"a share of a day above its whole", map[string]string{MailNetwork: "600-H 3000-D"}, "limit mail_network 500-H 2000-D"},
		{"a share in a minute above the hour's whole", map[string]string{MailNetwork: "40-M", MailUnknown: "30-H"}, "limit mail_network 30-M"},
		{"a share of a day above what its hours permit", map[string]string{MailNetwork: "100-D", MailUnknown: "4-H"}, "limit mail_network 96-D"},
		{"an hour above the day", map[string]string{MailIP: "30-H 20-D"}, "limit mail_ip 20-D"},
		{"each period above the next one", map[string]string{MailIP: "50-S 40-M 30-H 20-D"}, "limit mail_ip 20-D"},
		{"two periods above the day", map[string]string{MailIP: "30-H 40-M 20-D"}, "limit mail_ip 20-D"},
		{"a mailbox's network above the mailbox", map[string]string{MailAddress: "30-H", MailMailbox: "20-D"}, "limit mail_address 20-H"},
		{"the whole alone", map[string]string{MailUnknown: "4-H 9-D"}, ""},
		{"a mailbox alone", map[string]string{MailMailbox: "2-D"}, ""},
		{"as much as the whole", map[string]string{MailNetwork: "500-H 2000-D"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := load(c.rates)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "write '"+c.want+"'") {
				t.Fatalf("got %v, want the line '%s'", err, c.want)
			}
			_, line, _ := strings.Cut(err.Error(), "write '")
			line, _, _ = strings.Cut(line, "'")
			words := strings.Fields(line)
			c.rates[words[1]] = strings.Join(words[2:], " ")
			if err := load(c.rates); err != nil {
				t.Errorf("obeyed, and %v", err)
			}
		})
	}
}

// load does what a configuration does with its rates.
func load(rates map[string]string) error {
	table := Defaults()
	for _, name := range Names() {
		if words, ok := rates[name]; ok {
			if err := table.Set(name, strings.Fields(words)...); err != nil {
				return err
			}
		}
	}
	return table.Complete(func(name string) bool { return rates[name] != "" })
}

// TestFAIR1_AShareFollowsItsWhole: who changes the whole alone gets a tenth of it for each network, and at least one.
func TestFAIR1_AShareFollowsItsWhole(t *testing.T) {
	for words, want := range map[string]string{"4-H 90-D": "1-H 9-D", "5000-H": "500-H"} {
		table := Defaults()
		if err := table.Set(MailUnknown, strings.Fields(words)...); err != nil {
			t.Fatal(err)
		}
		if err := table.Complete(func(name string) bool { return name == MailUnknown }); err != nil || table[MailNetwork].String() != want {
			t.Errorf("a network has %s of %s, want %s (%v)", table[MailNetwork], words, want, err)
		}
	}
}

// windowOf returns the end of the window of an hour in which a limit counts a client now.
func (s *shares) windowOf(name string, client netip.Addr) int64 {
	s.t.Helper()
	for _, c := range s.l.Prepare(s.now, s.table.LimitsFor(name, Subject{Client: client})...).counts {
		if c.rate.Period == time.Hour {
			slot, err := parseSlot(c.slot)
			if err != nil {
				s.t.Fatal(err)
			}
			return slot.ends
		}
	}
	s.t.Fatalf("%s has no rate of an hour", name)
	return 0
}

// TestFAIR1_NoWindowOfTheWholeHasTwoSharesOfOneNetwork asks for hours on end as one network. In no hour of the whole it spends more than a
// tenth, and in none the operator is told of it twice.
func TestFAIR1_NoWindowOfTheWholeHasTwoSharesOfOneNetwork(t *testing.T) {
	for _, client := range []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8:7::1"} {
		s, addr := newShares(t, map[string]string{MailUnknown: "500-H", MailNetwork: "50-H"}), netip.MustParseAddr(client)
		paid, told := map[int64]int{}, map[int64]int{}
		for range 5 * 12 {
			for range 60 {
				share := s.spend(client)
				if share.Paid {
					paid[s.windowOf(MailUnknown, addr)]++
				}
				network, err := s.l.NoticeSpent(s.tx, s.now, addr, share)
				if err != nil {
					t.Fatal(err)
				}
				if network != "" {
					told[s.windowOf(MailNetwork, addr)]++
				}
			}
			s.now = s.now.Add(5 * time.Minute)
		}
		for ends, n := range paid {
			if n != 50 || told[ends] != 1 {
				t.Errorf("%s: %d of 500 in the window that ends at %d, told %d times", client, n, ends, told[ends])
			}
		}
	}
}
