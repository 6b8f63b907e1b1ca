package session

import (
	"errors"
	"testing"

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
