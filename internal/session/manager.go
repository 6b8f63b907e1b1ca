// Package session keeps the server-side sessions: the records in the store, the cache of them in memory and the registry of
// open sockets that end with their session.
//
// A [Manager] belongs to a store, not to a configuration: it survives reloads together with the store. The record in the
// store is the truth; what the cache holds is good only while the generations that were noted before it was read are
// unchanged. A step that ends or changes a session, or an account, publishes it ([storage.Changes]): the manager raises its
// generation after the commit and before the answer, so once the answer is out no request can be let in by something that was read
// before it.
package session

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// TouchEvery is how often the use of one session is written at most. Sessions whose idle time is below twice that are
	// written twice in their idle time.
	TouchEvery = time.Minute
	// touchRetry is how long a failed write of a use is not tried again: signed-in traffic goes on while the store refuses
	// writes.
	touchRetry = 10 * time.Second
	// label binds the digest of a session cookie to its use.
	label = "session"
	// loadTries bounds how often a load is repeated because something changed while it ran. The result of the last one is
	// not cached, and is checked again by Ended.
	loadTries = 4
)

var (
	// ErrEnded is the cause with which a tracked request is cancelled when its session has ended.
	ErrEnded = errors.New("session: the session has ended")
	// ErrChanged is the cause with which a tracked request is cancelled when its account has changed, so that it is judged
	// anew when it returns.
	ErrChanged = errors.New("session: the account has changed")
)

// Accounts reads what the gate knows of an account, in the transaction that reads the session.
type Accounts interface {
	Get(tx storage.Tx, id string) (a accounts.Account, found bool, err error)
}

// Lifetimes are how long sessions live. Zero means that there is no such bound.
type Lifetimes struct {
	// Idle is how long a session lives after its last recorded use.
	Idle time.Duration
	// Absolute is how long a session lives after it was opened.
	Absolute time.Duration
}

// Manager finds, opens and ends sessions. It is made by [NewManager] and safe for use by many goroutines.
type Manager struct {
	// Log gets the failures that no caller sees. Set it before the first use; nil discards them.
	Log *slog.Logger

	store    storage.Store
	ring     *keyring.Ring
	clock    *clock.Clock
	accounts Accounts

	lifetimes atomic.Pointer[Lifetimes]
	cache     credential.Cache[*Live]
	gens      generations
	requests  *credential.Requests
	freshness credential.Freshness
	// uses are written together where the store is far away.
	uses uses
}

// NewManager returns a manager of the sessions in a store. It subscribes to the store's changes until the store is closed.
func NewManager(store storage.Store, ring *keyring.Ring, clk *clock.Clock, accounts Accounts) *Manager {
	m := &Manager{store: store, ring: ring, clock: clk, accounts: accounts, freshness: credential.FreshnessOf(store)}
	m.cache.SetBudget(DefaultCacheBytes)
	m.gens.init()
	m.requests = credential.NewRequests(ErrEnded, ErrChanged)
	store.Subscribe(m.changed)
	return m
}

// SetCacheBytes bounds the memory that cached sessions take, approximately. The default is [DefaultCacheBytes].
func (m *Manager) SetCacheBytes(n int) { m.cache.SetBudget(n) }

// SetLifetimes sets the lifetimes of the configuration that is in force, and takes effect at once: a shorter lifetime also
// shortens the sessions that are open. A longer idle time lengthens them from their next recorded use on; a longer absolute
// one holds for new sessions only, because the cookie carries its end. Until the first call each session lives as long as it
// was promised when it was opened.
func (m *Manager) SetLifetimes(l Lifetimes) {
	if old := m.lifetimes.Swap(&l); old == nil || *old != l {
		m.gens.raise(&m.gens.all)
	}
}

// Find returns the live session of a cookie value at a site (an origin), and records its use at most once in [TouchEvery].
// It returns nil and no error when there is none: the value is malformed, unknown, over or of another site, its account is
// not active, or an epoch has been raised. An error means that the session could not be read; answer 503, never as to an
// anonymous request.
func (m *Manager) Find(ctx context.Context, cookie, site string) (*Live, error) {
	return m.FindAt(ctx, m.clock.Now(), cookie, site)
}

// FindAt is Find for a caller that has read the gate's clock (clock.Now) for this request already.
func (m *Manager) FindAt(ctx context.Context, now time.Time, cookie, site string) (*Live, error) {
	if !token.HasLength(cookie) {
		return nil, nil
	}
	id := cacheKey(cookie)
	l := m.cache.Get(id)
	confirmed := true
	if l == nil || !l.current(now) {
		var err error
		if l, err = m.load(ctx, cookie, site, id, now); l == nil || err != nil {
			return nil, err
		}
	} else {
		confirmed = m.freshness.Fresh()
	}
	if l.Session.Site != site {
		return nil, nil
	}
	if !confirmed {
		var err error
		if l, err = m.confirm(ctx, l, cookie, now); l == nil || err != nil {
			return nil, err
		}
	}
	if now.UnixNano() >= l.nextTouch.Load() {
		return m.touch(ctx, l, now)
	}
	return l, nil
}

// confirm asks the store about a cached session that other nodes may have ended. While the database cannot be reached it returns what
// memory has, for as long as that may be served.
func (m *Manager) confirm(ctx context.Context, l *Live, cookie string, now time.Time) (*Live, error) {
	if m.freshness.Out() {
		if m.freshness.MayServe() {
			return l, nil
		}
		return nil, storage.ErrUnreachable
	}
	var alive, same bool
	err := m.freshness.Ask(ctx, func(ctx context.Context) (err error) {
		alive, same, err = l.recheck(ctx)
		return err
	})
	switch {
	case err != nil && ctx.Err() == nil && m.freshness.MayServe():
		return l, nil
	case err != nil:
		return nil, err
	case alive && same:
		return l, nil
	}
	m.cache.Drop(l.id, l)
	if !alive {
		return nil, nil
	}
	return m.load(ctx, cookie, l.Session.Site, l.id, now)
}

// load reads the session of a cookie value and caches it.
func (m *Manager) load(ctx context.Context, cookie, site string, id [32]byte, now time.Time) (*Live, error) {
	p, err := token.Parse(cookie)
	if err != nil {
		return nil, nil
	}
	key := p.CookieKey(m.ring, label, site)
	if !key.Alive(now) {
		return nil, nil
	}
	var l *Live
	var ids subject
	for range loadTries {
		st, changes := m.gens.note(key, ids), m.gens.changes.Load()
		v, err := m.read(ctx, key, now)
		if err != nil {
			return nil, err
		}
		if !v.ok {
			return nil, nil
		}
		if read := v.subject(); read != ids {
			// What the session belongs to was not known before the read. Its generations are those from before the read if
			// nothing at all has changed since.
			ids, st = read, m.gens.note(key, read)
			if m.gens.changes.Load() != changes {
				continue
			}
		}
		l = m.newLive(id, v, st)
		if st.Current() {
			cached := m.cache.Put(id, l, l.cacheSize(), now)
			if cached != l && !m.freshness.Fresh() {
				return l, nil // what another request has read may be older
			}
			return cached, nil
		}
	}
	if l == nil {
		// Only a record whose account or parent changes from read to read gets here, and none does.
		return nil, errors.New("session: changed while it was being read")
	}
	return l, nil
}

// idle returns how long a session lives after a use.
func (m *Manager) idle(l *Live) time.Duration {
	if lt := m.lifetimes.Load(); lt != nil && lt.Idle > 0 {
		return lt.Idle
	}
	return l.Session.IdleEnd.Sub(l.Session.Seen)
}

// touch records a use of the session, or notes it for [Manager.WriteUses]. Only one request of a session does it at a time; the others go
// on.
func (m *Manager) touch(ctx context.Context, l *Live, now time.Time) (*Live, error) {
	if !l.touching.CompareAndSwap(false, true) {
		return l, nil
	}
	defer l.touching.Store(false)
	if now.UnixNano() < l.nextTouch.Load() {
		return l, nil
	}
	if m.freshness.Shared() {
		m.uses.add(l, now)
		l.nextTouch.Store(now.UnixNano() + l.touchEvery.Load())
		return l, nil
	}
	got, err := m.record(ctx, []use{{l, now}})
	if err != nil {
		l.nextTouch.Store(now.Add(touchRetry).UnixNano())
		if ctx.Err() == nil && m.Log != nil {
			m.Log.Warn("the use of a session could not be written", "event", "session_touch", "error", err)
		}
		return l, nil
	}
	if !m.used(l, got, now) {
		return nil, nil
	}
	return l, nil
}
