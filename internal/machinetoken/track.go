package machinetoken

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// cleanEvery is how many ticks pass until expired tokens are dropped from memory.
const cleanEvery = 60

// Track registers a request that a token has let in. It is ended with [ErrEnded] when the token ends, and with [ErrChanged] when its
// account changes and the request is no short one. Call Untrack before its handler returns.
func (m *Manager) Track(q *credential.Request) { m.requests.Add(q) }

// Untrack takes out a request that was registered by Track.
func (m *Manager) Untrack(q *credential.Request) { m.requests.Remove(q) }

// Tick ends the requests whose tokens have ended, cleans what is kept in memory, and loads what could not be loaded at the start.
// Call it once a second with the gate's time (clock.Now).
func (m *Manager) Tick(ctx context.Context, now time.Time) error {
	m.requests.Tick(now)
	if m.ticks.Add(1)%cleanEvery == 0 {
		m.issued.forget(now)
	}
	m.cache.Clean(now)
	if m.issued.isLoaded() && !m.reload.Swap(false) {
		return nil
	}
	err := m.Load(ctx)
	if err == nil {
		return nil
	}
	m.reload.Store(true)
	if errors.Is(err, storage.ErrClosed) {
		return nil
	}
	return err
}

// Stats are what the manager holds in memory.
type Stats struct {
	// Issued is the number of tokens that have not expired, Cached that of those found lately, Tracked that of requests in flight
	// which a token has let in.
	Issued, Cached, Tracked int
}

// Stats returns what the manager holds in memory.
func (m *Manager) Stats() Stats {
	cached, _ := m.cache.Count()
	return Stats{Issued: len(m.issued.of("")), Cached: cached, Tracked: m.requests.Count()}
}
