package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// filled returns the path of a closed database with some records.
func filled(t *testing.T) string {
	t.Helper()
	s := open(t)
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		for i := range 200 {
			k := storage.Key{End: int64(i), Digest: storage.Digest{1, byte(i)}}
			if err := tx.Flows().Create(storage.Flow{Key: k, Private: make([]byte, 500)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.Path()
}

func TestDUR1_DamagedFilesAreRefusedAndNotTouched(t *testing.T) {
	good, err := os.ReadFile(filled(t))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	good = good[:used(t, good)] // the file grows ahead of its use
	zero := func(from, to int) []byte {
		b := bytes.Clone(good)
		clear(b[from:to])
		return b
	}
	for name, content := range map[string][]byte{
		"empty":              {},
		"one byte":           {0},
		"text":               []byte(strings.Repeat("this is not a database\n", 4000)),
		"zeros":              make([]byte, len(good)),
		"half a page":        good[:page/2],
		"one page":           good[:page],
		"two pages":          good[:2*page],
		"three pages":        good[:3*page],
		"half":               good[:len(good)/2],
		"one byte short":     good[:len(good)-1],
		"both metas lost":    zero(0, 2*page),
		"foreign":            foreign(t, nil),
		"without a schema":   foreign(t, func(tx *bbolt.Tx) error { return buckets(tx, bucketCount) }),
		"without its events": foreign(t, func(tx *bbolt.Tx) error { return errors.Join(buckets(tx, bEvents), schemaIs(tx, schema)) }),
		"without its machine tokens": foreign(t, func(tx *bbolt.Tx) error {
			return errors.Join(buckets(tx, bMachineTokens), schemaIs(tx, schema))
		}),
		"no freelist": foreignNoFreelist(t),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(context.Background(), Options{Path: path})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("Open = %v, want ErrDamaged with the path", err)
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, content) {
				t.Errorf("the file has been changed (%v)", err)
			}
			// The refusal lets go of the file.
			db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Millisecond, ReadOnly: true})
			if err == nil {
				_ = db.Close()
			} else if errors.Is(err, bbolt.ErrTimeout) { //nolint:staticcheck // the same value
				t.Error("the file is still locked")
			}
		})
	}
}

// used returns how many bytes of a database are in use.
func used(t *testing.T, content []byte) (n int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "used.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	if err := db.View(func(tx *bbolt.Tx) error { n = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// foreign returns the content of a bbolt file that something else has made.
func foreign(t *testing.T, fill func(*bbolt.Tx) error) []byte {
	t.Helper()
	return bboltFile(t, &bbolt.Options{}, fill)
}

// foreignNoFreelist returns a file that bbolt would write to as soon as it opens it for writing.
func foreignNoFreelist(t *testing.T) []byte {
	t.Helper()
	return bboltFile(t, &bbolt.Options{NoFreelistSync: true}, nil)
}

func bboltFile(t *testing.T, o *bbolt.Options, fill func(*bbolt.Tx) error) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "foreign.db")
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if fill != nil {
			return fill(tx)
		}
		_, err := tx.CreateBucket([]byte("something else"))
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func buckets(tx *bbolt.Tx, except bucket) error {
	for b, name := range bucketNames {
		if bucket(b) == except {
			continue
		}
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

func schemaIs(tx *bbolt.Tx, n uint32) error {
	return tx.Bucket(bucketNames[bFile]).Put(schemaKey, binary.BigEndian.AppendUint32(nil, n))
}

func TestOpenRefusesANewerFile(t *testing.T) {
	path := filled(t)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return schemaIs(tx, schema+1) })
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	_, err = Open(context.Background(), Options{Path: path})
	if !errors.Is(err, storage.ErrNewer) || errors.Is(err, storage.ErrDamaged) {
		t.Errorf("Open = %v, want ErrNewer", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file has been changed")
	}
}

// TestOpenUpgradesAnOlderFile opens a file as the first schema had it: without the buckets of machine tokens and of invitations.
func TestOpenUpgradesAnOlderFile(t *testing.T) {
	path := filled(t)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.DeleteBucket(bucketNames[bMachineTokens]), tx.DeleteBucket(bucketNames[bInvitations]),
			tx.DeleteBucket(bucketNames[bInvitationIndex]), schemaIs(tx, 1))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := Open(context.Background(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Update(context.Background(), func(tx storage.Tx) error {
			_, err := tx.MachineTokens().List(storage.Key{}, 1)
			_, err2 := tx.Invitations().List(storage.Key{}, 1)
			_, err3 := tx.Invitations().ByInviter("ada", 1)
			return errors.Join(err, err2, err3)
		})
		if err = errors.Join(err, s.Check(context.Background()), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	db, err = bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	err = db.View(func(tx *bbolt.Tx) error {
		if n := binary.BigEndian.Uint32(tx.Bucket(bucketNames[bFile]).Get(schemaKey)); n != schema {
			t.Errorf("the schema is %d", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOpenIndexesTheEventsOfAnOlderFile opens a file of the second schema, which lists events by their ends alone.
func TestOpenIndexesTheEventsOfAnOlderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "older.db")
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 5)
	err = s.Update(t.Context(), func(tx storage.Tx) error {
		return errors.Join(
			tx.Events().Append(storage.Event{Time: at, Name: "first"}, at.Add(time.Hour)),
			tx.Events().Append(storage.Event{Time: at.Add(time.Second), Name: "second", Account: "ada"}, at.Add(time.Minute)),
		)
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.DeleteBucket(bucketNames[bEventTimes]), tx.DeleteBucket(bucketNames[bEventAccounts]), schemaIs(tx, 2))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		var list, own []storage.Event
		err = s.View(t.Context(), func(tx storage.Tx) (err error) {
			if list, err = tx.Events().List(storage.EventFilter{}, 9); err != nil {
				return err
			}
			own, err = tx.Events().List(storage.EventFilter{Account: "ada"}, 9)
			return err
		})
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if len(list) != 2 || list[0].Name != "second" || list[1].Name != "first" {
			t.Fatalf("the events are %+v", list)
		}
		if len(own) != 1 || own[0].Name != "second" {
			t.Fatalf("the events of the account are %+v", own)
		}
	}
}

func TestOpenNamesTheHolder(t *testing.T) {
	s := open(t)
	defer s.Close() //nolint:errcheck // the end of the test
	_, err := Open(context.Background(), Options{Path: s.Path(), Timeout: time.Nanosecond})
	if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), "one process owns this file") {
		t.Fatalf("Open = %v, want ErrLocked", err)
	}
	if runtime.GOOS == "linux" && !strings.Contains(err.Error(), "this process") {
		t.Errorf("Open = %v, which does not name the holder", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Options{Path: s.Path()}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
}

// TestHelperHold is a process that holds a database until its input ends.
func TestHelperHold(t *testing.T) {
	path := os.Getenv("BOLT_TEST_HOLD")
	if path == "" {
		t.Skip("a helper of another test")
	}
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenNamesAnotherProcess(t *testing.T) {
	path := filled(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperHold$") //nolint:gosec // this test itself
	cmd.Env = append(os.Environ(), "BOLT_TEST_HOLD="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Options{Path: path, Timeout: time.Nanosecond})
	if !errors.Is(err, storage.ErrLocked) {
		t.Errorf("Open = %v, want ErrLocked", err)
	}
	if want := filepath.Base(os.Args[0])[:4]; runtime.GOOS == "linux" && !strings.Contains(err.Error(), "("+want) {
		t.Errorf("Open = %v, which does not name %s", err, want)
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
	s, err := Open(context.Background(), Options{Path: path}) // it is free again
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenWaitsForTheFileToBeFree(t *testing.T) {
	s := open(t)
	opened := make(chan error)
	go func() {
		again, err := Open(context.Background(), Options{Path: s.Path()})
		if err == nil {
			err = again.Close()
		}
		opened <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestOpenWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", dir, filepath.Join(file, "below", "x.db")} {
		if s, err := Open(context.Background(), Options{Path: path}); err == nil {
			_ = s.Close()
			t.Errorf("Open(%q) succeeded", path)
		}
	}
}

func TestCanonical(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	for _, err := range []error{
		os.MkdirAll(at("real", "deep"), 0o700),
		os.WriteFile(at("real", "there.db"), nil, 0o600),
		os.Symlink(at("real"), at("link")),
		os.Symlink("there.db", at("real", "relative.db")),
		os.Symlink(at("real", "none.db"), at("dangling.db")),
		os.Symlink("nowhere/none.db", at("real", "deeper.db")),
		os.Symlink("loop.db", at("loop.db")),
	} {
		if err != nil {
			t.Skip(err) // no symbolic links here
		}
	}
	for path, want := range map[string]string{
		at("real", "there.db"):              at("real", "there.db"),
		at("link", "there.db"):              at("real", "there.db"),
		at("link", "relative.db"):           at("real", "there.db"),
		at("link", "deep", "..", "new.db"):  at("real", "new.db"),
		at("link", "a", "b", "new.db"):      at("real", "a", "b", "new.db"),
		at("dangling.db"):                   at("real", "none.db"),
		at("link", "deeper.db"):             at("real", "nowhere", "none.db"),
		at("real") + "//there.db":           at("real", "there.db"),
		at("none", "..", "link", "new.db"):  at("real", "new.db"),
		at("link", "deep", ".", "other.db"): at("real", "deep", "other.db"),
	} {
		if got, err := Canonical(path); err != nil || got != want {
			t.Errorf("Canonical(%s) = %s, %v, want %s", path, got, err, want)
		}
	}
	for _, path := range []string{"", at("loop.db")} {
		if got, err := Canonical(path); err == nil {
			t.Errorf("Canonical(%q) = %s", path, got)
		}
	}
	t.Chdir(root)
	if got, err := Canonical(filepath.Join("link", "new.db")); err != nil || got != at("real", "new.db") {
		t.Errorf("Canonical of a relative path = %s, %v", got, err)
	}
}

func TestOpenRemovesLeftovers(t *testing.T) {
	path := filled(t)
	leftovers := []string{path + newSuffix + "1", path + backupSuffix + "2"}
	others := []string{path + ".bak", filepath.Join(filepath.Dir(path), "other.db"+backupSuffix+"3")}
	for _, f := range append(leftovers, others...) {
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the end of the test
	for _, f := range leftovers {
		if _, err := os.Stat(f); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", f)
		}
	}
	for _, f := range others {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}

func TestTwoStoresCreateOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	results := make(chan error)
	const n = 8
	for range n {
		go func() { results <- create(path) }()
	}
	for range n {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Check(context.Background()), s.Close()); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
}

// TestOpenReadsTheSessionsOfAnOlderFile opens a file of the third schema, whose sessions note no network.
func TestOpenReadsTheSessionsOfAnOlderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "older.db")
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	want := storage.Session{Key: storage.Key{End: 1 << 31, Digest: storage.Digest{1}}, ID: "sid", Account: "a", Site: "s", Device: "d"}
	err = s.Update(t.Context(), func(tx storage.Tx) error { return tx.Sessions().Create(want) })
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		key, _ := keyOf(want.Key)
		older := encodeSession(want)
		older = older[:len(older)-1] // the empty text of the network
		older[0] = recordVersion
		return errors.Join(tx.Bucket(bucketNames[bSessions]).Put(key, older), schemaIs(tx, 3))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // only read
	read := func() (got storage.Session) {
		t.Helper()
		if err := s.View(t.Context(), func(tx storage.Tx) (err error) {
			got, _, err = tx.Sessions().Get(want.Key)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	err = s.Update(t.Context(), func(tx storage.Tx) error {
		_, err := tx.Sessions().TouchAll([]storage.Touch{{
			Key: want.Key, Now: time.Unix(1<<30, 0), IdleEnd: time.Unix(1<<31, 0), Every: time.Minute,
		}})
		return err
	})
	if err != nil || read().ID != want.ID {
		t.Errorf("a use of it: %v", err)
	}
}

// TestDUR1_ANewDatabaseReplacesNone: of two processes that make one, the second leaves that of the first alone.
func TestDUR1_ANewDatabaseReplacesNone(t *testing.T) {
	dir := t.TempDir()
	temp, path := filepath.Join(dir, "gate.db.new-1"), filepath.Join(dir, "gate.db")
	for name, text := range map[string]string{temp: "second", path: "first"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := publish(temp, path)
	if text, _ := os.ReadFile(path); !errors.Is(err, fs.ErrExist) || string(text) != "first" {
		t.Errorf("%v, the database is %q", err, text)
	}
}

// TestOpenReadsTheMailsOfAnOlderFile opens a file of the fifth schema, whose mails have no lane: they leave as mails to accounts do.
func TestOpenReadsTheMailsOfAnOlderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "older.db")
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	due := time.Unix(1_800_000_000, 0).UTC()
	want := storage.Mail{ID: storage.MailID{1}, Due: due, Queued: due, End: due.Add(time.Hour), Purpose: "sign_in", Site: "s", Sealed: []byte("x")}
	err = s.Update(t.Context(), func(tx storage.Tx) error { return tx.Outbox().Enqueue(want) })
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		older := encodeMail(want)
		older = older[:len(older)-3] // lane, place and the mark of an empty one
		older[0] = recordVersion
		return errors.Join(tx.Bucket(bucketNames[bOutbox]).Put(want.ID[:], older), schemaIs(tx, 5))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // only read
	until := due.Add(time.Minute)
	err = s.Update(t.Context(), func(tx storage.Tx) error {
		mails, err := tx.Outbox().Lease(storage.LaneDirect, due, until, 9)
		want.Due, want.Attempts = until, 1
		if diff := cmp.Diff([]storage.Mail{want}, mails); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
