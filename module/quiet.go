package module

import (
	"sync"
	"time"
)

const (
	// quietFor is how long a line is not repeated, quietMax bounds how many lines are remembered.
	quietFor = 10 * time.Minute
	quietMax = 1000
)

// quiet keeps lines from the log that it has had a short while ago. The zero value is ready.
type quiet struct {
	mu   sync.Mutex
	said map[string]time.Time // guarded by mu
}

// may says whether a line is due.
func (q *quiet) may(now time.Time, line string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last, ok := q.said[line]; ok && now.Sub(last) < quietFor {
		return false
	}
	if q.said == nil || len(q.said) >= quietMax {
		q.said = map[string]time.Time{}
	}
	q.said[line] = now
	return true
}
