package machine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// cleanEvery is how many ticks pass until what is over is dropped from memory.
const cleanEvery = 60

// watch is one tracked request.
type watch struct {
	live   *Live
	cancel context.CancelCauseFunc
}

// registry holds the tracked requests.
type registry struct {
	mu      sync.Mutex
	watches map[*watch]struct{}
	ticks   int
}

// Track registers a request that may outlive its token: a WebSocket, an event stream. cancel is called once with [ErrEnded] or
// [ErrChanged] when the token ends or its account changes, also when that has already happened. Ends by time are seen by
// Tick. Call unregister when the request is over.
func (m *Manager) Track(l *Live, cancel context.CancelCauseFunc) (unregister func()) {
	w := &watch{l, cancel}
	m.tracked.mu.Lock()
	m.tracked.watches[w] = struct{}{}
	m.tracked.mu.Unlock()
	// Registered first, looked at second: an end that came before the registration has left its mark by now.
	w.check(m.clock.Now())
	return func() {
		m.tracked.mu.Lock()
		defer m.tracked.mu.Unlock()
		delete(m.tracked.watches, w)
	}
}

// check cancels the request when its token has ended or its account has changed.
func (w *watch) check(now time.Time) {
	if w.live.good(now) {
		return
	}
	switch alive, same := w.live.recheck(); {
	case !alive:
		w.cancel(ErrEnded)
	case !same:
		w.cancel(ErrChanged)
	}
}

// cancelTracked looks at the tracked requests of an account, or of all when the id is empty.
func (m *Manager) cancelTracked(accountID string) {
	now := m.clock.Now()
	for _, w := range m.watching() {
		if accountID == "" || w.live.Account.ID == accountID {
			w.check(now)
		}
	}
}

func (m *Manager) watching() (list []*watch) {
	m.tracked.mu.Lock()
	defer m.tracked.mu.Unlock()
	for w := range m.tracked.watches {
		list = append(list, w)
	}
	return list
}

// Tick cancels the tracked requests whose tokens have ended, cleans what is kept in memory, and loads what could not be loaded
// at the start. Call it once a second with the gate's time (clock.Now).
func (m *Manager) Tick(ctx context.Context, now time.Time) error {
	for _, w := range m.watching() {
		w.check(now)
	}
	m.tracked.mu.Lock()
	m.tracked.ticks++
	clean := m.tracked.ticks%cleanEvery == 0
	m.tracked.mu.Unlock()
	if clean {
		m.issued.forget(now)
		m.cache.clean(now)
	}
	if m.issued.isLoaded() {
		return nil
	}
	if err := m.Load(ctx); err != nil && !errors.Is(err, storage.ErrClosed) {
		return err
	}
	return nil
}

// Stats are what the manager holds in memory.
type Stats struct {
	// Issued is the number of tokens that are not over, Cached that of those found lately, Tracked that of requests which end
	// with their token.
	Issued, Cached, Tracked int
}

// Stats returns what the manager holds in memory.
func (m *Manager) Stats() Stats {
	s := Stats{Issued: len(m.issued.of("")), Cached: m.cache.count()}
	m.tracked.mu.Lock()
	defer m.tracked.mu.Unlock()
	s.Tracked = len(m.tracked.watches)
	return s
}
