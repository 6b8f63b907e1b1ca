package bolt

import (
	"bytes"
	"math"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type sessions struct{ *tx }

// signedIn returns the index key of a session: account id ‖ 0 ‖ key.
func signedIn(account string, key []byte) []byte {
	return append(append(append(make([]byte, 0, len(account)+1+keyLen), account...), 0), key...)
}

// Create stores a new session.
func (t sessions) Create(s storage.Session) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	if s.Account == "" || strings.Contains(s.Account, "\x00") {
		return errNoKey
	}
	if err := t.create(bSessions, s.Key, encodeSession(s)); err != nil {
		return err
	}
	key, _ := keyOf(s.Key)
	return t.put(bSignedIn, signedIn(s.Account, key), []byte{})
}

// Get returns a session, over or not.
func (t sessions) Get(k storage.Key) (s storage.Session, found bool, err error) {
	_, s, found, err = t.read(k)
	return s, found, err
}

func (t sessions) read(k storage.Key) (key []byte, s storage.Session, found bool, err error) {
	key, v, err := t.getKeyed(bSessions, k)
	if err != nil || v == nil {
		return nil, s, false, err
	}
	if s, err = decodeSession(k, v); err != nil {
		return nil, storage.Session{}, false, err
	}
	return key, s, true, nil
}

// touch moves the idle end and the last use.
func (t sessions) touch(k storage.Key, now, idleEnd time.Time, every time.Duration) (storage.Session, bool, error) {
	if !t.writable {
		return storage.Session{}, false, storage.ErrReadOnly
	}
	key, s, found, err := t.read(k)
	if err != nil || !found || !k.Alive(now) || !now.Before(s.IdleEnd) || now.Sub(s.Seen) < every {
		return s, false, err
	}
	s.Seen, s.IdleEnd = now.UTC(), idleEnd.UTC()
	return s, true, t.put(bSessions, key, encodeSession(s))
}

// TouchAll records uses of sessions.
func (t sessions) TouchAll(uses []storage.Touch) ([]storage.Touched, error) {
	list := make([]storage.Touched, len(uses))
	for i, u := range uses {
		var err error
		if list[i].Session, list[i].Touched, err = t.touch(u.Key, u.Now, u.IdleEnd, u.Every); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Delete ends a session.
func (t sessions) Delete(k storage.Key) (deleted bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	key, s, found, err := t.read(k)
	if err != nil || !found {
		return false, err
	}
	if err := t.del(bSessions, key); err != nil {
		return false, err
	}
	return true, t.del(bSignedIn, signedIn(s.Account, key))
}

// Reauthenticate puts a session in the place of another one of its account.
func (t sessions) Reauthenticate(old storage.Key, next storage.Session) (replaced bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	before, found, err := t.Get(old)
	if err != nil || !found || before.Account != next.Account {
		return false, err
	}
	if err := t.Create(next); err != nil {
		return false, err
	}
	all, err := t.ByAccount(next.Account, math.MaxInt)
	if err != nil {
		return false, err
	}
	for _, s := range all {
		if s.Parent != old || s.Key == old {
			continue
		}
		s.Parent = next.Key
		key, _ := keyOf(s.Key)
		if err := t.put(bSessions, key, encodeSession(s)); err != nil {
			return false, err
		}
	}
	return t.Delete(old)
}

// RevokeOthers deletes the sessions of an account but one and its children.
func (t sessions) RevokeOthers(account string, keep storage.Key) (revoked int, err error) {
	if !t.writable {
		return 0, storage.ErrReadOnly
	}
	all, err := t.ByAccount(account, math.MaxInt)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if s.Key == keep || s.Parent == keep && !keep.IsZero() {
			continue
		}
		if _, err := t.Delete(s.Key); err != nil {
			return 0, err
		}
		revoked++
	}
	return revoked, nil
}

// ByAccount lists up to limit sessions of an account.
func (t sessions) ByAccount(account string, limit int) (list []storage.Session, err error) {
	if limit <= 0 {
		return nil, nil
	}
	prefix := signedIn(account, nil)
	err = t.scan(bSignedIn, prefix, func(k, _ []byte) (bool, error) {
		if !bytes.HasPrefix(k, prefix) {
			return false, nil
		}
		key, err := parseKey(k[len(prefix):])
		if err != nil {
			return false, err
		}
		s, found, err := t.Get(key)
		if err != nil {
			return false, err
		}
		if found {
			list = append(list, s)
		}
		return len(list) < limit, nil
	})
	return list, err
}

// List returns up to limit sessions with keys after the given one.
func (t sessions) List(after storage.Key, limit int) (list []storage.Session, err error) {
	if limit <= 0 {
		return nil, nil
	}
	from, ok := keyOf(after)
	if !ok {
		if after.End > 0 {
			return nil, nil // after every key
		}
		from = nil
	}
	err = t.scan(bSessions, from, func(k, v []byte) (bool, error) {
		if bytes.Equal(k, from) {
			return true, nil
		}
		key, err := parseKey(k)
		if err != nil {
			return false, err
		}
		s, err := decodeSession(key, v)
		if err != nil {
			return false, err
		}
		list = append(list, s)
		return len(list) < limit, nil
	})
	return list, err
}
