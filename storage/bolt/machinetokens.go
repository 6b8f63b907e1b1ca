package bolt

import (
	"bytes"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type machineTokens struct{ *tx }

// Create stores the record of a new machine token.
func (t machineTokens) Create(m storage.MachineToken) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	if m.ID == "" || m.Account == "" {
		return errNoKey
	}
	return t.create(bMachineTokens, m.Key, encodeMachineToken(m))
}

// Get returns a machine token, over or not, revoked or not.
func (t machineTokens) Get(k storage.Key) (m storage.MachineToken, found bool, err error) {
	_, m, found, err = t.read(k)
	return m, found, err
}

func (t machineTokens) read(k storage.Key) (key []byte, m storage.MachineToken, found bool, err error) {
	key, v, err := t.getKeyed(bMachineTokens, k)
	if err != nil || v == nil {
		return nil, m, false, err
	}
	if m, err = decodeMachineToken(k, v); err != nil {
		return nil, storage.MachineToken{}, false, err
	}
	return key, m, true, nil
}

// Revoke notes when a token was revoked, once.
func (t machineTokens) Revoke(k storage.Key, now time.Time) (storage.MachineToken, bool, error) {
	if !t.writable {
		return storage.MachineToken{}, false, storage.ErrReadOnly
	}
	if now.IsZero() { // it would read back as "not revoked"
		return storage.MachineToken{}, false, errNoKey
	}
	key, m, found, err := t.read(k)
	if err != nil || !found || !m.Revoked.IsZero() {
		return m, false, err
	}
	m.Revoked = now.UTC()
	return m, true, t.put(bMachineTokens, key, encodeMachineToken(m))
}

// List returns up to limit tokens with keys after the given one.
func (t machineTokens) List(after storage.Key, limit int) (list []storage.MachineToken, err error) {
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
	err = t.scan(bMachineTokens, from, func(k, v []byte) (bool, error) {
		if bytes.Equal(k, from) {
			return true, nil
		}
		key, err := parseKey(k)
		if err != nil {
			return false, err
		}
		m, err := decodeMachineToken(key, v)
		if err != nil {
			return false, err
		}
		list = append(list, m)
		return len(list) < limit, nil
	})
	return list, err
}
