package flow

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func TestSignIn_OpensASession(t *testing.T) {
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
	if mail := b.newest(ada); mail.kind != outbox.KindNewDevice || mail.link != "" {
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
}

func TestSignIn_WhereNoPasswordsAreOffered(t *testing.T) {
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
}

// attempt is what anybody can see of a sign-in, and what it did to the store.
type attempt struct {
	Err     string
	Writes  map[string]int
	Updates int
	Waits   []time.Duration
}

func TestENUM2_OneAnswerAtOneTimeForWhateverIsWrong(t *testing.T) {
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
}

func TestENUM2_TheRightPasswordIsAnsweredAtTheSameTime(t *testing.T) {
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
}

func TestENUM2_DisabledIsToldAfterTheRightPasswordOnly(t *testing.T) {
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
}

func TestRL3_PasswordCapsAreKeyedByTheMailbox(t *testing.T) {
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
}

func TestRL4_PasswordCapsAreExactUnderParallelGuessesAndRestart(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(ada, g.record(oldWords))
	const guesses = 100
	errs := make([]error, guesses)
	askers := make([]Asker, guesses)
	for i := range askers {
		askers[i] = g.stranger(i).asker()
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
}

func TestRL4_OneAddressGuessesThirtyPasswordsAnHour(t *testing.T) {
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
}

func TestRL4_RightPasswordsAreNotCounted(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(ada, g.record(oldWords))
	for range 40 {
		must[Done](t)(g.browser().signIn(ada, oldWords))
	}
}

func TestRL6_ASpentPasswordCounterLocksNobodyOut(t *testing.T) {
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
	// Whoever has just read the mailbox is no stranger: the new password can be used at once.
	must[Done](t)(reset.signIn(ada, newWords))
}

func TestRL6_KnownBrowsersHaveALimitOfTheirOwn(t *testing.T) {
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
}

func TestRL5_PasswordsWithAFailingStore(t *testing.T) {
	g := newPasswordGate(t)
	g.accountWith(ada, g.record(oldWords))
	g.spy.break_(storage.ErrDamaged)
	_, err := g.browser().signIn(ada, oldWords)
	wantErr(t, err, ErrUnavailable)
	g.spy.break_(nil)
	must[Done](t)(g.browser().signIn(ada, oldWords))
}

func TestSignIn_UpgradesImportedRecords(t *testing.T) {
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
}

func TestSignIn_ParallelSignInsUpgradeOnce(t *testing.T) {
	g := newPasswordGate(t)
	id := g.accountWith(ada, bcryptRecord(t, oldWords))
	asker := Asker{Client: netip.MustParseAddr("203.0.113.7")}
	errs := make([]error, 20)
	together(len(errs), func(i int) {
		_, errs[i] = g.SignIn(context.Background(), g.site, asker, SignInInput{Email: ada, Password: oldWords})
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
}

func TestSignIn_ABusyHasherCountsNothing(t *testing.T) {
	g := newGate(t)
	g.passwords(password.Options{Permits: 1, Queue: 1})
	g.accountWith(ada, g.record(oldWords))
	errs := make([]error, 60)
	together(len(errs), func(i int) {
		_, errs[i] = g.SignIn(context.Background(), g.site, Asker{}, SignInInput{Email: ada, Password: oldWords})
	})
	for _, err := range errs {
		if err != nil && !errors.Is(err, password.ErrBusy) {
			t.Errorf("%v, want success or busy", err)
		}
	}
	must[Done](t)(g.browser().signIn(ada, oldWords))
}

func TestSignIn_WhoHangsUpHasGuessedAllTheSame(t *testing.T) {
	g := newGate(t)
	g.passwords(password.Options{})
	g.accountWith(ada, g.record(oldWords))
	for range 10 {
		ctx, cancel := context.WithCancel(context.Background())
		// The hash runs without waiting, since its permit is free; the client is gone when the answer is ready.
		g.Passwords = must[*password.Hasher](t)(password.NewHasher(password.Options{
			Cost: cheap, After: func(time.Duration) <-chan time.Time { cancel(); return nil },
		}))
		_, err := g.SignIn(ctx, g.site, Asker{}, SignInInput{Email: ada, Password: newWords})
		wantInvalid(t, err, "password", "refused")
	}
	_, err := g.browser().signIn(ada, oldWords)
	if limited := new(Limited); !errors.As(err, &limited) {
		t.Errorf("%v, want the limit", err)
	}
}
