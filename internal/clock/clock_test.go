package clock

import (
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func wantNow(t *testing.T, c *Clock, want time.Time) {
	t.Helper()
	if got := c.Now(); !got.Equal(want) {
		t.Errorf("Now = %v, want %v", got, want)
	}
}

func wantDoubt(t *testing.T, c *Clock, want bool) {
	t.Helper()
	if _, got := c.Stepped(); got != want {
		t.Errorf("doubtful = %v, want %v", got, want)
	}
}

func TestZeroClockTellsTheSystemsTime(t *testing.T) {
	var c Clock
	before := time.Now()
	now, wall := c.Now(), c.Wall()
	after := time.Now()
	for _, got := range []time.Time{now, wall, New(nil).Now(), New(time.Now).Now()} {
		if got.Before(before.Round(0).Add(-time.Second)) || got.After(after.Round(0).Add(time.Second)) {
			t.Errorf("got %v, want about %v", got, before)
		}
		if got.Location() != time.UTC {
			t.Errorf("got location %v, want UTC", got.Location())
		}
	}
	if d, doubtful := c.Stepped(); d != 0 || doubtful {
		t.Errorf("Stepped = %v, %v at rest", d, doubtful)
	}
}

func TestWallWithoutMonotonicReadings(t *testing.T) {
	c := New(func() time.Time { return start })
	a := c.Now()
	if b := c.Now(); b.Before(a) {
		t.Errorf("Now ran back from %v to %v", a, b)
	}
	if got := c.Wall(); !got.Equal(start) {
		t.Errorf("Wall = %v, want %v", got, start)
	}
}

func TestCLK1_SmallStepsForwardAreFollowed(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	wantNow(t, c, start)
	f.Set(start.Add(Step))
	wantNow(t, c, start.Add(Step))
	wantDoubt(t, c, false)
}

func TestCLK1_BackRevivesNothing(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	end := start.Add(15 * time.Minute)
	wantNow(t, c, start)
	f.Advance(15 * time.Minute)
	wantNow(t, c, end)
	for _, back := range []time.Duration{time.Second, Step, time.Hour, 365 * 24 * time.Hour} {
		f.Set(end.Add(-back))
		wantNow(t, c, end)
	}
	wantDoubt(t, c, true)
	f.Advance(time.Minute)
	wantNow(t, c, end.Add(time.Minute))
	if got := c.Wall(); !got.Equal(end.Add(time.Minute - 365*24*time.Hour)) {
		t.Errorf("Wall = %v: it must be the system's", got)
	}
	// Behind for good: the sweep goes on, and Now runs at the speed of time.
	f.Advance(Settle)
	wantDoubt(t, c, false)
	wantNow(t, c, end.Add(time.Minute+Settle))
	if d, _ := c.Stepped(); d != -365*24*time.Hour {
		t.Errorf("Stepped = %v", d)
	}
	// And back in order: no doubt, no jump.
	f.Set(c.Now())
	wantDoubt(t, c, false)
	wantNow(t, c, end.Add(time.Minute+Settle))
}

func TestCLK1_ForwardAndBackDestroysNothing(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	wantNow(t, c, start)
	f.Set(start.Add(365 * 24 * time.Hour))
	wantNow(t, c, start)
	wantDoubt(t, c, true)
	f.Advance(Settle - time.Second)
	wantNow(t, c, start.Add(Settle-time.Second))
	wantDoubt(t, c, true)
	if got := c.Trusted(); !got.Equal(start.Add(Settle - time.Second)) {
		t.Errorf("Seen = %v: a doubted time was persisted", got)
	}
	f.Set(start.Add(Settle))
	wantNow(t, c, start.Add(Settle))
	wantDoubt(t, c, false)
}

func TestCLK1_ForwardIsBelievedAfterAgreement(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	wantNow(t, c, start)
	f.Set(start.Add(2 * time.Hour))
	wantNow(t, c, start)
	f.Advance(Settle)
	wantNow(t, c, start.Add(2*time.Hour+Settle))
	wantDoubt(t, c, false)
}

func TestCLK1_AgreementStartsAnewWhenTheClockMovesOn(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	wantNow(t, c, start)
	f.Set(start.Add(2 * time.Hour))
	wantNow(t, c, start)
	f.Advance(Settle - time.Second)
	f.Set(start.Add(9 * time.Hour))
	wantNow(t, c, start.Add(Settle-time.Second))
	f.Advance(time.Minute)
	wantNow(t, c, start.Add(Settle+59*time.Second))
	wantDoubt(t, c, true)
	f.Advance(Settle)
	wantNow(t, c, start.Add(9*time.Hour+time.Minute+Settle))
}

func TestCLK1_RestoredFutureBlocksNothing(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	future := start.Add(10 * 365 * 24 * time.Hour)
	c.Restore(future)
	wantNow(t, c, future)
	f.Advance(time.Hour)
	wantNow(t, c, future.Add(time.Hour)) // a link of 15 minutes ends in 15 minutes
	c.Now()
	f.Advance(Settle)
	wantDoubt(t, c, false) // and the sweep goes on
	if got := c.Trusted(); !got.Equal(c.Now()) {
		t.Errorf("Seen = %v, want Now", got)
	}
	if got, want := c.ToWall(c.Now().Add(15*time.Minute)), c.Wall().Add(15*time.Minute); !got.Equal(want) {
		t.Errorf("ShownAs = %v, want %v", got, want)
	}
}

func TestCLK1_RestoreAfterDowntime(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	c.Restore(start.Add(-48 * time.Hour))
	wantNow(t, c, start) // what ended while we were down is dead
	wantDoubt(t, c, true)
	if d, _ := c.Stepped(); d != 48*time.Hour {
		t.Errorf("Stepped = %v, want 48h", d)
	}
	if got := c.Trusted(); !got.Equal(start.Add(-48 * time.Hour)) {
		t.Errorf("Seen = %v: a doubted time was persisted", got)
	}
	f.Advance(Settle)
	wantNow(t, c, start.Add(Settle))
	wantDoubt(t, c, false)
	if got := c.Trusted(); !got.Equal(start.Add(Settle)) {
		t.Errorf("Seen = %v after agreement", got)
	}
}

func TestCLK1_WrongClockAtStartIsForgottenByTheNextStart(t *testing.T) {
	persisted := start
	f := NewFake(start.Add(365 * 24 * time.Hour)) // a wrong hardware clock
	c := f.Clock()
	c.Restore(persisted)
	wrong := c.Now()
	f.Advance(time.Minute)
	f.Set(start.Add(time.Minute)) // NTP puts it right
	wantNow(t, c, wrong.Add(time.Minute))
	f.Advance(time.Hour)
	wantDoubt(t, c, true) // nothing is swept
	persisted = c.Trusted()
	if want := start.Add(time.Hour + time.Minute); !persisted.Equal(want) {
		t.Fatalf("Seen = %v, want %v", persisted, want)
	}
	next := f.Restarted()
	next.Restore(persisted)
	wantNow(t, next, start.Add(time.Hour+time.Minute))
	wantDoubt(t, next, false)
}

func TestCLK1_WrongClockAtStartDoesNotStopTheSweepForGood(t *testing.T) {
	f := NewFake(start.Add(48 * time.Hour))
	c := f.Clock()
	c.Restore(start.Add(-12 * time.Hour))
	wrong := c.Now()
	f.Set(start) // the truth: down for 12 hours
	wantNow(t, c, wrong)
	f.Advance(Settle)
	wantNow(t, c, wrong.Add(Settle))
	if got := c.Trusted(); !got.Equal(start.Add(Settle)) {
		t.Errorf("Seen = %v, want the wall clock's time", got)
	}
	wantDoubt(t, c, true)
	f.Set(wrong.Add(Settle)) // the first reading was right after all
	c.Now()
	f.Advance(Settle)
	wantNow(t, c, wrong.Add(2*Settle))
	wantDoubt(t, c, false)
	if got := c.Trusted(); !got.Equal(c.Now()) {
		t.Errorf("Seen = %v, want Now", got)
	}
}

func TestCLK1_StartOnProbationThenAnotherStep(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	c.Restore(start.Add(-time.Hour))
	f.Set(start.Add(3 * time.Hour))
	wantNow(t, c, start)
	f.Advance(Settle)
	wantNow(t, c, start.Add(3*time.Hour+Settle))
	wantDoubt(t, c, false)
}

func TestRestoreIgnoresZeroAndRecent(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	c.Restore(time.Time{})
	c.Restore(start.Add(-time.Minute))
	wantNow(t, c, start)
	wantDoubt(t, c, false)
	c.Restore(start.Add(time.Second))
	wantNow(t, c, start.Add(time.Second))
}

func TestCLK1_NowNeverRunsBack(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := c.Now()
			for range 2000 {
				if now := c.Now(); now.Before(last) {
					t.Errorf("Now ran back from %v to %v", last, now)
					return
				} else {
					last = now
				}
			}
		})
	}
	for i := range 2000 {
		f.Set(start.Add(time.Duration(i%7-3) * time.Hour))
		f.Advance(time.Duration(i%11) * time.Minute)
	}
	wg.Wait()
}

func TestRestoreIsSeenAtOnce(t *testing.T) {
	var c Clock
	future := c.Now().Add(24 * time.Hour)
	c.Restore(future)
	if now := c.Now(); now.Before(future) {
		t.Errorf("Now = %v after Restore(%v)", now, future)
	}
}

func BenchmarkSystem(b *testing.B) {
	for b.Loop() {
		time.Now()
	}
}

func BenchmarkNow(b *testing.B) {
	var c Clock
	b.ReportAllocs()
	for b.Loop() {
		c.Now()
	}
}

// TestCLK1_ReadIsBothClocks: with a wall clock of its own each reading is exact; with the system's it may be that of the last comparison.
func TestCLK1_ReadIsBothClocks(t *testing.T) {
	f := NewFake(start)
	c := f.Clock()
	for _, wall := range []time.Time{start, start.Add(time.Hour), start.Add(-time.Hour)} {
		f.Set(wall)
		at := c.Read()
		if !at.Wall.Equal(wall) || at.Wall.Location() != time.UTC {
			t.Errorf("Wall = %v, want %v", at.Wall, wall)
		}
		if at.Now.Before(start) || at.Now.After(start.Add(Step)) {
			t.Errorf("Now = %v has followed a step to %v", at.Now, wall)
		}
	}

	var system Clock
	system.Now()
	system.recent.Store(&recent{base: start, wall: start.Add(time.Minute), until: 1 << 62})
	at := system.Read()
	if got := at.Wall.Sub(at.Now); got != time.Minute || at.Now.Before(start) {
		t.Errorf("%v and %v: %v apart, want what they were at the last comparison", at.Now, at.Wall, got)
	}
	system.recent.Store(&recent{base: start, wall: start.Add(time.Minute), until: 0})
	if at := system.Read(); at.Wall.Before(time.Now().Add(-time.Hour)) {
		t.Errorf("Wall = %v after the comparison is over", at.Wall)
	}
}

// TestCLK1_AnEndIsShownAlikeEachTime reads two clocks that are not quite one, as those of a system are.
func TestCLK1_AnEndIsShownAlikeEachTime(t *testing.T) {
	mono := time.Duration(0)
	c := &Clock{read: func() (time.Time, time.Duration) {
		mono += time.Minute
		return start.Add(mono - mono/time.Minute), mono // the wall clock loses a nanosecond a minute
	}}
	end := c.Now().Add(time.Hour).Truncate(time.Second).Add(time.Second)
	for range 5 {
		if got := c.ToWall(end); !got.Equal(end) {
			t.Errorf("%v is shown as %v", end, got)
		}
	}
}
