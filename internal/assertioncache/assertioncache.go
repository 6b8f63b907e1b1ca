// Package assertioncache keeps the assertions of one session or one machine token, so that a request finds its assertion and mints none.
package assertioncache

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
)

const (
	// MaxEntries is how many assertions are kept; what they are kept with is of one site, which has one audience.
	MaxEntries = 8
	// EntrySize is about what an assertion takes in memory beside its text and its key, in bytes.
	EntrySize = 112
)

// Cache holds assertions under keys. The zero value is ready, and safe for use by many goroutines.
type Cache struct {
	minting sync.Mutex
	list    atomic.Pointer[[]assertion]
}

// assertion is a text that may be used while from <= the wall clock < until.
type assertion struct {
	key, text   string
	from, until time.Time
}

// Get returns the assertion under a key, and mints one when there is none or when half of its lifetime is over by at, the wall
// clock of [clock.Clock.Read]; of concurrent misses one mints and the others wait for it. mint returns the text and when it
// expires by the wall clock. Its errors are not kept. grown is by how many bytes the assertions take more memory than before,
// below zero for less.
func (a *Cache) Get(clk *clock.Clock, at time.Time, key string, mint func() (text string, exp time.Time, err error)) (text string, grown int, err error) {
	if text, ok := a.find(at, key); ok {
		return text, 0, nil
	}
	a.minting.Lock()
	defer a.minting.Unlock()
	// It may have been minted after at, and then by the same reading of the clock as this one.
	from := clk.Read().Wall
	if text, ok := a.find(from, key); ok {
		return text, 0, nil
	}
	text, exp, err := mint()
	if err != nil {
		return "", 0, err
	}
	next := []assertion{{key, text, from, from.Add(exp.Sub(from) / 2)}}
	grown = len(text) + len(key) + EntrySize
	if old := a.list.Load(); old != nil {
		for _, one := range *old {
			if one.key != key && from.Before(one.until) && len(next) < MaxEntries {
				next = append(next, one)
				continue
			}
			grown -= len(one.text) + len(one.key) + EntrySize
		}
	}
	a.list.Store(&next)
	return text, grown, nil
}

// find judges by the wall clock, as verifiers do, and refuses a text from its future too: a wall clock that has been put back
// must not stretch the use of what was minted before.
func (a *Cache) find(now time.Time, key string) (string, bool) {
	list := a.list.Load()
	if list == nil {
		return "", false
	}
	for i := range *list {
		if one := &(*list)[i]; one.key == key {
			return one.text, !now.Before(one.from) && now.Before(one.until)
		}
	}
	return "", false
}

// Len returns how many assertions are kept.
func (a *Cache) Len() int {
	if list := a.list.Load(); list != nil {
		return len(*list)
	}
	return 0
}
