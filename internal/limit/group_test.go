package limit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/ulule/limiter/v3"
)

// mailCharges are all counters that one request for a mail takes.
func mailCharges(table Table, s Subject) []Charge {
	return append(append(table.LimitsFor(MailIP, s), table.LimitsFor(MailAddress, s)...), table.LimitsFor(MailMailbox, s)...)
}

// groups counts the places that the counters of asks lie at: those with one end and one beginning lie together.
func groups(l *Limiter, now time.Time, charges []Charge) int {
	places := map[string]bool{}
	for _, k := range l.Prepare(now, charges...).Slots() {
		places[fmt.Sprint(k.End, k.Digest[:groupSize])] = true
	}
	return len(places)
}

// TestCountersOfAMailLieTogether proves that a request changes two places of the store however many counters it takes: that of
// the client and that of the mailbox, which all networks share.
func TestCountersOfAMailLieTogether(t *testing.T) {
	l, table := &Limiter{Ring: fakeRing{}}, Defaults()
	for name, words := range map[string][]string{MailIP: {"9-S", "60-M", "60-H", "300-D"}, MailAddress: {"2-M", "5-H"}, MailMailbox: {"20-D"}} {
		if err := table.Set(name, words...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		now := start.Add(time.Duration(i) * 331 * time.Second)
		for _, client := range []string{"192.0.2.1", "2001:db8::1", ""} {
			s := Subject{Mailbox: storage.Digest{byte(i)}}
			if client != "" {
				s.Client = netip.MustParseAddr(client)
			}
			charges := mailCharges(table, s)
			if n := groups(l, now, charges); n != 2 {
				t.Fatalf("%s at %s: counters at %d places, want 2", client, now, n)
			}
			slots := l.Prepare(now, charges...).Slots()
			different := map[storage.Key]bool{}
			for _, k := range slots {
				different[k] = true
			}
			if want := map[bool]int{false: 7, true: 11}[len(client) > len("192.0.2.1")]; len(different) != want {
				t.Fatalf("%s at %s: %d counters, want %d", client, now, len(different), want)
			}
			other := s
			other.Client = netip.MustParseAddr("198.51.100.7")
			mailbox := append(table.LimitsFor(MailAddress, s), table.LimitsFor(MailAddress, other)...)
			if n := groups(l, now, append(mailbox, table.LimitsFor(MailKnown, s)...)); n != 1 {
				t.Fatalf("the counters of one mailbox are at %d places", n)
			}
		}
	}
}

// TestWindowsOfAGroupEndWhenTheySay walks over a day second by second: each window has the length of its rate, follows the one
// before, has a counter of its own and is kept until it has ended. Seven hours are no part of a day and three days are longer.
func TestWindowsOfAGroupEndWhenTheySay(t *testing.T) {
	for _, period := range []time.Duration{time.Second, time.Minute, time.Hour, 7 * time.Hour, 24 * time.Hour, 72 * time.Hour} {
		rate := limiter.Rate{Period: period, Limit: 1}
		seconds := int64(period / time.Second)
		store := windows{ring: fakeRing{}, name: MailIP, group: "a group"}
		seen := map[storage.Key]int64{}
		var before slot
		for i := range int64(3*24*3600) / min(seconds, 60) {
			store.now = start.Add(time.Duration(i*min(seconds, 60)) * time.Second)
			now := store.now.Unix()
			got := store.slot("a", rate)
			if got.ends <= now || got.ends > now+seconds {
				t.Fatalf("%s: a window ends %d s after a moment in it", period, got.ends-now)
			}
			if got.key.End < got.ends || got.key.End >= got.ends+groupPeriod {
				t.Fatalf("%s: a window that ends at %d is kept until %d", period, got.ends, got.key.End)
			}
			if i > 0 && got.key != before.key && (before.ends > now || got.ends-before.ends != seconds) {
				t.Fatalf("%s: after the window %+v comes %+v at %d", period, before, got, now)
			}
			if ends, found := seen[got.key]; found && ends != got.ends {
				t.Fatalf("%s: the windows that end at %d and %d share a counter", period, ends, got.ends)
			}
			seen[got.key], before = got.ends, got
		}
	}
}

// TestEachRateRefusesUntilItsOwnEnd proves that a refusal names the end of the window, not that of what is kept beside it.
func TestEachRateRefusesUntilItsOwnEnd(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	if err := table.Set(MailIP, "2-H", "3-D"); err != nil {
		t.Fatal(err)
	}
	charges := table.LimitsFor(MailIP, Subject{Client: netip.MustParseAddr("192.0.2.1")})
	day := l.Prepare(start, charges...).Slots()[0].End
	now := time.Unix(day, 0).Add(-5 * time.Hour) // the day has some hours left
	for range 2 {
		take(t, l, tx, now, charges...)
	}
	hour := take(t, l, tx, now, charges...)
	if wait := hour.RetryAt.Sub(now); hour.Allowed || wait <= 0 || wait > time.Hour {
		t.Fatalf("the hour's limit: %+v, %s", hour, wait)
	}
	if take(t, l, tx, hour.RetryAt.Add(-time.Second), charges...).Allowed {
		t.Error("permitted before the hour is over")
	}
	if !take(t, l, tx, hour.RetryAt, charges...).Allowed {
		t.Error("refused when the hour is over")
	}
	refused := take(t, l, tx, hour.RetryAt, charges...)
	if refused.Allowed || refused.RetryAt.Unix() != day {
		t.Errorf("the day's limit: %+v, want until %d", refused, day)
	}
	if !take(t, l, tx, refused.RetryAt, charges...).Allowed {
		t.Error("refused when the day is over")
	}
}

// TestReturnToAWindowThatIsOver proves that a slot given back late takes nothing from the window of now, though the counter of
// its own window is still kept.
func TestRL4_RefundToAWindowThatIsOver(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	if err := table.Set(MailIP, "1-H", "5-D"); err != nil {
		t.Fatal(err)
	}
	charges := table.LimitsFor(MailIP, Subject{Client: netip.MustParseAddr("192.0.2.1")})
	now := time.Unix(l.Prepare(start, charges...).Slots()[0].End, 0).Add(-5 * time.Hour)
	first := take(t, l, tx, now, charges...)
	later := take(t, l, tx, now, charges...).RetryAt
	if !take(t, l, tx, later, charges...).Allowed {
		t.Fatal("refused in a new hour")
	}
	if err := l.Refund(tx, first.Slots); err != nil {
		t.Fatal(err)
	}
	usage, err := l.Usage(tx, later, table, Subject{Client: netip.MustParseAddr("192.0.2.1")})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range usage {
		if u.Name == MailIP && u.Count != 1 {
			t.Errorf("%s: %d counted, want 1", u.Rate, u.Count)
		}
	}
	if take(t, l, tx, later, charges...).Allowed {
		t.Error("a slot of the last hour was spent in this one")
	}
}

// TestReloadOfOtherRatesKeepsCounts proves that a rate goes on with what it has counted when another one comes or goes.
func TestReloadOfOtherRatesKeepsCounts(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	s := Subject{Client: netip.MustParseAddr("192.0.2.1"), Mailbox: storage.Digest{1}}
	charge := func(words ...string) bool {
		for _, name := range []string{MailIP, MailMailbox} {
			if err := table.Set(name, words...); err != nil {
				t.Fatal(err)
			}
		}
		return take(t, l, tx, start, mailCharges(table, s)...).Allowed
	}
	if !charge("3-H") || !charge("3-H", "9-D") || !charge("3-M", "3-H", "9-D") {
		t.Fatal("refused too early")
	}
	if charge("3-H") || charge("9-D", "3-H") {
		t.Error("another set of rates forgets what has been counted")
	}
	if !charge("3-D") {
		t.Error("the day has counted what came before it was asked to")
	}
}
