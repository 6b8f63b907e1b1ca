package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var sessionTests = map[string]func(*testing.T, storage.Store){
	"CreateAndDelete":         testSessionDelete,
	"SES3_TouchAtMostEvery":   testTouch,
	"SES3_TouchEndsExactly":   testTouchEnds,
	"ByAccount":               testByAccount,
	"List":                    testSessionList,
	"AnEmptyAccountIsRefused": testSessionAccount,
	"SES1_Reauthenticate":     testReauthenticate,
	"SES1_RevokeOthers":       testRevokeOthers,
}

func createSession(t *testing.T, s storage.Store, se storage.Session) storage.Session {
	t.Helper()
	update(t, s, func(tx storage.Tx) error { return tx.Sessions().Create(se) })
	return se
}

func wantSession(t *testing.T, s storage.Store, want storage.Session) {
	t.Helper()
	view(t, s, func(tx storage.Tx) error {
		got, found, err := tx.Sessions().Get(want.Key)
		equal(t, "Get", pair(got, found), pair(want, true))
		return err
	})
}

func testSessionDelete(t *testing.T, s storage.Store) {
	se := createSession(t, s, session("s", "me", now.Add(time.Hour)))
	wantSession(t, s, se)
	for _, want := range []bool{true, false} {
		update(t, s, func(tx storage.Tx) error {
			deleted, err := tx.Sessions().Delete(se.Key)
			equal(t, "deleted", deleted, want)
			return err
		})
	}
	view(t, s, func(tx storage.Tx) error {
		_, found, err := tx.Sessions().Get(se.Key)
		if err != nil {
			return err
		}
		list, err := tx.Sessions().ByAccount("me", 9)
		equal(t, "left", pair(found, len(list)), pair(false, 0))
		return err
	})
}

// recordUse records a use of one session, which lives for an hour from then on.
func recordUse(t *testing.T, s storage.Store, k storage.Key, at time.Time, every time.Duration) storage.Touched {
	t.Helper()
	var answers []storage.Touched
	update(t, s, func(tx storage.Tx) (err error) {
		answers, err = tx.Sessions().TouchAll([]storage.Touch{{Key: k, Now: at, IdleEnd: at.Add(time.Hour), Every: every}})
		return err
	})
	return answers[0]
}

func testTouch(t *testing.T, s storage.Store) {
	se := createSession(t, s, session("s", "me", now.Add(24*time.Hour)))
	touch := func(at time.Time, want bool) {
		t.Helper()
		equal(t, "touched", recordUse(t, s, se.Key, at, time.Minute), storage.Touched{Session: se, Touched: want})
		wantSession(t, s, se)
	}
	touch(now.Add(time.Minute-time.Microsecond), false)
	se.Seen, se.IdleEnd = now.Add(time.Minute), now.Add(time.Minute+time.Hour)
	touch(now.Add(time.Minute), true)
	touch(now.Add(time.Minute), false)
	touch(now.Add(-time.Hour), false) // a clock that runs back moves nothing
}

func testTouchEnds(t *testing.T, s storage.Store) {
	for _, c := range []struct {
		name  string
		end   time.Time
		at    time.Time
		touch bool
	}{
		{"at the idle end", now.Add(24 * time.Hour), now.Add(time.Hour), false},
		{"before the idle end", now.Add(24 * time.Hour), now.Add(time.Hour - time.Microsecond), true},
		{"at the absolute end", now.Add(time.Minute), now.Add(time.Minute), false},
		{"before the absolute end", now.Add(time.Minute), now.Add(time.Minute - time.Microsecond), true},
	} {
		se := createSession(t, s, session(c.name, "me", c.end))
		equal(t, c.name, recordUse(t, s, se.Key, c.at, time.Second).Touched, c.touch)
	}
	equal(t, "a missing one", recordUse(t, s, key(now, "none"), now, 0), storage.Touched{})
}

func testByAccount(t *testing.T, s storage.Store) {
	want := map[string]bool{}
	update(t, s, func(tx storage.Tx) error {
		for i := range 5 {
			se := session(fmt.Sprint(i), "me", now.Add(time.Duration(i-2)*time.Hour)) // over or not
			want[se.ID] = true
			if err := tx.Sessions().Create(se); err != nil {
				return err
			}
		}
		for _, other := range []string{"m", "me2", "mf"} {
			if err := tx.Sessions().Create(session(other, other, now.Add(time.Hour))); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Sessions().ByAccount("me", 100)
		if err != nil {
			return err
		}
		got := map[string]bool{}
		for _, se := range list {
			got[se.ID] = true
		}
		equal(t, "sessions", got, want)
		list, err = tx.Sessions().ByAccount("me", 2)
		equal(t, "limited", len(list), 2)
		return err
	})
}

func testSessionAccount(t *testing.T, s storage.Store) {
	for _, bad := range []string{"", "a\x00b"} {
		err := s.Update(context.Background(), func(tx storage.Tx) error {
			return tx.Sessions().Create(session("s", bad, now))
		})
		if err == nil {
			t.Errorf("a session of account %q was stored", bad)
		}
	}
}

func testSessionList(t *testing.T, s storage.Store) {
	want := 7
	update(t, s, func(tx storage.Tx) error {
		for i := range want {
			if err := tx.Sessions().Create(session(fmt.Sprint(i), "me", now.Add(time.Duration(i/2)*time.Hour))); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx storage.Tx) error {
		seen := map[string]bool{}
		for after := (storage.Key{}); ; {
			list, err := tx.Sessions().List(after, 2)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			for _, se := range list {
				seen[se.ID] = true
			}
			after = list[len(list)-1].Key
		}
		equal(t, "sessions", len(seen), want)
		return nil
	})
}

// testReauthenticate proves a session anew that has children, in a step that has written some of them.
func testReauthenticate(t *testing.T, s storage.Store) {
	previous := createSession(t, s, session("old", "me", now.Add(24*time.Hour)))
	child := func(name string, parent storage.Key) storage.Session {
		c := session(name, "me", now.Add(24*time.Hour))
		c.Parent = parent
		return c
	}
	first := createSession(t, s, child("first", previous.Key))
	foreign := createSession(t, s, child("foreign", key(now.Add(time.Hour), "another")))
	second := child("second", previous.Key)
	next := session("next", "me", now.Add(48*time.Hour))
	for _, c := range []struct {
		name string
		of   storage.Key
		next storage.Session
		want bool
	}{
		{"of another account", previous.Key, session("next", "you", now.Add(time.Hour)), false},
		{"of none", key(now.Add(time.Hour), "none"), next, false},
		{"in place", previous.Key, next, true},
		{"twice", previous.Key, session("third", "me", now.Add(time.Hour)), false},
	} {
		update(t, s, func(tx storage.Tx) error {
			if c.want {
				if err := tx.Sessions().Create(second); err != nil {
					return err
				}
			}
			replaced, err := tx.Sessions().Reauthenticate(c.of, c.next)
			equal(t, c.name, replaced, c.want)
			return err
		})
	}
	first.Parent, second.Parent = next.Key, next.Key
	for _, want := range []storage.Session{next, first, second, foreign} {
		wantSession(t, s, want)
	}
	view(t, s, func(tx storage.Tx) error {
		_, found, err := tx.Sessions().Get(previous.Key)
		if err != nil {
			return err
		}
		list, err := tx.Sessions().ByAccount("me", 9)
		equal(t, "left", pair(found, len(list)), pair(false, 4))
		return err
	})
	err := s.View(context.Background(), func(tx storage.Tx) error {
		_, err := tx.Sessions().Reauthenticate(next.Key, previous)
		return err
	})
	if !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("Reauthenticate in a View = %v, want ErrReadOnly", err)
	}
}

// testRevokeOthers ends all sessions of an account but one with its children, one that the same step has opened among them.
func testRevokeOthers(t *testing.T, s storage.Store) {
	child := func(name string, parent storage.Key) storage.Session {
		c := session(name, "me", now.Add(24*time.Hour))
		c.Parent = parent
		return c
	}
	keep := createSession(t, s, session("keep", "me", now.Add(24*time.Hour)))
	below := createSession(t, s, child("below", keep.Key))
	other := createSession(t, s, session("other", "me", now.Add(48*time.Hour)))
	createSession(t, s, child("below the other", other.Key))
	createSession(t, s, session("over", "me", now.Add(-time.Hour)))
	foreign := createSession(t, s, session("foreign", "you", now.Add(24*time.Hour)))
	for _, want := range []int{4, 0} {
		update(t, s, func(tx storage.Tx) error {
			if want > 0 {
				if err := tx.Sessions().Create(session("of this step", "me", now.Add(time.Hour))); err != nil {
					return err
				}
			}
			revoked, err := tx.Sessions().RevokeOthers("me", keep.Key)
			equal(t, "revoked", revoked, want)
			return err
		})
	}
	for _, se := range []storage.Session{keep, below, foreign} {
		wantSession(t, s, se)
	}
	update(t, s, func(tx storage.Tx) error {
		revoked, err := tx.Sessions().RevokeOthers("me", storage.Key{})
		equal(t, "revoked without one to keep", revoked, 2)
		return err
	})
	err := s.View(context.Background(), func(tx storage.Tx) error {
		_, err := tx.Sessions().RevokeOthers("me", keep.Key)
		return err
	})
	if !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("RevokeOthers in a View = %v, want ErrReadOnly", err)
	}
}
