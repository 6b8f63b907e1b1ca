package gate

import (
	"sync"
	"time"
)

const (
	// repeatAfter is how long a line is not repeated, maxRepeats bounds how many lines are remembered.
	repeatAfter = 10 * time.Minute
	maxRepeats  = 1000
)

// RepeatLimiter keeps lines out of the log that were written less than 10 minutes ago. The zero value is ready.
type RepeatLimiter struct {
	mu      sync.Mutex
	written map[string]time.Time // guarded by mu
}

// Allow reports whether a line is to be written, and remembers that it was.
func (l *RepeatLimiter) Allow(now time.Time, line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.written[line]; ok && now.Sub(last) < repeatAfter {
		return false
	}
	if l.written == nil || len(l.written) >= maxRepeats {
		l.written = map[string]time.Time{}
	}
	l.written[line] = now
	return true
}
