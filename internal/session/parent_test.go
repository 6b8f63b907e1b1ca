package session

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const portal = "https://portal.example.com"

// TestSES1_AProofMakesANewValue signs in again in a browser that has a session with children: those go on, and the value from before
// the proof is of no use.
func TestSES1_AProofMakesANewValue(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	before, previous := r.open(a, OpenInput{Site: portal, Idle: 9 * time.Hour, Absolute: 24 * time.Hour})
	cookie, s := r.open(a, OpenInput{Parent: &previous})
	child := r.mustFind(cookie, siteA)
	cause, unregister := r.track(child)
	defer unregister()
	r.time.Advance(30*time.Minute + 300*time.Millisecond) // another part of the second: sessions of one share a generation
	after, next := r.open(a, OpenInput{Site: portal, Replaces: previous.Key})
	if l := r.find(before, portal); l != nil {
		t.Error("a copy of the cookie from before the proof is of use")
	}
	if l := r.mustFind(after, portal); !l.Session.AuthTime.Equal(noon.Add(30*time.Minute + 300*time.Millisecond)) {
		t.Errorf("the proof is of %v", l.Session.AuthTime)
	}
	l := r.mustFind(cookie, siteA)
	if l.Parent() != next.Key || !l.Session.AuthTime.Equal(noon) || l.Session.ID != s.ID {
		t.Errorf("the child is %+v", l.Session)
	}
	if child.Ended() || cause() != nil {
		t.Errorf("the child's socket has ended: %v", cause())
	}
	if err := r.End(t.Context(), r.mustFind(after, portal)); err != nil {
		t.Fatal(err)
	}
	if !child.Ended() || !errors.Is(cause(), ErrEnded) {
		t.Errorf("the child's socket outlives the parent that it has come to: %v", cause())
	}
	r.mustBeGone(cookie)
}

// TestSES1_ATouchFollowsTheParent records a use of a child at the very time at which its parent proves itself anew.
func TestSES1_ATouchFollowsTheParent(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	_, previous := r.open(a, OpenInput{Site: portal})
	cookie, _ := r.open(a, OpenInput{Parent: &previous})
	child := r.mustFind(cookie, siteA)
	r.time.Advance(2 * TouchEvery)
	r.open(a, OpenInput{Site: portal, Replaces: previous.Key})
	if l, err := r.touch(t.Context(), child, r.time.Clock().Now()); l == nil || err != nil {
		t.Errorf("touch = %v, %v: the child is taken for gone", l, err)
	}
}

// TestPORT2_AChildProvesNothingAnew opens a child of an older session: it has that one's proof and its end.
func TestPORT2_AChildProvesNothingAnew(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	_, p := r.open(a, OpenInput{Site: portal, Idle: 20 * time.Hour, Absolute: 24 * time.Hour})
	r.time.Advance(time.Hour)
	cookie, s := r.open(a, OpenInput{Parent: &p, Absolute: 99 * time.Hour, Idle: time.Hour})
	if !s.AuthTime.Equal(noon) || s.Key.End != p.Key.End || len(s.Methods) != 1 || s.Methods[0] != "link" || s.Parent != p.Key {
		t.Errorf("the child is %+v", s)
	}
	if l := r.mustFind(cookie, siteA); !l.AbsoluteEnd().Equal(p.Key.Ends()) {
		t.Errorf("the child ends at %v", l.AbsoluteEnd())
	}
}

// TestPORT20_ASignOutEndsAllOfABrowser ends the sessions of one browser by one of its children, in each way that ends one session.
func TestPORT20_ASignOutEndsAllOfABrowser(t *testing.T) {
	for name, end := range map[string]func(r *rig, child *Live) error{
		"sign-out": func(r *rig, child *Live) error { return r.SignOut(t.Context(), child, false, siteA, "") },
		"an operator": func(r *rig, child *Live) error {
			_, err := r.EndByID(t.Context(), child.Account.ID, child.Session.ID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.account("ada@example.com")
			parent, p := r.open(a, OpenInput{Site: portal})
			cookie, _ := r.open(a, OpenInput{Parent: &p})
			other, _ := r.open(a, OpenInput{Site: siteB, Parent: &p})
			elsewhere, _ := r.open(a, OpenInput{Site: portal})
			r.mustFind(other, siteB)
			cause, unregister := r.track(r.mustFind(other, siteB))
			defer unregister()
			if err := end(r, r.mustFind(cookie, siteA)); err != nil {
				t.Fatal(err)
			}
			r.mustBeGone(cookie)
			for value, site := range map[string]string{parent: portal, other: siteB} {
				if r.find(value, site) != nil {
					t.Errorf("the session at %s is alive", site)
				}
			}
			if !errors.Is(cause(), ErrEnded) {
				t.Errorf("a socket at another site is open: %v", cause())
			}
			r.mustFind(elsewhere, portal)
		})
	}
}

// TestSES1_AnotherAccountEndsTheChildren signs a second person in at the portal of the same browser.
func TestSES1_AnotherAccountEndsTheChildren(t *testing.T) {
	r := newRig(t)
	ada, bob := r.account("ada@example.com"), r.account("bob@example.com")
	_, p := r.open(ada, OpenInput{Site: portal})
	cookie, _ := r.open(ada, OpenInput{Parent: &p})
	r.mustFind(cookie, siteA)
	r.open(bob, OpenInput{Site: portal, Replaces: p.Key})
	r.mustBeGone(cookie)
	r.update(func(tx storage.Tx) error {
		_, found, err := tx.Sessions().Get(p.Key)
		if found {
			t.Error("the first person's session is in the database")
		}
		return err
	})
}
