package session

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestOWN3_AllOthersEnd ends all sessions but those of one browser, asked for by the portal's session and by one below it.
func TestOWN3_AllOthersEnd(t *testing.T) {
	for _, by := range []string{"the portal's", "a site's"} {
		t.Run(by, func(t *testing.T) {
			r := newRig(t)
			a := r.account("ada@example.com")
			own, parent := r.open(a, OpenInput{Site: portal})
			below, _ := r.open(a, OpenInput{Parent: &parent})
			other, previous := r.open(a, OpenInput{Site: portal})
			belowOther, _ := r.open(a, OpenInput{Parent: &previous})
			alone, _ := r.open(a, OpenInput{})
			foreign, _ := r.open(r.account("sam@example.com"), OpenInput{})
			cause, unregister := r.track(r.mustFind(alone, siteA))
			defer unregister()
			r.mustFind(belowOther, siteA) // what a cache holds
			asks := r.mustFind(own, portal)
			if by == "a site's" {
				asks = r.mustFind(below, siteA)
			}
			e := storage.Event{Name: "changed", Purpose: "other_sessions", Outcome: "ended"}
			for _, want := range []int{3, 0} {
				if ended, err := r.EndOthers(t.Context(), asks, e); ended != want || err != nil {
					t.Fatalf("EndOthers = %d, %v, want %d", ended, err, want)
				}
			}
			if r.find(other, portal) != nil {
				t.Error("another browser is signed in at the portal")
			}
			r.mustBeGone(belowOther)
			r.mustBeGone(alone)
			if !errors.Is(cause(), ErrEnded) {
				t.Errorf("a request of another browser goes on: %v", cause())
			}
			r.mustFind(own, portal)
			r.mustFind(below, siteA)
			r.mustFind(foreign, siteA)
			r.update(func(tx storage.Tx) error {
				list, err := tx.Events().List(storage.EventFilter{Account: a.ID}, 9)
				if len(list) != 1 || list[0].Purpose != "other_sessions" || list[0].Time.IsZero() {
					t.Errorf("the events are %+v, want one", list)
				}
				return err
			})
		})
	}
}

// TestOWN3_AnEndedSessionEndsNothing asks by a session that has ended since it was found.
func TestOWN3_AnEndedSessionEndsNothing(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	stolen, _ := r.open(a, OpenInput{})
	own, s := r.open(a, OpenInput{})
	asks := r.mustFind(stolen, siteA)
	if err := r.End(t.Context(), asks); err != nil {
		t.Fatal(err)
	}
	if _, err := r.EndOthers(t.Context(), asks); !errors.Is(err, ErrEnded) {
		t.Errorf("EndOthers = %v, want ErrEnded", err)
	}
	if _, err := r.EndOther(t.Context(), asks, s.ID); !errors.Is(err, ErrEnded) {
		t.Errorf("EndOther = %v, want ErrEnded", err)
	}
	r.mustFind(own, siteA)
}

// TestOWN3_OneOfManyEnds ends one of many sessions of an account by its id, and none of another account.
func TestOWN3_OneOfManyEnds(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	cookie, _ := r.open(a, OpenInput{})
	asks := r.mustFind(cookie, siteA)
	_, foreign := r.open(r.account("sam@example.com"), OpenInput{})
	one, s := r.open(a, OpenInput{Site: portal})
	child, below := r.open(a, OpenInput{Parent: &s})
	for id, want := range map[string]bool{foreign.ID: false, "": false, "none": false} {
		if ended, err := r.EndOther(t.Context(), asks, id); ended != want || err != nil {
			t.Errorf("EndOther(%q) = %v, %v", id, ended, err)
		}
	}
	if ended, err := r.EndOther(t.Context(), asks, below.ID); !ended || err != nil {
		t.Fatalf("EndOther = %v, %v", ended, err)
	}
	if r.find(one, portal) != nil {
		t.Error("the portal's session goes on")
	}
	r.mustBeGone(child)
	r.mustFind(cookie, siteA)
	r.time.Advance(time.Second)
	if list, err := r.List(t.Context(), a.ID); len(list) != 1 || err != nil {
		t.Errorf("%d sessions are left, %v", len(list), err)
	}
}
