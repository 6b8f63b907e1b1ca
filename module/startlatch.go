package module

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// startLatch lets requests in once the configuration has started: HTTP may serve before the app's Start, in any order.
type startLatch struct {
	live   atomic.Pointer[live]
	opened chan struct{}
	once   sync.Once
}

func (g *startLatch) init() { g.opened = make(chan struct{}) }

// open lets requests in.
func (g *startLatch) open(l *live) {
	g.live.Store(l)
	g.once.Do(func() { close(g.opened) })
}

// fail sends waiting requests away: the configuration will not start, or has ended. Those that hold a live go on with it.
func (g *startLatch) fail() {
	if g.opened != nil {
		g.once.Do(func() { close(g.opened) })
	}
}

// enter returns what runs, or nil when it does not within a bounded time. It costs one atomic load once it is open.
func (g *startLatch) enter(ctx context.Context) *live {
	if l := g.live.Load(); l != nil {
		return l
	}
	timer := time.NewTimer(readyWait)
	defer timer.Stop()
	select {
	case <-g.opened:
	case <-ctx.Done():
	case <-timer.C:
	}
	return g.live.Load()
}

// now reads the gate's clock. It returns the zero time while nothing runs.
func (g *startLatch) now() time.Time {
	if l := g.live.Load(); l != nil {
		return l.core.Clock.Now()
	}
	return time.Time{}
}
