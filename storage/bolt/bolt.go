// Package bolt keeps the state of a gate in one file, with bbolt.
//
// One process owns the file. Steps that arrive together share one transaction and one sync (a group commit, see commit.go),
// so the cost of durability is paid once for all of them. Records that expire are keyed by their end, 5 bytes big-endian, and
// their digest; a sweep deletes one contiguous range of them. The format of the records is described in codec.go.
//
// bbolt panics on damaged pages, and memory faults on lost ones. Both become [storage.ErrDamaged] here: the store then refuses
// writes until it has been opened again, which is when an operator has looked at the disk. A damaged file is never replaced,
// truncated or repaired by this package.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Options says which file to open.
type Options struct {
	// Path is the database file. Its directory is created when it is missing, readable by its owner only. Required.
	Path string
	// Timeout is how long Open waits for another process, or an earlier store of this one, to let go of the file. Default 5 s.
	Timeout time.Duration
}

// Store is an open database. It implements [storage.Store] and [storage.Backuper] and is safe for concurrent use.
type Store struct {
	path string
	db   *bbolt.DB
	// file is the descriptor that bbolt works on.
	file *os.File

	life struct {
		sync.Mutex
		closed  bool
		running sync.WaitGroup
	}

	publisher storage.Publisher

	queue queue
	// writing is locked by the owner of bbolt's writable transaction, so that beginning one never waits inside bbolt.
	writing sync.Mutex
	// beginning is held while a transaction begins: see begin.
	beginning sync.Mutex
	// size is the largest size of the file that was seen; a bbolt file never shrinks.
	size int64
	// stuck is set when bbolt panicked while it held a lock of its own, which it will never release.
	stuck atomic.Bool
	// damage is the first reason for refusing writes.
	damage atomic.Pointer[error]

	// longList is longList, but for tests.
	longList int
	// commit replaces bbolt's commit in tests.
	commit func(*bbolt.Tx) error
}

var (
	_ storage.Store    = (*Store)(nil)
	_ storage.Backuper = (*Store)(nil)
)

// Path returns the canonical path of the database file.
func (s *Store) Path() string { return s.path }

// Subscribe calls fn for each change, on the goroutine of the Update that has published it.
func (s *Store) Subscribe(fn func(storage.Change)) (stop func()) { return s.publisher.Subscribe(fn) }

// Incarnation returns nothing: a copy carries the mark under [storage.MetaRestored].
func (s *Store) Incarnation(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := s.enter(); err != nil {
		return "", err
	}
	s.leave()
	return "", nil
}

// View runs fn against a consistent snapshot. Damaged data answers [storage.ErrDamaged].
func (s *Store) View(ctx context.Context, fn func(storage.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))

	btx, err := s.begin(false)
	if err != nil {
		return err
	}
	t := &tx{btx: btx}
	defer func() {
		r := recover()
		t.end()
		s.rollback(btx)
		if r == nil {
			return
		}
		if !t.broke(r) {
			panic(r)
		}
		err = s.damaged(fmt.Errorf("reading: %v", r))
	}()
	return fn(t)
}

// Check walks the whole file and returns an error that wraps [storage.ErrDamaged] when it finds an inconsistency. Writes wait
// meanwhile. It looks at every page, so it takes time on a large file: it is meant for tests, for diagnosis and for opening a
// file that had been damaged.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	btx, err := s.begin(true) // keeps writers away, which bbolt's check needs
	if err != nil {
		return err
	}
	defer s.rollback(btx)

	var first error
	n := 0
	for problem := range btx.Check() { // drained to its end: bbolt's goroutine blocks otherwise
		if n++; first == nil {
			first = problem
		}
	}
	if n > 0 {
		return s.damaged(fmt.Errorf("%d inconsistencies, the first: %w", n, first))
	}
	return ctx.Err()
}

// Close waits for running transactions and closes the file. Every later call answers [storage.ErrClosed].
func (s *Store) Close() error {
	s.life.Lock()
	if s.life.closed {
		s.life.Unlock()
		return storage.ErrClosed
	}
	s.life.closed = true
	s.life.Unlock()
	s.life.running.Wait()
	if s.stuck.Load() {
		// bbolt would wait for its own lock for ever. Closing the descriptor releases the file for the next owner.
		return s.file.Close()
	}
	s.restoreFreelist()
	return s.db.Close()
}

// enter counts a running call in; leave counts it out.
func (s *Store) enter() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.life.closed {
		return storage.ErrClosed
	}
	s.life.running.Add(1)
	return nil
}

func (s *Store) leave() { s.life.running.Done() }

// begin starts a transaction of bbolt's. When the two meta pages are lost (a truncated file, a dead disk), bbolt panics or
// faults here while it holds a lock it never releases; so beginnings are one at a time, the size is looked at first, and
// after such a panic no transaction begins.
func (s *Store) begin(writable bool) (btx *bbolt.Tx, err error) {
	s.beginning.Lock()
	defer s.beginning.Unlock()
	if s.stuck.Load() {
		return nil, s.damaged(errors.New("the engine has stopped"))
	}
	info, err := s.file.Stat()
	if err != nil {
		return nil, s.damaged(err)
	}
	if info.Size() < s.size {
		return nil, s.damaged(fmt.Errorf("the file has shrunk from %d to %d bytes", s.size, info.Size()))
	}
	s.size = info.Size()

	defer func() {
		if r := recover(); r != nil {
			s.stuck.Store(true)
			btx, err = nil, s.damaged(fmt.Errorf("beginning a transaction: %v", r))
		}
	}()
	btx, err = s.db.Begin(writable)
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return nil, storage.ErrClosed
	case err != nil:
		return nil, s.damaged(err)
	}
	return btx, nil
}

// rollback ends a transaction without writing. A transaction that cannot be ended keeps bbolt's lock for ever.
func (s *Store) rollback(btx *bbolt.Tx) {
	defer func() {
		if r := recover(); r != nil || btx.DB() != nil {
			s.stuck.Store(true)
			_ = s.damaged(fmt.Errorf("rolling back: %v", r))
		}
	}()
	if btx.DB() != nil {
		_ = btx.Rollback() // it fails only on a transaction that has ended
	}
}

// damaged notes the reason for refusing writes from now on and returns it as an error.
func (s *Store) damaged(hint error) error {
	err := fmt.Errorf("%w: %s: %w", storage.ErrDamaged, s.path, hint)
	s.damage.CompareAndSwap(nil, &err)
	return err
}

// writable answers why writes are refused, nil when they are not.
func (s *Store) writable() error {
	if p := s.damage.Load(); p != nil {
		return *p
	}
	return nil
}
