package machinetoken

import (
	"context"
	"errors"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestMACH2_AnotherManagerLearnsOfTokens makes and revokes a token by one manager of a store and asks another.
func TestMACH2_AnotherManagerLearnsOfTokens(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	other := &rig{t: t, spy: r.spy, time: r.time, accounts: r.accounts, log: r.log}
	other.start(r.ring)
	text, tok := r.make(a.ID)
	l := other.mustFind(text)
	cause, unregister := other.track(l)
	defer unregister()
	if _, revoked, err := r.Revoke(t.Context(), tok.ID, storage.Operator{}); err != nil || !revoked {
		t.Fatal(revoked, err)
	}
	other.mustBeDead(text)
	if !l.Ended() || !errors.Is(cause(), ErrEnded) {
		t.Errorf("ended %v, cause %v", l.Ended(), cause())
	}
	text, tok = r.make(a.ID)
	if _, revoked, err := other.Revoke(t.Context(), tok.ID, storage.Operator{}); err != nil || !revoked {
		t.Errorf("revoked by the other: %v, %v", revoked, err)
	}
	r.mustBeDead(text)
}

// TestMACH4_ATokenThatCouldNotBeReadIsReadAgain makes a token while the store answers no reads.
func TestMACH4_ATokenThatCouldNotBeReadIsReadAgain(t *testing.T) {
	r := newRig(t)
	a := r.account("ada@example.com")
	broken := errors.New("broken")
	r.spy.failView.Store(&broken)
	text, _, err := r.Create(context.Background(), Input{Account: a.ID, Site: siteA, Scopes: []string{"calendar"}, TTL: MaxTTL})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Tick(t.Context(), r.time.Clock().Now()); !errors.Is(err, broken) {
		t.Errorf("Tick while nothing is read: %v", err)
	}
	r.spy.failView.Store(nil)
	if err := r.Tick(t.Context(), r.time.Clock().Now()); err != nil {
		t.Fatal(err)
	}
	r.mustFind(text)
}

// newNodes returns the managers of two nodes on one database, and what each knows of it.
func newNodes(t *testing.T) (a, b *rig, nodeA, nodeB *enginetest.Node) {
	t.Helper()
	r := newRig(t)
	nodes := enginetest.Nodes(r.spy.Store, 2)
	of := func(n *enginetest.Node) *rig {
		one := &rig{t: t, spy: &spy{Store: n}, time: r.time, log: r.log}
		one.accounts = &accounts.Service{Store: n, Ring: r.ring, Clock: r.time.Clock()}
		one.Manager = NewManager(n, r.ring, r.time.Clock(), one.accounts)
		one.SetScopes([]string{"calendar", "contacts"})
		if err := one.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		return one
	}
	return of(nodes[0]), of(nodes[1]), nodes[0], nodes[1]
}

// TestNODE1_TokensReachTheOtherNode makes and revokes a token on one node. The other one knows of it with its next poll; and where that is
// late, it asks the database.
func TestNODE1_TokensReachTheOtherNode(t *testing.T) {
	for _, late := range []bool{false, true} {
		a, b, _, nodeB := newNodes(t)
		wait := nodeB.Poll
		if late {
			wait = nodeB.Stale
		}
		ada := a.account("ada@example.com")
		text, tok := a.make(ada.ID)
		wait()
		l := b.mustFind(text)
		if b.mustFind(text) != l {
			t.Errorf("late %v: a token is loaded twice", late)
		}
		cause, unregister := b.track(l)
		if _, revoked, err := a.Revoke(t.Context(), tok.ID, storage.Operator{}); err != nil || !revoked {
			t.Fatal(revoked, err)
		}
		wait()
		b.mustBeDead(text)
		nodeB.Poll()
		b.mustBeDead(text)
		if !l.Ended() || !errors.Is(cause(), ErrEnded) {
			t.Errorf("late %v: ended %v, cause %v", late, l.Ended(), cause())
		}
		unregister()
	}
}

// TestNODE1_ATokensAccountReachesTheOtherNode: roles, and the end of the account.
func TestNODE1_ATokensAccountReachesTheOtherNode(t *testing.T) {
	for _, late := range []bool{false, true} {
		a, b, _, nodeB := newNodes(t)
		wait := nodeB.Poll
		if late {
			wait = nodeB.Stale
		}
		ada := a.account("ada@example.com")
		text, _ := a.make(ada.ID)
		nodeB.Poll()
		b.mustFind(text)
		a.update(func(tx storage.Tx) error { return a.accounts.SetRoles(tx, ada.ID, []string{"admin"}) })
		wait()
		if l := b.mustFind(text); len(l.Account.Roles) != 1 || l.Account.Roles[0] != "admin" {
			t.Errorf("late %v: the roles are %q", late, l.Account.Roles)
		}
		a.update(func(tx storage.Tx) error { return a.accounts.SetStatus(tx, ada.ID, storage.StatusDisabled) })
		wait()
		b.mustBeDead(text)
	}
}

// TestNODE2_ACutServesTokens cuts one node off: tokens that it had read go on for as long as they may be served, others are not answered.
func TestNODE2_ACutServesTokens(t *testing.T) {
	a, b, _, nodeB := newNodes(t)
	ada := a.account("ada@example.com")
	text, _ := a.make(ada.ID)
	unread, _ := a.make(ada.ID)
	nodeB.Poll()
	l := b.mustFind(text)
	cause, unregister := b.track(l)
	defer unregister()
	nodeB.Cut(true)
	if b.mustFind(text) != l || l.Ended() {
		t.Error("a token that was read is not served")
	}
	later, _ := a.make(ada.ID)
	for name, text := range map[string]string{"not read": unread, "made during the cut": later} {
		if _, err := b.Find(t.Context(), text, siteA); !errors.Is(err, storage.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nodeB.Cut(false)
	if _, err := b.Find(t.Context(), text, siteA); !errors.Is(err, storage.ErrUnreachable) {
		t.Errorf("after the time to serve: %v", err)
	}
	if err := b.Tick(t.Context(), b.time.Clock().Now()); err != nil || !errors.Is(cause(), ErrEnded) {
		t.Errorf("in flight after the time to serve: %v, %v", cause(), err)
	}
	nodeB.Heal()
	nodeB.Poll()
	b.mustFind(text)
	b.mustFind(later)
}
