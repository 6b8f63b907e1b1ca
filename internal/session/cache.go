package session

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

const (
	// DefaultCacheBytes is the default bound of the session cache: about 30 000 sessions with an assertion each.
	DefaultCacheBytes = 64 << 20
	// baseSize is about what a cached session takes beside its texts and its assertions.
	baseSize = 900
	shards   = 64
	// evictScan is how many entries are looked at to make room for one.
	evictScan = 16
)

// cache holds sessions by a digest of their cookie's value, bounded in bytes.
type cache struct {
	shards [shards]shard
}

type shard struct {
	mu     sync.RWMutex
	lives  map[[32]byte]*Live
	bytes  int
	budget int
}

// cacheKey is not the digest that finds the record, which is keyed and dearer. It only keeps usable cookies out of memory.
func cacheKey(cookie string) [32]byte {
	var b [token.Size]byte // a shorter text of an earlier build ends in zeros, which none has
	copy(b[:], cookie)
	return sha256.Sum256(b[:])
}

func (c *cache) init(budget int) {
	for i := range c.shards {
		c.shards[i].lives = make(map[[32]byte]*Live)
	}
	c.setBudget(budget)
}

func (c *cache) setBudget(n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.budget = n / shards
		s.makeRoom(nil)
		s.mu.Unlock()
	}
}

func (c *cache) shard(id *[32]byte) *shard { return &c.shards[id[0]%shards] }

func (c *cache) get(id [32]byte) *Live {
	s := c.shard(&id)
	s.mu.RLock()
	l := s.lives[id]
	s.mu.RUnlock()
	if l != nil && !l.recent.Load() {
		l.recent.Store(true)
	}
	return l
}

// put inserts l unless another load has inserted a good one meanwhile, and returns the one to use.
func (c *cache) put(id [32]byte, l *Live, now time.Time) *Live {
	s := c.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.lives[id]; old != nil {
		if old.Valid(now) {
			return old
		}
		s.remove(old)
	}
	s.lives[id] = l
	s.bytes += l.size
	s.makeRoom(l)
	return l
}

// drop removes l, and nothing that has taken its place.
func (c *cache) drop(id [32]byte, l *Live) {
	s := c.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives[id] == l {
		s.remove(l)
	}
}

// grow notes that l takes n bytes more.
func (c *cache) grow(l *Live, n int) {
	s := c.shard(&l.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.size += n
	if s.lives[l.id] == l {
		s.bytes += n
		s.makeRoom(l)
	}
}

// clean removes what has ended or changed from one shard.
func (c *cache) clean(i int, now time.Time) {
	s := &c.shards[i%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		if !l.Valid(now) {
			s.remove(l)
		}
	}
}

func (s *shard) remove(l *Live) {
	delete(s.lives, l.id)
	s.bytes -= l.size
}

// makeRoom evicts until the shard fits its budget. It looks at a few entries in the map's random order and takes the first
// that was not used since it was last looked at, or else the last of them; keep goes only if nothing else is left.
func (s *shard) makeRoom(keep *Live) {
	for s.bytes > s.budget && len(s.lives) > 0 {
		victim, seen := keep, 0
		for _, l := range s.lives {
			if l == keep {
				continue
			}
			victim = l
			if seen++; seen == evictScan || !l.recent.Swap(false) {
				break
			}
		}
		s.remove(victim)
	}
}

// count returns how many sessions are cached and about how many bytes they take.
func (c *cache) count() (sessions, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		sessions += len(s.lives)
		bytes += s.bytes
		s.mu.RUnlock()
	}
	return sessions, bytes
}
