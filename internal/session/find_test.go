package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestFindKnowsOnlyItsOwn(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	cookie, s := r.open(a, OpenInput{Device: "Firefox on Linux"})
	l := r.mustFind(cookie, siteA)
	if l.Account.Email != "ada@example.com" || l.Session.ID != s.ID || l.Session.Device != "Firefox on Linux" || l.Ended() {
		t.Fatalf("found %+v", l.Session)
	}
	swapped := []byte(cookie)
	swapped[20] ^= 1
	for _, bad := range []string{
		"", "x", cookie + "=", cookie[:49], cookie + "A", strings.Repeat("A", 50), strings.Repeat("\x00", 50), string(swapped),
		" " + cookie[:49], strings.Repeat("A", 1<<16),
	} {
		if l := r.find(bad, siteA); l != nil {
			t.Errorf("a session for %.60q", bad)
		}
	}
}

func TestSES1_NewValueAtEachSignIn(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	first, s := r.open(a, OpenInput{})
	old := r.mustFind(first, siteA)
	cause, unregister := r.track(old)
	defer unregister()
	second, _ := r.open(a, OpenInput{Replaces: s.Key})
	if first == second {
		t.Fatal("one value twice")
	}
	r.mustBeGone(first)
	r.mustFind(second, siteA)
	if !old.Ended() || !errors.Is(cause(), ErrEnded) {
		t.Error("what the replaced session had open goes on")
	}
}

func TestSES1_EndIsForGood(t *testing.T) {
	for name, end := range map[string]func(*rig, *Live) error{
		"sign-out":   func(r *rig, l *Live) error { return r.End(t.Context(), l) },
		"everywhere": func(r *rig, l *Live) error { return r.EndEverywhere(t.Context(), l.Account.ID) },
		"all":        func(r *rig, _ *Live) error { return r.EndAll(t.Context()) },
		"by id": func(r *rig, l *Live) error {
			ended, err := r.EndByID(t.Context(), l.Account.ID, l.Session.ID)
			if !ended {
				t.Error("not ended")
			}
			return err
		},
		"outcome unknown": func(r *rig, l *Live) error {
			err := storage.ErrUnknown
			r.spy.failUpdate.Store(&err)
			defer r.spy.failUpdate.Store(nil)
			if err := r.End(t.Context(), l); !errors.Is(err, storage.ErrUnknown) {
				t.Errorf("End answers %v", err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
			l := r.mustFind(cookie, siteA)
			if err := end(r, l); err != nil {
				t.Fatal(err)
			}
			r.mustBeGone(cookie) // a copy of the cookie, in this process
			if !l.Ended() {
				t.Error("a request that runs does not learn of it")
			}
			r.Manager = NewManager(r.spy, r.ring, r.time.Clock(), r.accounts) // after a restart
			r.mustBeGone(cookie)
		})
	}
}

func TestSES1_EndEverywhereSparesOthers(t *testing.T) {
	r := newRig(t)
	ada, bob := r.account("ada@example.com"), r.account("bob@example.com")
	a1, _ := r.open(ada, OpenInput{})
	a2, _ := r.open(ada, OpenInput{Site: siteB})
	b, _ := r.open(bob, OpenInput{})
	r.mustFind(a1, siteA)
	r.mustFind(a2, siteB)
	r.mustFind(b, siteA)
	if err := r.EndEverywhere(t.Context(), ada.ID); err != nil {
		t.Fatal(err)
	}
	r.mustBeGone(a1)
	if r.find(a2, siteB) != nil {
		t.Error("the session at the other site is alive")
	}
	r.mustFind(b, siteA)
	again, _ := r.open(ada, OpenInput{})
	r.mustFind(again, siteA)
	list, err := r.List(t.Context(), ada.ID)
	if err != nil || len(list) != 1 {
		t.Errorf("listed: %v, %v", list, err)
	}
}

func TestTOK5_EndEverywhereOfAnAccountOfAnApp(t *testing.T) {
	r := newRig(t)
	a := accounts.Account{ID: "app-7", Email: "ada@example.com", Status: accounts.Active}
	_, s := r.open(a, OpenInput{})
	if err := r.EndEverywhere(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	err := r.spy.View(t.Context(), func(tx storage.Tx) error {
		n, err := tx.Epochs().Get(storage.MailboxEpoch(s.Mailbox))
		if n != 1 {
			t.Errorf("the mailbox's epoch is %d", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSES6_OneSiteIsNothingAtAnother(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	for range 2 { // cold, then cached
		if r.find(cookie, siteB) != nil {
			t.Fatal("found at the other site")
		}
		r.mustFind(cookie, siteA)
	}
}

func TestSES3_EndsAreExact(t *testing.T) {
	for _, cold := range []bool{false, true} {
		r := newRig(t)
		a := r.account("ada@example.com")
		restart := func() {
			if cold {
				r.Manager = NewManager(r.spy, r.ring, r.time.Clock(), r.accounts)
			}
		}
		cookie, _ := r.open(a, OpenInput{})
		r.time.Advance(time.Hour - time.Microsecond)
		restart()
		l := r.mustFind(cookie, siteA) // a use: the idle end moves
		r.time.Advance(time.Hour - time.Microsecond)
		restart()
		if l.Ended() {
			t.Error("ended before its idle end")
		}
		other, _ := r.open(a, OpenInput{})
		r.mustFind(other, siteA)
		r.time.Advance(time.Hour)
		restart()
		r.mustBeGone(other)
		r.mustBeGone(cookie)
		if !l.Ended() {
			t.Error("not ended after its idle end")
		}

		cookie, s := r.open(a, OpenInput{Idle: time.Hour, Absolute: 90 * time.Minute})
		r.time.Advance(50 * time.Minute)
		l = r.mustFind(cookie, siteA)
		r.time.Advance(s.Key.Ends().Add(-1).Sub(r.time.Clock().Now()))
		restart()
		r.mustFind(cookie, siteA)
		r.time.Advance(time.Microsecond)
		restart()
		r.mustBeGone(cookie)
		if !l.Ended() {
			t.Error("not ended after its absolute end")
		}
	}
}

func TestSES3_OneWriteAMinute(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	before := r.spy.updates.Load()
	for range 10 * 60 { // ten minutes of a request each second
		r.time.Advance(time.Second)
		r.mustFind(cookie, siteA)
	}
	if n := r.spy.updates.Load() - before; n != 10 {
		t.Errorf("%d writes in ten minutes", n)
	}
}

func TestSES3_ShortIdleTimesAreKeptAlive(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{Idle: 10 * time.Second, Absolute: time.Hour})
	for range 60 {
		r.time.Advance(4 * time.Second)
		r.mustFind(cookie, siteA)
	}
	r.time.Advance(10 * time.Second)
	r.mustBeGone(cookie)
}

func TestSES3_ConcurrentUsesAreOneWrite(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	r.mustFind(cookie, siteA)
	r.time.Advance(2 * time.Minute)
	before := r.spy.updates.Load()
	done := make(chan struct{})
	for range 16 {
		go func() {
			defer func() { done <- struct{}{} }()
			if l, err := r.Find(context.Background(), cookie, siteA); l == nil || err != nil {
				t.Errorf("Find: %v, %v", l, err)
			}
		}()
	}
	for range 16 {
		<-done
	}
	if n := r.spy.updates.Load() - before; n != 1 {
		t.Errorf("%d writes", n)
	}
}

func TestLifetimesInForceShortenOpenSessions(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	open := func() string {
		cookie, _ := r.open(a, OpenInput{Idle: time.Hour, Absolute: 24 * time.Hour})
		r.mustFind(cookie, siteA)
		return cookie
	}
	cookie := open()
	r.SetLifetimes(Lifetimes{Idle: 10 * time.Minute, Absolute: 30 * time.Minute})
	l := r.mustFind(cookie, siteA)
	if got := l.IdleEnd(); !got.Equal(noon.Add(10 * time.Minute)) {
		t.Errorf("idle end %v", got)
	}
	if got := l.AbsoluteEnd(); !got.Equal(noon.Add(30 * time.Minute)) {
		t.Errorf("absolute end %v", got)
	}
	r.time.Advance(10*time.Minute - time.Microsecond)
	r.mustFind(cookie, siteA)
	r.time.Advance(10*time.Minute - time.Microsecond)
	r.mustFind(cookie, siteA)
	r.time.Advance(10*time.Minute - time.Microsecond)
	r.mustFind(cookie, siteA)
	r.time.Advance(3 * time.Microsecond)
	r.mustBeGone(cookie)

	cookie = open()
	r.time.Advance(10 * time.Minute)
	r.mustBeGone(cookie)

	// Longer ones: the idle time grows with the next use, the absolute end stays.
	r.SetLifetimes(Lifetimes{Idle: time.Minute, Absolute: time.Hour})
	r.update(func(tx storage.Tx) (err error) {
		cookie, _, err = r.Open(tx, a, OpenInput{Site: siteA, Mailbox: r.addr(a.Email).Mailbox(r.ring)})
		return err
	})
	r.SetLifetimes(Lifetimes{Idle: 2 * time.Hour, Absolute: 24 * time.Hour})
	r.time.Advance(time.Minute - time.Microsecond)
	r.mustFind(cookie, siteA)
	r.time.Advance(59 * time.Minute)
	r.mustFind(cookie, siteA)
	r.time.Advance(time.Microsecond)
	r.mustBeGone(cookie)
}

func TestHDR3_AnUnreadableStoreIsNotNobody(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	broken := errors.New("broken")
	r.spy.failView.Store(&broken)
	if l, err := r.Find(t.Context(), cookie, siteA); l != nil || !errors.Is(err, broken) {
		t.Errorf("Find: %v, %v", l, err)
	}
}

func TestRL5_SignedInTrafficGoesOnWithoutWrites(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	r.mustFind(cookie, siteA)
	full := errors.New("disk full")
	r.spy.failUpdate.Store(&full)
	r.spy.failView.Store(&full)
	before := r.spy.updates.Load()
	for range 120 {
		r.time.Advance(time.Second)
		r.mustFind(cookie, siteA)
	}
	if n := r.spy.updates.Load() - before; n > 7 {
		t.Errorf("%d attempts to write in a minute", n)
	}
	r.spy.failUpdate.Store(nil)
	r.time.Advance(touchRetry)
	l := r.mustFind(cookie, siteA)
	if want := r.time.Clock().Now().Add(time.Hour); !l.IdleEnd().Equal(want) {
		t.Errorf("the use was not written after the store had recovered: %v, want %v", l.IdleEnd(), want)
	}
}

func TestOpenRefusesWhatCannotLive(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	whole := OpenInput{Site: siteA, Mailbox: r.addr(a.Email).Mailbox(r.ring), Idle: time.Hour, Absolute: time.Hour}
	try := func(a accounts.Account, in OpenInput) error {
		return r.spy.Update(t.Context(), func(tx storage.Tx) error {
			_, _, err := r.Open(tx, a, in)
			return err
		})
	}
	if err := try(a, whole); err != nil {
		t.Fatal(err)
	}
	disabled := a
	disabled.Status = accounts.Disabled
	if err := try(disabled, whole); !errors.Is(err, ErrNotActive) {
		t.Errorf("a disabled account: %v", err)
	}
	for name, change := range map[string]func(*OpenInput){
		"site":     func(in *OpenInput) { in.Site = "" },
		"mailbox":  func(in *OpenInput) { in.Mailbox = storage.Digest{} },
		"idle":     func(in *OpenInput) { in.Idle = 0 },
		"absolute": func(in *OpenInput) { in.Absolute = 0 },
	} {
		in := whole
		change(&in)
		if try(a, in) == nil {
			t.Errorf("no %s: opened", name)
		}
	}
}

func TestAlive_SaysWhatAStepSees(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	alive := func(l *Live) (ok bool) {
		r.update(func(tx storage.Tx) (err error) {
			ok, err = r.Alive(tx, l)
			return err
		})
		return ok
	}
	cookie, _ := r.open(a, OpenInput{})
	l := r.mustFind(cookie, siteA)
	if !alive(l) {
		t.Error("a session that was just opened is over")
	}
	r.update(func(tx storage.Tx) error {
		if _, err := tx.Epochs().Raise(storage.AccountEpoch(a.ID)); err != nil {
			return err
		}
		if ok, err := r.Alive(tx, l); ok || err != nil {
			t.Errorf("alive in the step that ended it: %v, %v", ok, err)
		}
		return nil
	})
	cookie, s := r.open(a, OpenInput{})
	l = r.mustFind(cookie, siteA)
	r.update(func(tx storage.Tx) error {
		_, err := tx.Sessions().Delete(s.Key)
		return err
	})
	if alive(l) {
		t.Error("a session without a record is alive")
	}
	cookie, _ = r.open(a, OpenInput{})
	l = r.mustFind(cookie, siteA)
	r.time.Advance(time.Hour)
	if alive(l) {
		t.Error("a session is alive after its idle end")
	}
}
