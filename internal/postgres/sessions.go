package postgres

import (
	"math"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type sessions struct {
	*rows[storage.Key, storage.Session]
}

// Create stores a new session.
func (t sessions) Create(s storage.Session) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if s.Account == "" || strings.Contains(s.Account, "\x00") || !validKey(s.Key) || s.Key.Digest.IsZero() {
		return errNoKey
	}
	s.AuthTime, s.Created, s.Seen, s.IdleEnd = micro(s.AuthTime), micro(s.Created), micro(s.Seen), micro(s.IdleEnd)
	return t.create(s.Key, s, storage.ErrExists)
}

// Get returns a session, over or not.
func (t sessions) Get(k storage.Key) (storage.Session, bool, error) {
	if !validKey(k) {
		return storage.Session{}, false, t.usable()
	}
	one, err := t.read(k, false)
	if err != nil || !one.found {
		return storage.Session{}, false, err
	}
	return one.rec, true, nil
}

// Delete ends a session.
func (t sessions) Delete(k storage.Key) (deleted bool, err error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	_, found, err := t.Get(k)
	if err == nil && found {
		t.remove(t.m[k])
	}
	return found, err
}

// Reauthenticate puts a session in the place of another one of its account.
func (t sessions) Reauthenticate(old storage.Key, next storage.Session) (replaced bool, err error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	before, found, err := t.Get(old)
	if err != nil || !found || before.Account != next.Account {
		return false, err
	}
	if err := t.Create(next); err != nil {
		return false, err
	}
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where account = $1 and parent_ends = $2 and parent_digest = $3"
	children, err := t.list(sql, append([]any{next.Account}, keyArgs(old)...), func(s *storage.Session) bool {
		return s.Account == next.Account && s.Parent == old
	}, compareSessions, math.MaxInt)
	if err != nil {
		return false, err
	}
	for _, s := range values(children) {
		s.Parent = next.Key
		t.put(t.m[s.Key], s)
	}
	return t.Delete(old)
}

// RevokeOthers deletes the sessions of an account but one and its children.
func (t sessions) RevokeOthers(account string, keep storage.Key) (revoked int, err error) {
	if err := t.changeable(); err != nil {
		return 0, err
	}
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where account = $1"
	all, err := t.list(sql, []any{account}, func(s *storage.Session) bool { return s.Account == account }, compareSessions, math.MaxInt)
	if err != nil {
		return 0, err
	}
	for _, s := range values(all) {
		if s.Key == keep || s.Parent == keep && !keep.IsZero() {
			continue
		}
		t.remove(t.m[s.Key])
		revoked++
	}
	return revoked, nil
}

func compareSessions(a, b *storage.Session) int { return compareKeys(a.Key, b.Key) }

// ByAccount lists up to limit sessions of an account.
func (t sessions) ByAccount(account string, limit int) ([]storage.Session, error) {
	if limit <= 0 {
		return nil, nil
	}
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where account = $1 order by ends, digest limit $2"
	list, err := t.list(sql, []any{account, limit + t.written()}, func(s *storage.Session) bool { return s.Account == account },
		compareSessions, limit)
	return values(list), err
}

// List returns up to limit sessions with keys after the given one.
func (t sessions) List(after storage.Key, limit int) ([]storage.Session, error) {
	list, err := listAfter(t.rows, after, limit, func(s *storage.Session) storage.Key { return s.Key })
	return values(list), err
}
