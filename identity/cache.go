package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cache remembers verified tokens until they expire. It keeps digests, not tokens, in two generations of half the size: when
// the younger is full the older is forgotten, so its size is bounded and no entry has to be searched.
type cache struct {
	generationSize int

	mu                sync.Mutex
	current, previous map[[sha256.Size]byte]*Identity
}

func newCache(size int) *cache {
	return &cache{generationSize: max(1, size/2), current: map[[sha256.Size]byte]*Identity{}}
}

// get returns a copy of what the token says, nil when it is not known or has expired. A nil cache knows nothing.
func (c *cache) get(token string, now time.Time) *Identity {
	if c == nil {
		return nil
	}
	key := sha256.Sum256([]byte(token))
	c.mu.Lock()
	id, ok := c.current[key]
	if !ok {
		id = c.previous[key]
	}
	c.mu.Unlock()
	if id == nil || !now.Before(id.Expiry) || now.Before(id.NotBefore) {
		return nil
	}
	return id.clone()
}

// put remembers a copy of id.
func (c *cache) put(token string, id *Identity, now time.Time) {
	if c == nil || !now.Before(id.Expiry) {
		return
	}
	key, id := sha256.Sum256([]byte(token)), id.clone()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.current) >= c.generationSize {
		c.previous, c.current = c.current, make(map[[sha256.Size]byte]*Identity, c.generationSize)
	}
	c.current[key] = id
}
