// Package accounts keeps the accounts in the gate's own store.
//
// What a person has told of themselves – the address as stored, the name, the language, the password's record – is sealed and
// bound to the account's id: a stolen database tells none of it, and a sealed value moved to another account does not open.
// Roles, status and times are in the clear.
//
// The functions that take a [storage.Tx] are parts of a caller's step. Those that end access raise the epochs of the account
// and of its mailbox in the same step, so that sessions, flows and links die with the commit; tell the session manager
// (session.Manager.Changed) after the commit and before answering.
package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// label names the use of the key that seals what accounts hold.
const label = "account"

var (
	// ErrNotFound says that there is no account with this id.
	ErrNotFound = errors.New("account: not found")
	// ErrTaken says that the mailbox belongs to an account already.
	ErrTaken = errors.New("account: the mailbox has an account already")
	// ErrDamaged says that an account's sealed part does not open.
	ErrDamaged = errors.New("account: damaged")
)

// Service keeps accounts in a store. All fields are required.
type Service struct {
	Store storage.Store
	Ring  *keyring.Ring
	Clock *clock.Clock
}

// private is the sealed part of an account.
type private struct {
	Email    string `json:"email"`
	Name     string `json:"name,omitempty"`
	Language string `json:"language,omitempty"`
}

// NewAccount is what an account is made of.
type NewAccount struct {
	// Address is where mail goes; it is stored as typed.
	Address address.Address
	// Name may be empty; see [CheckName].
	Name string
	// Roles may be empty; see [CheckRole].
	Roles []string
	// Language is a BCP 47 tag, empty when unknown.
	Language string
	// Disabled makes an account that cannot sign in.
	Disabled bool
	// Password is the record of the first password, zero for none. It must be the mailbox's owner who chose it.
	Password password.Record
	// Created is when the account was made elsewhere. Default, also for a time to come: now.
	Created time.Time
}

// Entry is an account as operators see it.
type Entry struct {
	Account
	Mailbox storage.Digest
	Created time.Time
	// Password says that there is one.
	Password bool
}

// Lookup returns the account whose mailbox is that of email, in any spelling of it. What is no address has no account.
func (s *Service) Lookup(ctx context.Context, email string) (a Account, found bool, err error) {
	addr, err := address.Parse(email)
	if err != nil {
		return Account{}, false, nil
	}
	err = s.Store.View(ctx, func(tx storage.Tx) (err error) {
		a, found, err = s.ByAddress(tx, addr)
		return err
	})
	if err != nil {
		return Account{}, false, err
	}
	return a, found, nil
}

// Get returns the account with this id.
func (s *Service) Get(tx storage.Tx, id string) (a Account, found bool, err error) {
	return s.open(tx.Accounts().Get(id))
}

// ByAddress returns the account of a mailbox.
func (s *Service) ByAddress(tx storage.Tx, addr address.Address) (a Account, found bool, err error) {
	return s.open(tx.Accounts().ByMailbox(addr.Mailbox(s.Ring)))
}

// ByAddressForUpdate is ByAddress for a read that guards a write of the same step.
func (s *Service) ByAddressForUpdate(tx storage.Tx, addr address.Address) (a Account, found bool, err error) {
	return s.open(tx.Accounts().ByMailboxForUpdate(addr.Mailbox(s.Ring)))
}

// Create makes an account and raises the epoch of its mailbox, so that nothing from before it lives on. Errors: [ErrTaken]
// and *[InvalidError], before anything is written.
func (s *Service) Create(tx storage.Tx, n NewAccount) (Account, error) {
	if n.Address.IsZero() {
		return Account{}, &InvalidError{"email", "is missing"}
	}
	for _, err := range []error{CheckName(n.Name), CheckRoles(n.Roles), CheckLanguage(n.Language)} {
		if err != nil {
			return Account{}, err
		}
	}
	mailbox := n.Address.Mailbox(s.Ring)
	if _, taken, err := tx.Accounts().ByMailboxForUpdate(mailbox); err != nil || taken {
		return Account{}, orElse(err, ErrTaken)
	}
	r := storage.Account{
		ID:      token.NewID(),
		Mailbox: mailbox,
		Status:  storage.StatusActive,
		Roles:   roleSet(n.Roles),
		Created: s.Clock.Now(),
	}
	if n.Disabled {
		r.Status = storage.StatusDisabled
	}
	if !n.Created.IsZero() && n.Created.Before(r.Created) {
		r.Created = n.Created
	}
	r.Password = password.History{Current: n.Password}.Seal(s.Ring, r.ID)
	if err := s.seal(&r, private{n.Address.Typed(), n.Name, n.Language}); err != nil {
		return Account{}, err
	}
	if _, err := tx.Epochs().Raise(storage.MailboxEpoch(mailbox)); err != nil {
		return Account{}, err
	}
	created, err := tx.Accounts().Create(r)
	if err != nil || !created {
		return Account{}, orElse(err, ErrTaken)
	}
	if err := countCosts(tx, password.Record{}, n.Password); err != nil {
		return Account{}, err
	}
	a, _, err := s.open(r, true, nil)
	return a, err
}

// SetName changes the name. Sessions live on and show it with their next request.
func (s *Service) SetName(tx storage.Tx, id, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.change(tx, id, false, func(r *storage.Account, p *private) bool {
		old := p.Name
		p.Name = name
		return old != name
	})
}

// SetLanguage changes the language of mails.
func (s *Service) SetLanguage(tx storage.Tx, id, language string) error {
	if err := CheckLanguage(language); err != nil {
		return err
	}
	return s.change(tx, id, false, func(r *storage.Account, p *private) bool {
		old := p.Language
		p.Language = language
		return old != language
	})
}

// SetRoles changes the roles. Sessions live on and have them with their next request.
func (s *Service) SetRoles(tx storage.Tx, id string, roles []string) error {
	if err := CheckRoles(roles); err != nil {
		return err
	}
	roles = roleSet(roles)
	return s.change(tx, id, false, func(r *storage.Account, p *private) bool {
		old := r.Roles
		r.Roles = roles
		return !slices.Equal(old, roles)
	})
}

// SetStatus enables or disables an account. Either raises the epochs: what a disabled account had opened stays dead when it
// is enabled again, also what was asked for in between.
func (s *Service) SetStatus(tx storage.Tx, id string, status storage.Status) error {
	if status != storage.StatusActive && status != storage.StatusDisabled {
		return &InvalidError{"status", "is neither active nor disabled"}
	}
	return s.change(tx, id, true, func(r *storage.Account, _ *private) bool {
		old := r.Status
		r.Status = status
		return old != status
	})
}

// Delete removes the account and ends everything it had. Its mailbox may have a new account afterwards, with another id.
func (s *Service) Delete(tx storage.Tx, id string) error {
	r, found, err := tx.Accounts().GetForUpdate(id)
	if err != nil || !found {
		return orElse(err, ErrNotFound)
	}
	if err := raise(tx, r); err != nil {
		return err
	}
	if _, err = tx.Accounts().Delete(id); err != nil {
		return err
	}
	history, err := s.openHistory(r)
	if err != nil {
		return nil //nolint:nilerr // an account whose records do not open can be deleted like any other
	}
	return countCosts(tx, history.Current, password.Record{})
}

// List returns up to limit accounts with ids after the given one, in the order of ids.
func (s *Service) List(tx storage.Tx, after string, limit int) ([]Entry, error) {
	records, err := tx.Accounts().List(after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]Entry, 0, len(records))
	for _, r := range records {
		a, _, err := s.open(r, true, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, Entry{Account: a, Mailbox: r.Mailbox, Created: r.Created, Password: len(r.Password) > 0})
	}
	return list, nil
}

// Any says whether there is at least one account.
func (s *Service) Any(tx storage.Tx) (bool, error) { return tx.Accounts().Any() }

// change applies f to an account and stores it when f says that something changed; ends raises the epochs with it.
func (s *Service) change(tx storage.Tx, id string, ends bool, f func(*storage.Account, *private) bool) error {
	r, found, err := tx.Accounts().GetForUpdate(id)
	if err != nil || !found {
		return orElse(err, ErrNotFound)
	}
	p, err := s.unseal(r)
	if err != nil {
		return err
	}
	if !f(&r, &p) {
		return nil
	}
	if err := s.seal(&r, p); err != nil {
		return err
	}
	if ends {
		if err := raise(tx, r); err != nil {
			return err
		}
	}
	replaced, err := tx.Accounts().Replace(r)
	if err == nil && !replaced {
		err = fmt.Errorf("account %s: changed within one step", id)
	}
	return err
}

// raise ends everything of an account, flows that the mail worker has not bound to it included.
func raise(tx storage.Tx, r storage.Account) error {
	if _, err := tx.Epochs().Raise(storage.MailboxEpoch(r.Mailbox)); err != nil {
		return err
	}
	_, err := tx.Epochs().Raise(storage.AccountEpoch(r.ID))
	return err
}

func (s *Service) seal(r *storage.Account, p private) error {
	plain, err := json.Marshal(p)
	if err != nil {
		return err
	}
	r.Private = s.Ring.Seal(label, []byte(r.ID), plain)
	return nil
}

func (s *Service) unseal(r storage.Account) (p private, err error) {
	plain, err := s.Ring.Open(label, []byte(r.ID), r.Private)
	if err == nil {
		err = json.Unmarshal(plain, &p)
	}
	if err != nil {
		return private{}, fmt.Errorf("%w: %s: %w", ErrDamaged, r.ID, err)
	}
	return p, nil
}

// open turns a record into what others see. A record of an unknown status is disabled.
func (s *Service) open(r storage.Account, found bool, err error) (Account, bool, error) {
	if err != nil || !found {
		return Account{}, false, err
	}
	p, err := s.unseal(r)
	if err != nil {
		return Account{}, false, err
	}
	a := Account{
		ID: r.ID, Email: p.Email, Name: p.Name, Language: p.Language,
		Roles: slices.Clone(r.Roles), Status: Disabled,
	}
	if r.Status == storage.StatusActive {
		a.Status = Active
	}
	return a, true, nil
}

// orElse returns err, or what its absence means.
func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
