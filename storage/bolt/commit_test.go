package bolt

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// put is a step that writes.
var errTest = errors.New("a step's own error")

func put(name string) func(storage.Tx) error {
	return func(tx storage.Tx) error { return tx.Meta().Put(name, []byte("x")) }
}

// refuse is a step that finds nothing and writes nothing.
func refuse(tx storage.Tx) error {
	_, res, err := tx.Tokens().Consume(storage.Key{End: 1 << 33, Digest: storage.Digest{1}}, time.Unix(1, 0))
	if err == nil && res != storage.TokenMissing {
		err = errors.New("a token that nobody made")
	}
	return err
}

func has(t *testing.T, s *Store, name string) (found bool) {
	t.Helper()
	err := s.View(context.Background(), func(tx storage.Tx) (err error) {
		_, found, err = tx.Meta().Get(name)
		return err
	})
	if err != nil {
		t.Fatalf("View: %v", err)
	}
	return found
}

// waiting lets the callers run until n of them are in the queue.
func waiting(s *Store, n int) {
	for {
		s.queue.Lock()
		got := len(s.queue.waiting)
		s.queue.Unlock()
		if got >= n {
			return
		}
		runtime.Gosched()
	}
}

// batch runs the steps in one transaction and returns their errors. It replaces the commit of that transaction.
func batch(t *testing.T, s *Store, commit func(*bbolt.Tx) error, steps ...func(storage.Tx) error) []error {
	t.Helper()
	begun, release := make(chan struct{}), make(chan struct{})
	first := true
	s.commit = func(btx *bbolt.Tx) error {
		if first {
			first = false
			close(begun)
			<-release
			return btx.Commit()
		}
		return commit(btx)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := s.Update(context.Background(), put("first")); err != nil {
			t.Errorf("the first Update: %v", err)
		}
	})
	<-begun
	errs := make([]error, len(steps))
	for i, step := range steps {
		all.Go(func() { errs[i] = s.Update(context.Background(), step) })
		waiting(s, i+1)
	}
	close(release)
	all.Wait()
	return errs
}

func TestOneCommitForAllWhoWait(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	commits := 0
	steps := make([]func(storage.Tx) error, 100)
	for i := range steps {
		steps[i] = put(string(rune('a' + i)))
	}
	for _, err := range batch(t, s, func(btx *bbolt.Tx) error { commits++; return btx.Commit() }, steps...) {
		if err != nil {
			t.Error(err)
		}
	}
	if commits != 1 {
		t.Errorf("%d commits", commits)
	}
}

func TestNothingWrittenNothingSynced(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	s.commit = func(*bbolt.Tx) error { t.Error("a commit"); return nil }
	for name, step := range map[string]func(storage.Tx) error{
		"refusal": refuse,
		"error":   func(storage.Tx) error { return errTest },
		"no delete": func(tx storage.Tx) error {
			_, err := tx.Sessions().Delete(storage.Key{End: 1})
			_, err2 := tx.Counters().Reset(storage.Key{End: 1})
			return errors.Join(err, err2, tx.Meta().Delete("none"))
		},
		"limit reached": func(tx storage.Tx) error {
			_, _, err := tx.Counters().Spend(storage.Key{End: 1}, 1, 0)
			return err
		},
	} {
		if err := s.Update(context.Background(), step); err != nil && name != "error" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := s.Sweep(context.Background(), time.Unix(1<<40, 0), 100); n != 0 || err != nil {
		t.Errorf("Sweep = %d, %v", n, err)
	}
}

// A commit whose meta page reached the file although its sync failed: nobody knows, so everybody is told so, refusals too.
func TestDUR1_AFailedSyncIsUnknownAndThenRefused(t *testing.T) {
	s := open(t)
	var told atomic.Int64
	defer s.Subscribe(func(storage.Change) { told.Add(1) })()
	publish := func(tx storage.Tx) error {
		return errors.Join(put("a")(tx), tx.Changes().Publish(storage.Change{Kind: storage.ChangeAll}))
	}
	errs := batch(t, s, func(btx *bbolt.Tx) error {
		if err := btx.Commit(); err != nil {
			return err
		}
		return syscall.EIO
	}, publish, refuse, func(storage.Tx) error { return errTest }, put("b"))
	if told.Load() != 1 {
		t.Errorf("subscribers were told %d times of what may have happened", told.Load())
	}
	for i, err := range errs {
		if !errors.Is(err, storage.ErrUnknown) || !errors.Is(err, syscall.EIO) {
			t.Errorf("step %d = %v, want ErrUnknown", i, err)
		}
	}
	wantRefusal(t, s)
}

// A sync that failed before the meta page was written: the transaction did not happen, and no other one may.
func TestDUR1_AFailedSyncOfDataIsRefused(t *testing.T) {
	for name, commit := range map[string]func(*bbolt.Tx) error{
		"errno": func(btx *bbolt.Tx) error { return errors.Join(btx.Rollback(), syscall.EIO) },
		"write": func(btx *bbolt.Tx) error {
			return errors.Join(btx.Rollback(), &fs.PathError{Op: "write", Err: syscall.EIO})
		},
		"full sync": func(btx *bbolt.Tx) error {
			return errors.Join(btx.Rollback(), &fs.PathError{Op: "sync", Err: syscall.EIO})
		},
		"panic":      func(*bbolt.Tx) error { panic("assertion failed: page") },
		"panic late": func(btx *bbolt.Tx) error { _ = btx.Rollback(); panic("assertion failed: page") },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			for i, err := range batch(t, s, commit, put("a"), refuse) {
				if !errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrUnknown) {
					t.Errorf("step %d = %v, want ErrDamaged", i, err)
				}
			}
			if has(t, s, "a") {
				t.Error("the step happened")
			}
			wantRefusal(t, s)
		})
	}
}

// wantRefusal checks that reads go on, that writes are refused, and that the store works again once it has been reopened.
func wantRefusal(t *testing.T, s *Store) {
	t.Helper()
	s.commit = nil
	for range 2 {
		if err := s.Update(context.Background(), put("later")); !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("Update = %v, want ErrDamaged", err)
		}
	}
	if !has(t, s, "first") || has(t, s, "later") {
		t.Error("reads do not show what was committed")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(context.Background(), Options{Path: s.Path()})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(again.Check(context.Background()), again.Update(context.Background(), put("later")), again.Close())
	if err != nil {
		t.Error(err)
	}
}

func TestDUR1_NoRoomIsNoDamage(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	full := &fs.PathError{Op: "write", Err: syscall.ENOSPC}
	for _, err := range batch(t, s, func(btx *bbolt.Tx) error { return errors.Join(btx.Rollback(), full) }, put("a"), refuse) {
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, storage.ErrDamaged) || errors.Is(err, storage.ErrUnknown) {
			t.Errorf("Update = %v, want a plain failure", err)
		}
	}
	s.commit = nil
	if has(t, s, "a") {
		t.Error("the step happened")
	}
	if err := s.Update(context.Background(), put("a")); err != nil || !has(t, s, "a") {
		t.Errorf("Update with room again: %v", err)
	}
}

func TestCancelledWhileWaitingNeverRuns(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	begun, release := make(chan struct{}), make(chan struct{})
	s.commit = func(btx *bbolt.Tx) error { close(begun); <-release; return btx.Commit() }
	first := make(chan error)
	go func() { first <- s.Update(context.Background(), put("first")) }()
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	second := make(chan error)
	go func() {
		second <- s.Update(ctx, func(storage.Tx) error { t.Error("a cancelled step ran"); return nil })
	}()
	waiting(s, 1)
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) { // while the first is still at work
		t.Errorf("Update = %v, want context.Canceled", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// A step that ends its goroutine, as t.FailNow does, neither writes nor stops the others.
func TestGoexitInAStep(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	var gone sync.WaitGroup
	gone.Go(func() {
		_ = s.Update(context.Background(), func(tx storage.Tx) error {
			if err := put("gone")(tx); err != nil {
				return err
			}
			runtime.Goexit()
			return nil
		})
	})
	gone.Wait()
	if err := s.Update(context.Background(), put("next")); err != nil {
		t.Fatal(err)
	}
	if has(t, s, "gone") || !has(t, s, "next") {
		t.Error("the step that left was committed, or the next was not")
	}
}

func TestDUR1_AFailingStepIsToldTheTruth(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	var runs atomic.Int32
	failing := func(tx storage.Tx) error {
		runs.Add(1)
		if err := put("bad")(tx); err != nil {
			return err
		}
		return errTest
	}
	errs := batch(t, s, (*bbolt.Tx).Commit, put("a"), failing, put("b"))
	if errs[0] != nil || !errors.Is(errs[1], errTest) || errs[2] != nil {
		t.Errorf("Update = %v", errs)
	}
	if !has(t, s, "a") || !has(t, s, "b") || has(t, s, "bad") {
		t.Error("the companions of a failing step were not committed, or it was")
	}
	if n := runs.Load(); n != 2 { // with the others, then alone
		t.Errorf("the failing step ran %d times", n)
	}
}

func TestSweepInShortTransactions(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	const n = 3 * sweepChunk
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		for i := range int64(n) {
			if _, _, err := tx.Counters().Spend(storage.Key{End: i, Digest: storage.Digest{1}}, 1, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	commits := 0
	s.commit = func(btx *bbolt.Tx) error { commits++; return btx.Commit() }
	if deleted, err := s.Sweep(context.Background(), time.Unix(n, 0), 10*n); deleted != n || err != nil || commits != 3 {
		t.Errorf("Sweep = %d, %v in %d transactions", deleted, err, commits)
	}
	if err := s.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestASweptSessionLeavesNoIndexEntry(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		return tx.Sessions().Create(storage.Session{Key: storage.Key{End: 1, Digest: storage.Digest{1}}, Account: "me"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(context.Background(), time.Unix(1, 0), 9); n != 1 || err != nil {
		t.Fatalf("Sweep = %d, %v", n, err)
	}
	// Nor does one that was deleted.
	k := storage.Key{End: 9, Digest: storage.Digest{2}}
	err = s.Update(context.Background(), func(tx storage.Tx) error {
		if err := tx.Sessions().Create(storage.Session{Key: k, Account: "me"}); err != nil {
			return err
		}
		deleted, err := tx.Sessions().Delete(k)
		if !deleted {
			t.Error("not deleted")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(context.Background(), func(st storage.Tx) error {
		return st.(*tx).scan(bSignedIn, nil, func(k, _ []byte) (bool, error) {
			t.Errorf("%q is left", k)
			return true, nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}
