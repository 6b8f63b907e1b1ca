package session

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/assertioncache"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Live is a session that was alive when it was found. It is shared by all requests of the session: read its fields, never
// change them.
type Live struct {
	// Session is the record as it was read. Its Seen and IdleEnd move on: see IdleEnd. Its Parent moves when that proves itself anew.
	// Times are those of the gate's clock (clock.Now), not of the wall clock.
	Session storage.Session
	// Account is the account as it was read; when it changes, the next request gets a new Live.
	Account accounts.Account

	m  *Manager
	id [32]byte // in the cache
	// In nanoseconds since 1970. ends is the earlier of the other two.
	ends, idleEnd, absEnd atomic.Int64
	nextTouch, touchEvery atomic.Int64

	// parent is the parent as it was last read.
	parent atomic.Pointer[storage.Key]

	touching atomic.Bool
	validity credential.Validity

	assertions assertioncache.Cache
}

func (m *Manager) newLive(id [32]byte, v verdict, st credential.Stamp) *Live {
	l := &Live{Session: v.session, Account: v.account, m: m, id: id}
	l.apply(v.ends)
	l.parent.Store(&v.session.Parent)
	l.validity.Renew(st)
	return l
}

// apply takes over what moves in a record.
func (l *Live) apply(e ends) {
	l.idleEnd.Store(e.idle.UnixNano())
	l.absEnd.Store(e.absolute.UnixNano())
	l.ends.Store(earlier(e.idle, e.absolute).UnixNano())
	l.touchEvery.Store(int64(e.every))
	l.nextTouch.Store(e.touch.UnixNano())
}

// IdleEnd returns when the session ends without another use.
func (l *Live) IdleEnd() time.Time { return time.Unix(0, l.idleEnd.Load()).UTC() }

// AbsoluteEnd returns when the session ends whatever its use.
func (l *Live) AbsoluteEnd() time.Time { return time.Unix(0, l.absEnd.Load()).UTC() }

// Parent returns the key of the portal's session that this one ends with, zero where there is none.
func (l *Live) Parent() storage.Key { return *l.parent.Load() }

// Owner returns the id of the session's account.
func (l *Live) Owner() string { return l.Session.Account }

// Valid reports whether the session may be used at now, without asking the store. A new request also asks whether what is known here is
// fresh: see [Manager.FindAt].
func (l *Live) Valid(now time.Time) bool { return l.current(now) && l.m.freshness.Usable() }

// current reports whether memory knows of no end.
func (l *Live) current(now time.Time) bool {
	return now.UnixNano() < l.ends.Load() && l.validity.Current()
}

// Ended reports whether the session has ended since it was found: by its own idle or absolute end, by a sign-out, by a raised
// epoch, with its account or with its parent. It reads the store only when something may have changed, and a store that
// cannot be read then counts as an end, unless what was read before may be served.
func (l *Live) Ended() bool {
	if l.Valid(l.m.clock.Now()) {
		return false
	}
	alive, _ := l.Recheck()
	return !alive
}

// Use records, at most once in [TouchEvery], that a request of the session still moves bytes, and reports whether the session is
// alive. It reads and writes the store only when Ended would, or when a use is due.
func (l *Live) Use() (alive bool) {
	now := l.m.clock.Now()
	if !l.Valid(now) {
		if alive, _ := l.Recheck(); !alive {
			return false
		}
	}
	if now.UnixNano() < l.nextTouch.Load() {
		return true
	}
	// The request's own context may be over although its last bytes are not.
	live, err := l.m.touch(context.Background(), l, now)
	return err == nil && live != nil
}

// Recheck asks the store whether the session is alive, and whether the account is still the one that was read. While the database
// cannot be reached, a session that was alive before goes on for as long as it may be served.
func (l *Live) Recheck() (alive, same bool) {
	if !l.m.freshness.Out() {
		if alive, same, err := l.recheck(context.Background()); err == nil {
			return alive, same
		}
	}
	served := l.served()
	return served, served
}

// served reports whether the session goes on although it cannot be read.
func (l *Live) served() bool {
	return !l.validity.Ended() && l.m.clock.Now().UnixNano() < l.ends.Load() && l.m.freshness.MayServe()
}

// recheck is Recheck with the errors of the store. Where the session has come to another parent meanwhile it asks again, so that the end of
// that one is seen.
func (l *Live) recheck(ctx context.Context) (alive, same bool, err error) {
	for range loadTries {
		parent := l.parent.Load()
		alive, same, err = l.validity.Recheck(l.m.gens.note(l.Session.Key, subject{l.Session.Account, *parent}), func() (alive, same bool, err error) {
			v, err := l.m.read(ctx, l.Session.Key, l.m.clock.Now())
			if err != nil || !v.ok {
				return false, false, err
			}
			l.apply(v.ends)
			l.parent.Store(&v.session.Parent)
			return true, sameAccount(l.Account, v.account), nil
		})
		if !alive || *l.parent.Load() == *parent {
			break
		}
	}
	return alive, same, err
}

func sameAccount(a, b accounts.Account) bool {
	return a.ID == b.ID && a.Email == b.Email && a.Name == b.Name && a.Status == b.Status && a.Language == b.Language &&
		a.Timezone == b.Timezone && slices.Equal(a.Roles, b.Roles)
}

// Assertion returns the assertion cached under a key, and mints one when there is none or when half of its lifetime is over by at,
// the wall clock of [clock.Clock.Read]; of concurrent misses one mints and the others wait for it. The key names everything the
// text depends on beside the session and the account: the audience, and what a new configuration may change (its keys, format
// and lifetime). mint returns the text and when it expires by the wall clock. Its errors are not cached. Assertions are dropped
// when the session or the account changes.
func (l *Live) Assertion(at time.Time, key string, mint func() (text string, exp time.Time, err error)) (string, error) {
	text, grown, err := l.assertions.Get(l.m.clock, at, key, mint)
	if grown != 0 {
		l.m.cache.Grow(l.id, l, grown)
	}
	return text, err
}
