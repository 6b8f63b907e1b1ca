package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

var now = time.Date(2026, 3, 14, 9, 26, 53, 123456789, time.UTC)

func digest(parts ...any) storage.Digest { return sha256.Sum256([]byte(fmt.Sprint(parts...))) }

// size is how many accounts and sessions, flows and mails a database has.
type size struct{ accounts, flows, mails int }

var small = size{accounts: 12, flows: 7, mails: 5}

// fill puts what a gate of a size keeps into a new store.
func fill(t testing.TB, s storage.Store, of size) {
	t.Helper()
	enginetest.SetDataKey(t, s)
	var list []storage.Record
	end := now.Add(time.Hour)
	for i := range of.accounts {
		id := fmt.Sprintf("account-%08d", i)
		list = append(list, storage.Account{
			ID: id, Mailbox: digest("mailbox", i), Status: storage.StatusActive, Roles: []string{"user"}, Private: make([]byte, 90), Created: now, Version: uint64(i%3 + 1),
		}, storage.Session{
			Key: storage.Key{End: end.Unix() + int64(i), Digest: digest("session", i)}, ID: fmt.Sprintf("session-%08d", i), Account: id, Mailbox: digest("mailbox", i),
			Site: "https://app.example.com", Methods: []string{"link"}, AuthTime: now, Created: now, Seen: now, IdleEnd: end, Device: "Firefox on Linux",
		})
		if i%4 == 0 {
			list = append(list, storage.EpochRecord{Key: storage.AccountEpoch(id), Epoch: uint64(i + 1)}, storage.MachineToken{
				Key: storage.Key{End: end.Unix(), Digest: digest("machine", i)}, ID: fmt.Sprint("jti-", i), Account: id, Mailbox: digest("mailbox", i), Scopes: []string{"calendar"}, Created: now,
			})
		}
	}
	for i := range of.flows {
		flow := storage.Key{End: end.Unix(), Digest: digest("flow", i)}
		list = append(list, storage.Flow{
			Key: flow, ID: fmt.Sprintf("flow-%08d", i), Site: "https://app.example.com", Purpose: "sign_in", Mailbox: digest("mailbox", i), Started: now, State: storage.FlowOpen,
			Codes: []storage.Digest{digest("code", i)}, MailIP: []storage.Key{{End: end.Unix(), Digest: digest("ip", i)}}, NextResend: now, Private: make([]byte, 200),
		}, storage.Token{Key: storage.Key{End: end.Unix(), Digest: digest("token", i)}, Kind: storage.TokenLink, Flow: flow},
			storage.Invitation{Key: flow, ID: fmt.Sprintf("flow-%08d", i), Inviter: "account-00000000", Mailbox: digest("mailbox", i)},
			storage.CounterRecord{Key: storage.Key{End: end.Unix(), Digest: digest("ip", i)}, Count: int64(i)},
			// Of one microsecond, in another order than that of their nanoseconds.
			storage.EventRecord{Event: storage.Event{Time: now.Add(-time.Duration(i % 3)), Name: "requested", Flow: fmt.Sprint(i)}, End: end.Unix() - int64(i)})
	}
	for i := range of.mails {
		d := digest("mail", i)
		list = append(list, storage.Mail{
			ID: storage.MailID(d[:16]), Due: now, End: end, Queued: now, Lane: storage.Lane(i % 3), Position: uint64(i), Attempts: i % 2, Dead: i%5 == 4, Empty: i%7 == 6,
			Purpose: "sign_in", Sealed: make([]byte, 300), Reason: "greylisted",
		})
	}
	list = append(list, storage.MetaRecord{Name: storage.MetaClock, Value: make([]byte, 8)}, storage.MetaRecord{Name: storage.MetaSigningKeys, Value: []byte("keys")})
	for len(list) > 0 {
		n := min(1000, len(list))
		err := s.Update(t.Context(), func(tx storage.Tx) error {
			for _, r := range list[:n] {
				if err := tx.Records().Put(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		list = list[n:]
	}
}

func openBolt(t testing.TB, name string) storage.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a run may have closed it
	return s
}

func checkKey(sealed []byte) error {
	_, _, err := keyring.Open([][]byte{[]byte(enginetest.Master)}, sealed)
	return err
}

// kept is a store that stays open after a run.
type kept struct{ storage.Store }

func (kept) Close() error { return nil }

func options(source, target storage.Store) Options {
	return Options{
		Source: source, CheckKey: checkKey, Page: 2,
		OpenTarget: func(context.Context) (storage.Store, error) { return kept{target}, nil },
	}
}

// everything returns all records of a store, with times as every engine keeps them.
func everything(t testing.TB, s storage.Store) map[string][]storage.Record {
	t.Helper()
	all := map[string][]storage.Record{}
	for _, kind := range storage.RecordKinds() {
		p, err := read(t.Context(), s, kind, nil, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		all[kind.String()] = p.records
	}
	return all
}

var micro = cmp.Comparer(func(a, b time.Time) bool { return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond)) })

// meta returns a value of a store, and whether there is one.
func meta(t testing.TB, s storage.Store, name string) (value string, found bool) {
	t.Helper()
	err := s.View(t.Context(), func(tx storage.Tx) error {
		v, f, err := tx.Meta().Get(name)
		value, found = string(v), f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value, found
}

// wantMoved checks that a target has what the source has, and which of them a gate may open.
func wantMoved(t *testing.T, source, target storage.Store) {
	t.Helper()
	if diff := cmp.Diff(everything(t, source), everything(t, target), micro, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the target has something else (-source +target):\n%s", diff)
	}
	if _, marked := meta(t, source, storage.MetaRestored); !marked {
		t.Error("the source is not marked")
	}
	if mark, marked := meta(t, target, storage.MetaMigration); marked {
		t.Errorf("the target is still marked: %s", mark)
	}
}

func TestMOVE1_EverythingMoves(t *testing.T) {
	source, target := openBolt(t, "source.db"), openBolt(t, "target.db")
	fill(t, source, small)
	o := options(source, target)
	var lines []string
	o.Progress = func(kind storage.RecordKind, done, total int) {
		lines = append(lines, fmt.Sprint(kind, " ", done, "/", total))
	}
	done, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	wantMoved(t, source, target)
	if _, marked := meta(t, target, storage.MetaRestored); marked || done.Resumed {
		t.Error("a whole copy is taken for a restored or a resumed one")
	}
	n := 0
	for _, d := range done.Kinds {
		if n += d.Records; d.Records == 0 || d.Sum == [32]byte{} {
			t.Errorf("%s: %d records, %s", d.Kind, d.Records, d)
		}
	}
	if want := 12*2 + 3*2 + 7*5 + 5 + 3; n != want || !strings.Contains(strings.Join(lines, " "), "sessions 12/12") {
		t.Errorf("%d records, want %d; progress %v", n, want, lines)
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Errorf("once more: %v", err)
	}
}

var errCut = errors.New("cut")

// cut is a store whose steps fail after some, or whose last one is committed and not answered.
type cut struct {
	storage.Store
	left     *int
	answered bool
}

func (c cut) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if *c.left--; *c.left >= 0 {
		return c.Store.Update(ctx, fn)
	}
	if !c.answered && *c.left == -1 {
		if err := c.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return errCut
}

func (cut) Close() error { return nil }

// TestMOVE1_CutBeforeAndAfterEachStep cuts a run before each of its steps, and after each, and runs it again.
func TestMOVE1_CutBeforeAndAfterEachStep(t *testing.T) {
	for _, answered := range []bool{true, false} {
		for n, whole := 0, false; !whole; n += 3 {
			source, target := openBolt(t, "source.db"), openBolt(t, "target.db")
			fill(t, source, size{5, 3, 2})
			left := n
			o := options(cut{source, &left, answered}, target)
			o.OpenTarget = func(context.Context) (storage.Store, error) { return cut{target, &left, answered}, nil }
			_, err := Run(t.Context(), o)
			if whole = err == nil; !whole && !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			if _, marked := meta(t, target, storage.MetaMigration); marked == whole && n > 0 && answered {
				t.Errorf("cut before step %d, the target is marked: %v", n, marked)
			}
			if !whole {
				done, err := Run(t.Context(), options(source, target))
				if err != nil && (answered || !errors.Is(err, ErrInUse)) { // its last step may have been committed
					t.Fatalf("after a cut at step %d: %v", n, err)
				}
				if err == nil && done.Resumed != (n > 0 || !answered) {
					t.Errorf("after a cut at step %d: resumed %v", n, done.Resumed)
				}
			}
			wantMoved(t, source, target)
			if _, marked := meta(t, target, storage.MetaRestored); marked {
				t.Errorf("after a cut at step %d the target is taken for a restored one", n)
			}
		}
	}
}

func set(t testing.TB, s storage.Store, name, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx storage.Tx) error { return tx.Meta().Put(name, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

// incarnate is a store of an incarnation.
type incarnate struct {
	storage.Store
	name string
}

func (s incarnate) Incarnation(context.Context) (string, error) { return s.name, nil }

func (incarnate) Close() error { return nil }

// TestREST2_ARestoredCopyMovesAsOne: what a restored backup ends at its first start ends in the target as well, and an incarnation of the
// source is none of the target.
func TestREST2_ARestoredCopyMovesAsOne(t *testing.T) {
	for name, c := range map[string]struct {
		meta, value string
		restored    bool
	}{
		"a restored file":   {storage.MetaRestored, "\x01", true},
		"a copy":            {storage.MetaIncarnation, "another", true},
		"the same database": {storage.MetaIncarnation, "source", false},
	} {
		source, target := openBolt(t, "source.db"), openBolt(t, "target.db")
		fill(t, source, small)
		set(t, source, c.meta, c.value)
		o := options(incarnate{source, "source"}, target)
		o.OpenTarget = func(context.Context) (storage.Store, error) { return incarnate{target, "target"}, nil }
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		wantMoved(t, source, target)
		if _, marked := meta(t, target, storage.MetaRestored); marked != c.restored {
			t.Errorf("%s: the target is marked as restored: %v", name, marked)
		}
		if got, _ := meta(t, target, storage.MetaIncarnation); got != "target" {
			t.Errorf("%s: the target is the incarnation %q", name, got)
		}
	}
}
