package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestFLOW5_DisabledAndDeletedAreOut(t *testing.T) {
	for name, step := range map[string]func(*rig, storage.Tx, string) error{
		"disabled": func(r *rig, tx storage.Tx, id string) error {
			return r.accounts.SetStatus(tx, id, storage.StatusDisabled)
		},
		"deleted": func(r *rig, tx storage.Tx, id string) error { return r.accounts.Delete(tx, id) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.account("ada@example.com")
			cookie, _ := r.open(a, OpenInput{})
			l := r.mustFind(cookie, siteA)
			cause, unregister := r.track(l)
			defer unregister()
			r.update(func(tx storage.Tx) error { return step(r, tx, a.ID) })
			if !errors.Is(cause(), ErrEnded) {
				t.Errorf("the socket is open: %v", cause())
			}
			if !l.Ended() {
				t.Error("the request goes on")
			}
			r.mustBeGone(cookie)
			list, err := r.List(t.Context(), a.ID)
			if err != nil || len(list) != 0 {
				t.Errorf("listed: %v, %v", list, err)
			}
			if name == "disabled" {
				r.update(func(tx storage.Tx) error { return r.accounts.SetStatus(tx, a.ID, storage.StatusActive) })
				r.mustBeGone(cookie)
			}
		})
	}
}

func TestSES4_RolesChangeWithTheNextRequest(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	cookie, _ := r.open(a, OpenInput{})
	l := r.mustFind(cookie, siteA)
	mint := func() (string, time.Time, error) { return "old", r.time.Clock().Wall().Add(time.Minute), nil }
	if _, err := l.Assertion(l.m.clock.Wall(), "aud", mint); err != nil {
		t.Fatal(err)
	}
	cause, unregister := r.track(l)
	defer unregister()
	r.update(func(tx storage.Tx) error { return r.accounts.SetRoles(tx, a.ID, []string{"admin"}) })
	if !errors.Is(cause(), ErrChanged) {
		t.Errorf("the socket with the old roles: %v", cause())
	}
	late, unregisterLate := r.track(l)
	defer unregisterLate()
	r.Tick(r.time.Clock().Now())
	if !errors.Is(late(), ErrChanged) {
		t.Errorf("a socket opened with the old roles after the change: %v", late())
	}
	if l.Ended() {
		t.Error("a change of roles ended the session")
	}
	now := r.mustFind(cookie, siteA)
	if !slices.Equal(now.Account.Roles, []string{"admin"}) {
		t.Errorf("roles are %q", now.Account.Roles)
	}
	text, err := now.Assertion(now.m.clock.Wall(), "aud", func() (string, time.Time, error) { return "new", time.Time{}, nil })
	if text != "new" || err != nil {
		t.Errorf("assertion %q, %v", text, err)
	}
}

// TestSES1_SlowLoaderAgainstEnd stops a load between its read and the cache while the session ends.
func TestSES1_SlowLoaderAgainstEnd(t *testing.T) {
	for name, end := range map[string]func(*rig, storage.Session) error{
		"sign-out": func(r *rig, s storage.Session) error {
			_, err := r.EndByID(context.Background(), s.Account, s.ID)
			return err
		},
		"everywhere": func(r *rig, s storage.Session) error { return r.EndEverywhere(context.Background(), s.Account) },
		"all":        func(r *rig, _ storage.Session) error { return r.EndAll(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			cookie, s := r.open(r.account("ada@example.com"), OpenInput{})
			read, goOn := make(chan struct{}), make(chan struct{})
			var stopped atomic.Bool
			slow := func() {
				if stopped.CompareAndSwap(false, true) {
					close(read)
					<-goOn
				}
			}
			r.spy.afterView.Store(&slow)
			found := make(chan *Live)
			go func() {
				l, err := r.Find(context.Background(), cookie, siteA)
				if err != nil {
					t.Error(err)
				}
				found <- l
			}()
			<-read
			if err := end(r, s); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			if l := <-found; l != nil {
				t.Error("the slow loader let the request in")
			}
			r.mustBeGone(cookie)
			if st := r.Stats(); st.Sessions != 0 {
				t.Errorf("%d sessions are cached", st.Sessions)
			}
		})
	}
}

// TestSES1_LoaderThatNeverSettles makes something change during each read, so nothing may be cached.
func TestSES1_LoaderThatNeverSettles(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	cookie, s := r.open(a, OpenInput{})
	busy := func() { r.changed(storage.Change{Kind: storage.ChangeAccount, Account: a.ID}) }
	r.spy.afterView.Store(&busy)
	l := r.mustFind(cookie, siteA)
	r.spy.afterView.Store(nil)
	if st := r.Stats(); st.Sessions != 0 {
		t.Errorf("%d sessions are cached", st.Sessions)
	}
	if l.Ended() {
		t.Error("a live session has ended")
	}
	if _, err := r.EndByID(t.Context(), a.ID, s.ID); err != nil {
		t.Fatal(err)
	}
	if !l.Ended() {
		t.Error("a session that is not cached does not learn of its end")
	}
}

// TestSES1_NothingIsLetInAfterTheAnswer runs finders against an end: a Find that begins after End has returned finds nothing.
func TestSES1_NothingIsLetInAfterTheAnswer(t *testing.T) {
	r := newRig(t)
	r.SetCacheBytes(64 * (baseSize + 200) * 2) // evictions take part
	a := r.account("ada@example.com")
	for round := range 60 {
		cookie, s := r.open(a, OpenInput{})
		var ended atomic.Bool
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				<-begin
				for range 30 {
					after := ended.Load()
					l, err := r.Find(context.Background(), cookie, siteA)
					if err != nil {
						t.Error(err)
					}
					if after && l != nil {
						t.Error("found after its end was answered")
					}
				}
			})
		}
		close(begin)
		var err error
		switch round % 3 {
		case 0:
			_, err = r.EndByID(t.Context(), a.ID, s.ID)
		case 1:
			err = r.EndEverywhere(t.Context(), a.ID)
		case 2:
			r.update(func(tx storage.Tx) error {
				_, err := deleteSession(tx, s.Key)
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		ended.Store(true)
		wg.Wait()
		r.mustBeGone(cookie)
	}
}

func TestSES4_ChildDiesWithItsParent(t *testing.T) {
	for name, end := range map[string]func(r *rig, parent *Live) error{
		"sign-out": func(r *rig, parent *Live) error { return r.End(t.Context(), parent) },
		"its end": func(r *rig, parent *Live) error {
			r.time.Advance(2 * time.Hour)
			r.Tick(r.time.Clock().Now())
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.account("ada@example.com")
			portal, p := r.open(a, OpenInput{Site: "https://portal.example.com", Idle: time.Hour, Absolute: 2 * time.Hour})
			cookie, _ := r.open(a, OpenInput{Parent: &p})
			other, _ := r.open(a, OpenInput{Absolute: 9 * time.Hour, Idle: 9 * time.Hour})
			parent, child := r.mustFind(portal, p.Site), r.mustFind(cookie, siteA)
			if !child.AbsoluteEnd().Equal(p.Key.Ends()) {
				t.Errorf("the child's end is %v, after its parent's", child.AbsoluteEnd())
			}
			cause, unregister := r.track(child)
			defer unregister()
			if err := end(r, parent); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(cause(), ErrEnded) {
				t.Errorf("the child's socket is open: %v", cause())
			}
			if !child.Ended() {
				t.Error("the child goes on")
			}
			r.mustBeGone(cookie)
			r.mustFind(other, siteA)
		})
	}
}

func TestUseOfAChildKeepsItsParent(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	portal, p := r.open(a, OpenInput{Site: "https://portal.example.com"})
	cookie, _ := r.open(a, OpenInput{Parent: &p})
	for range 5 {
		r.time.Advance(40 * time.Minute)
		r.mustFind(cookie, siteA)
	}
	r.mustFind(portal, p.Site)
}

func TestSES4_TickCancelsWhatHasEndedByTime(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	cookie, _ := r.open(a, OpenInput{})
	l := r.mustFind(cookie, siteA)
	cause, unregister := r.track(l)
	gone, unregisterGone := r.track(l)
	unregisterGone()
	r.time.Advance(40 * time.Minute)
	r.mustFind(cookie, siteA) // the idle end moves for the socket, too
	r.time.Advance(time.Hour - 1)
	r.Tick(r.time.Clock().Now())
	if cause() != nil {
		t.Fatalf("cancelled before its end: %v", cause())
	}
	r.time.Advance(1)
	r.Tick(r.time.Clock().Now())
	if !errors.Is(cause(), ErrEnded) {
		t.Errorf("open after its end: %v", cause())
	}
	if gone() != nil {
		t.Error("cancelled after it was unregistered")
	}
	unregister()
	unregister()
	if st := r.Stats(); st.Tracked != 0 {
		t.Errorf("%d tracked", st.Tracked)
	}
}

// TestSES4_TheRecordDecidesOverIdleness: a socket holds a Live that was evicted; the session is used through another one.
func TestSES4_TheRecordDecidesOverIdleness(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	old := r.mustFind(cookie, siteA)
	cause, unregister := r.track(old)
	defer unregister()
	r.cache.Drop(old.id, old)
	r.time.Advance(50 * time.Minute)
	if r.mustFind(cookie, siteA) == old {
		t.Fatal("the same")
	}
	r.time.Advance(50 * time.Minute)
	r.Tick(r.time.Clock().Now())
	if cause() != nil || old.Ended() {
		t.Fatal("a session in use has ended")
	}
	r.time.Advance(10 * time.Minute)
	r.Tick(r.time.Clock().Now())
	if cause() == nil || !old.Ended() {
		t.Fatal("the end was not seen")
	}
}

func TestSES4_TrackAfterTheEnd(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
	l := r.mustFind(cookie, siteA)
	if err := r.End(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	cause, unregister := r.track(l)
	defer unregister()
	if !errors.Is(cause(), ErrEnded) {
		t.Errorf("tracked as alive: %v", cause())
	}
}

// TestSES4_TrackAgainstEnd races the registration of sockets against the end of their session: none stays open.
func TestSES4_TrackAgainstEnd(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	for round := range 40 {
		cookie, _ := r.open(a, OpenInput{})
		l := r.mustFind(cookie, siteA)
		begin := make(chan struct{})
		var wg sync.WaitGroup
		causes := make([]func() error, 8)
		for i := range causes {
			wg.Go(func() {
				<-begin
				causes[i], _ = r.track(l)
			})
		}
		wg.Go(func() {
			<-begin
			var err error
			if round%2 == 0 {
				err = r.End(context.Background(), l)
			} else {
				err = r.EndEverywhere(context.Background(), a.ID)
			}
			if err != nil {
				t.Error(err)
			}
		})
		close(begin)
		wg.Wait()
		for _, cause := range causes {
			if !errors.Is(cause(), ErrEnded) {
				t.Fatalf("round %d: a socket is open: %v", round, cause())
			}
		}
	}
}

func TestCacheIsBoundedInBytes(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	const budget = 64 * (baseSize + 2000)
	r.SetCacheBytes(budget)
	var cookies []string
	for range 400 {
		cookie, _ := r.open(a, OpenInput{})
		cookies = append(cookies, cookie)
		l := r.mustFind(cookie, siteA)
		_, err := l.Assertion(l.m.clock.Wall(), "aud", func() (string, time.Time, error) {
			return fmt.Sprintf("%0900d", 1), r.time.Clock().Wall().Add(time.Minute), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if st := r.Stats(); st.Bytes > budget || st.Sessions == 0 || st.Sessions > 100 {
		t.Errorf("%d sessions in %d bytes", st.Sessions, st.Bytes)
	}
	for _, c := range cookies { // evicted ones are only slower
		r.mustFind(c, siteA)
	}
	if err := r.EndEverywhere(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	for range credential.Shards {
		r.Tick(r.time.Clock().Now())
	}
	if st := r.Stats(); st.Sessions != 0 || st.Bytes != 0 {
		t.Errorf("after the end: %d sessions in %d bytes", st.Sessions, st.Bytes)
	}
	r.SetCacheBytes(0)
	cookie, _ := r.open(a, OpenInput{})
	r.mustFind(cookie, siteA)
}
