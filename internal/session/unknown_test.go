package session

import (
	"context"
	"errors"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// allEnds are all ways in which the manager ends a session.
var allEnds = map[string]func(r *rig, l *Live) error{
	"sign-out": func(r *rig, l *Live) error { return r.End(context.Background(), l) },
	"by id": func(r *rig, l *Live) error {
		_, err := r.EndByID(context.Background(), l.Account.ID, l.Session.ID)
		return err
	},
	"everywhere": func(r *rig, l *Live) error { return r.EndEverywhere(context.Background(), l.Account.ID) },
	"all":        func(r *rig, _ *Live) error { return r.EndAll(context.Background()) },
}

// TestSES1_AnEndOfUnknownOutcomeIsAnEnd ends sessions with a commit that happened and said that it does not know: what the cache
// holds must go, and sockets must close.
func TestSES1_AnEndOfUnknownOutcomeIsAnEnd(t *testing.T) {
	for name, end := range allEnds {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
			l := r.mustFind(cookie, siteA)
			cause, unregister := r.track(l)
			defer unregister()
			told := 0
			defer r.spy.Subscribe(func(c storage.Change) {
				if c.Kind == storage.ChangeAccount || c.Kind == storage.ChangeAll {
					told++
				}
			})()
			unknown := storage.ErrUnknown
			r.spy.failUpdate.Store(&unknown)
			if err := end(r, l); !errors.Is(err, storage.ErrUnknown) {
				t.Errorf("it answers %v", err)
			}
			r.spy.failUpdate.Store(nil)
			if !errors.Is(cause(), ErrEnded) {
				t.Errorf("the socket is open: %v", cause())
			}
			if !l.Ended() {
				t.Error("a request that runs does not learn of it")
			}
			r.mustBeGone(cookie)
			if tokens := name == "everywhere" || name == "all"; tokens != (told == 1) {
				t.Errorf("machine tokens were told %d times", told)
			}
		})
	}
}

// TestSES1_AnEndThatFailedIsAnError ends sessions over a store that refuses: the caller must not say that they have ended.
func TestSES1_AnEndThatFailedIsAnError(t *testing.T) {
	for name, end := range allEnds {
		r := newRig(t)
		cookie, _ := r.open(r.account("ada@example.com"), OpenInput{})
		l := r.mustFind(cookie, siteA)
		full := errors.New("disk full")
		r.spy.failUpdate.Store(&full)
		if err := end(r, l); !errors.Is(err, full) {
			t.Errorf("%s: it answers %v", name, err)
		}
		r.spy.failUpdate.Store(nil)
		r.mustFind(cookie, siteA)
	}
}
