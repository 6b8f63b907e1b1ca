package alert

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

func client(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 77}) }

// kinds returns the kinds of what is due.
func kinds(list []Alert) string {
	var names []string
	for _, a := range list {
		names = append(names, string(a.Kind))
	}
	return strings.Join(names, " ")
}

// TestALERT3_EachKindHasItsRule goes to the edge of each rule, and over it.
func TestALERT3_EachKindHasItsRule(t *testing.T) {
	lines := func(n int, l Line) func(*Counter) {
		return func(c *Counter) {
			for range n {
				c.Line(start, l)
			}
		}
	}
	mailboxes := func(n int) func(*Counter) {
		return func(c *Counter) {
			for i := range n {
				c.Requested(start, client(1), uint64(i), "a•••@example.com")
				c.Requested(start, client(1), uint64(i), "a•••@example.com") // again is no other mailbox
			}
		}
	}
	networks := func(n int) func(*Counter) {
		return func(c *Counter) {
			for i := range n {
				c.Requested(start, client(i), 1, "a•••@example.com")
			}
		}
	}
	spread := func(n int) func(*Counter) {
		return func(c *Counter) {
			for i := range n {
				c.Line(start, Line{Event: "denied", Outcome: "dead_link", Client: client(i).String()})
			}
		}
	}
	wrong := Line{Event: "denied", Outcome: "wrong_code", Client: "203.0.113.0/24"}
	for _, one := range []struct {
		name string
		do   func(*Counter)
		want string
	}{
		{"few mailboxes", mailboxes(19), ""},
		{"many mailboxes", mailboxes(20), "mailboxes"},
		{"few networks", networks(9), ""},
		{"many networks", networks(10), "networks"},
		{"few failures", lines(9, wrong), ""},
		{"many failures", lines(10, wrong), "failures"},
		{"few failures each, from everywhere", spread(99), ""},
		{"as many from everywhere as are many", spread(100), "failures"},
		{"what a limit refuses is no failure", lines(500, Line{Event: "denied", Outcome: "limited", Client: "203.0.113.0/24"}), ""},
		{"two replays", lines(2, Line{Event: "replayed", Account: "acc"}), ""},
		{"three replays", lines(3, Line{Event: "replayed", Account: "acc"}), "replays"},
		{"a dead letter", lines(1, Line{Event: "mailed", Outcome: "dead", Account: "acc"}), "dead_letters"},
		{"a dead letter that was an alert", lines(9, Line{Event: "mailed", Outcome: "dead", Purpose: "alert"}), ""},
		{"a network has spent its share", lines(9, Line{Event: "denied", Outcome: "limited", Rate: "50-H", Client: "203.0.113.0/24"}), ""},
		{"half of the whole is spent, after a network has spent its share", func(c *Counter) {
			lines(1, Line{Event: "denied", Outcome: "limited", Rate: "50-H", Client: "203.0.113.0/24", Spent: 2})(c)
			lines(1, Line{Event: "denied", Outcome: "limited", Rate: "50-H", Client: "198.51.100.0/24", Spent: 50})(c)
			lines(1, Line{Event: "denied", Outcome: "limited", Rate: "500-H"})(c)
			if due := c.Due(start); len(due) != 1 || due[0].Total != 52 || due[0].Keys[0] != (Key{"198.51.100.0/24", 50}) {
				t.Errorf("%+v, want the mails of each network, the most first", due)
			}
		}, "budget"},
		{"half of the whole is spent", lines(1, Line{Event: "denied", Outcome: "limited", Rate: "500-H"}), "budget"},
		{"no mail leaves", lines(1, Line{Event: "mailed", Outcome: "stopped"}), "no_mail"},
		{"one mail is tried again", lines(3, Line{Event: "mailed", Outcome: "retry", Purpose: "sign_in"}), ""},
	} {
		c := new(Counter)
		one.do(c)
		if got := kinds(c.Due(start)); got != one.want {
			t.Errorf("%s: %q, want %q", one.name, got, one.want)
		}
	}
}

// TestALERT3_AnOfficeThatSignsInIsNoAttack: people behind one address confirm what they request.
func TestALERT3_AnOfficeThatSignsInIsNoAttack(t *testing.T) {
	c := new(Counter)
	for i := range 150 {
		c.Requested(start, client(1), uint64(i), "a•••@example.com")
		if i%10 > 0 { // one in ten does it later
			c.Line(start, Line{Event: "confirmed", Client: "10.0.1.0/24"})
		}
	}
	for i := range 150 { // and so do those who sign in with their passwords, on a first day
		c.Requested(start, client(256), uint64(i), "a•••@example.com")
		if i%10 > 0 {
			c.Line(start, Line{Event: "signed_in", Outcome: "pwd", Client: "10.1.0.0/24"})
		}
	}
	if due := c.Due(start); len(due) > 0 {
		t.Errorf("an alert: %+v", due)
	}
	for i := range 40 { // a sign-in by mail counts once for each account
		c.Requested(start, client(512), uint64(i), "a•••@example.com")
		if i < 15 {
			c.Line(start, Line{Event: "confirmed", Client: "10.2.0.0/24"})
			c.Line(start, Line{Event: "signed_in", Outcome: "link", Client: "10.2.0.0/24"})
		}
	}
	if due := c.Due(start); kinds(due) != "mailboxes" {
		t.Errorf("25 of 40 do not confirm: %v", kinds(due))
	}
}

func TestALERT3_NoMailLeavesAfterAQuarterOfAnHourOfFailures(t *testing.T) {
	c := new(Counter)
	retry := Line{Event: "mailed", Outcome: "retry", Purpose: "sign_in"}
	c.Line(start, retry)
	if due := c.Due(start.Add(14 * time.Minute)); len(due) > 0 {
		t.Errorf("after 14 minutes: %v", kinds(due))
	}
	c.Line(start.Add(14*time.Minute), Line{Event: "mailed", Outcome: "sent"})
	c.Line(start.Add(15*time.Minute), retry)
	if due := c.Due(start.Add(20 * time.Minute)); len(due) > 0 {
		t.Errorf("after one that left: %v", kinds(due))
	}
	if due := c.Due(start.Add(30 * time.Minute)); kinds(due) != "no_mail" {
		t.Errorf("after 15 minutes of failures: %v", kinds(due))
	}
	c.Done(NoMail)
	if due := c.Due(start.Add(90 * time.Minute)); kinds(due) != "no_mail" {
		t.Errorf("an hour later, still without mail: %v", kinds(due))
	}
	c.Line(start, Line{Event: "mailed", Outcome: "stopped"})
	c.Line(start, Line{Event: "mailed", Outcome: "resumed"})
	c.Line(start, Line{Event: "mailed", Outcome: "sent"})
	if due := c.Due(start.Add(3 * time.Hour)); len(due) > 0 {
		t.Errorf("when mail leaves again: %v", kinds(due))
	}
}

// TestALERT1_TheTenHeaviestWithoutAName: an alert names ten keys, each masked, and nothing in it is a link.
func TestALERT1_TheTenHeaviestWithoutAName(t *testing.T) {
	c := new(Counter)
	for i := range 25 {
		for range 10 + i {
			c.Line(start, Line{Event: "denied", Outcome: "refused", Client: client(i).String()}) // whole, as with log_client full
		}
		c.Line(start, Line{Event: "mailed", Outcome: "dead", Account: fmt.Sprint("acc", i)})
		c.Requested(start, client(7), uint64(i), "a•••@example.com")
		c.Requested(start, client(i), 7, "b•••@example.com")
	}
	due := c.Due(start.Add(time.Minute))
	if kinds(due) != "mailboxes networks failures dead_letters" {
		t.Fatal(kinds(due))
	}
	if diff := cmp.Diff(due[2].Keys[0], Key{"10.0.24.0/24", 34}); diff != "" || len(due[2].Keys) != 10 || due[2].Others != 15 || due[2].Total != 25*22 {
		t.Errorf("%s %+v", diff, due[2])
	}
	for _, a := range due {
		machine, err := a.JSON("Example")
		if err != nil {
			t.Fatal(err)
		}
		text := a.Text("Example")
		if regexp.MustCompile(`://|www\.|[.]77\b|token|[?]t=`).MatchString(text+string(machine)) || !strings.HasPrefix(text, "Example: ") {
			t.Errorf("%s\n%s", text, machine)
		}
	}
}

// TestALERT1_AnHourForgets: what is few in an hour never comes to many, and what was alerted counts from zero.
func TestALERT1_AnHourForgets(t *testing.T) {
	c := new(Counter)
	now := start
	for range 50 {
		for range 9 {
			c.Line(now, Line{Event: "denied", Outcome: "refused", Client: "203.0.113.0/24"})
		}
		if due := c.Due(now); len(due) > 0 {
			t.Fatalf("nine an hour: %+v", due)
		}
		now = now.Add(Interval)
		c.Due(now)
	}
	for range 10 {
		c.Line(now, Line{Event: "denied", Outcome: "refused", Client: "203.0.113.0/24"})
	}
	if kinds(c.Due(now)) != "failures" || kinds(c.Due(now.Add(2*Interval))) != "failures" {
		t.Error("what is due is due until it is sent")
	}
	c.Done(Failures)
	if due := c.Due(now); len(due) > 0 {
		t.Errorf("after it was sent: %+v", due)
	}
}

// TestALERT1_MemoryIsBounded: a flood from everywhere to everybody keeps the heaviest.
func TestALERT1_MemoryIsBounded(t *testing.T) {
	c := new(Counter)
	for i := range 10_000 {
		c.Requested(start, client(i), uint64(i), "a•••@example.com")
		c.Requested(start, client(3), uint64(i), "a•••@example.com")
		c.Line(start, Line{Event: "denied", Outcome: "refused", Client: client(i).String()})
	}
	for kind, w := range c.windows {
		if len(w.entries) > maxKeys {
			t.Errorf("%s: %d keys", kind, len(w.entries))
		}
		for _, e := range w.entries {
			if len(e.members) > maxMembers {
				t.Errorf("%s: %d members", kind, len(e.members))
			}
		}
	}
	if due := c.Due(start); kinds(due) != "mailboxes failures" || due[0].Keys[0] != (Key{"10.0.3.0/24", maxMembers}) {
		t.Errorf("%+v", due)
	}
}
