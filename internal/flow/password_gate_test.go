package flow

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	ada      = "ada@example.com"
	oldWords = "eleven quiet herons over Trondheim"
	newWords = "a kettle of brass and seven plums"
)

// cheap is an argon2id cost for tests.
var cheap = password.Cost{Kind: password.Argon2id, N: 64, R: 1, P: 1}

// stopwatch is the time that answers to sign-ins wait for: every look at it takes a millisecond, and nobody has to wait.
type stopwatch struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Time
}

func (w *stopwatch) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Millisecond)
	return w.now
}

func (w *stopwatch) After(d time.Duration) <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = append(w.waits, w.now.Add(d))
	c := make(chan time.Time, 1)
	c <- w.now
	return c
}

// take returns the moments that answers waited for, after the time given.
func (w *stopwatch) take(since time.Time) (after []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.waits {
		after = append(after, t.Sub(since))
	}
	w.waits = nil
	return after
}

func (w *stopwatch) look() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// passwords offers passwords at the gate's site.
func (g *gate) passwords(o password.Options) *stopwatch {
	g.t.Helper()
	w := &stopwatch{now: start}
	o.Cost, o.Now, o.After = cheap, w.Now, w.After
	if o.Queue == 0 {
		o.Queue = 1000
	}
	g.Passwords = must[*password.Hasher](g.t)(password.NewHasher(o))
	g.site.Methods = Methods{Link: true, Code: true, Password: true}
	return w
}

func newPasswordGate(t *testing.T) *gate {
	g := newGate(t)
	g.passwords(password.Options{})
	return g
}

func (g *gate) record(words string) password.Record {
	g.t.Helper()
	return must[password.Record](g.t)(g.Passwords.Hash(context.Background(), words))
}

func bcryptRecord(t *testing.T, words string) password.Record {
	t.Helper()
	text := must[[]byte](t)(bcrypt.GenerateFromPassword([]byte(words), bcrypt.MinCost))
	return must[password.Record](t)(password.ParseRecord(string(text)))
}

// accountWith makes an account with a password record and lets a minute pass.
func (g *gate) accountWith(email string, r password.Record) string {
	g.t.Helper()
	a := parseAddress(g.t, email)
	var id string
	if err := g.bolt.Update(context.Background(), func(tx storage.Tx) error {
		link, err := g.Accounts.Create(tx, accounts.NewAccount{Address: a, Name: "Ada", Password: r})
		id = link.ID
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	g.fake.Advance(time.Minute)
	return id
}

func (g *gate) credentials(email string) (c accounts.Credentials) {
	g.t.Helper()
	if err := g.bolt.View(context.Background(), func(tx storage.Tx) (err error) {
		c, _, err = g.Accounts.CredentialsByAddress(tx, parseAddress(g.t, email))
		return err
	}); err != nil {
		g.t.Fatal(err)
	}
	return c
}

func (b *browser) signIn(email, words string) (Done, error) {
	return b.keep(b.g.SignIn(context.Background(), b.g.site, b.requester(), SignInInput{Email: email, Password: words, ReturnTo: "/private?x=1"}))
}

// set opens a link and sends the form with a new password.
func (b *browser) set(token, words string) (Done, error) {
	o, err := b.open(token)
	if err != nil {
		return Done{}, err
	}
	return b.keep(b.g.Confirm(context.Background(), b.g.site, b.requester(), ConfirmInput{Token: token, H: o.H, Password: words}))
}

func (b *browser) change(current, next string) (Done, error) {
	return b.keep(b.g.ChangePassword(context.Background(), b.g.site, b.requester(), ChangeInput{Current: current, New: next}))
}

func (b *browser) signedIn() bool { return b.session != "" && b.requester().Session != nil }

// wantInvalid checks a refusal of a field.
func wantInvalid(t *testing.T, err error, field, code string) {
	t.Helper()
	invalid, ok := err.(*Invalid) //nolint:errorlint // refusals are never wrapped
	if !ok || invalid.Field != field || invalid.Code != code {
		t.Fatalf("got %v, want %s refused as %s", err, field, code)
	}
	if strings.Contains(fmt.Sprintf("%+v", invalid), oldWords) {
		t.Fatal("the refusal repeats the password")
	}
}

// liveSessions returns how many sessions of an account are alive.
func (g *gate) liveSessions(id string) int {
	g.t.Helper()
	return len(must[[]storage.Session](g.t)(g.Sessions.List(context.Background(), id)))
}

// together runs fn at once for 0 to n-1.
func together(n int, fn func(i int)) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			fn(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
}
