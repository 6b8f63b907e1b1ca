package bolt

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// swept returns an open store out of which many records have been swept, and whose commits list up to this many free pages.
func swept(t *testing.T, longList int) *Store {
	t.Helper()
	s := open(t)
	t.Cleanup(func() { _ = s.Close() })
	s.longList = longList
	ctx := context.Background()
	if err := s.Update(ctx, func(tx storage.Tx) error {
		for i := range 2000 {
			k := storage.Key{End: int64(i), Digest: storage.Digest{1, byte(i), byte(i >> 8)}}
			if err := tx.Flows().Create(storage.Flow{Key: k, Private: make([]byte, 500)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(ctx, time.Unix(1899, 0), 10_000); n != 1900 || err != nil {
		t.Fatal(n, err)
	}
	return s
}

// leftOut reports whether the file says that its list of free pages was left out.
func leftOut(t *testing.T, s *Store) (noted bool) {
	t.Helper()
	if err := s.db.View(func(btx *bbolt.Tx) error {
		noted = btx.Bucket(bucketNames[bFile]).Get(leftOutKey) != nil
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return noted
}

// crashed returns the path of a file as a crash would leave it now, without what lies behind its last page.
func crashed(t *testing.T, s *Store) (path string, content []byte) {
	t.Helper()
	content, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "crashed.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestLongListOfFreePagesIsLeftOut(t *testing.T) {
	ctx := context.Background()
	size := func(s *Store) int { // of what one small commit writes
		before := s.db.Stats().TxStats
		if err := s.Update(ctx, func(tx storage.Tx) error { return tx.Meta().Put("x", []byte("y")) }); err != nil {
			t.Fatal(err)
		}
		after := s.db.Stats().TxStats
		diff := after.Sub(&before)
		return int(diff.GetPageAlloc())
	}
	with, without := swept(t, 1<<20), swept(t, 10)
	if leftOut(t, with) || !leftOut(t, without) {
		t.Fatal("the list is left out where it is short, or written where it is long")
	}
	if a, b := size(with), size(without); a <= b {
		t.Errorf("%d bytes with the list, %d without", a, b)
	}
	// It is put back when it has become short, and when the database is closed.
	free := without.db.Stats().FreePageN
	for _, c := range []struct {
		longList int
		want     bool
	}{{free - 10, true}, {free * 3 / 2, true}, {3 * free, false}, {free / 2, true}} {
		without.longList = c.longList
		size(without)
		if leftOut(t, without) != c.want {
			t.Errorf("%d free pages, %d are many: left out: %v", free, c.longList, !c.want)
		}
	}
	if err := without.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(ctx, Options{Path: without.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // the end of the test
	if leftOut(t, again) {
		t.Error("a closed database has no list")
	}
	if err := again.Check(ctx); err != nil {
		t.Error(err)
	}
}

// TestDUR1_CrashWithoutAListOfFreePages: everything that was acknowledged is there, no page is lost, and writing goes on.
func TestDUR1_CrashWithoutAListOfFreePages(t *testing.T) {
	ctx := context.Background()
	before := swept(t, 10)
	path, _ := crashed(t, before)
	s, err := Open(ctx, Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the end of the test
	if a, b := before.db.Stats(), s.db.Stats(); b.FreePageN < a.FreePageN || b.FreePageN > a.FreePageN+a.PendingPageN {
		t.Errorf("%d free pages, before the crash %d and %d pending", b.FreePageN, a.FreePageN, a.PendingPageN)
	}
	if !leftOut(t, s) {
		t.Error("the file was written to when it was opened")
	}
	if err := s.Update(ctx, func(tx storage.Tx) error {
		for i := 1900; i < 2000; i++ {
			k := storage.Key{End: int64(i), Digest: storage.Digest{1, byte(i), byte(i >> 8)}}
			if _, found, err := tx.Flows().Get(k); !found || err != nil {
				t.Errorf("flow %d: %v %v", i, found, err)
			}
		}
		return tx.Meta().Put("x", []byte("y"))
	}); err != nil {
		t.Fatal(err)
	}
	if leftOut(t, s) {
		t.Error("a short list is left out")
	}
	if err := s.Check(ctx); err != nil {
		t.Error(err)
	}
}

// pages returns the numbers of the pages in use and of the free ones, behind those of the file's head.
func pages(t *testing.T, s *Store) (used, free []int) {
	t.Helper()
	if err := s.db.View(func(btx *bbolt.Tx) error {
		for n := 2; n < int(btx.Size())/os.Getpagesize(); {
			info, err := btx.Page(n)
			if err != nil {
				return err
			}
			if info.Type == "free" {
				free = append(free, n)
			} else {
				used = append(used, n)
			}
			n++
			if info.Type != "free" {
				n += info.OverflowCount
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return used, free
}

// TestDUR1_DamagedWithoutAListOfFreePages: bbolt looks at all pages then, and its own goroutine must not meet a damaged one. A file
// that is damaged where it is in use is refused and left as it is; damage in a free page is none.
func TestDUR1_DamagedWithoutAListOfFreePages(t *testing.T) {
	before := swept(t, 10)
	used, free := pages(t, before)
	_, good := crashed(t, before)
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable
	damages := map[string]func(damaged []byte){
		"zeros":                        func(damaged []byte) { clear(damaged) },
		"random":                       func(damaged []byte) { randomize(random, damaged) },
		"records' positions and sizes": func(damaged []byte) { randomize(random, damaged[16:16+16*8]) },
		"another page":                 func(damaged []byte) { copy(damaged, good[used[0]*page:]) },
	}
	path := filepath.Join(t.TempDir(), "x.db")
	try := func(n int, kind string, inUse bool) {
		content := bytes.Clone(good)
		damages[kind](content[n*page : (n+1)*page])
		if bytes.Equal(content, good) {
			return
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(context.Background(), Options{Path: path, Timeout: time.Second})
		switch {
		case err == nil:
			if inUse {
				t.Errorf("page %d: %s: opened", n, kind)
			}
			if err := s.Close(); err != nil {
				t.Errorf("page %d: %s: Close: %v", n, kind, err)
			}
			return
		case !inUse, !errors.Is(err, storage.ErrDamaged):
			t.Errorf("page %d, in use: %v: %s: %v", n, inUse, kind, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("page %d: %s: the file has been changed (%v)", n, kind, err)
		}
	}
	for kind := range damages {
		for _, n := range used {
			try(n, kind, true)
		}
		for i := 0; i < len(free); i += len(free)/10 + 1 {
			try(free[i], kind, false)
		}
	}
	t.Logf("%d pages in use, %d free", len(used), len(free))
}

func randomize(random *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(random.Uint32())
	}
}
