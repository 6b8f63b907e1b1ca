package session

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestSES1_AnotherManagerLearnsOfEnds ends sessions by one manager of a store while another has them in its cache, as it is with a
// command beside the gate.
func TestSES1_AnotherManagerLearnsOfEnds(t *testing.T) {
	ends := map[string]func(r *rig, l *Live) error{
		"disabled": func(r *rig, l *Live) error {
			return r.spy.Update(t.Context(), func(tx storage.Tx) error {
				return r.accounts.SetStatus(tx, l.Account.ID, storage.StatusDisabled)
			})
		},
		"replaced": func(r *rig, l *Live) error {
			r.open(l.Account, OpenInput{Replaces: l.Session.Key})
			return nil
		},
	}
	for name, end := range allEnds {
		ends[name] = end
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			other := &rig{Manager: NewManager(r.spy, r.ring, r.time.Clock(), r.accounts), t: t, spy: r.spy, time: r.time, accounts: r.accounts}
			cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
			l, theirs := r.mustFind(cookie, siteA), other.mustFind(cookie, siteA)
			cause, unregister := other.track(theirs)
			defer unregister()
			if err := end(r, l); err != nil {
				t.Fatal(err)
			}
			other.mustBeGone(cookie)
			if !theirs.Ended() || !errors.Is(cause(), ErrEnded) {
				t.Errorf("ended %v, cause %v", theirs.Ended(), cause())
			}
		})
	}
}

// newNodes returns the managers of two nodes on one database, and what each knows of it.
func newNodes(t *testing.T) (a, b *rig, nodeA, nodeB *enginetest.Node) {
	t.Helper()
	r := newRig(t)
	nodes := enginetest.Nodes(r.spy.Store, 2)
	of := func(n *enginetest.Node) *rig {
		service := &accounts.Service{Store: n, Ring: r.ring, Clock: r.time.Clock()}
		return &rig{Manager: NewManager(n, r.ring, r.time.Clock(), service), t: t, spy: &spy{Store: n}, time: r.time, accounts: service}
	}
	return of(nodes[0]), of(nodes[1]), nodes[0], nodes[1]
}

// endsElsewhere are the ways in which a session ends on one node, while another has it in its cache.
func endsElsewhere(t *testing.T) map[string]func(a *rig, l *Live) error {
	setStatus := func(a *rig, l *Live) error {
		return a.spy.Update(t.Context(), func(tx storage.Tx) error {
			return a.accounts.SetStatus(tx, l.Account.ID, storage.StatusDisabled)
		})
	}
	ends := map[string]func(a *rig, l *Live) error{
		"disabled": setStatus,
		"deleted": func(a *rig, l *Live) error {
			return a.spy.Update(t.Context(), func(tx storage.Tx) error { return a.accounts.Delete(tx, l.Account.ID) })
		},
		"replaced": func(a *rig, l *Live) error {
			a.open(l.Account, OpenInput{Replaces: l.Session.Key})
			return nil
		},
		"signed out everywhere": func(a *rig, l *Live) error { return a.SignOut(t.Context(), l, true, siteA, "") },
	}
	for name, end := range allEnds {
		ends[name] = end
	}
	return ends
}

// TestNODE1_AnEndReachesTheOtherNode ends a session on one node in every way. The other one learns of it with its next poll, which also ends
// what is in flight; and where that is late, it asks the database before it lets anybody in.
func TestNODE1_AnEndReachesTheOtherNode(t *testing.T) {
	for name, end := range endsElsewhere(t) {
		for _, late := range []bool{false, true} {
			a, b, _, nodeB := newNodes(t)
			cookie, _ := a.open(a.account("ada@example.com"), OpenInput{})
			l, theirs := a.mustFind(cookie, siteA), b.mustFind(cookie, siteA)
			cause, unregister := b.track(theirs)
			if err := end(a, l); err != nil {
				t.Fatal(err)
			}
			if late {
				nodeB.Stale()
				b.mustBeGone(cookie)
				b.mustBeGone(cookie)
			}
			nodeB.Poll()
			if !theirs.Ended() || !errors.Is(cause(), ErrEnded) {
				t.Errorf("%s, late %v: ended %v, cause %v", name, late, theirs.Ended(), cause())
			}
			b.mustBeGone(cookie)
			unregister()
		}
	}
}

// TestNODE1_RolesReachTheOtherNode: the first request after the change has the new ones, also before the change is known by itself.
func TestNODE1_RolesReachTheOtherNode(t *testing.T) {
	for _, late := range []bool{false, true} {
		a, b, _, nodeB := newNodes(t)
		ada := a.account("ada@example.com")
		cookie, _ := a.open(ada, OpenInput{})
		b.mustFind(cookie, siteA)
		a.update(func(tx storage.Tx) error { return a.accounts.SetRoles(tx, ada.ID, []string{"admin"}) })
		if late {
			nodeB.Stale()
		} else {
			nodeB.Poll()
		}
		for range 2 {
			if l := b.mustFind(cookie, siteA); !slices.Equal(l.Account.Roles, []string{"admin"}) {
				t.Errorf("late %v: the roles are %q", late, l.Account.Roles)
			}
		}
	}
}

// TestNODE1_WhatIsFreshCostsNoTrip holds the hot path of a shared store to memory, and one that is not fresh to one look for a request.
func TestNODE1_WhatIsFreshCostsNoTrip(t *testing.T) {
	a, b, _, nodeB := newNodes(t)
	cookie, _ := a.open(a.account("ada@example.com"), OpenInput{})
	first := b.mustFind(cookie, siteA)
	before := nodeB.Views()
	if b.mustFind(cookie, siteA) != first || nodeB.Views() != before {
		t.Errorf("%d looks at the database while everything is fresh", nodeB.Views()-before)
	}
	nodeB.Stale()
	if b.mustFind(cookie, siteA) != first || nodeB.Views() != before+1 {
		t.Errorf("%d looks at the database while the poll is late, want 1", nodeB.Views()-before)
	}
}

// TestNODE2_ACutServesWhatWasCached cuts one node off: it serves for as long as it may what it had read, ends nothing, and knows nobody
// else. After that it serves nobody, and what is in flight ends as well.
func TestNODE2_ACutServesWhatWasCached(t *testing.T) {
	a, b, _, nodeB := newNodes(t)
	ada := a.account("ada@example.com")
	cookie, _ := a.open(ada, OpenInput{})
	unknown, _ := a.open(ada, OpenInput{})
	l := b.mustFind(cookie, siteA)
	cause, unregister := b.track(l)
	defer unregister()
	nodeB.Cut(true)
	b.SetLifetimes(Lifetimes{Idle: time.Hour, Absolute: 24 * time.Hour}) // everything is to be read again
	b.Tick(b.time.Clock().Now())
	if l.Ended() || !l.Use() || cause() != nil {
		t.Errorf("in flight: ended %v, cause %v", l.Ended(), cause())
	}
	if _, err := b.Find(t.Context(), unknown, siteA); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("a session that was never read: %v", err)
	}
	nodeB.Heal()
	nodeB.Poll()
	l = b.mustFind(cookie, siteA)
	nodeB.Cut(true)
	if b.mustFind(cookie, siteA) != l {
		t.Error("another session than the cached one")
	}
	b.time.Advance(2 * time.Hour)
	if found, err := b.Find(t.Context(), cookie, siteA); found != nil || !l.Ended() {
		t.Errorf("after its idle end: found %v, %v, ended %v", found, err, l.Ended())
	}

	nodeB.Heal()
	nodeB.Poll()
	cookie, _ = a.open(ada, OpenInput{})
	l = b.mustFind(cookie, siteA)
	cause, unregister = b.track(l)
	defer unregister()
	nodeB.Cut(false)
	if _, err := b.Find(t.Context(), cookie, siteA); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("after the time to serve: %v", err)
	}
	if b.Tick(b.time.Clock().Now()); !errors.Is(cause(), ErrEnded) {
		t.Errorf("in flight after the time to serve: %v", cause())
	}
	nodeB.Heal()
	nodeB.Poll()
	b.mustFind(cookie, siteA) // it has not ended for good
}

// TestNODE2_AnEndDuringACutIsKnownAfterIt ends a session elsewhere while one node serves it from memory.
func TestNODE2_AnEndDuringACutIsKnownAfterIt(t *testing.T) {
	a, b, _, nodeB := newNodes(t)
	cookie, _ := a.open(a.account("ada@example.com"), OpenInput{})
	l, theirs := a.mustFind(cookie, siteA), b.mustFind(cookie, siteA)
	cause, unregister := b.track(theirs)
	defer unregister()
	nodeB.Cut(true)
	if err := a.End(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	b.mustFind(cookie, siteA)
	nodeB.Heal()
	b.mustBeGone(cookie)
	nodeB.Poll()
	if !errors.Is(cause(), ErrEnded) {
		t.Errorf("in flight: %v", cause())
	}
}

// TestNODE1_ACachedSessionIsNotEnoughForAWrite signs out everywhere, on a node that has not heard yet of the session's end.
func TestNODE1_ACachedSessionIsNotEnoughForAWrite(t *testing.T) {
	a, b, _, _ := newNodes(t)
	ada := a.account("ada@example.com")
	cookie, _ := a.open(ada, OpenInput{})
	other, _ := a.open(ada, OpenInput{})
	l, theirs := a.mustFind(cookie, siteA), b.mustFind(cookie, siteA)
	if err := a.End(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if err := b.SignOut(t.Context(), theirs, true, siteA, ""); err != nil {
		t.Fatal(err)
	}
	a.mustFind(other, siteA)
	if err := b.SignOut(t.Context(), b.mustFind(other, siteA), true, siteA, ""); err != nil {
		t.Fatal(err)
	}
	a.mustFind(other, siteA) // before its poll: what is in memory of this node is fresh
	b.mustBeGone(other)
}

// TestSES3_UsesAreGathered: on a shared store a request never waits for the writing of its use, many uses are one step, and those of a child
// count for its parent.
func TestSES3_UsesAreGathered(t *testing.T) {
	a, b, _, nodeB := newNodes(t)
	ada := a.account("ada@example.com")
	_, portalSession := a.open(ada, OpenInput{Site: portal, Idle: time.Hour, Absolute: 24 * time.Hour})
	var cookies []string
	for range 3 {
		cookie, _ := a.open(ada, OpenInput{Parent: &portalSession, Idle: time.Hour})
		cookies = append(cookies, cookie)
	}
	gone, s := a.open(ada, OpenInput{})
	for _, cookie := range append(cookies, gone) {
		b.mustFind(cookie, siteA)
	}
	for range 5 { // far beyond the idle end of whatever is not used
		a.time.Advance(40 * time.Minute)
		updates := nodeB.Updates()
		for _, cookie := range cookies {
			b.mustFind(cookie, siteA)
			b.mustFind(cookie, siteA)
		}
		if nodeB.Updates() != updates {
			t.Fatal("a request has waited for a write")
		}
		nodeB.Cut(true)
		if err := b.WriteUses(t.Context()); err != nil { // they wait
			t.Fatal(err)
		}
		nodeB.Heal()
		nodeB.Poll()
		if err := b.WriteUses(t.Context()); err != nil || nodeB.Updates() != updates+1 {
			t.Fatalf("%d steps, %v", nodeB.Updates()-updates, err)
		}
	}
	a.update(func(tx storage.Tx) error {
		p, found, err := tx.Sessions().Get(portalSession.Key)
		if err != nil || !found || p.IdleEnd.Before(a.time.Clock().Now()) {
			t.Errorf("the portal's session: %v, %v, idle end %v", found, err, p.IdleEnd)
		}
		_, err = tx.Sessions().Delete(s.Key) // untold
		return err
	})
	l, again := b.find(gone, siteA), b.mustFind(cookies[0], siteA)
	if l != nil {
		t.Error("a session that nobody has used is alive")
	}
	if want := a.time.Clock().Now().Add(time.Hour); !again.IdleEnd().Equal(want) {
		t.Errorf("idle until %v, want %v", again.IdleEnd(), want)
	}
}
