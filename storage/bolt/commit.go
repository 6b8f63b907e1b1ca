package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// The group commit. The first caller leads: it runs its step in a transaction of its own at once. Callers that arrive while that
// transaction is being synced waits in the queue; then the first of them leads and takes all the others along. A leader runs one
// transaction and hands over, so no caller serves the others for ever, and there is no goroutine to own.
//
// bbolt has no savepoints. A step that fails after it has written makes the whole transaction roll back; its companions run
// again without it, and then it runs alone, so that its error is true of a committed state. A step that fails before it has
// written changes nothing for anybody.

// maxBatch bounds the steps of one transaction, and by that the time for which others wait.
const maxBatch = 512

type queue struct {
	sync.Mutex
	leading bool
	waiting []*call
}

// call is one Update on its way.
type call struct {
	ctx context.Context
	fn  func(storage.Tx) error
	// ran is set when fn has begun once: from then on ctx is not looked at.
	ran bool
	// settled is set when err and pan are the outcome.
	settled bool
	err     error
	pan     any
	// changes are those that the last run has published.
	changes []storage.Change
	// wake gets true for the lead and false for an outcome.
	wake chan bool
}

// errExited is the outcome of the steps of a transaction that one of them left by runtime.Goexit.
var errExited = errors.New("storage/bolt: a step ended its goroutine; nothing was written")

// Update runs fn in one durable transaction, which it may share with other callers.
func (s *Store) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()

	c := &call{ctx: ctx, fn: fn}
	if s.queue.join(c) {
		s.lead([]*call{c})
	} else if err := s.await(c); err != nil {
		return err
	}
	if c.pan != nil {
		panic(c.pan)
	}
	if c.err == nil || errors.Is(c.err, storage.ErrUnknown) {
		s.publisher.Deliver(c.changes)
	}
	return c.err
}

// join makes c the leader when there is none, else it puts c into the queue.
func (q *queue) join(c *call) (leader bool) {
	q.Lock()
	defer q.Unlock()
	if !q.leading {
		q.leading = true
		return true
	}
	c.wake = make(chan bool, 1)
	q.waiting = append(q.waiting, c)
	return false
}

// nextBatch removes up to maxBatch waiting calls.
func (q *queue) nextBatch(n int) []*call {
	q.Lock()
	defer q.Unlock()
	n = min(n, len(q.waiting))
	batch := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	return batch
}

// leave removes a call that no leader has taken yet.
func (q *queue) leave(c *call) (left bool) {
	q.Lock()
	defer q.Unlock()
	i := slices.Index(q.waiting, c)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// handOver makes the first waiting call the leader.
func (q *queue) handOver() {
	q.Lock()
	defer q.Unlock()
	if len(q.waiting) == 0 {
		q.leading = false
		return
	}
	next := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	next.wake <- true
}

// await waits for the outcome of c, or for the lead. A call that a leader has taken is waited for, whatever its context says:
// it takes one commit, and so the outcome is always known.
func (s *Store) await(c *call) error {
	select {
	case lead := <-c.wake:
		if lead {
			s.lead(append([]*call{c}, s.queue.nextBatch(maxBatch-1)...))
		}
		return nil
	case <-c.ctx.Done():
	}
	if s.queue.leave(c) {
		return c.ctx.Err()
	}
	if <-c.wake {
		s.lead([]*call{c})
	}
	return nil
}

// lead runs a batch whose first call is its own, wakes the others and hands over.
func (s *Store) lead(batch []*call) {
	defer func() { // deferred, so that a step which ends this goroutine stops no other step
		s.queue.handOver()
		for i, c := range batch {
			if !c.settled {
				c.err, c.pan = errExited, nil
			}
			if i > 0 {
				c.wake <- false
			}
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // of this goroutine, and a leader may be anybody's
	s.writing.Lock()
	defer s.writing.Unlock()
	s.run(batch)
	for _, c := range batch {
		c.settled = true
	}
}

// run brings every call of the batch to its outcome.
func (s *Store) run(batch []*call) {
	rest := make([]*call, 0, len(batch))
	for _, c := range batch {
		if !c.ran {
			if err := c.ctx.Err(); err != nil {
				c.err = err
				continue
			}
		}
		rest = append(rest, c)
	}
	var solo []*call
	for len(rest) > 0 {
		bad, err := s.transact(rest)
		if err != nil {
			// What they saw was never committed: "already used" may be untrue, so refusals fail too.
			for _, c := range rest {
				c.err, c.pan = err, nil
			}
			break
		}
		if bad < 0 || len(rest) == 1 {
			break
		}
		solo = append(solo, rest[bad])
		rest = slices.Delete(rest, bad, bad+1)
	}
	for _, c := range solo {
		s.run([]*call{c})
	}
}

// transact runs the calls in one transaction. bad is the index of a call that failed after it had written, which rolled
// everything back; it is -1 when each call has its outcome. An error is the outcome of all.
func (s *Store) transact(calls []*call) (bad int, err error) {
	if err := s.writable(); err != nil {
		return -1, err
	}
	btx, err := s.begin(true)
	if err != nil {
		return -1, err
	}
	defer s.rollback(btx)

	wrote := false
	for i, c := range calls {
		t := &tx{btx: btx, writable: true}
		if err := s.step(c, t); err != nil {
			return -1, err
		}
		if t.dirty && (c.err != nil || c.pan != nil) {
			return i, nil
		}
		wrote = wrote || t.dirty
	}
	if !wrote {
		return -1, nil // nothing to sync
	}
	return -1, s.finish(btx)
}

// step runs one call. It returns an error when the engine, not the step, broke.
func (s *Store) step(c *call, t *tx) (err error) {
	c.ran, c.err, c.pan = true, nil, nil
	defer func() {
		r := recover()
		c.changes = t.changes
		t.end()
		switch {
		case r == nil:
		case t.broke(r):
			err = s.damaged(fmt.Errorf("in a step: %v", r))
		default:
			c.pan = carry(r)
		}
	}()
	c.err = c.fn(t)
	return nil
}

// finish commits. A commit that failed before the meta page was written did not happen. When the failure was a lack of space,
// bbolt has rolled back and the next one may succeed; after anything else, a failed sync above all, what the system holds of the
// file is not known any more, and the store refuses writes.
func (s *Store) finish(btx *bbolt.Tx) (err error) {
	id := btx.ID()
	commit := s.commit
	if commit == nil {
		commit = (*bbolt.Tx).Commit
	}
	err, panicked := try(func() error {
		if err := s.list(btx); err != nil {
			return err
		}
		return commit(btx)
	})
	if err == nil {
		return nil
	}
	s.rollback(btx)
	harmless := !panicked && lackOfSpace(err)
	if !harmless {
		_ = s.damaged(fmt.Errorf("commit: %w", err))
	}
	if s.visible(id) {
		_ = s.damaged(fmt.Errorf("commit: %w", err))
		return fmt.Errorf("%w: %w", storage.ErrUnknown, err)
	}
	if harmless {
		return fmt.Errorf("storage/bolt: not written: %w", err)
	}
	return s.writable()
}

// visible reports whether the transaction with this id may have reached the file: its meta page is written, though perhaps not
// synced, or it cannot be told.
func (s *Store) visible(id int) bool {
	btx, err := s.begin(false)
	if err != nil {
		return true
	}
	defer s.rollback(btx)
	return btx.ID() >= id
}

// try runs f and turns a panic into an error.
func try(f func() error) (err error, panicked bool) { //nolint:revive // the error is what callers look at first
	defer func() {
		if r := recover(); r != nil {
			err, panicked = fmt.Errorf("panic: %v", r), true
		}
	}()
	return f(), false
}

// lackOfSpace reports whether a commit failed for want of room, before the meta page: growing the file, or writing a data page.
func lackOfSpace(err error) bool {
	if errors.Is(err, berrors.ErrMaxSizeReached) {
		return true
	}
	if strings.HasPrefix(err.Error(), "file resize error: ") { // bbolt does not wrap this one; its sync has another text
		return true
	}
	var p *fs.PathError
	return errors.As(err, &p) && p.Op == "write" && full(p.Err)
}

// carry prepares a panic for being thrown again on another goroutine. The value stays what it was, so that callers recognise
// it; only a runtime error, which says nothing without its place, takes its stack along.
func carry(r any) any {
	if err, ok := r.(runtime.Error); ok {
		return &fault{err: err, stack: debug.Stack()}
	}
	return r
}

// fault is a runtime error of a step with the stack it came from.
type fault struct {
	err   runtime.Error
	stack []byte
}

// Error returns the text of the runtime error and where it happened.
func (f *fault) Error() string { return f.err.Error() + "\n\n" + string(f.stack) }

// Unwrap returns the runtime error itself.
func (f *fault) Unwrap() error { return f.err }

// RuntimeError marks a fault as a [runtime.Error].
func (f *fault) RuntimeError() {}
