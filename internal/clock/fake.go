package clock

import (
	"sync"
	"time"
)

// Fake is a clock for tests. Time does not pass until it is advanced.
type Fake struct {
	mu    sync.Mutex
	wall  time.Time
	mono  time.Duration
	clock *Clock
}

// NewFake returns a fake whose clocks show t.
func NewFake(t time.Time) *Fake {
	f := &Fake{wall: t.Round(0)}
	f.clock = &Clock{read: f.reading}
	return f
}

// Clock returns the clock that the fake drives, always the same one.
func (f *Fake) Clock() *Clock { return f.clock }

// Restarted returns a new clock over the same time, as a new process has it.
func (f *Fake) Restarted() *Clock { return &Clock{read: f.reading} }

// Advance lets time pass: wall clock and monotonic time alike.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wall = f.wall.Add(d)
	f.mono += d
}

// Set makes the wall clock jump to t; no time passes.
func (f *Fake) Set(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wall = t.Round(0)
}

func (f *Fake) reading() (time.Time, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wall, f.mono
}
