package session

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// listMax bounds how many sessions of one account its owner is shown, and of all accounts are read at once.
const listMax = 1000

// searchMax bounds how many sessions of one account operators are shown, and among how many that with a sid is looked for.
const searchMax = 1_000_000

// End ends one session, its parent if it has one, and with that all other children of it: a session that goes on at the portal would
// open the others again. When it returns no error nothing is let in by the session's cookie any more. The step that ends it appends the
// events given to the audit log, with the time and the account.
func (m *Manager) End(ctx context.Context, l *Live, audit ...storage.Event) error {
	_, err := m.end(ctx, l.Session.Key, l.Session.Account, audit...)
	if err == nil {
		l.validity.End()
		m.cache.Drop(l.id, l)
	}
	return err
}

// SignOut ends the session of a browser that signs out, or everything of its account, and writes it to the audit log. site is the
// origin, client the network prefix of the browser. It does nothing where the session has ended already.
func (m *Manager) SignOut(ctx context.Context, l *Live, everywhere bool, site, client string) error {
	e := storage.Event{Name: "signed_out", Outcome: "here", Site: site, Client: client}
	if !everywhere {
		return m.End(ctx, l, e)
	}
	e.Outcome = "everywhere"
	return m.store.Update(ctx, func(tx storage.Tx) error {
		if alive, err := m.Alive(tx, l); err != nil || !alive {
			return err // one that has ended elsewhere ends nothing more
		}
		return m.endEverywhere(tx, l.Session.Account, e)
	})
}

// EndByID ends the session of an account with this sid. ended is false when there is no such session. The step appends the events given
// to the audit log, with the time and the account.
func (m *Manager) EndByID(ctx context.Context, accountID, sid string, audit ...storage.Event) (ended bool, err error) {
	list, err := m.List(ctx, accountID)
	if err != nil {
		return false, err
	}
	for _, s := range list {
		if s.ID == sid {
			return m.end(ctx, s.Key, s.Account, audit...)
		}
	}
	return false, nil
}

// EndOther ends the session with this sid of the account of l, as [Manager.End] does. ended is false when there is no such session. The step
// appends the events given to the audit log, with the time and the account. Errors: [ErrEnded] if l has ended, and the store's.
func (m *Manager) EndOther(ctx context.Context, l *Live, sid string, audit ...storage.Event) (ended bool, err error) {
	err = m.store.Update(ctx, func(tx storage.Tx) error {
		ended = false
		if err := m.mustLive(tx, l); err != nil {
			return err
		}
		list, err := tx.Sessions().ByAccount(l.Session.Account, searchMax)
		if err != nil {
			return err
		}
		for _, s := range list {
			if s.ID != sid {
				continue
			}
			if ended, err = deleteSession(tx, s.Key); err != nil || !ended {
				return err
			}
			return m.append(tx, s.Account, audit)
		}
		return nil
	})
	return ended && err == nil, err
}

// EndIn ends, in the caller's step, the session of an account with this sid, as [Manager.End] does. ended is false when there is no such session.
func (m *Manager) EndIn(tx storage.Tx, accountID, sid string) (ended bool, err error) {
	list, err := tx.Sessions().ByAccount(accountID, searchMax)
	if err != nil {
		return false, err
	}
	for _, s := range list {
		if s.ID == sid {
			return deleteSession(tx, s.Key)
		}
	}
	return false, nil
}

// EndSince ends, in the caller's step, the sessions of an account that were opened at a time or after it, with those that a portal's session has
// opened at other sites.
func (m *Manager) EndSince(tx storage.Tx, accountID string, since time.Time) error {
	list, err := tx.Sessions().ByAccount(accountID, searchMax)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Parent.IsZero() && !s.Created.Before(since) {
			if _, err := deleteSession(tx, s.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// EndOthers ends all sessions of an account but l and those that end with it, and returns how many. The step appends the events given to the
// audit log where it has ended any, with the time and the account. Errors: [ErrEnded] if l has ended, and the store's.
func (m *Manager) EndOthers(ctx context.Context, l *Live, audit ...storage.Event) (ended int, err error) {
	account := l.Session.Account
	err = m.store.Update(ctx, func(tx storage.Tx) (err error) {
		if err := m.mustLive(tx, l); err != nil {
			return err
		}
		keep := l.Session.Key
		if parent := l.Parent(); !parent.IsZero() {
			keep = parent
		}
		if ended, err = tx.Sessions().RevokeOthers(account, keep); err != nil || ended == 0 {
			return err
		}
		if err := tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: account}); err != nil {
			return err
		}
		return m.append(tx, account, audit)
	})
	if err != nil {
		return 0, err
	}
	return ended, nil
}

// mustLive returns [ErrEnded] unless a session is alive in the caller's step.
func (m *Manager) mustLive(tx storage.Tx, l *Live) error {
	alive, err := m.Alive(tx, l)
	if err == nil && !alive {
		err = ErrEnded
	}
	return err
}

func (m *Manager) end(ctx context.Context, key storage.Key, accountID string, audit ...storage.Event) (deleted bool, err error) {
	err = m.store.Update(ctx, func(tx storage.Tx) (err error) {
		if deleted, err = deleteSession(tx, key); err != nil || !deleted {
			return err
		}
		return m.append(tx, accountID, audit)
	})
	return deleted && err == nil, err
}

// deleteSession deletes the record of a session and of its parent, where there are such, and publishes that they have ended.
func deleteSession(tx storage.Tx, key storage.Key) (deleted bool, err error) {
	s, found, err := tx.Sessions().Get(key)
	if err != nil || !found {
		return false, err
	}
	if !s.Parent.IsZero() {
		if _, err := deleteSession(tx, s.Parent); err != nil {
			return false, err
		}
	}
	if deleted, err = tx.Sessions().Delete(key); err != nil {
		return false, err
	}
	return deleted, tx.Changes().Publish(storage.Change{Kind: storage.ChangeSession, Account: s.Account, Key: key})
}

// EndEverywhere ends all sessions, flows, links and stateless tokens of an account by raising its epoch and that of its
// mailbox. When it returns no error nothing is let in by any of them any more. The step appends the events given to the audit log, with
// the time and the account.
func (m *Manager) EndEverywhere(ctx context.Context, accountID string, audit ...storage.Event) error {
	return m.store.Update(ctx, func(tx storage.Tx) error { return m.endEverywhere(tx, accountID, audit...) })
}

func (m *Manager) endEverywhere(tx storage.Tx, accountID string, audit ...storage.Event) error {
	mailboxes, err := mailboxesOf(tx, accountID)
	if err != nil {
		return err
	}
	for _, mailbox := range mailboxes {
		if _, err := tx.Epochs().Raise(storage.MailboxEpoch(mailbox)); err != nil {
			return err
		}
	}
	if _, err = tx.Epochs().Raise(storage.AccountEpoch(accountID)); err != nil {
		return err
	}
	if err := tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: accountID}); err != nil {
		return err
	}
	return m.append(tx, accountID, audit)
}

// append adds events about an account to the audit log.
func (m *Manager) append(tx storage.Tx, accountID string, audit []storage.Event) error {
	now := m.clock.Now()
	for _, e := range audit {
		e.Time, e.Account = now, accountID
		if err := tx.Events().Append(e, now.Add(storage.EventLifetime)); err != nil {
			return err
		}
	}
	return nil
}

// EndAll ends all sessions, flows and tokens by raising the global epoch.
func (m *Manager) EndAll(ctx context.Context) error {
	return m.store.Update(ctx, func(tx storage.Tx) error {
		if _, err := tx.Epochs().Raise(storage.GlobalEpoch); err != nil {
			return err
		}
		return tx.Changes().Publish(storage.Change{Kind: storage.ChangeAll})
	})
}

// mailboxesOf returns the mailbox of an embedded account, or those of the sessions of an account that an app owns.
func mailboxesOf(tx storage.Tx, accountID string) ([]storage.Digest, error) {
	a, found, err := tx.Accounts().GetForUpdate(accountID)
	if err != nil || found {
		return []storage.Digest{a.Mailbox}, err
	}
	sessions, err := tx.Sessions().ByAccount(accountID, listMax)
	var list []storage.Digest
	seen := make(map[storage.Digest]bool)
	for _, s := range sessions {
		if !seen[s.Mailbox] {
			seen[s.Mailbox] = true
			list = append(list, s.Mailbox)
		}
	}
	return list, err
}

// changed makes what a committed step has ended or changed be read anew, and cancels the requests in flight that it concerns. The
// store calls it after the commit and before the step's caller goes on, also when the outcome is unknown.
func (m *Manager) changed(c storage.Change) {
	switch c.Kind {
	case storage.ChangeAccount:
		m.gens.raise(m.gens.account(c.Account))
	case storage.ChangeSession:
		m.gens.raise(m.gens.session(c.Key))
	case storage.ChangeAll:
		m.gens.raise(&m.gens.all)
	case storage.ChangeToken, storage.ChangeKeys:
		return
	}
	m.requests.Check(c.Account, m.clock.Now())
}

// List returns the live sessions of an account, all of them: it is for operators.
func (m *Manager) List(ctx context.Context, accountID string) (list []storage.Session, err error) {
	err = m.store.View(ctx, func(tx storage.Tx) (err error) {
		list, err = m.listIn(tx, accountID, searchMax)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// ListIn returns live sessions of an account in the caller's step, 1000 at most: it is for the account's owner.
func (m *Manager) ListIn(tx storage.Tx, accountID string) ([]storage.Session, error) {
	return m.listIn(tx, accountID, listMax)
}

// listIn returns those that are live among up to limit sessions of an account.
func (m *Manager) listIn(tx storage.Tx, accountID string, limit int) (list []storage.Session, err error) {
	now := m.clock.Now()
	all, err := tx.Sessions().ByAccount(accountID, limit)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		v, err := m.validate(tx, s, now)
		if err != nil {
			return nil, err
		}
		if v.ok {
			list = append(list, s)
		}
	}
	return list, nil
}

// All calls each for every live session, in the order of their ends, and stops at its first error. It reads page by page, so a session that
// begins meanwhile may be missing.
func (m *Manager) All(ctx context.Context, each func(storage.Session) error) error {
	for after := (storage.Key{}); ; {
		var page, live []storage.Session
		now := m.clock.Now()
		err := m.store.View(ctx, func(tx storage.Tx) (err error) {
			live = nil
			if page, err = tx.Sessions().List(after, listMax); err != nil {
				return err
			}
			for _, s := range page {
				v, err := m.validate(tx, s, now)
				if err != nil {
					return err
				}
				if v.ok {
					live = append(live, s)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, s := range live {
			if err := each(s); err != nil {
				return err
			}
		}
		if len(page) < listMax {
			return nil
		}
		after = page[len(page)-1].Key
	}
}
