package password

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"
)

// cheap is the cost of records in tests.
var cheap = Cost{Argon2id, 64, 1, 1}

func newHasher(t testing.TB, o Options) *Hasher {
	t.Helper()
	if o.Cost == (Cost{}) {
		o.Cost = cheap
	}
	h, err := NewHasher(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *Hasher) mustHash(t testing.TB, typed string) Record {
	t.Helper()
	r, err := h.Hash(t.Context(), typed)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaultRecordsAreAsDocumented(t *testing.T) {
	h, err := NewHasher(Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := h.mustHash(t, pw), h.mustHash(t, pw)
	if !strings.HasPrefix(a.Text(), "$argon2id$v=19$m=19456,t=2,p=1$") || a.Text() == b.Text() {
		t.Errorf("%s, %s", a.Text(), b.Text())
	}
	if NeedsUpgrade(a, h.Cost()) {
		t.Error("a new record needs an upgrade")
	}
	v, err := h.Verify(t.Context(), parsed(t, a.Text()), pw)
	if err != nil || v != (Verdict{OK: true}) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := NewHasher(Options{Cost: Cost{Kind: Bcrypt, N: 10}}); err == nil {
		t.Error("bcrypt is taken for new records")
	}
	if _, err := NewHasher(Options{Cost: Cost{Argon2id, 4 << 20, 1, 1}}); err == nil {
		t.Error("4 GiB are taken for new records")
	}
}

func TestVerifyAndUpgrade(t *testing.T) {
	h := newHasher(t, Options{})
	own := h.mustHash(t, pw)
	bcrypt := parsed(t, "$2b$"+b05+"HNbAKRhpaujgo33bRWs.NLUTJO3lOy2")
	bcryptLong := parsed(t, "$2b$"+b05+"jf8SX2ahXLwp9w/B.Y5XdysS6yR576q")
	sha := parsed(t, "bcrypt_sha256$$2b$"+b05+"RE/BGU0olI36R/2U45foO/Y8KOwRyDi")
	for _, tt := range []struct {
		name, typed string
		record      Record
		want        Verdict
	}{
		{"own", pw, own, Verdict{OK: true}},
		{"own, wrong", pw + " ", own, Verdict{}},
		{"imported", pw, bcrypt, Verdict{OK: true, Upgrade: true}},
		{"imported, wrong", "wrong horse", bcrypt, Verdict{}},
		{"bcrypt, more than 72 bytes: right, but what follows was never checked", long, bcryptLong, Verdict{OK: true}},
		{"bcrypt, the first 72 bytes", long[:72], bcryptLong, Verdict{OK: true, Upgrade: true}},
		{"bcrypt, the first 71 bytes", long[:71], bcryptLong, Verdict{}},
		{"bcrypt of SHA-256 has no such limit", long, sha, Verdict{OK: true, Upgrade: true}},
		{"bcrypt of SHA-256, first 72", long[:72], sha, Verdict{}},
		{"no account", pw, Record{}, Verdict{}},
		{"NUL", pw + "\x00", bcrypt, Verdict{}},
		{"invalid UTF-8", pw + "\xed\xa0\x80", own, Verdict{}},
		{"empty", "", own, Verdict{}},
		{"10 MB", strings.Repeat("a", 10<<20), own, Verdict{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := h.Verify(t.Context(), tt.record, tt.typed); err != nil || got != tt.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestNothingIsTheEmptyPassword(t *testing.T) {
	h := newHasher(t, Options{})
	empty := newRecord(cheap, nil, make([]byte, saltSize)) // as an import may hold
	for _, typed := range []string{"", "\x00", "\xff", strings.Repeat("a", MaxBytes+1)} {
		if v, err := h.Verify(t.Context(), empty, typed); err != nil || v.OK {
			t.Errorf("%.10q: %v, %v", typed, v, err)
		}
		if _, err := h.Hash(t.Context(), typed); !errors.Is(err, ErrInvalid) {
			t.Errorf("Hash(%.10q): %v", typed, err)
		}
	}
}

func TestSpellingsOfOnePasswordAreOne(t *testing.T) {
	h := newHasher(t, Options{})
	nfd := norm.NFD.String(uni)
	for _, typed := range []string{uni, nfd} {
		r := h.mustHash(t, typed)
		for _, again := range []string{uni, nfd} {
			if v, err := h.Verify(t.Context(), r, again); err != nil || !v.OK {
				t.Errorf("%+q does not open %+q: %v", again, typed, err)
			}
		}
	}
	// A program that does not normalise has hashed what was typed.
	r := newRecord(cheap, []byte(nfd), make([]byte, saltSize))
	if v, err := h.Verify(t.Context(), r, nfd); err != nil || !v.OK {
		t.Errorf("what was typed is refused: %v", err)
	}
}

// gauge counts the permits in use, and lets hashes go on one by one or all.
type gauge struct {
	now, peak, begun atomic.Int64
	entered          chan struct{}
	leave            chan struct{}
}

func watched(h *Hasher) *gauge {
	g := &gauge{entered: make(chan struct{}, 1000), leave: make(chan struct{})}
	h.watch = func(n int64) {
		now := g.now.Add(n)
		if n < 0 {
			return
		}
		g.begun.Add(1)
		for peak := g.peak.Load(); now > peak && !g.peak.CompareAndSwap(peak, now); peak = g.peak.Load() {
		}
		g.entered <- struct{}{}
		<-g.leave
	}
	return g
}

// until spins, giving way, until a condition holds that other goroutines are about to fulfil.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
		runtime.Gosched()
	}
}

func TestTwoHundredAtOnceRunTwoAtATimeAndTheExcessIsSentAway(t *testing.T) {
	h := newHasher(t, Options{Permits: 2, Queue: 50})
	g := watched(h)
	var busy, done atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = h.Verify(t.Context(), Record{}, pw)
			} else {
				_, err = h.Hash(t.Context(), pw)
			}
			var b *BusyError
			switch {
			case err == nil:
				done.Add(1)
			case errors.As(err, &b) && errors.Is(err, ErrBusy) && b.RetryAfter >= time.Second && b.RetryAfter%time.Second == 0:
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	until(t, "148 sent away", func() bool { return busy.Load() == 148 && h.Load() == 50 })
	close(g.leave)
	wg.Wait()
	if g.peak.Load() != 2 || g.now.Load() != 0 || done.Load() != 52 || h.Load() != 0 {
		t.Errorf("peak %d, left %d, done %d, waiting %d", g.peak.Load(), g.now.Load(), done.Load(), h.Load())
	}
}

func TestDOS1_ALeavingClientFreesNoPermit(t *testing.T) {
	h := newHasher(t, Options{Permits: 1})
	g := watched(h)
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := h.Verify(ctx, Record{}, pw)
		first <- err
	}()
	<-g.entered
	waiting := make(chan error, 1)
	go func() {
		_, err := h.Verify(ctx, Record{}, pw)
		waiting <- err
	}()
	until(t, "one waits", func() bool { return h.Load() == 1 })
	leave()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that waited: %v", err)
	}
	select {
	case err := <-first:
		t.Fatalf("the one that ran ended with its client: %v", err)
	default:
	}
	if g.now.Load() != 1 || h.running.TryAcquire(1) {
		t.Error("the permit is free while the hash runs")
	}
	close(g.leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if g.begun.Load() != 1 || !h.running.TryAcquire(1) {
		t.Errorf("%d begun", g.begun.Load())
	}
}

func TestAPanicGivesThePermitBack(t *testing.T) {
	h := newHasher(t, Options{Permits: 1})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is hidden")
			}
		}()
		_, _ = h.do(t.Context(), cheap, func() { panic("x") })
	}()
	if !h.running.TryAcquire(1) {
		t.Error("the permit is lost")
	}
}

func TestDearRecordsTakeMorePermits(t *testing.T) {
	unit := uint64(Default.N)
	for text, want := range map[string]int64{
		"argon2id:19456:2:1":       1,
		"argon2id:65536:3:1":       4,
		"argon2id:65536:3:8":       8,
		"argon2id:131072:1:1":      7,
		"scrypt:131072:8:1":        7,
		"scrypt:16384:8:5":         1,
		"bcrypt:12:0:0":            1,
		"pbkdf2-sha256:600000:0:0": 1,
	} {
		c, err := ParseCost(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.weight(unit, 100); got != want {
			t.Errorf("%s takes %d of 100", text, got)
		}
		if got := c.weight(unit, 2); got != min(want, 2) {
			t.Errorf("%s takes %d of 2", text, got)
		}
	}
	h := newHasher(t, Options{Permits: 4})
	g := watched(h)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _ = h.do(t.Context(), Cost{Argon2id, 128, 1, 1}, func() {})
		})
	}
	<-g.entered
	<-g.entered
	until(t, "six wait", func() bool { return h.Load() == 6 })
	close(g.leave)
	wg.Wait()
	if g.peak.Load() != 4 || g.begun.Load() != 8 {
		t.Errorf("peak %d, begun %d", g.peak.Load(), g.begun.Load())
	}
}
