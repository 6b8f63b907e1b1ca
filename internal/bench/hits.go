package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// hitRow is what the gate itself does for a signed-in request: the session from the cache, and its assertion.
func hitRow(b *bench) ([]figure, error) {
	g, err := newGateAt(b.path("hits.db"), nil)
	if err != nil {
		return nil, err
	}
	defer os.Remove(g.path) //nolint:errcheck // temporary
	defer g.close()         //nolint:errcheck // read no more
	addr, err := address.Parse("ada.lovelace@example.com")
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var cookie string
	err = g.bolt.Update(ctx, func(tx storage.Tx) error {
		a, err := g.vault.Accounts.Create(tx, accounts.NewAccount{Address: addr, Name: "Ada Lovelace", Roles: []string{"admin", "editor"}})
		if err != nil {
			return err
		}
		cookie, _, err = g.vault.Sessions.Open(tx, a, session.OpenInput{
			Site: origin, Mailbox: addr.Mailbox(g.vault.Ring), Methods: []string{"link"}, Device: "Firefox on Linux",
			Idle: 7 * 24 * time.Hour, Absolute: 30 * 24 * time.Hour,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	key := g.vault.Signing.Current(g.vault.Clock.Now())
	minter, err := identity.NewMinter(identity.MinterConfig{
		Key: g.vault.Ring.AudienceKey("app.example.com"), Now: g.vault.Clock.Wall,
		Signer: func() (string, ed25519.PrivateKey) { return key.ID, key.Private },
	})
	if err != nil {
		return nil, err
	}
	mint := func(l *session.Live) (string, time.Time, error) {
		return minter.Mint(identity.Identity{
			Issuer: origin, Audience: "app.example.com", Subject: l.Account.ID, SessionID: l.Session.ID, Email: l.Account.Email,
			EmailVerified: true, Name: l.Account.Name, Roles: l.Account.Roles, AuthTime: l.Session.AuthTime, Methods: l.Session.Methods,
		})
	}
	var live *session.Live
	hit := func() error {
		at := g.vault.Clock.Read() // once for both, as the handler does
		l, err := g.vault.Sessions.FindAt(ctx, at.Now, cookie, origin)
		if err != nil || l == nil {
			return errors.Join(errors.New("the session was not found"), err)
		}
		live = l
		_, err = l.Assertion(at.Wall, "app.example.com", func() (string, time.Time, error) { return mint(l) })
		return err
	}
	if err := hit(); err != nil {
		return nil, err
	}
	check := figure{what: "session and assertion, both cached", unit: "µs"}
	minting := figure{what: "minting an assertion", unit: "µs"}
	var allocs []float64
	for range b.options.pairs {
		elapsed, allocated, err := each(b.step, hit)
		if err != nil {
			return nil, err
		}
		check.values, allocs = append(check.values, elapsed), append(allocs, allocated)
		elapsed, _, err = each(b.step, func() error { _, _, err := mint(live); return err })
		if err != nil {
			return nil, err
		}
		minting.values = append(minting.values, elapsed)
	}
	return []figure{atMost(check, 0.25), atMost(figure{what: "its allocations", values: allocs}, 0), minting}, nil
}

// each runs fn for a time and returns what one run takes: microseconds, and whole allocations.
func each(length time.Duration, fn func() error) (elapsed, allocs float64, err error) {
	const batch = 256
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, began := 0, time.Now()
	for time.Since(began) < length {
		for range batch {
			if err := fn(); err != nil {
				return 0, 0, err
			}
		}
		n += batch
	}
	elapsed = float64(time.Since(began).Nanoseconds()) / 1000 / float64(n)
	runtime.ReadMemStats(&after)
	return elapsed, float64((after.Mallocs - before.Mallocs) / uint64(n)), nil //nolint:gosec // positive
}
