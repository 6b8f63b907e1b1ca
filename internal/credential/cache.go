package credential

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Shards is how many parts a [Cache] has, each with a lock and an equal share of the bytes.
	Shards = 64
	// evictScan is how many entries are looked at to make room for one.
	evictScan = 16
)

// Cached is what a [Cache] holds: a pointer to a credential.
type Cached interface {
	comparable
	// Valid is that of [Credential].
	Valid(now time.Time) bool
}

// Cache holds credentials by a digest of their text, bounded in bytes. One that was evicted is only slower. Call SetBudget before the
// first use; a Cache is then safe for use by many goroutines. Get allocates nothing.
type Cache[C Cached] struct {
	shards  [Shards]shard[C]
	cleaned atomic.Uint32
}

type shard[C Cached] struct {
	mu      sync.RWMutex
	entries map[[32]byte]*entry[C] // guarded by mu
	bytes   int                    // guarded by mu
	budget  int                    // guarded by mu
}

type entry[C Cached] struct {
	credential C
	size       int // guarded by shard.mu
	// recent spares the entry when the cache makes room.
	recent atomic.Bool
}

func (c *Cache[C]) shard(id *[32]byte) *shard[C] { return &c.shards[id[0]%Shards] }

// SetBudget bounds the memory that the credentials take to about so many bytes.
func (c *Cache[C]) SetBudget(bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if s.entries == nil {
			s.entries = make(map[[32]byte]*entry[C])
		}
		s.budget = bytes / Shards
		s.makeRoom(nil)
		s.mu.Unlock()
	}
}

// Get returns the credential under a digest, the zero C if there is none. It may have ended.
func (c *Cache[C]) Get(id [32]byte) (found C) {
	s := c.shard(&id)
	s.mu.RLock()
	e := s.entries[id]
	s.mu.RUnlock()
	if e == nil {
		return found
	}
	if !e.recent.Load() {
		e.recent.Store(true)
	}
	return e.credential
}

// Put inserts a credential that takes about size bytes, unless another load has inserted a valid one meanwhile, and returns the
// one to use.
func (c *Cache[C]) Put(id [32]byte, credential C, size int, now time.Time) C {
	s := c.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if present := s.entries[id]; present != nil {
		if present.credential.Valid(now) {
			return present.credential
		}
		s.remove(id, present)
	}
	e := &entry[C]{credential: credential, size: size}
	s.entries[id] = e
	s.bytes += size
	s.makeRoom(e)
	return credential
}

// Drop removes a credential, and nothing that has taken its place.
func (c *Cache[C]) Drop(id [32]byte, credential C) {
	s := c.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil && e.credential == credential {
		s.remove(id, e)
	}
}

// Grow notes that a credential takes n bytes more, below zero for less. It does nothing if the credential is not in the cache.
func (c *Cache[C]) Grow(id [32]byte, credential C, n int) {
	s := c.shard(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil && e.credential == credential {
		e.size += n
		s.bytes += n
		s.makeRoom(e)
	}
}

// Clean removes what has ended or changed from one of the [Shards], the next at each call.
func (c *Cache[C]) Clean(now time.Time) {
	s := &c.shards[c.cleaned.Add(1)%Shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, e := range s.entries {
		if !e.credential.Valid(now) {
			s.remove(id, e)
		}
	}
}

// Count returns how many credentials are cached and about how many bytes they take.
func (c *Cache[C]) Count() (credentials, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		credentials += len(s.entries)
		bytes += s.bytes
		s.mu.RUnlock()
	}
	return credentials, bytes
}

func (s *shard[C]) remove(id [32]byte, e *entry[C]) {
	delete(s.entries, id)
	s.bytes -= e.size
}

// makeRoom evicts until the shard fits its budget. It looks at a few entries in the map's random order and takes the first
// that was not used since it was last looked at, or else the last of them; keep goes only if nothing else is left.
func (s *shard[C]) makeRoom(keep *entry[C]) {
	for s.bytes > s.budget && len(s.entries) > 0 {
		var victim [32]byte
		seen := 0
		for id, e := range s.entries {
			if e == keep && len(s.entries) > 1 {
				continue
			}
			victim = id
			if seen++; seen == evictScan || !e.recent.Swap(false) {
				break
			}
		}
		s.remove(victim, s.entries[victim])
	}
}
