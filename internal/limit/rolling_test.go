package limit

import (
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const day = 24 * time.Hour

// TestPOW2_NoWindowGivesAMailboxTwoDays asks for mails to one mailbox all the time, and in other runs in bursts that are a while apart: whenever the 24
// hours are taken, no more than a day's mails leave in them. With windows of a day it was twice as many around their edge.
func TestPOW2_NoWindowGivesAMailboxTwoDays(t *testing.T) {
	table := Defaults()
	for name, most := range map[string]int{MailMailbox: 20, MailKnown: 5, MailWork: 5} {
		for mailbox := range byte(8) { // windows begin at a time of the mailbox's own
			for _, every := range []time.Duration{11 * time.Minute, 5 * time.Hour, 6 * time.Hour, 23 * time.Hour, day - time.Second} {
				l, tx := &Limiter{Ring: fakeRing{}}, newTx()
				charges := table.LimitsFor(name, Subject{Mailbox: storage.Digest{mailbox + 1}, Known: name == MailKnown})
				var sent []time.Time
				for now := start; now.Before(start.Add(5 * day)); now = now.Add(every) {
					for take(t, l, tx, now, charges...).Allowed {
						sent = append(sent, now)
					}
				}
				for i := range sent {
					if j := i + most; j < len(sent) && sent[j].Sub(sent[i]) < day {
						t.Fatalf("%s, every %s: %d mails from %s to %s", name, every, most+1, sent[i], sent[j])
					}
				}
				if len(sent) < 3*most {
					t.Errorf("%s, every %s: %d mails in five days", name, every, len(sent))
				}
			}
		}
	}
}

// TestRL4_ARollingLimitSaysWhenItPermitsMore: not before that time, and then it does, for as many as have dropped out.
func TestRL4_ARollingLimitSaysWhenItPermitsMore(t *testing.T) {
	table := Defaults()
	for mailbox := range byte(20) {
		l, tx := &Limiter{Ring: fakeRing{}}, newTx()
		charges := table.LimitsFor(MailMailbox, Subject{Mailbox: storage.Digest{mailbox + 1}})
		spend := func(now time.Time, n int) {
			t.Helper()
			for range n {
				if !take(t, l, tx, now, charges...).Allowed {
					t.Fatal("refused too early")
				}
			}
		}
		spend(start, 3)
		spend(start.Add(13*time.Hour), 17)
		refused := take(t, l, tx, start.Add(14*time.Hour), charges...)
		if wait := refused.RetryAt.Sub(start); refused.Allowed || wait < day || wait > day+6*time.Hour {
			t.Fatalf("%+v, %s after the first", refused, wait)
		}
		if again := take(t, l, tx, refused.RetryAt.Add(-time.Second), charges...); again.Allowed || again.RetryAt != refused.RetryAt {
			t.Errorf("a second before: %+v", again)
		}
		spend(refused.RetryAt, 3)
		last := take(t, l, tx, refused.RetryAt, charges...)
		if wait := last.RetryAt.Sub(start.Add(13 * time.Hour)); last.Allowed || wait < day || wait > day+6*time.Hour {
			t.Errorf("%+v, %s after the second", last, wait)
		}
		usage, err := l.Usage(tx, refused.RetryAt, table, Subject{Mailbox: storage.Digest{mailbox + 1}})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range usage {
			if u.Name == MailMailbox && (u.Count != 20 || u.Limit != 20 || u.Ends != last.RetryAt) {
				t.Errorf("limits show has %+v, want until %s", u, last.RetryAt)
			}
		}
		if n, err := l.Reset(tx, refused.RetryAt, table, Subject{Mailbox: storage.Digest{mailbox + 1}}); err != nil || n != 1 {
			t.Errorf("reset %d, %v", n, err)
		}
		spend(refused.RetryAt, 20)
	}
}

// TestRL4_ARollingLimitIsKeptAsLongAsItCounts: no sweep removes a counter that is still looked at, and those of one mailbox lie together.
func TestRL4_ARollingLimitIsKeptAsLongAsItCounts(t *testing.T) {
	l, table := &Limiter{Ring: fakeRing{}}, Defaults()
	subject := Subject{Mailbox: storage.Digest{1}}
	charges := append(table.LimitsFor(MailMailbox, subject), table.LimitsFor(MailAddress, subject)...)
	for i := range 200 {
		now := start.Add(time.Duration(i) * 29 * time.Minute)
		p := l.Prepare(now, charges...)
		if n := len(p.Lookups()); n != 6 {
			t.Fatalf("%d counters, want the mailbox's five and the address's one", n)
		}
		for _, key := range p.Lookups() {
			if !key.Alive(now) {
				t.Fatalf("a counter that is counted ends at %s, %s before", key.Ends(), now.Sub(key.Ends()))
			}
			if key.Ends().Sub(now) > 2*day {
				t.Fatalf("a counter is kept for %s", key.Ends().Sub(now))
			}
		}
	}
}
