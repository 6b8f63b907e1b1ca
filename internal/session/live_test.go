package session

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/assertioncache"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
)

func TestAssertionIsSharedForHalfItsLife(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	l := r.mustFind(cookie, siteA)
	minted := 0
	get := func(key string) string {
		text, err := l.Assertion(l.m.clock.Wall(), key, func() (string, time.Time, error) {
			minted++
			return key + strconv.Itoa(minted), r.time.Clock().Wall().Add(time.Minute), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, step := range []struct {
		advance time.Duration
		key     string
		want    string
	}{
		{0, "a", "a1"},
		{0, "b", "b2"},
		{30*time.Second - 1, "a", "a1"},
		{1, "a", "a3"},
		{0, "b", "b4"},
		{0, "a", "a3"},
	} {
		r.time.Advance(step.advance)
		if got := get(step.key); got != step.want {
			t.Fatalf("%+v: got %q", step, got)
		}
	}
	// The wall clock is put back: nobody else would accept what was minted in its future.
	r.time.Set(r.time.Clock().Wall().Add(-time.Hour))
	if got := get("a"); got != "a5" {
		t.Errorf("after the clock was put back: %q", got)
	}
	r.time.Set(r.time.Clock().Wall().Add(time.Hour))
	if got := get("a"); got != "a6" {
		t.Errorf("after the clock was put forward: %q", got)
	}
}

func TestAssertionErrorsAreNotKept(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	l := r.mustFind(cookie, siteA)
	broken := errors.New("broken")
	if text, err := l.Assertion(l.m.clock.Wall(), "a", func() (string, time.Time, error) { return "x", time.Time{}, broken }); text != "" || !errors.Is(err, broken) {
		t.Fatalf("%q, %v", text, err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = l.Assertion(l.m.clock.Wall(), "a", func() (string, time.Time, error) { panic("in mint") })
	}()
	text, err := l.Assertion(l.m.clock.Wall(), "a", func() (string, time.Time, error) { return "good", time.Time{}, nil })
	if text != "good" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
}

func TestAssertionIsMintedOnce(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	l := r.mustFind(cookie, siteA)
	var minted atomic.Int64
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for range 32 {
		wg.Go(func() {
			<-begin
			text, err := l.Assertion(l.m.clock.Wall(), "a", func() (string, time.Time, error) {
				minted.Add(1)
				return "text", r.time.Clock().Wall().Add(time.Minute), nil
			})
			if text != "text" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	close(begin)
	wg.Wait()
	if minted.Load() != 1 {
		t.Errorf("minted %d times", minted.Load())
	}
}

func TestAssertionsOfOneSessionAreBounded(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	l := r.mustFind(cookie, siteA)
	empty := r.Stats().Bytes
	for i := range 100 {
		key := strconv.Itoa(i)
		if _, err := l.Assertion(l.m.clock.Wall(), key, func() (string, time.Time, error) {
			return "text", r.time.Clock().Wall().Add(time.Minute), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.assertions.Len(); n != assertioncache.MaxEntries {
		t.Errorf("%d assertions", n)
	}
	if grown := r.Stats().Bytes - empty; grown != assertioncache.MaxEntries*(assertioncache.EntrySize+len("text")+2) {
		t.Errorf("counted as %d bytes", grown)
	}
	r.time.Advance(time.Minute)
	if _, err := l.Assertion(l.m.clock.Wall(), "last", func() (string, time.Time, error) { return "text", time.Time{}, nil }); err != nil {
		t.Fatal(err)
	}
	if n := l.assertions.Len(); n != 1 {
		t.Errorf("%d assertions after their time", n)
	}
}

func TestHitsAllocateNothing(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	ctx := t.Context()
	mint := func() (string, time.Time, error) { return "text", r.time.Clock().Wall().Add(time.Minute), nil }
	hit := func() {
		l, err := r.Find(ctx, cookie, siteA)
		if l == nil || err != nil {
			t.Fatal("not found")
		}
		if _, err := l.Assertion(l.m.clock.Wall(), "aud", mint); err != nil || l.Ended() {
			t.Fatal("no assertion")
		}
	}
	hit()
	if n := testing.AllocsPerRun(1000, hit); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	r := newRig(b)
	system := clock.New(nil)
	r.Manager = NewManager(r.spy, r.ring, system, r.accounts)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	ctx := b.Context()
	mint := func() (string, time.Time, error) { return "text", system.Wall().Add(time.Hour), nil }
	hit := func() {
		l, err := r.Find(ctx, cookie, siteA)
		if l == nil || err != nil {
			b.Fatal("not found")
		}
		if _, err := l.Assertion(l.m.clock.Wall(), "aud", mint); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hit()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				hit()
			}
		})
	})
}

func BenchmarkMiss(b *testing.B) {
	r := newRig(b)
	r.SetCacheBytes(0)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	b.ReportAllocs()
	for b.Loop() {
		if l, err := r.Find(b.Context(), cookie, siteA); l == nil || err != nil {
			b.Fatal("not found")
		}
	}
}
