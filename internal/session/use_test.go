package session

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestSES7_MovingBytesIsAUse: a request that moves bytes keeps its session from the idle end up to the absolute one, by a write a
// minute at most, and a silent request ends at the idle end.
func TestSES7_MovingBytesIsAUse(t *testing.T) {
	r := newRig(t)
	cookie, _ := r.open(r.account("ada@example.com"), OpenInput{}) // an hour, a day
	l := r.mustFind(cookie, siteA)
	cause, unregister := r.track(l)
	defer unregister()
	before := r.spy.updates.Load()
	for n := range 2 * 60 * 2 { // two hours
		r.time.Advance(30 * time.Second)
		for range 10 {
			if !l.Use() {
				t.Fatalf("ended after %d half minutes", n)
			}
		}
		r.Tick(r.time.Clock().Now())
	}
	if n := r.spy.updates.Load() - before; n > 2*60 {
		t.Errorf("SES-3: %d writes in 120 minutes", n)
	}
	if cause() != nil {
		t.Fatalf("cut although it moves: %v", cause())
	}
	r.mustFind(cookie, siteA)
	r.time.Advance(time.Hour)
	r.Tick(r.time.Clock().Now())
	if !errors.Is(cause(), ErrEnded) {
		t.Errorf("silent for an hour: %v", cause())
	}
	if l.Use() {
		t.Error("a use has revived it")
	}

	cookie, s := r.open(r.account("grace@example.com"), OpenInput{})
	l = r.mustFind(cookie, siteA)
	for now := r.time.Clock().Now(); now.Before(s.Key.Ends()); now = r.time.Clock().Now() {
		if !l.Use() {
			t.Fatalf("ended %v before its absolute end", s.Key.Ends().Sub(now))
		}
		r.time.Advance(10 * time.Minute)
	}
	if l.Use() {
		t.Error("alive after its absolute end")
	}
}

// TestSES7_AUseFindsTheEnd: the question whether bytes may pass notices each end, also that of a record which is gone.
func TestSES7_AUseFindsTheEnd(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	cookie, _ := r.open(a, OpenInput{})
	l := r.mustFind(cookie, siteA)
	if err := r.EndEverywhere(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if l.Use() {
		t.Error("alive after the end of everything")
	}
	cookie, s := r.open(a, OpenInput{})
	l = r.mustFind(cookie, siteA)
	r.update(func(tx storage.Tx) error { _, err := tx.Sessions().Delete(s.Key); return err }) // nobody is told
	r.time.Advance(2 * TouchEvery)
	if l.Use() {
		t.Error("alive without a record")
	}
	refused := errors.New("full")
	cookie, _ = r.open(a, OpenInput{})
	l = r.mustFind(cookie, siteA)
	r.spy.failUpdate.Store(&refused)
	r.time.Advance(2 * TouchEvery)
	if !l.Use() {
		t.Error("a store that takes no writes has ended a session")
	}
}
