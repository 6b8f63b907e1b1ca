package session

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/credential"
)

// Track registers a request that a session has let in. It is ended with [ErrEnded] when the session ends, and with [ErrChanged] when
// its account changes and the request is no short one. Call Untrack before its handler returns.
func (m *Manager) Track(q *credential.Request) { m.requests.Add(q) }

// Untrack takes out a request that was registered by Track.
func (m *Manager) Untrack(q *credential.Request) { m.requests.Remove(q) }

// Tick ends the requests whose sessions have ended by time or otherwise, and cleans a part of the cache. Call it once a second
// with the gate's time (clock.Now).
func (m *Manager) Tick(now time.Time) {
	m.requests.Tick(now)
	m.cache.Clean(now)
}

// Stats are what the manager holds in memory.
type Stats struct {
	// Sessions is the number of cached sessions, Bytes about what they take.
	Sessions, Bytes int
	// Tracked is the number of requests in flight that a session has let in.
	Tracked int
}

// Stats returns what the manager holds in memory.
func (m *Manager) Stats() Stats {
	var s Stats
	s.Sessions, s.Bytes = m.cache.Count()
	s.Tracked = m.requests.Count()
	return s
}
