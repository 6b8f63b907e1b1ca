package session

import (
	"context"
	"sync"
	"time"
)

// watch is one tracked request.
type watch struct {
	live   *Live
	cancel context.CancelCauseFunc
}

// registry holds the tracked requests of each account.
type registry struct {
	mu        sync.Mutex
	byAccount map[string]map[*watch]struct{}
	// cleaned is the shard of the cache that Tick cleaned last.
	cleaned int
}

// Track registers a request that may outlive its session: a WebSocket, an event stream. cancel is called once with
// [ErrEnded] or [ErrChanged] when the session ends or its account changes, also when that has already happened. Ends by time
// are seen by Tick. Call unregister when the request is over.
func (m *Manager) Track(l *Live, cancel context.CancelCauseFunc) (unregister func()) {
	w := &watch{l, cancel}
	id := l.Session.Account
	m.tracked.mu.Lock()
	of := m.tracked.byAccount[id]
	if of == nil {
		of = make(map[*watch]struct{})
		m.tracked.byAccount[id] = of
	}
	of[w] = struct{}{}
	m.tracked.mu.Unlock()
	// Registered first, looked at second: an end that came before the registration has raised its generation by now.
	w.check(m.clock.Now())
	return func() { m.untrack(w) }
}

func (m *Manager) untrack(w *watch) {
	m.tracked.mu.Lock()
	defer m.tracked.mu.Unlock()
	id := w.live.Session.Account
	of := m.tracked.byAccount[id]
	delete(of, w)
	if len(of) == 0 {
		delete(m.tracked.byAccount, id)
	}
}

// check cancels the request when its session has ended or its account has changed.
func (w *watch) check(now time.Time) {
	if w.live.good(now) {
		return
	}
	alive, same := false, false
	if !w.live.ended.Load() {
		alive, same = w.live.recheck()
	}
	switch {
	case !alive:
		w.cancel(ErrEnded)
	case !same:
		w.cancel(ErrChanged)
	}
}

// cancelTracked cancels those of an account's tracked requests that match. Their sessions are asked whether they have ended
// only to name the cause.
func (m *Manager) cancelTracked(accountID string, match func(*Live) bool) {
	for _, w := range m.watches(accountID) {
		if !match(w.live) {
			continue
		}
		if w.live.Ended() {
			w.cancel(ErrEnded)
		} else {
			w.cancel(ErrChanged)
		}
	}
}

// watches returns the tracked requests of one account, or of all when the id is empty.
func (m *Manager) watches(accountID string) (list []*watch) {
	m.tracked.mu.Lock()
	defer m.tracked.mu.Unlock()
	if accountID != "" {
		for w := range m.tracked.byAccount[accountID] {
			list = append(list, w)
		}
		return list
	}
	for _, of := range m.tracked.byAccount {
		for w := range of {
			list = append(list, w)
		}
	}
	return list
}

// Tick cancels the tracked requests whose sessions have ended by time or otherwise, and cleans a part of the cache. Call it
// once a second with the gate's time (clock.Now).
func (m *Manager) Tick(now time.Time) {
	for _, w := range m.watches("") {
		w.check(now)
	}
	m.tracked.mu.Lock()
	m.tracked.cleaned++
	i := m.tracked.cleaned
	m.tracked.mu.Unlock()
	m.cache.clean(i, now)
}

// Stats are what the manager holds in memory.
type Stats struct {
	// Sessions is the number of cached sessions, Bytes about what they take.
	Sessions, Bytes int
	// Tracked is the number of requests that end with their session.
	Tracked int
}

// Stats returns what the manager holds in memory.
func (m *Manager) Stats() Stats {
	var s Stats
	s.Sessions, s.Bytes = m.cache.count()
	m.tracked.mu.Lock()
	defer m.tracked.mu.Unlock()
	for _, of := range m.tracked.byAccount {
		s.Tracked += len(of)
	}
	return s
}
