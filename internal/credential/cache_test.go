package credential

import (
	"errors"
	"sync/atomic"
	"testing"
)

func key(n int) (id [32]byte) {
	id[0], id[1], id[2] = byte(n), byte(n>>8), byte(n>>16)
	return id
}

// TestSES1_ACacheHoldsWhatIsValid takes what two loads of one credential, its end and its growth do to a cache.
func TestSES1_ACacheHoldsWhatIsValid(t *testing.T) {
	var c Cache[*pass]
	c.SetBudget(Shards * 1000)
	first, second, third := &pass{}, &pass{}, &pass{}
	if c.Get(key(1)) != nil {
		t.Error("an empty cache holds a credential")
	}
	if got := c.Put(key(1), first, 100, noon); got != first || c.Get(key(1)) != first {
		t.Error("the first load is not used")
	}
	if got := c.Put(key(1), second, 100, noon); got != first {
		t.Error("a second load replaces a valid credential")
	}
	first.revoked.Store(true)
	if got := c.Put(key(1), second, 200, noon); got != second || c.Get(key(1)) != second {
		t.Error("a revoked credential is used")
	}
	c.Drop(key(1), first)
	c.Grow(key(1), first, 50)
	c.Grow(key(1), second, 50)
	if n, bytes := c.Count(); n != 1 || bytes != 250 {
		t.Errorf("%d credentials in %d bytes, want 1 in 250", n, bytes)
	}
	c.Grow(key(1), second, 1000)
	if n, bytes := c.Count(); n != 0 || bytes != 0 {
		t.Errorf("%d credentials in %d bytes: one that outgrew the budget is kept", n, bytes)
	}
	c.Put(key(1), third, 100, noon)
	c.Put(key(2), second, 100, noon)
	third.revoked.Store(true)
	for range Shards {
		c.Clean(noon)
	}
	if c.Get(key(1)) != nil || c.Get(key(2)) != second {
		t.Error("Clean does not remove what has ended, or removes what has not")
	}
	if n := testing.AllocsPerRun(100, func() { c.Get(key(2)) }); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}

func TestDOS1_ACacheIsBoundedInBytes(t *testing.T) {
	var c Cache[*pass]
	const budget = Shards * 1000
	c.SetBudget(budget)
	for n := range 10_000 {
		p := &pass{}
		if c.Put(key(n), p, 100, noon); c.Get(key(n)) != p {
			t.Fatal("the credential that room was made for is not there")
		}
	}
	if n, bytes := c.Count(); bytes > budget || n != bytes/100 || n < Shards {
		t.Errorf("%d credentials in %d bytes", n, bytes)
	}
	c.SetBudget(0)
	if n, bytes := c.Count(); n != 0 || bytes != 0 {
		t.Errorf("%d credentials in %d bytes of none", n, bytes)
	}
}

// TestSES1_AnEndIsSeenInMemory takes each thing that makes a credential stale, and what a recheck then leaves.
func TestSES1_AnEndIsSeenInMemory(t *testing.T) {
	var first, last, other atomic.Uint64
	stamp := func() Stamp { return NewStamp(&first, nil, &other, &last) }
	read := func(alive, same bool, err error) func() (bool, bool, error) {
		return func() (bool, bool, error) { return alive, same, err }
	}
	for name, c := range map[string]struct {
		alive, same          bool
		err                  error
		wantAlive, wantSame  bool
		wantCurrent, wantEnd bool
	}{
		"as it was":       {alive: true, same: true, wantAlive: true, wantSame: true, wantCurrent: true},
		"another account": {alive: true, wantAlive: true},
		"ended":           {wantEnd: true},
		"unreadable":      {alive: true, same: true, err: errEnded},
	} {
		for _, counter := range []*atomic.Uint64{&first, &last, &other} {
			var v Validity
			if v.Renew(stamp()); !v.Current() {
				t.Fatalf("%s: stale at once", name)
			}
			if counter.Add(1); v.Current() {
				t.Fatalf("%s: a change is not seen", name)
			}
			alive, same, err := v.Recheck(stamp(), read(c.alive, c.same, c.err))
			if alive != c.wantAlive || same != c.wantSame || v.Current() != c.wantCurrent || !errors.Is(err, c.err) {
				t.Errorf("%s: alive %v, same %v, current %v, %v", name, alive, same, v.Current(), err)
			}
			if alive, _, _ := v.Recheck(stamp(), read(true, true, nil)); alive == c.wantEnd {
				t.Errorf("%s: alive %v after it", name, alive)
			}
		}
	}
	var v Validity
	v.Renew(stamp())
	if v.End(); v.Current() {
		t.Error("an end is not seen")
	}
}

// TestNothingIsAllocatedToCheckACredential holds the hot path to what it is.
func TestNothingIsAllocatedToCheckACredential(t *testing.T) {
	var counter atomic.Uint64
	var v Validity
	v.Renew(NewStamp(&counter))
	if n := testing.AllocsPerRun(100, func() { v.Current() }); n != 0 {
		t.Errorf("Current allocates %v times", n)
	}
}
