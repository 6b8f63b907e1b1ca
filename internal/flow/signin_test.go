package flow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/mailer"
)

func TestSignIn_OpensASession(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		done := must[Done](t)(b.signIn("Ada@Example.com", oldWords))
		if done.Purpose != SignIn || done.Account != id || done.ReturnTo != "/private?x=1" || !b.signedIn() || done.PasswordSet || done.Reset {
			t.Errorf("signed in as %+v", done)
		}
		if diff := cmp.Diff([]string{"pwd"}, done.Session.Methods); diff != "" {
			t.Error(diff)
		}
		if !done.Session.AuthTime.Equal(g.Clock.Now()) {
			t.Errorf("auth_time %v, want now", done.Session.AuthTime)
		}
		g.post()
		if mail := b.newest(ada); mail.kind != mailer.KindNewDevice || mail.link != "" {
			t.Errorf("mailed %q, want the notice of a new device", mail.kind)
		}
		before := b.session
		must[Done](t)(b.signIn(ada, oldWords))
		if b.session == before || g.liveSessions(id) != 1 { // SES-1
			t.Error("the second sign-in did not take the place of the first")
		}
		g.post()
		if n := g.inbox.count(); n != 1 {
			t.Errorf("%d mails, want none about a known browser", n)
		}
	})
}

func TestSignIn_WhereNoPasswordsAreOffered(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		g.site.Methods = Methods{}
		_, err := g.browser().signIn(ada, oldWords)
		wantInvalid(t, err, "password", "not_offered")
		_, err = g.browser().ask(Reset, ada)
		wantInvalid(t, err, "purpose", "unknown")
		g.site.Methods.Password, g.Passwords = true, nil
		_, err = g.browser().signIn(ada, oldWords)
		wantInvalid(t, err, "password", "not_offered")
	})
}

// attempt is what anybody can see of a sign-in, and what it did to the store.
type attempt struct {
	Err     string
	Writes  map[string]int
	Updates int
	Waits   []time.Duration
}

func TestENUM2_OneAnswerAtOneTimeForWhateverIsWrong(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		kinds := []string{"unknown", "wrong", "imported", "disabled", "without a password"}
		var first []attempt
		for _, kind := range kinds {
			g := newGate(t)
			watch := g.passwords(password.Options{})
			g.accountWith(ada, g.record(oldWords))
			g.accountWith("imp@example.com", bcryptRecord(t, oldWords))
			g.disable(g.accountWith("eve@example.com", g.record(oldWords)))
			g.account("link@example.com")
			email := map[string]string{
				"unknown": "bob@example.com", "wrong": ada, "imported": "imp@example.com", "disabled": "eve@example.com",
				"without a password": "link@example.com",
			}[kind]
			if err := g.Passwords.Measure(context.Background(), must[password.Costs](t)(g.Accounts.Costs(context.Background()))); err != nil {
				t.Fatal(err)
			}
			g.spy.take()
			var seen []attempt
			for range 13 { // past the mailbox's limit
				since := watch.look()
				_, err := g.browser().signIn(email, newWords)
				a := attempt{Waits: watch.take(since)}
				if limited := new(Limited); errors.As(err, &limited) {
					a.Err = "limited " + limited.Name // its end is the mailbox's, known or not
				} else {
					a.Err = fmt.Sprintf("%v", err)
				}
				a.Updates, a.Writes = g.spy.take()
				delete(a.Writes, "account look-up")
				seen = append(seen, a)
			}
			if first == nil {
				first = seen
				if seen[0].Err != "flow: password is invalid (refused)" || len(seen[0].Waits) != 1 || seen[0].Waits[0] < password.Margin ||
					seen[12].Err != "limited password_mailbox" || len(seen[12].Waits) != 0 || seen[12].Updates != 0 {
					t.Fatalf("the first and the last answer: %+v, %+v", seen[0], seen[12])
				}
				continue
			}
			if diff := cmp.Diff(first, seen); diff != "" {
				t.Errorf("%s differs from unknown:\n%s", kind, diff)
			}
		}
	})
}

func TestENUM2_TheRightPasswordIsAnsweredAtTheSameTime(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		watch := g.passwords(password.Options{})
		g.accountWith(ada, g.record(oldWords))
		if err := g.Passwords.Measure(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		since := watch.look()
		must[Done](t)(g.browser().signIn(ada, oldWords))
		right := watch.take(since)
		since = watch.look()
		_, err := g.browser().signIn(ada, newWords)
		wantInvalid(t, err, "password", "refused")
		if diff := cmp.Diff(watch.take(since), right); diff != "" {
			t.Error(diff)
		}
	})
}

func TestENUM2_DisabledIsToldAfterTheRightPasswordOnly(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, bcryptRecord(t, oldWords))
		g.disable(id)
		b := g.browser()
		_, err := b.signIn(ada, newWords)
		wantInvalid(t, err, "password", "refused")
		_, err = b.signIn(ada, oldWords)
		wantErr(t, err, ErrDisabled)
		if n := g.liveSessions(id); n != 0 {
			t.Errorf("%d sessions", n)
		}
		if c := g.credentials(ada); c.Passwords.Current.Cost().Kind != password.Bcrypt {
			t.Error("the record of a disabled account was upgraded")
		}
	})
}

func TestSignIn_UpgradesImportedRecords(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, bcryptRecord(t, oldWords))
		_, err := g.browser().signIn(ada, newWords)
		wantInvalid(t, err, "password", "refused")
		if c := g.credentials(ada); c.Passwords.Current.Cost().Kind != password.Bcrypt {
			t.Fatal("a wrong password changed the record")
		}
		other := g.stranger(1)
		must[Done](t)(other.press(other.mustAsk(SignIn, ada).link))
		must[Done](t)(g.browser().signIn(ada, oldWords))
		if c := g.credentials(ada); c.Passwords.Current.Cost() != cheap {
			t.Errorf("the record is %v, want one of the current cost", c.Passwords.Current)
		}
		if diff := cmp.Diff(password.Costs{cheap}, must[password.Costs](t)(g.Accounts.Costs(context.Background()))); diff != "" {
			t.Error(diff)
		}
		if !other.signedIn() || g.liveSessions(id) != 2 {
			t.Error("an upgrade ended a session")
		}
		must[Done](t)(g.browser().signIn(ada, oldWords))
	})
}

func TestSignIn_ParallelSignInsUpgradeOnce(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		id := g.accountWith(ada, bcryptRecord(t, oldWords))
		requester := Requester{Client: netip.MustParseAddr("203.0.113.7")}
		errs := make([]error, 20)
		together(len(errs), func(i int) {
			_, errs[i] = g.SignIn(context.Background(), g.site, requester, SignInInput{Email: ada, Password: oldWords})
		})
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		if n := g.liveSessions(id); n != len(errs) {
			t.Errorf("%d sessions, want %d", n, len(errs))
		}
		if c := g.credentials(ada); c.Version != 2 {
			t.Errorf("the account was written %d times, want once", c.Version-1)
		}
	})
}

// full is a hasher that runs one hash, which does not end before release, while another one waits.
func full(t *testing.T) (h *password.Hasher, release func()) {
	t.Helper()
	var holding atomic.Bool
	held, free := make(chan struct{}), make(chan struct{})
	h = must[*password.Hasher](t)(password.NewHasher(password.Options{
		Cost: cheap, Permits: 1, Queue: 1, After: func(time.Duration) <-chan time.Time {
			c := make(chan time.Time)
			close(c)
			return c
		},
		Now: func() time.Time {
			if holding.CompareAndSwap(true, false) {
				close(held)
				<-free
			}
			return start
		},
	}))
	var both sync.WaitGroup
	hash := func() {
		if _, err := h.Hash(context.Background(), newWords); err != nil {
			t.Error(err)
		}
	}
	holding.Store(true)
	both.Go(hash)
	<-held
	both.Go(hash)
	for h.Load() == 0 {
		runtime.Gosched()
	}
	return h, func() {
		close(free)
		both.Wait()
	}
}

func TestSignIn_ABusyHasherRefusesAndUsesNothingUp(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		mail := b.mustAsk(Reset, ada)
		must[Done](t)(b.signIn(ada, oldWords))
		h, release := full(t)
		g.Passwords = h
		g.spy.take()
		for _, email := range []string{ada, "bob@example.com"} {
			_, err := b.signIn(email, newWords)
			busy := new(password.BusyError)
			if !errors.As(err, &busy) || busy.RetryAfter < time.Second {
				t.Errorf("%s: %v, want busy with a time to come back", email, err)
			}
		}
		_, err := b.set(mail.link, newWords) // TOK-7
		wantErr(t, err, password.ErrBusy)
		_, err = b.change(oldWords, newWords)
		wantErr(t, err, password.ErrBusy)
		if updates, _ := g.spy.take(); updates != 0 {
			t.Errorf("%d updates", updates)
		}
		release()
		must[Done](t)(b.set(mail.link, newWords))
	})
}

func TestSignIn_WhoHangsUpHasGuessedAllTheSame(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.passwords(password.Options{})
		g.accountWith(ada, g.record(oldWords))
		for range 10 {
			ctx, cancel := context.WithCancel(context.Background())
			looks := 0
			g.Passwords = must[*password.Hasher](t)(password.NewHasher(password.Options{Cost: cheap, Now: func() time.Time {
				if looks++; looks == 4 { // the attempt, the permit, the beginning of the hash, its end
					cancel()
				}
				return start
			}}))
			_, err := g.SignIn(ctx, g.site, Requester{}, SignInInput{Email: ada, Password: newWords})
			wantInvalid(t, err, "password", "refused")
			if ctx.Err() == nil {
				t.Fatal("nobody hung up")
			}
			cancel()
		}
		_, err := g.browser().signIn(ada, oldWords)
		if limited := new(Limited); !errors.As(err, &limited) {
			t.Errorf("%v, want the limit", err)
		}
	})
}
