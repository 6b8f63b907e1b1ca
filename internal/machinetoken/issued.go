package machinetoken

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// page is how many records are read in one transaction.
const page = 500

// issued is the set of the tokens that were issued and are not over. It takes about 500 bytes for each.
type issued struct {
	mu      sync.RWMutex
	loaded  bool               // guarded by mu, as the rest
	byID    map[string]*grant  // by id
	holders map[string]*holder // by account
}

// grant is one issued token. All but dead is constant.
type grant struct {
	id     string
	key    storage.Key
	epochs storage.Epochs
	site   string
	// scope holds the scopes, apart by spaces; issued is when it was made, in seconds.
	scope  string
	issued int64
	holder *holder
	// dead says for good that it was revoked, or that an epoch has been raised since it was made.
	dead atomic.Bool
}

// holder is an account with tokens.
type holder struct {
	account string
	mailbox storage.Digest
	// changes counts what was committed about the account. What was read is good while the count from before the read is
	// unchanged.
	changes atomic.Uint64
}

// fits reports whether a token's own words are those of its record.
func (g *grant) fits(c claims) bool {
	return !g.dead.Load() && g.holder.account == c.Subject && g.site == c.Site && g.scope == c.Scope && g.issued == c.Issued &&
		g.key.End == c.Expires && g.epochs == c.epochs()
}

// find returns the token with this id, or nil.
func (s *issued) find(id string) (*grant, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.loaded {
		return nil, ErrNotLoaded
	}
	return s.byID[id], nil
}

// add takes a record into the set. dead says that it is good no more.
func (s *issued) add(t storage.MachineToken, dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.byID[t.ID]; g != nil {
		if dead {
			g.dead.Store(true)
		}
		return
	}
	h := s.holders[t.Account]
	if h == nil {
		h = &holder{account: t.Account, mailbox: t.Mailbox}
		s.holders[t.Account] = h
	}
	g := &grant{id: t.ID, key: t.Key, epochs: t.Epochs, site: t.Site, scope: strings.Join(t.Scopes, " "), issued: t.Created.Unix(), holder: h}
	g.dead.Store(dead)
	s.byID[t.ID] = g
}

// of returns the tokens of an account, or of all when the id is empty.
func (s *issued) of(accountID string) (list []*grant) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, g := range s.byID {
		if accountID == "" || g.holder.account == accountID {
			list = append(list, g)
		}
	}
	return list
}

// holder returns an account with tokens, nil when it has none.
func (s *issued) holder(accountID string) *holder {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.holders[accountID]
}

// forget drops expired tokens.
func (s *issued) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := make(map[string]bool, len(s.holders))
	for id, g := range s.byID {
		if g.key.Alive(now) {
			stored[g.holder.account] = true
			continue
		}
		g.dead.Store(true)
		delete(s.byID, id)
	}
	for id := range s.holders {
		if !stored[id] {
			delete(s.holders, id)
		}
	}
}

func (s *issued) isLoaded() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.loaded
}

// keysOf returns the keys of records.
func keysOf(list []storage.MachineToken) []storage.Key {
	keys := make([]storage.Key, len(list))
	for i, t := range list {
		keys[i] = t.Key
	}
	return keys
}

// Load reads which tokens are good. Until it has succeeded nothing is let in; [Manager.Tick] tries again.
func (m *Manager) Load(ctx context.Context) error {
	now := m.clock.Now()
	after := storage.Key{End: now.Unix()}
	for {
		var list []storage.MachineToken
		var dead []bool
		err := m.store.View(ctx, func(tx storage.Tx) (err error) {
			dead = dead[:0]
			if list, err = tx.MachineTokens().List(after, page); err != nil {
				return err
			}
			if err := tx.Prefetch(storage.Lookups{MachineTokens: keysOf(list)}); err != nil {
				return err
			}
			for _, t := range list {
				same, err := sameEpochs(tx, t)
				if err != nil {
					return err
				}
				dead = append(dead, !same || !t.Revoked.IsZero())
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, t := range list {
			m.issued.add(t, dead[i])
		}
		if len(list) < page {
			break
		}
		after = list[len(list)-1].Key
	}
	m.issued.mu.Lock()
	m.issued.loaded = true
	m.issued.mu.Unlock()
	return nil
}

// changed makes what a committed step has ended or changed be read anew. Tokens that it has revoked or ended are let in no more when
// it returns, and one that it has made is known. The store calls it after the commit and before the step's caller goes on, also when
// the outcome is unknown.
func (m *Manager) changed(c storage.Change) {
	switch c.Kind {
	case storage.ChangeAll:
		m.all.Add(1)
	case storage.ChangeAccount:
		h := m.issued.holder(c.Account)
		if h == nil {
			return
		}
		h.changes.Add(1)
	case storage.ChangeToken:
		if h := m.issued.holder(c.Account); h != nil {
			h.changes.Add(1) // first, so that a request asks the store where the record cannot be read below
		}
		if err := m.admit(context.Background(), c.Key); err != nil {
			m.reload.Store(true)
			m.Log.Warn("a new or revoked machine token could not be read", "event", "unavailable", "error", err)
		}
	case storage.ChangeSession, storage.ChangeKeys:
		return
	}
	m.discard(m.issued.of(c.Account))
	m.requests.Check(c.Account, m.clock.Now())
}

// admit takes a token into the set that was made after it was loaded.
func (m *Manager) admit(ctx context.Context, k storage.Key) error {
	var t storage.MachineToken
	var found, same bool
	err := m.store.View(ctx, func(tx storage.Tx) (err error) {
		if err := tx.Prefetch(storage.Lookups{MachineTokens: []storage.Key{k}}); err != nil {
			return err
		}
		if t, found, err = tx.MachineTokens().Get(k); err != nil || !found {
			return err
		}
		same, err = sameEpochs(tx, t)
		return err
	})
	if err == nil && found {
		m.issued.add(t, !same || !t.Revoked.IsZero())
	}
	return err
}

// discard marks those tokens as dead whose records say so. Where they cannot be read nothing is marked: a request with such a token
// then asks the store itself.
func (m *Manager) discard(list []*grant) {
	var dead []*grant
	err := m.store.View(context.Background(), func(tx storage.Tx) error {
		dead = dead[:0]
		keys := make([]storage.Key, len(list))
		for i, g := range list {
			keys[i] = g.key
		}
		if err := tx.Prefetch(storage.Lookups{MachineTokens: keys}); err != nil {
			return err
		}
		for _, g := range list {
			t, found, err := tx.MachineTokens().Get(g.key)
			if err != nil {
				return err
			}
			same := false
			if found && t.Revoked.IsZero() {
				if same, err = sameEpochs(tx, t); err != nil {
					return err
				}
			}
			if !same {
				dead = append(dead, g)
			}
		}
		return nil
	})
	if err != nil {
		m.Log.Warn("which machine tokens are good could not be read", "event", "unavailable", "error", err)
		return
	}
	for _, g := range dead {
		g.dead.Store(true)
	}
}
