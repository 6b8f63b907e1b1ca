package assertioncache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const lifetime = time.Minute

// fixture is a cache at a frozen time whose assertions are numbered.
type fixture struct {
	Cache
	t      *testing.T
	fake   *clock.Fake
	minted int
}

func newFixture(t *testing.T) *fixture { return &fixture{t: t, fake: clock.NewFake(noon)} }

// get asks for an assertion now.
func (f *fixture) get(key string) (text string, grown int) {
	f.t.Helper()
	clk := f.fake.Clock()
	text, grown, err := f.Get(clk, clk.Read().Wall, key, func() (string, time.Time, error) {
		f.minted++
		return fmt.Sprintf("text %d", f.minted), clk.Wall().Add(lifetime), nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return text, grown
}

// mustMint asks for the assertion under a key and compares how many have been minted so far.
func (f *fixture) mustMint(what string, want int) {
	f.t.Helper()
	if text, _ := f.get("a"); f.minted != want || text != fmt.Sprintf("text %d", want) {
		f.t.Errorf("%s: %q, %d minted, want %d", what, text, f.minted, want)
	}
}

// TestHDR2_AnAssertionIsUsedForHalfItsLifetime: a backend that takes it late, or whose clock is ahead, gets one that is still valid.
func TestHDR2_AnAssertionIsUsedForHalfItsLifetime(t *testing.T) {
	f := newFixture(t)
	f.mustMint("at first", 1)
	f.mustMint("again", 1)
	f.fake.Advance(lifetime/2 - 1)
	f.mustMint("just before half its lifetime", 1)
	f.fake.Advance(1)
	f.mustMint("at half its lifetime", 2)
	f.fake.Advance(lifetime/2 - 1)
	f.mustMint("within half the next one's", 2)
	f.fake.Advance(time.Hour)
	f.mustMint("long after", 3)
}

// TestCLK1_AClockThatIsPutBackStretchesNoAssertion: verifiers go by the wall clock, and refuse what is from their future.
func TestCLK1_AClockThatIsPutBackStretchesNoAssertion(t *testing.T) {
	f := newFixture(t)
	f.mustMint("at first", 1)
	f.fake.Set(noon.Add(-1))
	f.mustMint("when the clock has been put back", 2)
	f.fake.Set(noon.Add(-time.Hour))
	f.mustMint("when it has been put back again", 3)
	f.fake.Advance(lifetime / 2)
	f.mustMint("after half the lifetime since then", 4)
}

// TestHDR2_EachKeyHasItsOwnAssertion, of which the newest are kept, and what they take is counted.
func TestHDR2_EachKeyHasItsOwnAssertion(t *testing.T) {
	f := newFixture(t)
	size := 0
	ask := func(n int) string {
		text, grown := f.get(fmt.Sprintf("key %02d", n))
		size += grown
		return text
	}
	texts := map[int]string{}
	for n := range MaxEntries + 2 {
		texts[n] = ask(n)
	}
	if f.Len() != MaxEntries || f.minted != MaxEntries+2 {
		t.Errorf("%d are kept of %d", f.Len(), f.minted)
	}
	for n := 2; n < MaxEntries+2; n++ {
		if got := ask(n); got != texts[n] {
			t.Errorf("under key %d there is %q, want %q", n, got, texts[n])
		}
	}
	if ask(0) == texts[0] {
		t.Error("the oldest is kept")
	}
	f.fake.Advance(lifetime)
	last := ask(50)
	if want := len(last) + len("key 50") + EntrySize; f.Len() != 1 || size != want {
		t.Errorf("%d are kept, in %d bytes, want %d: those that cannot be used any more are dropped", f.Len(), size, want)
	}
}

// TestHDR3_AFailureIsNotKept: it is told to the one who asked, and the next one asks again.
func TestHDR3_AFailureIsNotKept(t *testing.T) {
	f, failure := newFixture(t), errors.New("no key")
	clk := f.fake.Clock()
	text, grown, err := f.Get(clk, clk.Wall(), "a", func() (string, time.Time, error) { return "half", clk.Wall().Add(lifetime), failure })
	if text != "" || grown != 0 || !errors.Is(err, failure) || f.Len() != 0 {
		t.Errorf("%q, %d, %v; %d are kept", text, grown, err, f.Len())
	}
	f.mustMint("after a failure", 1)
}
