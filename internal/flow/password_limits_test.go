package flow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestRL3_PasswordCapsAreKeyedByTheMailbox(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		for i, spelling := range []string{ada, "ADA@example.com", "ada+x@example.com", "Ada+y@EXAMPLE.com", ada, ada, ada, ada, ada, "ada+z@example.com"} {
			_, err := g.stranger(i).signIn(spelling, newWords)
			wantInvalid(t, err, "password", "refused")
		}
		for i, spelling := range []string{ada, "aDa@example.com", "ada+new@example.com"} {
			_, err := g.stranger(100+i).signIn(spelling, oldWords)
			if limited := new(Limited); !errors.As(err, &limited) || limited.Name != limit.PasswordMailbox {
				t.Errorf("%s: %v, want the mailbox's limit", spelling, err)
			}
		}
	})
}

func TestRL4_PasswordCapsAreExactUnderParallelGuessesAndRestart(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		const guesses = 100
		errs := make([]error, guesses)
		askers := make([]Requester, guesses)
		for i := range askers {
			askers[i] = g.stranger(i).requester()
		}
		together(guesses, func(i int) {
			_, errs[i] = g.SignIn(context.Background(), g.site, askers[i], SignInInput{Email: ada, Password: newWords})
		})
		refused := 0
		for _, err := range errs {
			var (
				invalid *Invalid
				limited *Limited
			)
			switch {
			case errors.As(err, &invalid):
				refused++
			case !errors.As(err, &limited):
				t.Errorf("a guess: %v", err)
			}
		}
		if refused != 10 {
			t.Errorf("%d guesses were answered, want 10", refused)
		}
		hasher := g.Passwords
		g.restart()
		g.Passwords = hasher
		_, err := g.stranger(500).signIn(ada, oldWords)
		if limited := new(Limited); !errors.As(err, &limited) {
			t.Errorf("after a restart: %v, want the limit", err)
		}
		g.fake.Advance(time.Hour + time.Minute)
		must[Done](t)(g.stranger(501).signIn(ada, oldWords))
	})
}

func TestRL4_OneAddressGuessesThirtyPasswordsAnHour(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		b := g.browser()
		for i := range 30 {
			_, err := b.signIn(fmt.Sprintf("p%d@example.com", i), newWords)
			wantInvalid(t, err, "password", "refused")
		}
		_, err := b.signIn(ada, oldWords)
		if limited := new(Limited); !errors.As(err, &limited) || limited.Name != limit.PasswordIP {
			t.Fatalf("the 31st: %v, want the limit of the address", err)
		}
		must[Done](t)(g.stranger(1).signIn(ada, oldWords))
	})
}

func TestRL4_RightPasswordsAreNotCounted(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		for range 40 {
			must[Done](t)(g.browser().signIn(ada, oldWords))
		}
	})
}

func TestRL6_ASpentPasswordCounterLocksNobodyOut(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		owner := g.browser()
		must[Done](t)(owner.signIn(ada, oldWords))
		for i := range 50 {
			b := g.stranger(i)
			b.client = owner.client // they sit in one office
			_, _ = b.signIn(ada, newWords)
		}
		_, err := g.browser().signIn(ada, oldWords)
		if limited := new(Limited); !errors.As(err, &limited) {
			t.Fatalf("a new browser: %v, want the limit", err)
		}
		for range 9 {
			_, err := owner.signIn(ada, newWords)
			wantInvalid(t, err, "password", "refused")
		}
		must[Done](t)(owner.signIn(ada, oldWords))
		fresh := g.browser()
		must[Done](t)(fresh.press(fresh.mustAsk(SignIn, ada).link))
		reset := g.browser()
		must[Done](t)(reset.set(reset.mustAsk(Reset, ada).link, newWords))
		// Anyone who has just read the mailbox is no stranger: the new password can be used at once.
		must[Done](t)(reset.signIn(ada, newWords))
	})
}

func TestRL6_KnownBrowsersHaveALimitOfTheirOwn(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		owner := g.browser()
		must[Done](t)(owner.signIn(ada, oldWords))
		for range 10 {
			_, err := owner.signIn(ada, newWords)
			wantInvalid(t, err, "password", "refused")
		}
		_, err := owner.signIn(ada, oldWords)
		if limited := new(Limited); !errors.As(err, &limited) {
			t.Errorf("the 11th: %v, want the limit", err)
		}
		must[Done](t)(g.stranger(1).signIn(ada, oldWords))
	})
}

func TestRL5_PasswordsWithAFailingStore(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		g.spy.break_(storage.ErrDamaged)
		_, err := g.browser().signIn(ada, oldWords)
		wantErr(t, err, ErrUnavailable)
		g.spy.break_(nil)
		must[Done](t)(g.browser().signIn(ada, oldWords))
	})
}

func TestRL4_TheRightPasswordIsNotToldOnceTheLimitIsSpent(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newPasswordGate(t)
		g.accountWith(ada, g.record(oldWords))
		g.between(func() {
			for i := range 10 {
				_, err := g.stranger(i).signIn(ada, newWords)
				wantInvalid(t, err, "password", "refused")
			}
		})
		_, err := g.stranger(20).signIn(ada, oldWords)
		if limited := new(Limited); !errors.As(err, &limited) {
			t.Errorf("%v, want the limit", err)
		}
		g.fake.Advance(time.Hour + time.Minute)
		b := g.browser()
		must[Done](t)(b.signIn(ada, oldWords))
		for _, next := range []string{newWords, oldWords} { // whether the new one is good or not
			g.between(func() {
				for range 10 {
					_, _ = b.change(nth(1), newWords)
				}
			})
			_, err = b.change(oldWords, next)
			if limited := new(Limited); !errors.As(err, &limited) {
				t.Errorf("a change: %v, want the limit", err)
			}
			g.fake.Advance(time.Hour + time.Minute)
		}
	})
}
