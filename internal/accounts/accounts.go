// Package accounts stores the accounts of the gate.
//
// Personal data (the address as stored, the name, the language, the time zone, the password records) is sealed and bound to the account's id: a
// stolen database reveals none of it, and a sealed value that is moved to another account does not open. Roles, status and times
// are stored in the clear.
//
// Functions that take a [storage.Tx] run in the caller's transaction. Those that end access raise the epochs of the account and of
// its mailbox in the same transaction, so that sessions, flows and links end with the commit. The caller notifies the session
// manager (session.Manager.Changed) after the commit and before it answers.
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

// label separates the key that seals accounts from the ring's other keys.
const label = "account"

var (
	// ErrNotFound is returned when no account has the id.
	ErrNotFound = errors.New("account: not found")
	// ErrTaken is returned when the mailbox belongs to an account already, or is reserved for the one that has given it up: see [Service.ChangeAddress].
	ErrTaken = errors.New("account: the mailbox has an account already")
	// ErrDamaged is returned when the sealed part of an account does not open.
	ErrDamaged = errors.New("account: damaged")
)

// Service reads and changes the accounts in a store. All fields are required.
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
	Timezone string `json:"timezone,omitempty"`
	// BrowsersForgotten is [Account.BrowsersForgotten], in seconds since 1970.
	BrowsersForgotten int64 `json:"browsers_forgotten,omitempty"`
	// Deletion is set while the owner deletes the account.
	Deletion *deletion `json:"deletion,omitempty"`
	// Change is an unfinished change of the address, TakeBack what undoes a finished one.
	Change   *addressChange `json:"change,omitempty"`
	TakeBack *takeBack      `json:"take_back,omitempty"`
}

// NewAccount is the input of [Service.Create].
type NewAccount struct {
	// ID is the id that a step has read ahead of by [LookUpNew], empty for another one.
	ID string
	// Address is required. It is stored as typed, and mail goes to it.
	Address address.Address
	// Name may be empty; see [CheckName].
	Name string
	// Roles may be empty; see [CheckRole].
	Roles []string
	// Language is a BCP 47 tag, empty when unknown.
	Language string
	// Timezone is a name of the IANA database, empty when unknown; see [CheckTimezone].
	Timezone string
	// Disabled creates an account that cannot sign in.
	Disabled bool
	// Password is the record of the first password, zero for none. The owner of the mailbox must have chosen it.
	Password password.Record
	// Created is when the account was created elsewhere. The zero value and a time in the future mean now.
	Created time.Time
}

// Entry is an account in a list for operators.
type Entry struct {
	Account
	Mailbox storage.Digest
	Created time.Time
	// Password reports whether the account has one.
	Password bool
}

// Lookup returns the account that email reaches, in any spelling of its mailbox. A text that is not an address has none.
func (s *Service) Lookup(ctx context.Context, email string) (a Account, found bool, err error) {
	addr, err := address.Parse(email)
	if err != nil {
		return Account{}, false, nil
	}
	err = s.Store.View(ctx, func(tx storage.Tx) (err error) {
		if err := tx.Prefetch(storage.Lookups{Mailboxes: []storage.Digest{addr.Mailbox(s.Ring)}}); err != nil {
			return err
		}
		a, found, err = s.ByAddress(tx, addr)
		return err
	})
	if err != nil {
		return Account{}, false, err
	}
	return a, found, nil
}

// ByEmail returns whom mail to email is for, in a transaction of the caller's. A mailbox that is reserved for the account which has given it up
// is for a disabled account, which gets none: see [Service.RestoreAddress].
func (s *Service) ByEmail(tx storage.Tx, email string) (a Account, found bool, err error) {
	addr, err := address.Parse(email)
	if err != nil {
		return Account{}, false, nil
	}
	if a, found, err = s.ByAddress(tx, addr); err != nil || found {
		return a, found, err
	}
	id, err := s.reservedFor(tx, addr.Mailbox(s.Ring))
	return Account{ID: id, Status: Disabled}, id != "", err
}

// Get returns the account with this id.
func (s *Service) Get(tx storage.Tx, id string) (a Account, found bool, err error) {
	return s.open(tx.Accounts().Get(id))
}

// ByAddress returns the account of a mailbox.
func (s *Service) ByAddress(tx storage.Tx, addr address.Address) (a Account, found bool, err error) {
	return s.open(tx.Accounts().ByMailbox(addr.Mailbox(s.Ring)))
}

// ByAddressForUpdate is ByAddress for a read that guards a write of the same transaction.
func (s *Service) ByAddressForUpdate(tx storage.Tx, addr address.Address) (a Account, found bool, err error) {
	return s.open(tx.Accounts().ByMailboxForUpdate(addr.Mailbox(s.Ring)))
}

// LookUpNew returns an id for an account to be created, and adds to l what Create and the account's first session look up of it.
func LookUpNew(l *storage.Lookups) (id string) {
	id = token.NewID()
	l.Accounts, l.Epochs = append(l.Accounts, id), append(l.Epochs, storage.AccountEpoch(id))
	return id
}

// Create creates an account and raises the epoch of its mailbox, which ends the flows and links that were requested before.
// Errors, before anything is written: [ErrTaken] and *[InvalidError].
func (s *Service) Create(tx storage.Tx, n NewAccount) (Account, error) {
	if n.Address.IsZero() {
		return Account{}, &InvalidError{"email", "is missing"}
	}
	for _, err := range []error{CheckName(n.Name), CheckRoles(n.Roles), CheckLanguage(n.Language), CheckTimezone(n.Timezone)} {
		if err != nil {
			return Account{}, err
		}
	}
	mailbox := n.Address.Mailbox(s.Ring)
	if err := s.CheckFree(tx, mailbox, ""); err != nil {
		return Account{}, err
	}
	if n.ID == "" {
		var ahead storage.Lookups
		n.ID = LookUpNew(&ahead)
		if err := tx.Prefetch(ahead); err != nil {
			return Account{}, err
		}
	}
	r := storage.Account{
		ID:      n.ID,
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
	if err := s.seal(&r, private{Email: n.Address.Typed(), Name: n.Name, Language: n.Language, Timezone: n.Timezone}); err != nil {
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

// SetStatus enables or disables an account. Both raise the epochs: sessions and links of a disabled account stay ended when it
// is enabled again, and so do those requested in between. Of an account that its owner is deleting, disabling makes that an undo leaves it
// disabled, and enabling is an undo.
func (s *Service) SetStatus(tx storage.Tx, id string, status storage.Status) error {
	if status != storage.StatusActive && status != storage.StatusDisabled {
		return &InvalidError{"status", "is neither active nor disabled"}
	}
	return s.change(tx, id, true, func(r *storage.Account, p *private) bool {
		changed := r.Status != status || p.Deletion != nil
		switch {
		case p.Deletion == nil:
		case status == storage.StatusActive:
			p.Deletion = nil
		default:
			p.Deletion.Disabled = true
		}
		r.Status = status
		return changed
	})
}

// Delete deletes an account and ends its sessions, flows and links. A new account of its mailbox gets another id.
func (s *Service) Delete(tx storage.Tx, id string) error {
	r, found, err := tx.Accounts().GetForUpdate(id)
	if err != nil || !found {
		return orElse(err, ErrNotFound)
	}
	if p, err := s.unseal(r); err == nil { // an account whose records do not open can be deleted like any other
		if err := release(tx, p.TakeBack); err != nil {
			return err
		}
	}
	if err := raiseEpochs(tx, r); err != nil {
		return err
	}
	if _, err = tx.Accounts().Delete(id); err != nil {
		return err
	}
	if err := publish(tx, id); err != nil {
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

// Any reports whether there is at least one account.
func (s *Service) Any(tx storage.Tx) (bool, error) { return tx.Accounts().Any() }

// change applies f to an account and stores the result if f reports a change. With endAccess it raises the epochs as well.
func (s *Service) change(tx storage.Tx, id string, endAccess bool, f func(*storage.Account, *private) bool) error {
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
	if endAccess {
		if err := raiseEpochs(tx, r); err != nil {
			return err
		}
	}
	return replace(tx, r)
}

// replace stores an account that was read for update in this step, and publishes the change.
func replace(tx storage.Tx, r storage.Account) error {
	replaced, err := tx.Accounts().Replace(r)
	if err != nil {
		return err
	}
	if !replaced {
		return fmt.Errorf("account %s: changed within one step", r.ID)
	}
	return publish(tx, r.ID)
}

// publish makes those who cache an account, its sessions or its tokens read them anew.
func publish(tx storage.Tx, id string) error {
	return tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: id})
}

// raiseEpochs ends every session, flow and link of an account, including flows that the mail worker has not bound to it yet.
func raiseEpochs(tx storage.Tx, r storage.Account) error {
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

// open returns the account of a record. A record with an unknown status is disabled.
func (s *Service) open(r storage.Account, found bool, err error) (Account, bool, error) {
	if err != nil || !found {
		return Account{}, false, err
	}
	p, err := s.unseal(r)
	if err != nil {
		return Account{}, false, err
	}
	a := Account{
		ID: r.ID, Email: p.Email, Name: p.Name, Language: p.Language, Timezone: p.Timezone,
		Roles: slices.Clone(r.Roles), Status: Disabled,
	}
	if r.Status == storage.StatusActive {
		a.Status = Active
	}
	if p.Deletion != nil {
		a.Deletes = time.Unix(p.Deletion.Due, 0)
		if b := p.TakeBack; b != nil && b.Flow.key().Ends().After(a.Deletes) { // see isProtected
			a.Deletes = b.Flow.key().Ends()
		}
	}
	if p.BrowsersForgotten != 0 {
		a.BrowsersForgotten = time.Unix(p.BrowsersForgotten, 0)
	}
	return a, true, nil
}

// orElse returns err, or otherwise if err is nil.
func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
