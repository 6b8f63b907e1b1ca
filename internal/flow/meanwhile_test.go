package flow

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// endings are all that ends a session while a password is compared, each by itself.
var endings = map[string]func(g *gate, b *browser, id string) error{
	"here": func(g *gate, b *browser, _ string) error {
		return g.Sessions.End(context.Background(), b.requester().Session)
	},
	"by its id": func(g *gate, b *browser, id string) error {
		_, err := g.Sessions.EndByID(context.Background(), id, b.requester().Session.Session.ID)
		return err
	},
	"everywhere": func(g *gate, _ *browser, id string) error { return g.Sessions.EndEverywhere(context.Background(), id) },
	"all":        func(g *gate, _ *browser, _ string) error { return g.Sessions.EndAll(context.Background()) },
	"disabled":   func(g *gate, _ *browser, id string) error { g.disable(id); return nil },
	"deleted":    func(g *gate, _ *browser, id string) error { g.delete(id); return nil },
}

// TestSES1_ASessionThatEndsMeanwhileChangesNoPassword ends the session of a password change when its comparison is done and
// nothing has been written: the change must neither happen nor sign in.
func TestSES1_ASessionThatEndsMeanwhileChangesNoPassword(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			g := newPasswordGate(t)
			id := g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			must[Done](t)(b.signIn(ada, oldWords))
			g.between(func() {
				if err := end(g, b, id); err != nil {
					t.Error(err)
				}
			})
			_, err := g.ChangePassword(context.Background(), g.site, b.requester(), ChangeInput{Current: oldWords, New: newWords})
			wantErr(t, err, ErrSignedOut)
			if name == "deleted" {
				return
			}
			if v, err := g.Passwords.Verify(context.Background(), g.credentials(ada).Passwords.Current, oldWords); err != nil || !v.OK {
				t.Errorf("the password has changed (%v)", err)
			}
			if n := g.liveSessions(id); n != 0 {
				t.Errorf("%d sessions are open", n)
			}
		})
	}
}

// TestTOK5_AFlowThatEndsWhileItsPasswordIsHashedSetsNone ends a flow when the new password has been hashed and nothing has been
// written.
func TestTOK5_AFlowThatEndsWhileItsPasswordIsHashedSetsNone(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for _, purpose := range []string{Reset, Activation} {
			for name, end := range map[string]func(g *gate, mail letter, id string){
				"cancelled": func(g *gate, mail letter, _ string) { wantErr(t, g.stranger(7).cancel(mail.cancel), nil) },
				"used":      func(g *gate, mail letter, _ string) { must[Done](t)(g.stranger(8).set(mail.link, nth(4))) },
				"all ended": func(g *gate, _ letter, _ string) { wantErr(t, g.Sessions.EndAll(context.Background()), nil) },
				"over":      func(g *gate, _ letter, _ string) { g.fake.Advance(DefaultActivation) },
				"disabled": func(g *gate, _ letter, id string) {
					if id != "" {
						g.disable(id)
					} else {
						g.account(ada) // for an activation: the mailbox has an account meanwhile
					}
				},
			} {
				g := newPasswordGate(t)
				id := ""
				if purpose == Reset {
					id = g.accountWith(ada, g.record(oldWords))
				}
				b := g.browser()
				mail := b.mustAsk(purpose, ada)
				o := must[LinkPreview](t)(b.open(mail.link))
				g.between(func() { end(g, mail, id) })
				done, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: o.H, Password: newWords})
				if name == "over" {
					// The time is read once for each step: what was in time when it was pressed is.
					if err != nil {
						t.Errorf("%s, %s: %v", purpose, name, err)
					}
					continue
				}
				if !errors.Is(err, ErrDead) || done.SessionCookie != "" {
					t.Errorf("%s, %s: %+v, %v; want a dead link", purpose, name, done, err)
				}
				g.fake.Advance(2 * time.Hour) // the limits of passwords are not what refuses
				_, err = g.stranger(9).signIn(ada, newWords)
				wantInvalid(t, err, "password", "refused")
			}
		}
	})
}

// seeing is a store that runs a function before its nth View.
type seeing struct {
	storage.Store
	views, at int
	before    func()
}

func (s *seeing) View(ctx context.Context, fn func(storage.Tx) error) error {
	if s.views++; s.views == s.at {
		s.before()
	}
	return s.Store.View(ctx, fn)
}

// TestENUM2_ARightPasswordIsNotHashedAnewWhereTheLimitsAreSpent spends the limits of wrong passwords after the right one was
// compared: that it was right must not even show in the time of a second hash.
func TestENUM2_ARightPasswordIsNotHashedAnewWhereTheLimitsAreSpent(t *testing.T) {
	for _, spent := range []bool{true, false} {
		g := newPasswordGate(t)
		g.accountWith(ada, bcryptRecord(t, oldWords)) // a record that is hashed anew
		g.site.Limits[limit.PasswordMailbox] = must[limit.Rates](t)(limit.Parse("1-H"))
		inner, hashes, counting := g.Store, 0, false
		w := &stopwatch{now: start}
		slow := must[*password.Hasher](t)(password.NewHasher(password.Options{Cost: cheap, Queue: 100, After: w.After, Now: func() time.Time {
			if counting {
				hashes++
			}
			return w.Now()
		}}))
		g.Passwords = slow
		g.Store = &seeing{Store: inner, at: 2, before: func() {
			if spent {
				g.Store = inner
				_, err := g.stranger(1).signIn(ada, newWords)
				wantInvalid(t, err, "password", "refused")
			}
			counting = true
		}}
		_, err := g.browser().signIn(ada, oldWords)
		if !counting {
			t.Fatal("the limits were not asked again")
		}
		limited := new(Limited)
		if spent != errors.As(err, &limited) {
			t.Errorf("spent %v: %v", spent, err)
		}
		// A hash reads the time once, and so does the wait for the answer.
		if rehashed := hashes > 1; rehashed == spent {
			t.Errorf("spent %v: the time was read %d times after the comparison", spent, hashes)
		}
	}
}

// unknown is a store whose commits happen and say that they do not know whether they did.
type unknown struct{ storage.Store }

func (u unknown) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if err := u.Store.Update(ctx, fn); err != nil {
		return err
	}
	return storage.ErrUnknown
}

// TestSES1_ACommitOfUnknownOutcomeEndsWhatItMayHaveEnded takes each step that ends a session, with a commit of which nobody knows whether
// it happened: what the cache holds must go.
func TestSES1_ACommitOfUnknownOutcomeEndsWhatItMayHaveEnded(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		for name, prepare := range map[string]func(g *gate, b *browser) (step func() error){
			"a link": func(g *gate, b *browser) func() error {
				mail := b.mustAsk(SignIn, ada)
				h := must[LinkPreview](t)(b.open(mail.link)).H
				return func() error {
					_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: h})
					return err
				}
			},
			"a code": func(_ *gate, b *browser) func() error {
				mail := b.mustAsk(SignIn, ada)
				return func() error { _, err := b.type_(mail.code); return err }
			},
			"a password": func(_ *gate, b *browser) func() error {
				return func() error { _, err := b.signIn(ada, oldWords); return err }
			},
			"a change of the password": func(_ *gate, b *browser) func() error {
				return func() error { _, err := b.change(oldWords, newWords); return err }
			},
			"a reset": func(g *gate, b *browser) func() error {
				mail := b.mustAsk(Reset, ada)
				h := must[LinkPreview](t)(b.open(mail.link)).H
				return func() error {
					_, err := g.Confirm(context.Background(), g.site, b.requester(), ConfirmInput{Token: mail.link, H: h, Password: newWords})
					return err
				}
			},
		} {
			g := newPasswordGate(t)
			g.accountWith(ada, g.record(oldWords))
			b := g.browser()
			must[Done](t)(b.signIn(ada, oldWords))
			step := prepare(g, b)
			if !b.signedIn() { // and the session is cached
				t.Fatalf("%s: not signed in", name)
			}
			g.Store = unknown{g.Store}
			err := step()
			wantErr(t, err, ErrUnavailable)
			wantErr(t, err, storage.ErrUnknown)
			if b.signedIn() {
				t.Errorf("%s: a copy of the cookie lives on", name)
			}
		}
	})
}
