// Package credential holds what a session and a machine token have in common: each is an entry that is checked from memory and
// revoked by a commit, and each ends the requests that were let in by it.
package credential

import (
	"hash/maphash"
	"sync"
	"time"
)

// Credential is a session or a machine token as it was found for a request.
type Credential interface {
	// Owner returns the id of its account.
	Owner() string
	// Valid reports whether it may be used at now, as far as memory tells without asking the store.
	Valid(now time.Time) bool
	// Recheck asks the store whether it is alive, and whether its account is still what it was when the request was let in. A
	// store that cannot be read counts as an end, unless what was read before may be served: see [Freshness.MayServe].
	Recheck() (alive, same bool)
}

// Target is what a request that is in flight is ended by.
type Target interface {
	// End makes the request's handler return. It is called with again unset first, and then about once a second until the request
	// is removed. It must not block, and must not call the registry.
	End(cause error, again bool)
}

// settleTime is how long a request goes on that was let in before its account changed, so that an ordinary one still gets its
// answer. One that takes longer is ended, so that it is authorized anew when it returns.
const settleTime = 2 * time.Second

// Request is one request in flight. Set the exported fields, then add it to a registry, once.
type Request struct {
	Credential Credential
	Target     Target
	// Since is when it came, by the gate's clock.
	Since time.Time

	list           *list
	previous, next *Request // guarded by list.mu
	// cause is why it is being ended; guarded by list.mu.
	cause error
}

// lists is how many lists a registry has. All requests of an account are in one of them.
const lists = 256

// Requests is a registry of the requests in flight. It is made by [NewRequests] and safe for use by many goroutines. Adding and
// removing allocate nothing, and take a lock that only requests of a few accounts share.
type Requests struct {
	seed  maphash.Seed
	lists [lists]list
	// ended and changed are the causes with which requests are ended.
	ended, changed error
}

type list struct {
	mu    sync.Mutex
	first *Request // guarded by mu
	count int      // guarded by mu

	_ [40]byte // keeps two locks out of one line of a processor's cache
}

// NewRequests returns an empty registry. It ends requests with the error ended when their credential has ended, and with changed
// when their account has changed.
func NewRequests(ended, changed error) *Requests {
	return &Requests{seed: maphash.MakeSeed(), ended: ended, changed: changed}
}

func (r *Requests) of(owner string) *list { return &r.lists[maphash.String(r.seed, owner)%lists] }

// Add registers a request. If its credential has been revoked since it was found, the request is ended at once. Call Remove before
// the request's handler returns.
func (r *Requests) Add(q *Request) {
	l := r.of(q.Credential.Owner())
	q.list = l
	l.mu.Lock()
	q.next = l.first
	if l.first != nil {
		l.first.previous = q
	}
	l.first = q
	l.count++
	l.mu.Unlock()
	// Registered first, checked second: a revocation that did not see the request has changed what Valid looks at by now.
	if !q.Credential.Valid(q.Since) {
		r.authorize(l, []*Request{q}, q.Since)
	}
}

// Remove takes a request out. When it returns, nothing of the request is used any more. It does nothing if the request has been
// removed already.
func (r *Requests) Remove(q *Request) {
	l := q.list
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.previous != nil {
		q.previous.next = q.next
	} else {
		l.first = q.next
	}
	if q.next != nil {
		q.next.previous = q.previous
	}
	q.list, q.previous, q.next = nil, nil, nil
	l.count--
}

// Check ends the requests of an account, or of all accounts when owner is empty, whose credentials a commit has revoked.
func (r *Requests) Check(owner string, now time.Time) {
	if owner != "" {
		l := r.of(owner)
		r.authorize(l, l.doubtful(owner, now), now)
		return
	}
	for i := range r.lists {
		l := &r.lists[i]
		r.authorize(l, l.doubtful("", now), now)
	}
}

// Tick ends the requests whose credentials have ended by time or otherwise, and insists with those that have been ended and are
// still there. Call it once a second.
func (r *Requests) Tick(now time.Time) {
	for i := range r.lists {
		r.lists[i].insist()
	}
	r.Check("", now)
}

// Count returns how many requests are in flight.
func (r *Requests) Count() (n int) {
	for i := range r.lists {
		l := &r.lists[i]
		l.mu.Lock()
		n += l.count
		l.mu.Unlock()
	}
	return n
}

// insist ends those again that have been ended.
func (l *list) insist() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q := l.first; q != nil; q = q.next {
		if q.cause != nil {
			q.Target.End(q.cause, true)
		}
	}
}

// doubtful returns the requests of an account, or of all, that memory alone does not vouch for.
func (l *list) doubtful(owner string, now time.Time) (some []*Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q := l.first; q != nil; q = q.next {
		if q.cause == nil && (owner == "" || q.Credential.Owner() == owner) && !q.Credential.Valid(now) {
			some = append(some, q)
		}
	}
	return some
}

// authorize asks the store about the credentials of doubtful requests, each once, and ends those requests that may not go on.
func (r *Requests) authorize(l *list, doubtful []*Request, now time.Time) {
	type verdict struct{ alive, same bool }
	var requested map[Credential]verdict
	for _, q := range doubtful {
		v, ok := requested[q.Credential]
		if !ok {
			v.alive, v.same = q.Credential.Recheck()
			if requested == nil {
				requested = make(map[Credential]verdict)
			}
			requested[q.Credential] = v
		}
		switch {
		case !v.alive:
			l.end(q, r.ended)
		case !v.same && now.Sub(q.Since) >= settleTime:
			l.end(q, r.changed)
		}
	}
}

// end ends a request unless it has been removed meanwhile.
func (l *list) end(q *Request, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.list == l && q.cause == nil {
		q.cause = cause
		q.Target.End(cause, false)
	}
}
