package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

const site = "https://app.example.com"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func master(b byte) []byte { return bytes.Repeat([]byte{b, b + 1, b + 2, b + 3}, 8) }

func masters(list ...[]byte) func([]byte) ([][]byte, error) {
	return func([]byte) ([][]byte, error) { return list, nil }
}

func openStore(t *testing.T, path string) storage.Store {
	t.Helper()
	store, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func open(t *testing.T, path string, clk *clock.Clock, keys ...[]byte) *Vault {
	t.Helper()
	store := openStore(t, path)
	s, err := Open(t.Context(), Config{Store: store, Masters: masters(keys...), Clock: clk})
	if err != nil {
		_ = store.Close()
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s *Vault) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// refused opens what must not be opened.
func refused(t *testing.T, path string, keys ...[]byte) error {
	t.Helper()
	store := openStore(t, path)
	defer func() { _ = store.Close() }()
	_, err := Open(t.Context(), Config{Store: store, Masters: masters(keys...)})
	if err == nil {
		t.Fatal("opened")
	}
	return err
}

func signIn(t *testing.T, s *Vault, email string) (cookie string, a accounts.Account) {
	t.Helper()
	addr, err := address.Parse(email)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Store.Update(t.Context(), func(tx storage.Tx) error {
		if a, err = s.Accounts.Create(tx, accounts.NewAccount{Address: addr}); err != nil {
			return err
		}
		cookie, _, err = s.Sessions.Open(tx, a, session.OpenInput{
			Site: site, Mailbox: addr.Mailbox(s.Ring), Methods: []string{"link"}, Idle: time.Hour, Absolute: 24 * time.Hour,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cookie, a
}

func alive(t *testing.T, s *Vault, cookie string) bool {
	t.Helper()
	l, err := s.Sessions.Find(t.Context(), cookie, site)
	if err != nil {
		t.Fatal(err)
	}
	return l != nil
}

// TestMACH4_TokensAreThereAtOnce: the first request after a start, and a command that opens the database itself, find them.
func TestMACH4_TokensAreThereAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := clock.NewFake(noon)
	v := open(t, path, now.Clock(), master(1))
	_, a := signIn(t, v, "ada@example.com")
	v.Machines.SetScopes([]string{"calendar"})
	text, made, err := v.Machines.Create(t.Context(), machinetoken.Input{Account: a.ID, Site: site, Scopes: []string{"calendar"}, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	closed(t, v)
	v = open(t, path, now.Restarted(), master(1))
	defer closed(t, v)
	if live, err := v.Machines.Find(t.Context(), text, site); live == nil || err != nil {
		t.Errorf("the token is found as %v, %v", live, err)
	}
	if _, revoked, err := v.Machines.Revoke(t.Context(), made.ID, storage.Operator{}); !revoked || err != nil {
		t.Errorf("revoked %v, %v", revoked, err)
	}
}

func TestKEY1_TheSameKeysAfterARestartAndANewMaster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := clock.NewFake(noon)
	s := open(t, path, now.Clock(), master(1))
	if !s.Created || s.Restored {
		t.Errorf("created %v, restored %v", s.Created, s.Restored)
	}
	cookie, _ := signIn(t, s, "ada@example.com")
	kid, audience := s.Signing.Current(noon).ID, s.Ring.AudienceKey("app")
	closed(t, s)
	for _, keys := range [][][]byte{{master(1)}, {master(9), master(1)}, {master(9)}} {
		s = open(t, path, now.Clock(), keys...)
		if s.Created || !alive(t, s, cookie) || s.Signing.Current(noon).ID != kid || !bytes.Equal(s.Ring.AudienceKey("app"), audience) {
			t.Error("something has changed")
		}
		closed(t, s)
	}
	if err := refused(t, path, master(1)); !errors.Is(err, keyring.ErrForeignKey) {
		t.Errorf("the old master: %v", err)
	}
}

func TestKEY1_ALostDataKeyIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, nil, master(1))
	signIn(t, s, "ada@example.com")
	err := s.Store.Update(t.Context(), func(tx storage.Tx) error { return tx.Meta().Delete(storage.MetaDataKey) })
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if err := refused(t, path, master(1)); !errors.Is(err, ErrNoDataKey) {
		t.Errorf("opening: %v", err)
	}
}

// TestMOVE1_NoGateOpensWhatIsNotComplete: the target of a migration that has not ended.
func TestMOVE1_NoGateOpensWhatIsNotComplete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	store := openStore(t, path)
	err := store.Update(t.Context(), func(tx storage.Tx) error { return tx.Meta().Put(storage.MetaMigration, []byte("{}")) })
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, path, master(1)); !errors.Is(err, ErrMigrating) {
		t.Errorf("opening: %v", err)
	}
	store = openStore(t, path)
	defer func() { _ = store.Close() }()
	err = store.View(t.Context(), func(tx storage.Tx) error {
		_, made, err := tx.Meta().Get(storage.MetaDataKey)
		if made {
			t.Error("a data key was made")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMastersAreAskedWithTheSealedKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	broken := errors.New("no key file")
	for _, exists := range []bool{false, true} {
		store := openStore(t, path)
		_, err := Open(t.Context(), Config{Store: store, Masters: func(sealed []byte) ([][]byte, error) {
			if (len(sealed) > 0) != exists {
				t.Errorf("exists %v, sealed %x", exists, sealed)
			}
			return nil, broken
		}})
		if !errors.Is(err, broken) {
			t.Errorf("Open: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		closed(t, open(t, path, nil, master(1)))
	}
}

func TestKEY1_RotationOfTheSigningKeyIsStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := clock.NewFake(noon)
	s := open(t, path, now.Clock(), master(1))
	first := s.Signing.Current(now.Clock().Now()).ID
	kid, err := s.RotateSigningKey(t.Context(), nil)
	if err != nil || kid == first {
		t.Fatalf("%q after %q, %v", kid, first, err)
	}
	if _, err := s.RotateSigningKey(t.Context(), nil); !errors.Is(err, keyring.ErrRotating) {
		t.Errorf("a second rotation: %v", err)
	}
	closed(t, s)
	s = open(t, path, now.Clock(), master(1))
	if got := s.Signing.Current(now.Clock().Now()).ID; got != first {
		t.Errorf("used at once: %q", got)
	}
	now.Advance(keyring.SigningLead)
	if got := s.Signing.Current(now.Clock().Now()).ID; got != kid {
		t.Errorf("used after its lead: %q", got)
	}
	s.Store = failing{s.Store}
	if _, err := s.RotateSigningKey(t.Context(), nil); !errors.Is(err, storage.ErrUnknown) {
		t.Errorf("a rotation without a commit: %v", err)
	}
	if n := len(s.Signing.Listed(now.Clock().Now())); n != 2 {
		t.Errorf("%d keys are listed after a rotation that was not stored", n)
	}
	s.Store = s.Store.(failing).Store
	closed(t, s)
}

// failing refuses writes.
type failing struct{ storage.Store }

func (failing) Update(context.Context, func(storage.Tx) error) error { return storage.ErrUnknown }

func TestREST2_ARestoredBackupStartsEmpty(t *testing.T) {
	dir := t.TempDir()
	now := clock.NewFake(noon)
	s := open(t, filepath.Join(dir, "live.db"), now.Clock(), master(1))
	cookie, a := signIn(t, s, "ada@example.com")
	err := s.Store.Update(t.Context(), func(tx storage.Tx) error {
		for i := range dropChunk + 10 {
			var id storage.MailID
			_, _ = rand.Read(id[:])
			due := noon.Add(time.Duration(i) * time.Minute) // some are due long after now
			if err := tx.Outbox().Enqueue(storage.Mail{ID: id, Due: due, End: noon.Add(72 * time.Hour), Queued: noon, Sealed: []byte("x")}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy.db")
	f, err := os.OpenFile(copied, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Store.(storage.Backuper).Backup(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if !alive(t, s, cookie) {
		t.Error("the backup ended something in the original")
	}
	closed(t, s)

	var log bytes.Buffer
	store := openStore(t, copied)
	s, err = Open(t.Context(), Config{Store: store, Masters: masters(master(1)), Clock: now.Clock(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Restored || alive(t, s, cookie) {
		t.Errorf("restored %v; the session must be dead", s.Restored)
	}
	if n := strings.Count(log.String(), "restored backup"); n != 1 || !strings.Contains(log.String(), "mails=266") {
		t.Errorf("logged: %s", &log)
	}
	err = s.Store.View(t.Context(), func(tx storage.Tx) error {
		waiting, _, err := tx.Outbox().Stats()
		if err != nil {
			return err
		}
		events, err := tx.Events().List(storage.EventFilter{}, 10)
		if waiting != 0 || len(events) != 1 || events[0].Outcome != "restored" {
			t.Errorf("%d mails wait; events %+v", waiting, events)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.Accounts.Lookup(t.Context(), a.Email); !found || err != nil {
		t.Errorf("the account: %v, %v", found, err)
	}
	second, _ := signIn(t, s, "bob@example.com")
	closed(t, s)

	s = open(t, copied, now.Clock(), master(1))
	if s.Restored || !alive(t, s, second) || alive(t, s, cookie) {
		t.Error("the second start is not an ordinary one")
	}
	closed(t, s)
}

func born(t *testing.T, s *Vault) (at time.Time) {
	t.Helper()
	if err := s.Store.View(t.Context(), func(tx storage.Tx) (err error) {
		at, _, err = storage.MetaTime(tx, storage.MetaCreated)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestREST2_ADatabaseKnowsWhenItWasMadeOrPutBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := clock.NewFake(noon)
	meta := func(s *Vault, change func(storage.Meta) error) {
		t.Helper()
		if err := s.Store.Update(t.Context(), func(tx storage.Tx) error { return change(tx.Meta()) }); err != nil {
			t.Fatal(err)
		}
		closed(t, s)
		now.Advance(time.Hour)
	}
	hours := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	s := open(t, path, now.Clock(), master(1))
	for i, step := range []struct {
		want   time.Time
		change func(m storage.Meta) error
	}{
		{hours(0), func(storage.Meta) error { return nil }},
		{hours(0), func(m storage.Meta) error { return m.Put(storage.MetaRestored, []byte{1}) }},
		{hours(2), func(m storage.Meta) error { return m.Delete(storage.MetaCreated) }}, // as made by an older version
		{hours(3), func(m storage.Meta) error { return nil }},
		{hours(3), func(m storage.Meta) error { return m.Put(storage.MetaCreated, []byte("x")) }},
	} {
		if got := born(t, s); !got.Equal(step.want) {
			t.Errorf("step %d: born %v, want %v", i, got, step.want)
		}
		meta(s, step.change)
		if i < 4 {
			s = open(t, path, now.Clock(), master(1))
		}
	}
	if err := refused(t, path, master(1)); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("a birth that cannot be read: %v", err)
	}
}

func TestCLK1_TheClockIsPersistedAndRestored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := clock.NewFake(noon)
	s := open(t, path, now.Clock(), master(1))
	cookie, _ := signIn(t, s, "ada@example.com")
	now.Advance(time.Hour)
	if alive(t, s, cookie) {
		t.Fatal("alive after its end")
	}
	closed(t, s)
	now.Set(noon) // the clock falls back while the gate is down
	s = open(t, path, now.Restarted(), master(1))
	if alive(t, s, cookie) {
		t.Error("a clock that jumped back revived a session")
	}
	closed(t, s)
}

func TestCLK1_WhatWasSweptStaysOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	now := clock.NewFake(noon)
	s := open(t, path, now.Clock(), master(1))
	now.Advance(59 * time.Second) // the clock has not been persisted for a while
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Store.Close(); err != nil { // the process is killed
		t.Fatal(err)
	}
	now.Set(noon)
	s = open(t, path, now.Restarted(), master(1))
	if got := s.Clock.Now(); got.Before(noon.Add(59 * time.Second)) {
		t.Errorf("the clock says %v: what ended since then is alive again and its record is gone", got)
	}
	closed(t, s)
}

func TestCLK1_NoSweepWhileTheClockIsInDoubt(t *testing.T) {
	now := clock.NewFake(noon)
	s := open(t, filepath.Join(t.TempDir(), "test.db"), now.Clock(), master(1))
	defer closed(t, s)
	err := s.Store.Update(t.Context(), func(tx storage.Tx) error {
		for i := range 2*sweepChunk + 5 {
			k := storage.Key{End: noon.Add(time.Hour).Unix(), Digest: storage.Digest{byte(i), byte(i >> 8)}}
			if _, _, err := tx.Counters().Spend(k, 1, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sweep := func(want int) {
		t.Helper()
		if n, err := s.Sweep(t.Context()); n != want || err != nil {
			t.Errorf("swept %d, %v; want %d", n, err, want)
		}
	}
	now.Set(noon.Add(48 * time.Hour))
	sweep(0)
	now.Set(noon) // it was wrong
	now.Advance(clock.Settle)
	sweep(0)
	now.Advance(time.Hour)
	_ = s.Clock.Now()
	sweep(2*sweepChunk + 5)
	sweep(0)
}

// target ends a request by its context alone.
type target context.CancelCauseFunc

func (end target) End(cause error, _ bool) { end(cause) }

func TestStartLooksAfterEverythingUntilClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path, nil, master(1))
		cookie, _ := signIn(t, s, "ada@example.com")
		l, err := s.Sessions.Find(t.Context(), cookie, site)
		if l == nil || err != nil {
			t.Fatalf("Find: %v, %v", l, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		q := &credential.Request{Credential: l, Target: target(cancel), Since: s.Clock.Now()}
		s.Sessions.Track(q)
		defer s.Sessions.Untrack(q)
		s.Start()
		s.Start()
		time.Sleep(time.Hour + 5*time.Second) // in the bubble's time
		if !errors.Is(context.Cause(ctx), session.ErrEnded) {
			t.Errorf("a socket 5 s after its session: %v", context.Cause(ctx))
		}
		closed(t, s)
		s.Start() // begins nothing any more
	})
}
