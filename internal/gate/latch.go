package gate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// startWait is how long a request waits for a configuration that is still starting.
const startWait = 10 * time.Second

// startLatch lets requests in once the configuration has started: HTTP may serve before the app's start, in any order.
type startLatch struct {
	runtime atomic.Pointer[Runtime]
	opened  chan struct{}
	once    sync.Once
}

// open lets requests in.
func (l *startLatch) open(rt *Runtime) {
	l.runtime.Store(rt)
	l.once.Do(func() { close(l.opened) })
}

// fail sends waiting requests away: the configuration will not start, or has ended. Those that hold a Runtime go on with it.
func (l *startLatch) fail() {
	if l.opened != nil {
		l.once.Do(func() { close(l.opened) })
	}
}

// enter returns what runs, or nil when it does not within a bounded time. It costs one atomic load once it is open.
func (l *startLatch) enter(ctx context.Context) *Runtime {
	if rt := l.runtime.Load(); rt != nil {
		return rt
	}
	timer := time.NewTimer(startWait)
	defer timer.Stop()
	select {
	case <-l.opened:
	case <-ctx.Done():
	case <-timer.C:
	}
	return l.runtime.Load()
}

// now reads the gate's clock. It returns the zero time while nothing runs.
func (l *startLatch) now() time.Time {
	if rt := l.runtime.Load(); rt != nil {
		return rt.Clock.Now()
	}
	return time.Time{}
}
