package machinetoken

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// maxName bounds what a token is called, in bytes.
const maxName = 200

var (
	// ErrNoAccount says that there is no active account with this id.
	ErrNoAccount = errors.New("machinetoken: no active account")
	// ErrNotFound says that no token that is not over has this id.
	ErrNotFound = errors.New("machinetoken: no such token")
)

// Input is what a new token is made of.
type Input struct {
	// Account is the id of an active account.
	Account string
	// Site is the origin that the token is good at.
	Site string
	// Scopes are 1 to [MaxScopes], in the grammar of [CheckScope].
	Scopes []string
	// TTL is above zero and at most [MaxTTL].
	TTL time.Duration
	// Name is what the operator calls it; it may be empty.
	Name string
	// Operator is who makes it, for the audit log; the zero value where its owner does, from Network.
	Operator storage.Operator
	Network  string
}

// by returns who makes the token.
func (in *Input) by() storage.Event { return storage.Event{Operator: in.Operator, Client: in.Network} }

func (in *Input) check() error {
	switch {
	case in.Account == "" || in.Site == "":
		return errors.New("machinetoken: a token has an account and a site")
	case in.TTL < time.Second || in.TTL > MaxTTL:
		return fmt.Errorf("machinetoken: a life of %s is not from 1s to %s", in.TTL, MaxTTL)
	case len(in.Scopes) == 0 || len(in.Scopes) > MaxScopes:
		return fmt.Errorf("machinetoken: a token has 1 to %d scopes", MaxScopes)
	case len(in.Name) > maxName:
		return fmt.Errorf("machinetoken: the name is longer than %d bytes", maxName)
	}
	for _, s := range in.Scopes {
		if err := CheckScope(s); err != nil {
			return err
		}
	}
	return nil
}

// Token is one issued token as operators see it. Its text is nowhere.
type Token struct {
	storage.MachineToken
	// Name is what the operator calls it.
	Name string
	// Ended says that it is good no more although its time is not over: it was revoked, or ended with what its account had.
	Ended bool
}

// Create makes a token under the epochs that hold now and returns its text, which cannot be shown again. Hand nothing out on
// an error. Errors: [ErrNoAccount], what is wrong with the input, and the store's.
func (m *Manager) Create(ctx context.Context, in Input) (text string, t Token, err error) {
	if err := in.check(); err != nil {
		return "", Token{}, err
	}
	err = m.store.Update(ctx, func(tx storage.Tx) (err error) {
		text, t, err = m.CreateIn(tx, in)
		return err
	})
	if err != nil {
		return "", Token{}, err
	}
	m.ReportCreated(ctx, t, in)
	return text, t, nil
}

// CreateIn is Create in the caller's step, which calls [Manager.ReportCreated] once it has been committed.
func (m *Manager) CreateIn(tx storage.Tx, in Input) (text string, t Token, err error) {
	if err := in.check(); err != nil {
		return "", Token{}, err
	}
	scopes := slices.Clone(in.Scopes)
	slices.Sort(scopes)
	now := m.clock.Now()
	rec := storage.MachineToken{
		ID: token.NewID(), Account: in.Account, Site: in.Site, Scopes: slices.Compact(scopes),
		Created: now.Truncate(time.Second),
	}
	seed := token.NewSeed()
	secret := seed[:secretSize]
	rec.Key = storage.Key{End: rec.Created.Add(in.TTL).Unix(), Digest: m.digest(secret)}
	if in.Name != "" {
		rec.Private = m.ring.Seal(label, []byte(rec.ID), []byte(in.Name))
	}
	a, found, err := tx.Accounts().GetForUpdate(in.Account)
	if err != nil {
		return "", Token{}, err
	}
	if !found || a.Status != storage.StatusActive {
		return "", Token{}, ErrNoAccount
	}
	rec.Mailbox = a.Mailbox
	if rec.Epochs, err = storage.ReadEpochs(tx, a.Mailbox, in.Account, true); err != nil {
		return "", Token{}, err
	}
	if err := tx.MachineTokens().Create(rec); err != nil {
		return "", Token{}, err
	}
	if err := errors.Join(publish(tx, rec), m.event(tx, rec, "created", now, in.by())); err != nil {
		return "", Token{}, err
	}
	text, err = m.seal(rec, secret)
	return text, Token{MachineToken: rec, Name: in.Name}, err
}

// ReportCreated logs that a token was made.
func (m *Manager) ReportCreated(ctx context.Context, t Token, in Input) {
	m.report(ctx, t.MachineToken, "created", in.by())
}

// Revoke ends a token. When it returns no error nothing is let in by it any more. revoked is false when it had been revoked
// before; by is for the audit log. Errors: [ErrNotFound], [ErrNotLoaded], and the store's.
func (m *Manager) Revoke(ctx context.Context, id string, by storage.Operator) (t Token, revoked bool, err error) {
	return m.revoke(ctx, id, "", storage.Event{Operator: by})
}

// RevokeOwn is Revoke by the owner of the account, from a network: it finds the tokens of that account alone.
func (m *Manager) RevokeOwn(ctx context.Context, accountID, id, network string) error {
	_, _, err := m.revoke(ctx, id, accountID, storage.Event{Client: network})
	return err
}

func (m *Manager) revoke(ctx context.Context, id, accountID string, by storage.Event) (t Token, revoked bool, err error) {
	g, err := m.issued.find(id)
	if err != nil {
		return Token{}, false, err
	}
	now := m.clock.Now()
	if g == nil || !g.key.Alive(now) || accountID != "" && g.holder.account != accountID {
		return Token{}, false, ErrNotFound
	}
	err = m.store.Update(ctx, func(tx storage.Tx) (err error) {
		if t.MachineToken, revoked, err = tx.MachineTokens().Revoke(g.key, now); err != nil || t.ID == "" {
			return err
		}
		if err := publish(tx, t.MachineToken); err != nil || !revoked {
			return err
		}
		return m.event(tx, t.MachineToken, "revoked", now, by)
	})
	if err != nil {
		return Token{}, false, err
	}
	if t.ID == "" {
		return Token{}, false, ErrNotFound
	}
	if revoked {
		m.report(ctx, t.MachineToken, "revoked", by)
	}
	t.Name, t.Ended = m.name(t.MachineToken), true
	return t, revoked, nil
}

// List returns the tokens that are not over, those of one account when its id is given, in the order of their ends.
func (m *Manager) List(ctx context.Context, accountID string) (list []Token, err error) {
	now := m.clock.Now()
	if accountID != "" && m.issued.isLoaded() {
		err = m.store.View(ctx, func(tx storage.Tx) (err error) {
			list, err = m.ListIn(tx, accountID)
			return err
		})
		return list, err
	}
	after := storage.Key{End: now.Unix()}
	for {
		var records []storage.MachineToken
		var ended []bool
		err := m.store.View(ctx, func(tx storage.Tx) (err error) {
			if records, err = tx.MachineTokens().List(after, page); err != nil {
				return err
			}
			ended, err = m.haveEnded(tx, records)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, t := range records {
			if t.Key.Alive(now) && (accountID == "" || t.Account == accountID) {
				list = append(list, Token{MachineToken: t, Name: m.name(t), Ended: ended[i]})
			}
		}
		if len(records) < page {
			return list, nil
		}
		after = records[len(records)-1].Key
	}
}

// ListIn is List for one account in the caller's step. Errors: [ErrNotLoaded], and the store's.
func (m *Manager) ListIn(tx storage.Tx, accountID string) (list []Token, err error) {
	if !m.issued.isLoaded() {
		return nil, ErrNotLoaded
	}
	now, grants := m.clock.Now(), m.issued.of(accountID)
	slices.SortFunc(grants, func(a, b *grant) int {
		return cmp.Or(cmp.Compare(a.key.End, b.key.End), bytes.Compare(a.key.Digest[:], b.key.Digest[:]))
	})
	var records []storage.MachineToken
	for _, g := range grants {
		t, found, err := tx.MachineTokens().Get(g.key)
		if err != nil {
			return nil, err
		}
		if found && g.key.Alive(now) {
			records = append(records, t)
		}
	}
	ended, err := m.haveEnded(tx, records)
	if err != nil {
		return nil, err
	}
	for i, t := range records {
		list = append(list, Token{MachineToken: t, Name: m.name(t), Ended: ended[i]})
	}
	return list, nil
}

// haveEnded reports of each token whether it has ended before its time.
func (m *Manager) haveEnded(tx storage.Tx, records []storage.MachineToken) (ended []bool, err error) {
	if err := tx.Prefetch(storage.Lookups{MachineTokens: keysOf(records)}); err != nil {
		return nil, err
	}
	for _, t := range records {
		same, err := sameEpochs(tx, t)
		if err != nil {
			return nil, err
		}
		a, found, err := m.accounts.Get(tx, t.Account)
		if err != nil {
			return nil, err
		}
		ended = append(ended, !same || !t.Revoked.IsZero() || !found || a.Status != accounts.Active)
	}
	return ended, nil
}

// name opens what a token is called; one that does not open has none.
func (m *Manager) name(t storage.MachineToken) string {
	if len(t.Private) == 0 {
		return ""
	}
	plain, err := m.ring.Open(label, []byte(t.ID), t.Private)
	if err != nil {
		return ""
	}
	return string(plain)
}

// publish tells the managers that a token was made or revoked.
func publish(tx storage.Tx, t storage.MachineToken) error {
	return tx.Changes().Publish(storage.Change{Kind: storage.ChangeToken, Account: t.Account, Key: t.Key})
}

// event writes to the audit log what became of a token. by holds who did it.
func (m *Manager) event(tx storage.Tx, t storage.MachineToken, outcome string, now time.Time, by storage.Event) error {
	by.Time, by.Name, by.Purpose, by.Outcome, by.Account, by.Site = now, "changed", "token", outcome, t.Account, t.Site
	return tx.Events().Append(by, now.Add(storage.EventLifetime))
}

func (m *Manager) report(ctx context.Context, t storage.MachineToken, outcome string, by storage.Event) {
	m.Log.InfoContext(ctx, "a machine token was "+outcome, "event", "changed", "purpose", "token", "outcome", outcome,
		"account", t.Account, "token", t.ID, "site", t.Site, "client", by.Client,
		"command", by.Operator.Command, "user", by.Operator.User, "host", by.Operator.Host)
}
