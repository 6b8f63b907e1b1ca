package machinetoken

import (
	"context"
	"errors"
	"testing"

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
