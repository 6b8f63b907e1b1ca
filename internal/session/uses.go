package session

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// maxUses is how many uses are written in one step.
const maxUses = 500

// uses are the uses of sessions that wait to be written together.
type uses struct {
	mu sync.Mutex
	at map[*Live]time.Time // guarded by mu
}

func (u *uses) add(l *Live, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.at == nil {
		u.at = make(map[*Live]time.Time)
	}
	if now.After(u.at[l]) {
		u.at[l] = now
	}
}

// drain returns up to maxUses of what waits, and leaves the rest.
func (u *uses) drain() (list []use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for l, at := range u.at {
		if len(list) == maxUses {
			break
		}
		list = append(list, use{l, at})
		delete(u.at, l)
	}
	return list
}

type use struct {
	l  *Live
	at time.Time
}

// WriteUses writes the uses of sessions that wait, in one step for many. Call it once a second where the store is [storage.Shared]. While
// the database cannot be reached they wait.
func (m *Manager) WriteUses(ctx context.Context) error {
	for !m.freshness.Out() {
		list := m.uses.drain()
		if len(list) == 0 {
			return nil
		}
		if err := m.writeUses(ctx, list); err != nil {
			for _, u := range list {
				m.uses.add(u.l, u.at)
			}
			return err
		}
	}
	return nil
}

func (m *Manager) writeUses(ctx context.Context, list []use) error {
	got, err := m.record(ctx, list)
	if err != nil {
		return err
	}
	for _, u := range list {
		m.used(u.l, got, u.at)
	}
	return nil
}

// record writes uses of sessions, and of their parents: else everybody would be signed out when the portal has been idle. It returns all
// their records, zero for one that is gone.
func (m *Manager) record(ctx context.Context, list []use) (map[storage.Key]storage.Session, error) {
	var touches []storage.Touch
	for _, u := range list {
		t := storage.Touch{Key: u.l.Session.Key, Now: u.at, IdleEnd: u.at.Add(m.idle(u.l)), Every: time.Duration(u.l.touchEvery.Load())}
		touches = append(touches, t)
		if t.Key = u.l.Parent(); !t.Key.IsZero() {
			touches = append(touches, t)
		}
	}
	var answers []storage.Touched
	err := m.store.Update(ctx, func(tx storage.Tx) (err error) {
		answers, err = tx.Sessions().TouchAll(touches)
		return err
	})
	if err != nil {
		return nil, err
	}
	got := make(map[storage.Key]storage.Session, len(touches))
	for i, a := range answers {
		got[touches[i].Key] = a.Session
	}
	return got, nil
}

// used takes over what the records of a session and its parent say after a use was written, and reports whether the session is alive.
func (m *Manager) used(l *Live, got map[storage.Key]storage.Session, now time.Time) (alive bool) {
	s := got[l.Session.Key]
	parent, known := got[s.Parent]
	child := !s.Parent.IsZero()
	switch {
	case s.Key.IsZero(), child && known && parent.Key.IsZero():
		// The record is gone without a notification: something else writes to the store.
		l.validity.End()
		m.cache.Drop(l.id, l)
		return false
	case child && !known:
		return true // it has another parent than this process knows: the change is on its way
	}
	e := m.ends(s)
	if child {
		p := m.ends(parent)
		e.idle, e.absolute = earlier(e.idle, p.idle), earlier(e.absolute, p.absolute)
	}
	l.apply(e)
	return e.alive(now)
}
