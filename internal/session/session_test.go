package session

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	siteA = "https://a.example.com"
	siteB = "https://b.example.com"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// spy is a store that counts and can stop its callers: afterView runs when a View has read and not yet answered.
type spy struct {
	storage.Store
	views, updates atomic.Int64
	afterView      atomic.Pointer[func()]
	failView       atomic.Pointer[error]
	failUpdate     atomic.Pointer[error]
}

func (s *spy) View(ctx context.Context, fn func(storage.Tx) error) error {
	s.views.Add(1)
	if err := s.failView.Load(); err != nil {
		return *err
	}
	err := s.Store.View(ctx, fn)
	if f := s.afterView.Load(); f != nil {
		(*f)()
	}
	return err
}

func (s *spy) Update(ctx context.Context, fn func(storage.Tx) error) error {
	s.updates.Add(1)
	if err := s.failUpdate.Load(); err != nil {
		if errors.Is(*err, storage.ErrUnknown) {
			_ = s.Store.Update(ctx, fn)
		}
		return *err
	}
	return s.Store.Update(ctx, fn)
}

// rig is a manager over a real store.
type rig struct {
	*Manager
	t        testing.TB
	spy      *spy
	time     *clock.Fake
	accounts *accounts.Service
}

func newRig(t testing.TB) *rig {
	t.Helper()
	store := enginetest.Open(t, t.TempDir())
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	master := make([]byte, 32)
	_, _ = rand.Read(master)
	ring, _, err := keyring.Open([][]byte{master}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, spy: &spy{Store: store}, time: clock.NewFake(noon)}
	r.accounts = &accounts.Service{Store: r.spy, Ring: ring, Clock: r.time.Clock()}
	r.Manager = NewManager(r.spy, ring, r.time.Clock(), r.accounts)
	return r
}

func (r *rig) update(fn func(storage.Tx) error) {
	r.t.Helper()
	if err := r.spy.Update(context.Background(), fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) addr(email string) address.Address {
	r.t.Helper()
	a, err := address.Parse(email)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) account(email string) (a accounts.Account) {
	r.t.Helper()
	r.update(func(tx storage.Tx) (err error) {
		a, err = r.accounts.Create(tx, accounts.NewAccount{Address: r.addr(email), Roles: []string{"user"}})
		return err
	})
	return a
}

// open signs an account in at site A, for an hour of idleness and a day in all unless in says otherwise.
func (r *rig) open(a accounts.Account, in OpenInput) (cookie string, s storage.Session) {
	r.t.Helper()
	if in.Site == "" {
		in.Site = siteA
	}
	if in.Idle == 0 {
		in.Idle, in.Absolute = time.Hour, 24*time.Hour
	}
	in.Mailbox = r.addr(a.Email).Mailbox(r.ring)
	in.Methods = []string{"link"}
	r.update(func(tx storage.Tx) (err error) {
		cookie, s, err = r.Open(tx, a, in)
		return err
	})
	return cookie, s
}

func (r *rig) find(cookie, site string) *Live {
	r.t.Helper()
	l, err := r.Find(context.Background(), cookie, site)
	if err != nil {
		r.t.Fatalf("Find: %v", err)
	}
	return l
}

func (r *rig) mustFind(cookie, site string) *Live {
	r.t.Helper()
	l := r.find(cookie, site)
	if l == nil {
		r.t.Fatal("the session is not found")
	}
	return l
}

func (r *rig) mustBeGone(cookie string) {
	r.t.Helper()
	if l := r.find(cookie, siteA); l != nil {
		r.t.Fatal("the session is alive")
	}
}

// target ends a request by its context alone.
type target context.CancelCauseFunc

func (end target) End(cause error, _ bool) { end(cause) }

// track tracks l and returns a function that says with which cause it was cancelled, nil when it was not.
func (r *rig) track(l *Live) (cause func() error, unregister func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	q := &credential.Request{Credential: l, Target: target(cancel), Since: r.time.Clock().Now().Add(-time.Minute)}
	r.Track(q)
	return func() error { return context.Cause(ctx) }, func() { r.Untrack(q) }
}
