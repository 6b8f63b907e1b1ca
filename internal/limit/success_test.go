package limit

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestDOS1_ARightPasswordCostsItsMailboxAndItsClient lists what is spent: of a known browser its mailbox alone, of a stranger the client as
// well, and of these the client's may be looked at before anything was compared.
func TestDOS1_ARightPasswordCostsItsMailboxAndItsClient(t *testing.T) {
	table := Table{PasswordMailbox: rates(t, "10-H"), PasswordIP: rates(t, "30-H")}
	s := Subject{Mailbox: storage.Digest{1}, Client: netip.MustParseAddr("192.0.2.1")}
	counters := func(charges []Charge) (list []string) {
		for _, c := range charges {
			if c.Name != PasswordSuccess {
				t.Errorf("it is told as %s", c.Name)
			}
			list = append(list, c.counter+" "+c.Subject+" "+c.Rates.String())
		}
		return list
	}
	mailbox, client := " "+string(s.Mailbox[:])+" 200-H", successClient+" 192.0.2.1 600-H"
	for name, c := range map[string]struct {
		known          bool
		preCheck, full []string
	}{
		"a stranger":      {false, []string{client}, []string{mailbox, client}},
		"a known browser": {true, []string{mailbox}, []string{mailbox}},
	} {
		s.Known = c.known
		preCheck, full := table.SuccessLimits(s)
		if got := counters(preCheck); !slices.Equal(got, c.preCheck) {
			t.Errorf("%s, before: %q, want %q", name, got, c.preCheck)
		}
		if got := counters(full); !slices.Equal(got, c.full) {
			t.Errorf("%s: %q, want %q", name, got, c.full)
		}
	}
}

// TestRL4_EachRateHasACounterOfItsOwn looks at a whole day: at some hour the windows of the hour and of the day end together.
func TestRL4_EachRateHasACounterOfItsOwn(t *testing.T) {
	l := &Limiter{Ring: fakeRing{}}
	s := Subject{Mailbox: storage.Digest{1}, Client: netip.MustParseAddr("2001:db8::1")}
	for _, name := range Names() {
		table := Table{}
		if err := table.Set(name, "5-M", "50-H", "500-D"); err != nil {
			t.Fatal(err)
		}
		for minute := range 25 * 60 {
			at := start.Add(time.Duration(minute) * time.Minute)
			slots := l.Prepare(at, table.LimitsFor(name, s)...).Slots()
			if n := len(slots); n == 0 || n%3 != 0 {
				t.Fatalf("%s: %d counters", name, n)
			}
			for i, slot := range slots {
				if slices.Contains(slots[:i], slot) {
					t.Fatalf("%s at %v: two rates share a counter", name, at)
				}
			}
		}
	}
}
