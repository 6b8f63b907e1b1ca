package machinetoken

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/assertioncache"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
)

// Live is a token that was good when it was found. It is shared by all requests with the token: read its fields, never change
// them.
type Live struct {
	// ID is the token's public name (jti).
	ID string
	// Site is the origin it is good at.
	Site string
	// Scopes are those of its scopes that the configuration knows.
	Scopes []string
	// Issued and Ends are times of the gate's clock (clock.Now), not of the wall clock.
	Issued, Ends time.Time
	// Account is the account as it was read; when it changes, the next request gets a new Live.
	Account accounts.Account

	m        *Manager
	id       [32]byte // in the cache
	grant    *grant
	validity credential.Validity

	assertions assertioncache.Cache
}

// note returns what is read of a grant depends on, as it is now.
func (m *Manager) note(g *grant) credential.Stamp {
	return credential.NewStamp(&g.holder.changes, &m.all)
}

func (m *Manager) newLive(id [32]byte, c claims, g *grant, v verdict, st credential.Stamp) *Live {
	l := &Live{
		ID: c.ID, Site: c.Site, Scopes: m.inForce(strings.Fields(c.Scope)),
		Issued: time.Unix(c.Issued, 0).UTC(), Ends: time.Unix(c.Expires, 0).UTC(), Account: v.account,
		m: m, id: id, grant: g,
	}
	l.validity.Renew(st)
	return l
}

// Owner returns the id of the token's account.
func (l *Live) Owner() string { return l.Account.ID }

// Valid reports whether the token may be used at now, without asking the store. A new request also asks whether what is known here is
// fresh: see [Manager.FindAt].
func (l *Live) Valid(now time.Time) bool { return l.current(now) && l.m.freshness.Usable() }

// current reports whether memory knows of no end.
func (l *Live) current(now time.Time) bool {
	return l.grant.key.Alive(now) && !l.grant.dead.Load() && l.validity.Current()
}

// Ended reports whether the token has ended since it was found: by its time, because it was revoked, by a raised epoch or with its
// account. It reads the store only when something may have changed, and a store that cannot be read then counts as an end, unless what was
// read before may be served.
func (l *Live) Ended() bool {
	if l.Valid(l.m.clock.Now()) {
		return false
	}
	alive, _ := l.Recheck()
	return !alive
}

// Use reports whether the token is alive. A token has no idle end, so no use is recorded.
func (l *Live) Use() (alive bool) { return !l.Ended() }

// Recheck asks the store whether the token is good, and whether account and scopes are still those that were read. While the database
// cannot be reached, a token that was good before goes on for as long as it may be served.
func (l *Live) Recheck() (alive, same bool) {
	if !l.m.freshness.Out() {
		if alive, same, err := l.recheck(context.Background()); err == nil {
			return alive, same
		}
	}
	served := l.served()
	return served, served
}

// served reports whether the token goes on although it cannot be read.
func (l *Live) served() bool {
	return !l.validity.Ended() && !l.grant.dead.Load() && l.grant.key.Alive(l.m.clock.Now()) && l.m.freshness.MayServe()
}

// recheck is Recheck with the errors of the store.
func (l *Live) recheck(ctx context.Context) (alive, same bool, err error) {
	return l.validity.Recheck(l.m.note(l.grant), func() (alive, same bool, err error) {
		v, err := l.m.read(ctx, l.grant, l.m.clock.Now())
		same = sameAccount(l.Account, v.account) && slices.Equal(l.m.inForce(strings.Fields(l.grant.scope)), l.Scopes)
		return v.ok, same, err
	})
}

func sameAccount(a, b accounts.Account) bool {
	return a.ID == b.ID && a.Email == b.Email && a.Name == b.Name && a.Status == b.Status && slices.Equal(a.Roles, b.Roles)
}

// Assertion returns the assertion cached under a key, and mints one when there is none or when half of its lifetime is over, as
// session.Live.Assertion does.
func (l *Live) Assertion(at time.Time, key string, mint func() (text string, exp time.Time, err error)) (string, error) {
	text, grown, err := l.assertions.Get(l.m.clock, at, key, mint)
	if grown != 0 {
		l.m.cache.Grow(l.id, l, grown)
	}
	return text, err
}

const (
	// cacheBytes bounds the cache to about 5000 tokens with an assertion each.
	cacheBytes = 12 << 20
	// baseSize is about what a cached token takes beside its texts and its assertions.
	baseSize = 900
)

// cacheKey keeps usable tokens out of memory. It allocates nothing for a text of at most [MaxText].
func cacheKey(text string) [32]byte {
	var b [MaxText]byte
	return sha256.Sum256(b[:copy(b[:], text)])
}

// cacheSize returns about how many bytes a token without assertions takes.
func (l *Live) cacheSize() int {
	n := baseSize + len(l.ID) + len(l.Site) + len(l.Account.ID) + len(l.Account.Email) + len(l.Account.Name)
	for _, r := range slices.Concat(l.Scopes, l.Account.Roles) {
		n += len(r) + 16
	}
	return n
}
