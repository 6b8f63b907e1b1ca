package limit

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ulule/limiter/v3"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rates(t *testing.T, words ...string) Rates {
	t.Helper()
	r, err := Parse(words...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func take(t *testing.T, l *Limiter, tx storage.Tx, now time.Time, charges ...Charge) Decision {
	t.Helper()
	v, err := l.Spend(tx, now, charges...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTake(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	hourly := rates(t, "3-H")
	var last Decision
	for i := range 3 {
		v, err := l.Spend(tx, start, Charge{Name: MailIP, Subject: "192.0.2.1", Rates: hourly})
		if err != nil || !v.Allowed || len(v.Slots) != 1 || !v.RetryAt.IsZero() {
			t.Fatalf("take %d: %+v, %v", i, v, err)
		}
		last = v
	}
	refused, err := l.Spend(tx, start, Charge{Name: MailIP, Subject: "192.0.2.1", Rates: hourly})
	if err != nil || refused.Allowed || refused.Name != MailIP || refused.Slots != nil {
		t.Fatalf("fourth take: %+v, %v", refused, err)
	}
	if wait := refused.RetryAt.Sub(start); wait <= 0 || wait > time.Hour {
		t.Errorf("retry in %v, want within the hour", wait)
	}
	if v, _ := l.Spend(tx, start, Charge{Name: MailIP, Subject: "192.0.2.2", Rates: hourly}); !v.Allowed {
		t.Error("another subject is refused")
	}
	if v, _ := l.Spend(tx, start, Charge{Name: RedeemIP, Subject: "192.0.2.1", Rates: hourly}); !v.Allowed {
		t.Error("another limit is refused")
	}
	// Exact at the edge: refused one second before, permitted at the end.
	if v, _ := l.Check(tx, refused.RetryAt.Add(-time.Second), Charge{Name: MailIP, Subject: "192.0.2.1", Rates: hourly}); v.Allowed {
		t.Error("permitted before the window ends")
	}
	if v, _ := l.Check(tx, refused.RetryAt, Charge{Name: MailIP, Subject: "192.0.2.1", Rates: hourly}); !v.Allowed {
		t.Error("refused when the window has ended")
	}
	if err := l.Refund(tx, last.Slots); err != nil {
		t.Fatal(err)
	}
	if v, _ := l.Spend(tx, start, Charge{Name: MailIP, Subject: "192.0.2.1", Rates: hourly}); !v.Allowed {
		t.Error("refused although a slot came back")
	}
}

// TestTakeRefusalWritesNothing proves that no rate is counted when another one refuses, and that a refusal costs no write.
func TestTakeRefusalWritesNothing(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	charges := []Charge{
		{Name: MailIP, Subject: "a", Rates: rates(t, "100-H", "200-D")},
		{Name: MailMailbox, Subject: "b", Rates: rates(t, "2-D")},
		{Name: MailAddress, Subject: "c", Rates: rates(t, "100-H")},
	}
	for range 2 {
		if v := take(t, l, tx, start, charges...); !v.Allowed || len(v.Slots) != 4 || len(v.SlotsOf(MailIP)) != 2 || len(v.SlotsOf(MailMailbox)) != 1 {
			t.Fatalf("refused: %+v", v)
		}
	}
	before, writes := fmt.Sprint(tx.counts), tx.writes
	for range 50 {
		if v := take(t, l, tx, start, charges...); v.Allowed || v.Name != MailMailbox || v.Slots != nil {
			t.Fatalf("verdict %+v", v)
		}
	}
	if after := fmt.Sprint(tx.counts); after != before || tx.writes != writes {
		t.Errorf("50 refusals wrote %d times", tx.writes-writes)
	}
}

// TestTakeRace proves that a step that loses a race after its peek leaves nothing counted.
func TestTakeRace(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	charges := []Charge{
		{Name: MailIP, Subject: "a", Rates: rates(t, "1-H")},
		{Name: MailMailbox, Subject: "b", Rates: rates(t, "1-H")},
	}
	takes := 0
	tx.race = func(k storage.Key) {
		if takes++; takes == 2 {
			tx.counts[k] = 1
		}
	}
	v := take(t, l, tx, start, charges...)
	if v.Allowed || v.Name == "" || v.RetryAt.IsZero() || v.Slots != nil {
		t.Fatalf("verdict %+v", v)
	}
	sum := int64(0)
	for _, n := range tx.counts {
		sum += n
	}
	if sum != 1 {
		t.Errorf("%d counted, want the other step's 1", sum)
	}
}

func TestRetryAtIsTheLastWindow(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	charges := []Charge{{Name: MailKnown, Subject: "a", Rates: rates(t, "1-M", "1-D")}}
	take(t, l, tx, start, charges...)
	v := take(t, l, tx, start, charges...)
	if wait := v.RetryAt.Sub(start); v.Allowed || wait <= time.Minute {
		t.Fatalf("verdict %+v: the minute ends sooner than the day", v)
	}
	if got := take(t, l, tx, v.RetryAt.Add(-time.Second), charges...); got.Allowed {
		t.Error("permitted before RetryAt")
	}
	if got := take(t, l, tx, v.RetryAt, charges...); !got.Allowed {
		t.Error("refused at RetryAt")
	}
}

func TestWindowsDoNotEndTogether(t *testing.T) {
	ends := map[int64]bool{}
	for i := range 100 {
		s := windows{ring: fakeRing{}, now: start, name: MailIP}
		slot := s.slot(fmt.Sprint(i), limiter.Rate{Period: time.Hour, Limit: 5})
		if in := slot.ends - start.Unix(); in <= 0 || in > 3600 {
			t.Fatalf("window ends in %d s", in)
		}
		ends[slot.ends] = true
	}
	if len(ends) < 80 {
		t.Errorf("100 subjects share %d ends", len(ends))
	}
	before := windows{ring: fakeRing{}, now: time.Unix(-5000, 0), name: MailIP}
	if slot := before.slot("a", limiter.Rate{Period: time.Hour}); slot.ends <= -5000 || slot.ends > -1400 {
		t.Errorf("window of a time before 1970 ends at %d", slot.ends)
	}
}

// TestReloadKeepsCounts proves that another count under the same period goes on with what has been counted.
func TestReloadKeepsCounts(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	for range 4 {
		take(t, l, tx, start, Charge{Name: MailIP, Subject: "a", Rates: rates(t, "5-H")})
	}
	if v := take(t, l, tx, start, Charge{Name: MailIP, Subject: "a", Rates: rates(t, "3-H")}); v.Allowed {
		t.Error("a lower limit forgets what has been counted")
	}
	if v := take(t, l, tx, start, Charge{Name: MailIP, Subject: "a", Rates: rates(t, "9-H")}); !v.Allowed {
		t.Error("a higher limit refuses")
	}
}

func TestTxStore(t *testing.T) {
	ctx, tx := context.Background(), newTx()
	rate := rates(t, "2-H")[0]
	lim := limiter.New(TxStore{Counters: tx.Counters()}, rate)
	key := windows{ring: fakeRing{}, now: start, name: MailIP}.slot("a", rate).text()
	for want := int64(1); want >= 0; want-- {
		got, err := lim.Get(ctx, key)
		if err != nil || got.Reached || got.Remaining != want || got.Limit != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if got, _ := lim.Get(ctx, key); !got.Reached || got.Remaining != 0 {
		t.Errorf("third: %+v", got)
	}
	if got, _ := lim.Peek(ctx, key); !got.Reached {
		t.Errorf("peek: %+v", got)
	}
	if got, _ := lim.Reset(ctx, key); got.Reached || got.Remaining != 2 {
		t.Errorf("reset: %+v", got)
	}
	if got, _ := lim.Increment(ctx, key, 3); !got.Reached || got.Remaining != 2 {
		t.Errorf("an increment that does not fit: %+v", got)
	}
}

func TestRL1_UnknownClientsShareOneBucket(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	if err := table.Set(MailIP, "2-H"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if v := take(t, l, tx, start, table.LimitsFor(MailIP, Subject{})...); !v.Allowed {
			t.Fatal("refused")
		}
	}
	if v := take(t, l, tx, start, table.LimitsFor(MailIP, Subject{Mailbox: storage.Digest{1}})...); v.Allowed {
		t.Error("a client without address has no limit")
	}
}

func TestRL2_Tiers(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	if err := table.Set(RedeemIP, "2-H"); err != nil {
		t.Fatal(err)
	}
	hit := func(addr string) bool {
		return take(t, l, tx, start, table.LimitsFor(RedeemIP, Subject{Client: netip.MustParseAddr(addr)})...).Allowed
	}
	if !hit("2001:db8:0:1::1") || !hit("2001:db8:0:1:ffff::2") || hit("2001:db8:0:1::3") {
		t.Error("a /64 is not one subject")
	}
	permitted := 0
	for i := range 100 {
		if hit(fmt.Sprintf("2001:db8:0:%x::1", 0x100+i)) {
			permitted++
		}
	}
	if permitted != 2*tier48Factor-2 {
		t.Errorf("%d more from one /48, want %d in all", permitted, 2*tier48Factor)
	}
	if !hit("2001:db8:1::1") {
		t.Error("another /48 is refused")
	}
	if !hit("192.0.2.7") || !hit("::ffff:192.0.2.7") || hit("::ffff:192.0.2.7") || hit("192.0.2.7") {
		t.Error("IPv4 inside IPv6 is not that IPv4 address")
	}
	if !hit("192.0.2.8") {
		t.Error("another IPv4 address of the /24 is refused")
	}
	if !hit("fe80::1%eth0") || !hit("fe80::1%eth1") || hit("fe80::1%eth2") {
		t.Error("a zone makes another subject")
	}
}

func TestRL3_MailboxCaps(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	if err := table.Set(MailMailbox, "3-D"); err != nil {
		t.Fatal(err)
	}
	spellings := []string{"ada@example.com", "ADA@Example.COM", "ada+1@example.com", "Ada+two@EXAMPLE.com"}
	for i, spelling := range spellings {
		a, err := address.Parse(spelling)
		if err != nil {
			t.Fatal(err)
		}
		s := Subject{Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Mailbox: a.LimitKey(fakeRing{})}
		if v := take(t, l, tx, start, table.LimitsFor(MailMailbox, s)...); v.Allowed != (i < 3) {
			t.Errorf("%s: %v", spelling, v.Allowed)
		}
		known := s
		known.Known = true
		if v := take(t, l, tx, start, table.LimitsFor(MailKnown, known)...); !v.Allowed {
			t.Errorf("%s: strangers spend what known browsers need", spelling)
		}
	}
}

func TestRL6_KnownBrowsersHaveTheirOwnPasswordCounter(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	mailbox := storage.Digest{7}
	for range 20 {
		take(t, l, tx, start, table.LimitsFor(PasswordMailbox, Subject{Mailbox: mailbox})...)
	}
	if v := take(t, l, tx, start, table.LimitsFor(PasswordMailbox, Subject{Mailbox: mailbox})...); v.Allowed {
		t.Error("strangers are not limited")
	}
	if v := take(t, l, tx, start, table.LimitsFor(PasswordMailbox, Subject{Mailbox: mailbox, Known: true})...); !v.Allowed {
		t.Error("strangers lock the owner out")
	}
}

func TestMailAddressCountsByNetwork(t *testing.T) {
	table := Defaults()
	charge := func(addr string, mailbox byte) string {
		s := Subject{Mailbox: storage.Digest{mailbox}}
		if addr != "" {
			s.Client = netip.MustParseAddr(addr)
		}
		return table.LimitsFor(MailAddress, s)[0].Subject
	}
	if charge("192.0.2.1", 1) != charge("192.0.2.200", 1) || charge("2001:db8::1", 1) != charge("2001:db8::ffff", 1) {
		t.Error("one network is two subjects")
	}
	different := map[string]bool{}
	for _, s := range []string{charge("192.0.2.1", 1), charge("192.0.3.1", 1), charge("2001:db8::1", 1), charge("", 1), charge("192.0.2.1", 2)} {
		different[s] = true
	}
	if len(different) != 5 {
		t.Errorf("%d subjects, want 5", len(different))
	}
}

func TestShowAndReset(t *testing.T) {
	l, tx := &Limiter{Ring: fakeRing{}}, newTx()
	table := Defaults()
	s := Subject{Client: netip.MustParseAddr("2001:db8::1"), Mailbox: storage.Digest{3}}
	for _, name := range []string{MailIP, MailMailbox} {
		take(t, l, tx, start, table.LimitsFor(name, s)...)
	}
	take(t, l, tx, start, table.LimitsFor(MailUnknown, s)...)
	got, err := l.Usage(tx, start, table, s)
	if err != nil {
		t.Fatal(err)
	}
	var counted []Usage
	for _, u := range got {
		if u.Name == MailUnknown {
			t.Error("a counter of everybody is shown for one subject")
		}
		if u.Count > 0 {
			counted = append(counted, u)
		}
	}
	want := []Usage{
		{Name: MailIP, Rate: "60-H", Count: 1, Limit: 60},
		{Name: MailIP, Rate: "300-D", Count: 1, Limit: 300},
		{Name: MailIP, Rate: "960-H", Tier48: true, Count: 1, Limit: 960},
		{Name: MailIP, Rate: "4800-D", Tier48: true, Count: 1, Limit: 4800},
		{Name: MailMailbox, Rate: "20-D", Count: 1, Limit: 20},
	}
	opts := cmp.Options{cmpopts.IgnoreFields(Usage{}, "Ends"), cmpopts.SortSlices(func(a, b Usage) bool {
		return a.Name+a.Rate < b.Name+b.Rate
	})}
	if diff := cmp.Diff(want, counted, opts); diff != "" {
		t.Errorf("show (-want +got):\n%s", diff)
	}
	if n, err := l.Reset(tx, start, table, s); err != nil || n != 5 {
		t.Errorf("reset %d, %v; want 5", n, err)
	}
	if n, err := l.Reset(tx, start, table, Subject{}); err != nil || n != 2 || len(tx.counts) != 0 {
		t.Errorf("reset of what many share: %d, %v; left %v", n, err, tx.counts)
	}
}
