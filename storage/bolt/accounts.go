package bolt

import (
	"fmt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type accounts struct{ *tx }

// Get returns the account with this id.
func (t accounts) Get(id string) (a storage.Account, found bool, err error) {
	if id == "" {
		return a, false, nil
	}
	v, err := t.get(bAccounts, []byte(id))
	if err != nil || v == nil {
		return a, false, err
	}
	if a, err = decodeAccount(id, v); err != nil {
		return storage.Account{}, false, err
	}
	return a, true, nil
}

// ByMailbox returns the account of a mailbox.
func (t accounts) ByMailbox(mailbox storage.Digest) (a storage.Account, found bool, err error) {
	id, err := t.get(bMailboxes, mailbox[:])
	if err != nil || id == nil {
		return a, false, err
	}
	a, found, err = t.Get(string(id))
	if err == nil && (!found || a.Mailbox != mailbox) {
		err = fmt.Errorf("%w: a mailbox leads to an account that does not have it", storage.ErrDamaged)
	}
	if err != nil {
		return storage.Account{}, false, err
	}
	return a, true, nil
}

// GetForUpdate is Get: the writer is alone in this engine.
func (t accounts) GetForUpdate(id string) (storage.Account, bool, error) { return t.Get(id) }

// ByMailboxForUpdate is ByMailbox: the writer is alone in this engine.
func (t accounts) ByMailboxForUpdate(mailbox storage.Digest) (storage.Account, bool, error) {
	return t.ByMailbox(mailbox)
}

// Create stores a new account.
func (t accounts) Create(a storage.Account) (created bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	if a.ID == "" || a.Mailbox.IsZero() {
		return false, errNoKey
	}
	if taken, err := t.has(bAccounts, []byte(a.ID)); err != nil || taken {
		return false, err
	}
	if taken, err := t.has(bMailboxes, a.Mailbox[:]); err != nil || taken {
		return false, err
	}
	a.Version = 1
	if err := t.put(bMailboxes, a.Mailbox[:], []byte(a.ID)); err != nil {
		return false, err
	}
	return true, t.put(bAccounts, []byte(a.ID), encodeAccount(a))
}

// Replace stores a over the record with the same id and Version.
func (t accounts) Replace(a storage.Account) (replaced bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	old, found, err := t.Get(a.ID)
	if err != nil || !found || old.Version != a.Version {
		return false, err
	}
	if a.Mailbox.IsZero() {
		return false, errNoKey
	}
	if a.Mailbox != old.Mailbox {
		if taken, err := t.has(bMailboxes, a.Mailbox[:]); err != nil || taken {
			return false, err
		}
		if err := t.del(bMailboxes, old.Mailbox[:]); err != nil {
			return false, err
		}
		if err := t.put(bMailboxes, a.Mailbox[:], []byte(a.ID)); err != nil {
			return false, err
		}
	}
	a.Version++
	return true, t.put(bAccounts, []byte(a.ID), encodeAccount(a))
}

// Delete removes the account and frees its mailbox.
func (t accounts) Delete(id string) (deleted bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	old, found, err := t.Get(id)
	if err != nil || !found {
		return false, err
	}
	if err := t.del(bMailboxes, old.Mailbox[:]); err != nil {
		return false, err
	}
	return true, t.del(bAccounts, []byte(id))
}

// List returns up to limit accounts with ids after the given one.
func (t accounts) List(after string, limit int) (list []storage.Account, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = t.scan(bAccounts, []byte(after), func(k, v []byte) (bool, error) {
		if string(k) == after {
			return true, nil
		}
		a, err := decodeAccount(string(k), v)
		if err != nil {
			return false, err
		}
		list = append(list, a)
		return len(list) < limit, nil
	})
	return list, err
}

// Any reports whether there is at least one account.
func (t accounts) Any() (found bool, err error) {
	err = t.scan(bAccounts, nil, func(_, _ []byte) (bool, error) {
		found = true
		return false, nil
	})
	return found, err
}
