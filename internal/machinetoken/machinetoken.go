// Package machinetoken makes and checks machine tokens: bearer tokens for programs that cannot sign in, such as calendar clients,
// scripts and other servers.
//
// A token is `elt_` and a compact JWE that carries its own claims, so what it may do is read from itself. That it is still
// good is a matter of a set in memory: the ids that were issued and have neither been revoked nor died with an epoch of their
// account. The set is loaded at the start and brought up to date after each commit that changes it; until it has been loaded
// nothing is let in. What a token's account is called is read from the store once and kept while nothing about the account
// changes. So a request with a token that was seen before reads no store, and one with a text that is no token writes
// nothing.
//
// A [Manager] belongs to a store, not to a configuration: it survives reloads together with the store. A step that makes or
// revokes a token, or changes an account, publishes it ([storage.Changes]): the manager learns of it after the commit and before the
// answer, so once the answer is out no request is let in by something that was read before it.
package machinetoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// Prefix begins every token, so that people and scanners for leaked secrets know one when they see it.
	Prefix = "elt_"
	// Type is the typ of the JWE.
	Type = "email-link-token+jwt"
	// MaxTTL is the longest life of a token.
	MaxTTL = 90 * 24 * time.Hour
	// MaxText is the length in bytes above which nothing is looked at.
	MaxText = 2048
	// MaxScopes is how many scopes a token has at most.
	MaxScopes = 16
	// MaxScope is the length of a scope at most.
	MaxScope = 40
	// People is the scope that every session has and no token can: `require scope calendar session` lets both in.
	People = "session"

	// secretSize is how many random bytes only the token's text holds.
	secretSize = 16
	// label binds keys and digests to their use.
	label = "machine token"
	// loadTries bounds how often a load is repeated because something changed while it ran. The result of the last one is
	// not cached, and is checked again by Ended.
	loadTries = 4
)

var (
	// ErrNotLoaded says that the set of good tokens has not been loaded: answer 503.
	ErrNotLoaded = errors.New("machinetoken: the tokens have not been loaded")
	// ErrEnded is the cause with which a tracked request is cancelled when its token has ended.
	ErrEnded = errors.New("machinetoken: the token has ended")
	// ErrChanged is the cause with which a tracked request is cancelled when its account, or what its scopes are worth, has
	// changed, so that it is judged anew when it returns.
	ErrChanged = errors.New("machinetoken: the account has changed")
)

// Accounts reads what the gate knows of an account, in the caller's transaction.
type Accounts interface {
	Get(tx storage.Tx, id string) (a accounts.Account, found bool, err error)
}

// Manager makes, finds and ends tokens. It is made by [NewManager] and safe for use by many goroutines.
type Manager struct {
	// Log gets a line for each token made or revoked, and the failures that no caller sees. Set it before the first use.
	Log *slog.Logger

	store    storage.Store
	ring     *keyring.Ring
	clock    *clock.Clock
	accounts Accounts
	jwe      *token.JWE

	// all is raised when everything may have changed: the scopes in force, the global epoch, the set.
	all    atomic.Uint64
	scopes atomic.Pointer[[]string]
	issued issued
	// reload is set when the set lacks a token that could not be read.
	reload   atomic.Bool
	cache    credential.Cache[*Live]
	requests *credential.Requests
	// freshness says until when the set and the cache may be used.
	freshness credential.Freshness
	// ticks counts the calls of Tick.
	ticks atomic.Uint64
}

// NewManager returns a manager of the tokens in a store. It subscribes to the store's changes until the store is closed. Nothing is let in before [Manager.Load], and nothing is worth
// anything before [Manager.SetScopes].
func NewManager(store storage.Store, ring *keyring.Ring, clk *clock.Clock, accounts Accounts) *Manager {
	m := &Manager{
		Log: slog.New(slog.DiscardHandler), store: store, ring: ring, clock: clk, accounts: accounts,
		jwe: token.NewJWE([32]byte(ring.Derive(label+" key", nil, 32)), Type), freshness: credential.FreshnessOf(store),
	}
	m.issued.byID = map[string]*grant{}
	m.issued.holders = map[string]*holder{}
	m.cache.SetBudget(cacheBytes)
	m.requests = credential.NewRequests(ErrEnded, ErrChanged)
	store.Subscribe(m.changed)
	return m
}

// CheckScope says why a word cannot be a scope. A scope is 1 to [MaxScope] lower-case letters, digits and - _ . : and begins
// with a letter; [People] is reserved.
func CheckScope(s string) error {
	if s == "" || len(s) > MaxScope {
		return fmt.Errorf("%q is not a scope; a scope has 1 to %d characters", s, MaxScope)
	}
	for i, c := range []byte(s) {
		char := 'a' <= c && c <= 'z'
		if !char && (i == 0 || !('0' <= c && c <= '9') && !strings.ContainsRune("-_.:", rune(c))) {
			return fmt.Errorf("%q is not a scope; write one like calendar or files:read, in lower-case letters, digits and - _ . :", s)
		}
	}
	if s == People {
		return fmt.Errorf("%q is the scope of people who have signed in and no token's", s)
	}
	return nil
}

// SetScopes sets the scopes of the configuration that is in force. A token loses at once what is not among them.
func (m *Manager) SetScopes(scopes []string) {
	scopes = slices.Clone(scopes)
	slices.Sort(scopes)
	if old := m.scopes.Swap(&scopes); old == nil || !slices.Equal(*old, scopes) {
		m.all.Add(1)
	}
}

// inForce returns those of a token's scopes that the configuration knows.
func (m *Manager) inForce(scopes []string) (list []string) {
	known := m.scopes.Load()
	if known == nil {
		return nil
	}
	for _, s := range scopes {
		if _, ok := slices.BinarySearch(*known, s); ok {
			list = append(list, s)
		}
	}
	return list
}

// Find returns the token of a text at a site (an origin). It returns nil and no error for everything that is not a
// good token of this site: malformed, made with another key, over, revoked, of an account that is not active, or from before
// an epoch was raised. An error means that this cannot be said; answer 503, never as if there were no token.
func (m *Manager) Find(ctx context.Context, text, site string) (*Live, error) {
	return m.FindAt(ctx, m.clock.Now(), text, site)
}

// FindAt is Find for callers that have read the gate's clock (clock.Now) for this request already.
func (m *Manager) FindAt(ctx context.Context, now time.Time, text, site string) (*Live, error) {
	if len(text) > MaxText || !strings.HasPrefix(text, Prefix) {
		return nil, nil
	}
	id := cacheKey(text)
	l := m.cache.Get(id)
	if l != nil && l.current(now) {
		switch {
		case l.Site != site:
			return nil, nil
		case m.freshness.Fresh():
			return l, nil
		}
		confirmed, err := m.confirm(ctx, l)
		if confirmed || err != nil {
			return orNone(l, err)
		}
		m.cache.Drop(id, l) // it has ended, or its account has changed
	}
	c, ok := m.open(text, now)
	if !ok || c.Site != site {
		return nil, nil
	}
	return m.load(ctx, id, c, now)
}

func orNone(l *Live, err error) (*Live, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// confirm asks the store whether a cached token that other nodes may have revoked is as it was. While the database cannot be reached it
// is, for as long as it may be served.
func (m *Manager) confirm(ctx context.Context, l *Live) (same bool, err error) {
	if m.freshness.Out() {
		if m.freshness.MayServe() {
			return true, nil
		}
		return false, storage.ErrUnreachable
	}
	err = m.freshness.Ask(ctx, func(ctx context.Context) (err error) {
		_, same, err = l.recheck(ctx)
		return err
	})
	if err != nil && ctx.Err() == nil && m.freshness.MayServe() {
		return true, nil
	}
	return same, err
}

// load validates the claims of a token of ours and caches the result.
func (m *Manager) load(ctx context.Context, id [32]byte, c claims, now time.Time) (*Live, error) {
	g, err := m.issued.find(c.ID)
	if g == nil && err == nil && !m.freshness.Fresh() {
		// It may have been made elsewhere, and is not known here yet.
		if err = m.admit(ctx, storage.Key{End: c.Expires, Digest: m.digest(c.Secret)}); err == nil {
			g, err = m.issued.find(c.ID)
		}
	}
	if g == nil || err != nil || !g.fits(c) || m.digest(c.Secret) != g.key.Digest {
		return nil, err
	}
	var l *Live
	for range loadTries {
		st := m.note(g)
		v, err := m.read(ctx, g, now)
		if err != nil || !v.ok {
			return nil, err
		}
		l = m.newLive(id, c, g, v, st)
		if l.current(now) {
			cached := m.cache.Put(id, l, l.cacheSize(), now)
			if cached != l && !m.freshness.Fresh() {
				return l, nil // what another request has read may be older
			}
			return cached, nil
		}
	}
	return l, nil
}

// verdict is what a transaction says of a token.
type verdict struct {
	ok      bool
	account accounts.Account
}

// read asks the store whether a token is good at now: its record, its epochs and its account.
func (m *Manager) read(ctx context.Context, g *grant, now time.Time) (v verdict, err error) {
	if !g.key.Alive(now) || g.dead.Load() {
		return verdict{}, nil
	}
	err = m.store.View(ctx, func(tx storage.Tx) error {
		v = verdict{}
		if err := tx.Prefetch(storage.Lookups{MachineTokens: []storage.Key{g.key}}); err != nil {
			return err
		}
		t, found, err := tx.MachineTokens().Get(g.key)
		if err != nil || !found || !t.Revoked.IsZero() {
			return err
		}
		same, err := sameEpochs(tx, t)
		if err != nil || !same {
			return err
		}
		a, found, err := m.accounts.Get(tx, t.Account)
		v = verdict{found && a.Status == accounts.Active, a}
		return err
	})
	if err != nil {
		return verdict{}, err
	}
	return v, nil
}

// sameEpochs reports whether the epochs are those the token was made under.
func sameEpochs(tx storage.Tx, t storage.MachineToken) (bool, error) {
	now, err := storage.ReadEpochs(tx, t.Mailbox, t.Account, true)
	return err == nil && now == t.Epochs, err
}
