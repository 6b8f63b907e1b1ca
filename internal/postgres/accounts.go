package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type accounts struct {
	*rows[string, storage.Account]
}

func (t accounts) get(id string, guard bool) (storage.Account, bool, error) {
	if id == "" {
		return storage.Account{}, false, t.usable()
	}
	one, err := t.read(id, guard)
	if err != nil || !one.found {
		return storage.Account{}, false, err
	}
	return one.rec, true, nil
}

// Get returns the account with this id.
func (t accounts) Get(id string) (storage.Account, bool, error) { return t.get(id, false) }

// GetForUpdate is Get for a read that guards a write.
func (t accounts) GetForUpdate(id string) (storage.Account, bool, error) { return t.get(id, true) }

// owner returns the id of the account that a mailbox has in the eyes of the step, empty when it has none.
func (t accounts) owner(mailbox storage.Digest) (string, error) {
	if err := t.usable(); err != nil {
		return "", err
	}
	for id, one := range t.m {
		if one.found && one.rec.Mailbox == mailbox {
			return id, nil
		}
	}
	id, known := t.mailboxes[mailbox]
	if !known {
		sql := "select " + t.kind.columns + " from " + t.kind.table + " where mailbox = $1"
		err := t.query(sql, []any{digestArg(mailbox)}, func(answer pgx.Rows) error {
			k, rec, ver, err := t.kind.scan(answer)
			if err == nil {
				t.loaded(k, rec, ver)
				id = k
			}
			return err
		})
		if err != nil {
			return "", err
		}
		t.mailboxes[mailbox] = id
	}
	if one := t.m[id]; one == nil || !one.found || one.rec.Mailbox != mailbox { // it had, before this step
		return "", nil
	}
	return id, nil
}

func (t accounts) byMailbox(mailbox storage.Digest, guard bool) (storage.Account, bool, error) {
	id, err := t.owner(mailbox)
	if err != nil {
		return storage.Account{}, false, err
	}
	if id == "" {
		if guard && t.writable {
			t.freed[mailbox] = true
		}
		return storage.Account{}, false, nil
	}
	return t.get(id, guard)
}

// ByMailbox returns the account of a mailbox.
func (t accounts) ByMailbox(mailbox storage.Digest) (storage.Account, bool, error) {
	return t.byMailbox(mailbox, false)
}

// ByMailboxForUpdate is ByMailbox for a read that guards a write.
func (t accounts) ByMailboxForUpdate(mailbox storage.Digest) (storage.Account, bool, error) {
	return t.byMailbox(mailbox, true)
}

// Create stores a new account.
func (t accounts) Create(a storage.Account) (created bool, err error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	if a.ID == "" || a.Mailbox.IsZero() {
		return false, errNoKey
	}
	one, err := t.read(a.ID, false)
	if err != nil || one.found {
		return false, err
	}
	if owner, err := t.owner(a.Mailbox); err != nil || owner != "" {
		return false, err
	}
	a.Created = micro(a.Created)
	t.put(one, a)
	one.rec.Version = uint64(one.next) //nolint:gosec // not negative
	return true, nil
}

// Replace stores a over the record with the same id and Version.
func (t accounts) Replace(a storage.Account) (replaced bool, err error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	old, found, err := t.Get(a.ID)
	if err != nil || !found || old.Version != a.Version {
		return false, err
	}
	if a.Mailbox.IsZero() {
		return false, errNoKey
	}
	if a.Mailbox != old.Mailbox {
		if owner, err := t.owner(a.Mailbox); err != nil || owner != "" {
			return false, err
		}
	}
	a.Created = micro(a.Created)
	one := t.m[a.ID]
	t.put(one, a)
	one.rec.Version = uint64(one.next) //nolint:gosec // not negative
	return true, nil
}

// Delete removes the account and frees its mailbox.
func (t accounts) Delete(id string) (deleted bool, err error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	_, found, err := t.Get(id)
	if err == nil && found {
		t.remove(t.m[id])
	}
	return found, err
}

// List returns up to limit accounts with ids after the given one.
func (t accounts) List(after string, limit int) ([]storage.Account, error) {
	if limit <= 0 {
		return nil, nil
	}
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where id > $1 order by id limit $2"
	list, err := t.list(sql, []any{after, limit + t.written()}, func(a *storage.Account) bool { return a.ID > after },
		func(a, b *storage.Account) int { return strings.Compare(a.ID, b.ID) }, limit)
	return values(list), err
}

// Any reports whether there is at least one account.
func (t accounts) Any() (bool, error) {
	list, err := t.List("", 1)
	return len(list) > 0, err
}
