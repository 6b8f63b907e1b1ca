package session

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// verdict is what a transaction says of a session.
type verdict struct {
	ok      bool
	session storage.Session
	account accounts.Account
	ends    ends
}

// ends are the ends of a session as the lifetimes in force allow.
type ends struct {
	// idle is the earlier of the session's own idle end and its parent's, absolute likewise.
	idle, absolute time.Time
	// touch is when the next use is to be recorded, every how long that is after the last one.
	touch time.Time
	every time.Duration
}

func (e *ends) alive(now time.Time) bool { return now.Before(e.idle) && now.Before(e.absolute) }

// ends returns the ends of a record: those it was promised, or earlier ones where the lifetimes in force are shorter.
func (m *Manager) ends(s storage.Session) ends {
	e := ends{idle: s.IdleEnd, absolute: s.Key.Ends()}
	idle := s.IdleEnd.Sub(s.Seen)
	if lt := m.lifetimes.Load(); lt != nil {
		if lt.Absolute > 0 {
			e.absolute = earlier(e.absolute, s.Created.Add(lt.Absolute))
		}
		if lt.Idle > 0 {
			idle = min(idle, lt.Idle)
			e.idle = earlier(e.idle, s.Seen.Add(idle))
		}
	}
	e.every = TouchEvery
	if m.freshness.Shared() {
		e.every = max(TouchEvery, idle/100)
	}
	e.every = min(e.every, idle/2)
	e.touch = s.Seen.Add(e.every)
	return e
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// subject is what a session belongs to.
type subject struct {
	account string
	parent  storage.Key
}

func (v *verdict) subject() subject { return subject{v.session.Account, v.session.Parent} }

// read judges the session under a key in a transaction of its own.
func (m *Manager) read(ctx context.Context, key storage.Key, now time.Time) (v verdict, err error) {
	err = m.store.View(ctx, func(tx storage.Tx) error {
		if err := tx.Prefetch(storage.Lookups{Sessions: []storage.Key{key}}); err != nil {
			return err
		}
		s, found, err := tx.Sessions().Get(key)
		if err != nil || !found {
			v = verdict{}
			return err
		}
		v, err = m.validate(tx, s, now)
		return err
	})
	if err != nil {
		return verdict{}, err
	}
	return v, nil
}

// validate reports whether a session is alive at now: both of its ends, its epochs, its account and its parent.
func (m *Manager) validate(tx storage.Tx, s storage.Session, now time.Time) (verdict, error) {
	v := verdict{session: s, ends: m.ends(s)}
	if !v.ends.alive(now) {
		return verdict{}, nil
	}
	if ok, err := sameEpochs(tx, s); err != nil || !ok {
		return verdict{}, err
	}
	a, found, err := m.accounts.Get(tx, s.Account)
	if err != nil || !found || a.Status != accounts.Active {
		return verdict{}, err
	}
	v.account = a
	if !s.Parent.IsZero() {
		p, found, err := tx.Sessions().Get(s.Parent)
		if err != nil || !found || p.Account != s.Account {
			return verdict{}, err
		}
		parent := m.ends(p)
		if ok, err := sameEpochs(tx, p); err != nil || !ok || !parent.alive(now) {
			return verdict{}, err
		}
		v.ends.idle = earlier(v.ends.idle, parent.idle)
		v.ends.absolute = earlier(v.ends.absolute, parent.absolute)
	}
	v.ok = true
	return v, nil
}

// ByKey returns, in the caller's step, the session with this key and its account. alive is false where there is none that is alive.
func (m *Manager) ByKey(tx storage.Tx, key storage.Key) (s storage.Session, account accounts.Account, alive bool, err error) {
	s, found, err := tx.Sessions().Get(key)
	if err != nil || !found {
		return s, account, false, err
	}
	v, err := m.validate(tx, s, m.clock.Now())
	return s, v.account, v.ok, err
}

// Alive reports, in the caller's step, whether a session that was found is alive. A step that changes something on behalf of a session
// asks this: what is cached may be older than an end elsewhere.
func (m *Manager) Alive(tx storage.Tx, l *Live) (bool, error) {
	s, found, err := tx.Sessions().Get(l.Session.Key)
	if err != nil || !found {
		return false, err
	}
	v, err := m.validate(tx, s, m.clock.Now())
	return v.ok, err
}

// sameEpochs reports whether the epochs are those the session was opened under.
func sameEpochs(tx storage.Tx, s storage.Session) (bool, error) {
	e := tx.Epochs()
	global, err := e.Get(storage.GlobalEpoch)
	if err != nil || global != s.Epochs.Global {
		return false, err
	}
	mailbox, err := e.Get(storage.MailboxEpoch(s.Mailbox))
	if err != nil || mailbox != s.Epochs.Mailbox {
		return false, err
	}
	acct, err := e.Get(storage.AccountEpoch(s.Account))
	return err == nil && acct == s.Epochs.Account, err
}
