package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestDUR1_ANewDatabaseIsDurableBeforeItIsUsed counts what is synced: no killed process shows what a power cut takes away.
func TestDUR1_ANewDatabaseIsDurableBeforeItIsUsed(t *testing.T) {
	real := fsync
	t.Cleanup(func() { fsync = real })
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "data", "db", "x.db")
	var list []string
	fsync = func(f *os.File) error {
		list = append(list, f.Name())
		if f.Name() == filepath.Dir(path) {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the directory is synced before the database has its name: %v", err)
			}
		}
		return real(f)
	}
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{root, filepath.Join(root, "data"), filepath.Dir(path)}; !slices.Equal(list, want) {
		t.Errorf("made durable: %q, want %q", list, want)
	}
	if s.db.NoSync || s.db.NoGrowSync {
		t.Error("commits are not synced")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	for _, dir := range []string{"root", "data", "db"} {
		path := filepath.Join(t.TempDir(), "root", "data", "db", "x.db")
		fsync = func(f *os.File) error {
			if filepath.Base(f.Name()) == dir {
				return full
			}
			return real(f)
		}
		if s, err := Open(context.Background(), Options{Path: path}); !errors.Is(err, full) {
			t.Errorf("syncing %s fails: %v", dir, err)
			if err == nil {
				_ = s.Close()
			}
		}
	}
}

// TestDUR1_NothingIsAnsweredBeforeItsCommit holds a commit, and sees that no caller has its outcome meanwhile.
func TestDUR1_NothingIsAnsweredBeforeItsCommit(t *testing.T) {
	s := open(t)
	begun, release := make(chan struct{}), make(chan struct{})
	s.commit = func(btx *bbolt.Tx) error {
		close(begun)
		<-release
		return btx.Commit()
	}
	done := make(chan error, 1)
	go func() { done <- s.Update(context.Background(), put("x")) }()
	<-begun
	select {
	case err := <-done:
		t.Errorf("answered before the commit: %v", err)
	default:
	}
	if has(t, s, "x") {
		t.Error("seen before the commit")
	}
	close(release)
	if err := <-done; err != nil || !has(t, s, "x") {
		t.Errorf("after the commit: %v", err)
	}
	s.commit = nil
	if err := s.Update(context.Background(), func(tx storage.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestTOK1_ATokenIsConsumedOnceAndInItsTime: the first time counts, the first replay is told, and what has ended is not there.
func TestTOK1_ATokenIsConsumedOnceAndInItsTime(t *testing.T) {
	s := open(t)
	k := storage.Key{End: 1000, Digest: storage.Digest{1}}
	update := func(fn func(storage.Tx) error) {
		t.Helper()
		if err := s.Update(context.Background(), fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx storage.Tx) error { return tx.Tokens().Create(storage.Token{Key: k, Kind: storage.TokenLink}) })
	for i, c := range []struct {
		at   int64
		want storage.TokenResult
	}{
		{1000, storage.TokenMissing},
		{2000, storage.TokenMissing},
		{999, storage.TokenConsumed},
		{999, storage.TokenUsed},
		{999, storage.TokenReplayed},
		{999, storage.TokenReplayed},
		{1000, storage.TokenMissing},
	} {
		update(func(tx storage.Tx) error {
			_, got, err := tx.Tokens().Consume(k, time.Unix(c.at, 0))
			if got != c.want {
				t.Errorf("attempt %d at %d: %d, want %d", i, c.at, got, c.want)
			}
			return err
		})
	}
}

// TestTOK8_TheZeroDigestIsNoCode attempts it at a flow that has it among its codes, as one that has ended elsewhere may.
func TestTOK8_TheZeroDigestIsNoCode(t *testing.T) {
	s := open(t)
	k := storage.Key{End: 1000, Digest: storage.Digest{1}}
	if err := s.Update(context.Background(), func(tx storage.Tx) error {
		if err := tx.Flows().Create(storage.Flow{Key: k, State: storage.FlowOpen, Codes: []storage.Digest{{}}}); err != nil {
			return err
		}
		f, got, err := tx.Flows().AttemptCode(k, time.Unix(1, 0), storage.Digest{}, 5)
		if got != storage.CodeWrong || f.WrongCodes != 1 {
			t.Errorf("the zero digest is told as %d, %d wrong", got, f.WrongCodes)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
