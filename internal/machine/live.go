package machine

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/assertioncache"
)

// Live is a token that was good when it was found. It is shared by all requests with the token: read its fields, never change
// them.
type Live struct {
	// ID is the token's public name (jti).
	ID string
	// Site is the origin it is good at.
	Site string
	// Scopes are those of its scopes that the configuration knows.
	Scopes []string
	// Issued and Ends are times of the gate's clock (clock.Now), not of the wall clock.
	Issued, Ends time.Time
	// Account is the account as it was read; when it changes, the next request gets a new Live.
	Account accounts.Account

	m     *Manager
	key   [32]byte
	grant *grant
	stamp atomic.Pointer[stamp]
	ended atomic.Bool
	// recent spares the entry when the cache makes room.
	recent atomic.Bool

	assertions assertioncache.Cache
}

// stamp is what something read depends on, as it was before the read.
type stamp struct{ holder, all uint64 }

func (m *Manager) note(g *grant) stamp { return stamp{g.holder.changes.Load(), m.all.Load()} }

func (m *Manager) newLive(key [32]byte, c claims, g *grant, v verdict, st stamp) *Live {
	l := &Live{
		ID: c.ID, Site: c.Site, Scopes: m.inForce(strings.Fields(c.Scope)),
		Issued: time.Unix(c.Issued, 0).UTC(), Ends: time.Unix(c.Expires, 0).UTC(), Account: v.account,
		m: m, key: key, grant: g,
	}
	l.stamp.Store(&st)
	return l
}

// Owner returns the id of the token's account.
func (l *Live) Owner() string { return l.Account.ID }

// Valid reports whether the token may be used at now, without asking the store.
func (l *Live) Valid(now time.Time) bool {
	st := l.stamp.Load()
	return !l.ended.Load() && l.grant.key.Alive(now) && !l.grant.dead.Load() &&
		l.grant.holder.changes.Load() == st.holder && l.m.all.Load() == st.all
}

// Ended says whether the token has ended since it was found: by its time, because it was revoked, by a raised epoch or with its
// account. It reads the store only when something may have changed, and a store that cannot be read then counts as an end.
func (l *Live) Ended() bool {
	if l.Valid(l.m.clock.Now()) {
		return false
	}
	alive, _ := l.Recheck()
	return !alive
}

// Use reports whether the token is alive. A token has no idle end, so no use is recorded.
func (l *Live) Use() (alive bool) { return !l.Ended() }

// Recheck asks the store whether the token is good, and whether account and scopes are still those that were read.
func (l *Live) Recheck() (alive, same bool) {
	if l.ended.Load() {
		return false, false
	}
	st := l.m.note(l.grant)
	v, err := l.m.read(context.Background(), l.grant, l.m.clock.Now())
	if err != nil {
		return false, false
	}
	if !v.ok {
		l.ended.Store(true)
		return false, false
	}
	if same = sameAccount(l.Account, v.account) && slices.Equal(l.m.inForce(strings.Fields(l.grant.scope)), l.Scopes); same {
		// Otherwise the stamp stays stale, so that Find reads the account anew.
		l.stamp.Store(&st)
	}
	return true, same
}

func sameAccount(a, b accounts.Account) bool {
	return a.ID == b.ID && a.Email == b.Email && a.Name == b.Name && a.Status == b.Status && slices.Equal(a.Roles, b.Roles)
}

// Assertion returns the assertion cached under a key, and mints one when there is none or when half of its lifetime is over, as
// session.Live.Assertion does.
func (l *Live) Assertion(at time.Time, key string, mint func() (text string, exp time.Time, err error)) (string, error) {
	text, _, err := l.assertions.Get(l.m.clock, at, key, mint)
	return text, err
}

const (
	shards = 16
	// shardSize bounds the cache to 4096 tokens, about 12 MiB with an assertion each. One that was dropped is only slower.
	shardSize = 256
	// evictScan is how many entries are looked at to make room for one.
	evictScan = 16
)

// cache holds tokens by a digest of their text, which keeps usable ones out of memory.
type cache struct {
	shards [shards]struct {
		mu    sync.RWMutex
		lives map[[32]byte]*Live
	}
}

func (c *cache) init() {
	for i := range c.shards {
		c.shards[i].lives = map[[32]byte]*Live{}
	}
}

// cacheKey allocates nothing for a text of at most [MaxText].
func cacheKey(text string) [32]byte {
	var b [MaxText]byte
	return sha256.Sum256(b[:copy(b[:], text)])
}

func (c *cache) get(id [32]byte) *Live {
	s := &c.shards[id[0]%shards]
	s.mu.RLock()
	l := s.lives[id]
	s.mu.RUnlock()
	if l != nil && !l.recent.Load() {
		l.recent.Store(true)
	}
	return l
}

// put inserts l, and makes room by dropping one that was not used since it was last looked at, or else one of a few.
func (c *cache) put(id [32]byte, l *Live) {
	s := &c.shards[id[0]%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives[id] = l
	if len(s.lives) <= shardSize {
		return
	}
	var victim [32]byte
	seen := 0
	for key, old := range s.lives {
		if key == id {
			continue
		}
		victim = key
		if seen++; seen == evictScan || !old.recent.Swap(false) {
			break
		}
	}
	delete(s.lives, victim)
}

// clean removes what is good no more.
func (c *cache) clean(now time.Time) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for id, l := range s.lives {
			if !l.Valid(now) {
				delete(s.lives, id)
			}
		}
		s.mu.Unlock()
	}
}

func (c *cache) count() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.lives)
		s.mu.RUnlock()
	}
	return n
}
