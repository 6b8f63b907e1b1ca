package flow

import (
	"context"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// pausing is a store that runs a function once, before an Update: when a hash is done and not yet written.
type pausing struct {
	storage.Store
	before func()
}

func (p *pausing) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if before := p.before; before != nil {
		p.before = nil
		before()
	}
	return p.Store.Update(ctx, fn)
}

// between runs fn after the next comparison of a password and before its step.
func (g *gate) between(fn func()) {
	inner := g.Store
	g.Store = &pausing{inner, func() {
		g.Store = inner
		fn()
	}}
}

func TestSES5_AComparisonFromBeforeAChangeIsVoid(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		t.Run("reset", func(t *testing.T) {
			g := newPasswordGate(t)
			g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			link := b.mustAsk(Reset, ada).link
			g.between(func() { must[Done](t)(b.set(link, newWords)) })
			_, err := g.stranger(1).signIn(ada, oldWords)
			wantInvalid(t, err, "password", "refused")
		})
		t.Run("disable", func(t *testing.T) {
			g := newPasswordGate(t)
			id := g.accountWith(ada, g.record(oldWords))
			g.between(func() { g.disable(id) })
			_, err := g.stranger(1).signIn(ada, oldWords)
			wantErr(t, err, ErrDisabled)
		})
		t.Run("delete", func(t *testing.T) {
			g := newPasswordGate(t)
			id := g.accountWith(ada, g.record(oldWords))
			g.between(func() { g.delete(id) })
			_, err := g.stranger(1).signIn(ada, oldWords)
			wantInvalid(t, err, "password", "refused")
		})
		t.Run("a change of the name", func(t *testing.T) {
			g := newPasswordGate(t)
			id := g.accountWith(ada, g.record(oldWords))
			g.between(func() {
				if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error { return g.Accounts.SetName(tx, id, "Countess") }); err != nil {
					t.Error(err)
				}
			})
			must[Done](t)(g.stranger(1).signIn(ada, oldWords))
		})
		t.Run("the change of a password", func(t *testing.T) {
			g := newPasswordGate(t)
			g.accountWith(ada, g.record(oldWords))
			first, second := g.browser(), g.stranger(1)
			must[Done](t)(first.signIn(ada, oldWords))
			must[Done](t)(second.signIn(ada, oldWords))
			g.between(func() { must[Done](t)(second.change(oldWords, nth(2))) })
			_, err := first.change(oldWords, newWords)
			wantErr(t, err, ErrSignedOut)
			must[Done](t)(g.stranger(2).signIn(ada, nth(2)))
		})
		t.Run("another record", func(t *testing.T) {
			g := newPasswordGate(t)
			id := g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			must[Done](t)(b.signIn(ada, oldWords))
			another := func(words string) func() {
				return func() {
					if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
						return g.Accounts.UpgradePassword(tx, id, g.record(words))
					}); err != nil {
						t.Error(err)
					}
				}
			}
			g.between(another(nth(8)))
			_, err := g.stranger(1).signIn(ada, oldWords)
			wantInvalid(t, err, "password", "refused")
			g.between(another(nth(9)))
			_, err = b.change(nth(8), newWords)
			wantInvalid(t, err, "current", "refused")
		})
		t.Run("a reset whose link was used meanwhile", func(t *testing.T) {
			g := newPasswordGate(t)
			g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			link := b.mustAsk(Reset, ada).link
			g.between(func() { must[Done](t)(g.stranger(1).set(link, nth(1))) })
			_, err := b.set(link, newWords)
			wantErr(t, err, ErrDead)
			must[Done](t)(g.stranger(2).signIn(ada, nth(1)))
		})
	})
}
