package accounts

import (
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// A change of the address needs the word of two mailboxes, and the sealed part of the account counts them:
//
//	          BeginAddressChange
//	                  │
//	                  ▼         ConfirmAddressChange, twice          ChangeAddress
//	none ────────► pending ───────────────────────────────► both ───────────────────► taken back or not
//	                  │                                                                for 7 days
//	                  └── its flow ends, or another one begins
//
// What a take-back needs is bound to the account's id and to the global epoch, which a restored backup raises, and to nothing else: a reset,
// signing out everywhere, disabling the account and a further change leave it alive. It ends with its use, at its time, by SetAddress, and
// with the account.

// Half is one of the two mailboxes that a change of an address needs the word of.
type Half uint8

// Halves.
const (
	// NewMailbox is the one of the new address, OldMailbox the present one.
	NewMailbox Half = iota + 1
	OldMailbox
)

// flowRef names a flow.
type flowRef struct {
	End    int64  `json:"end"`
	Digest []byte `json:"digest"`
}

func newFlowRef(k storage.Key) flowRef { return flowRef{k.End, k.Digest[:]} }

func (f flowRef) key() (k storage.Key) {
	k.End = f.End
	copy(k.Digest[:], f.Digest)
	return k
}

// addressChange is a change of the address that is not finished.
type addressChange struct {
	Flow flowRef `json:"flow"`
	// New and Present are set once that mailbox has confirmed.
	New     bool `json:"new,omitempty"`
	Present bool `json:"present,omitempty"`
}

// takeBack is what undoes a change of the address.
type takeBack struct {
	Flow flowRef `json:"flow"`
	// Mailbox is that of the address which comes back, Global the global epoch of its beginning.
	Mailbox []byte `json:"mailbox"`
	Global  uint64 `json:"global"`
}

func (b *takeBack) mailbox() (d storage.Digest) {
	copy(d[:], b.Mailbox)
	return d
}

// AddressState is what an account knows of changes of its address.
type AddressState struct {
	Account
	// Mailbox is the present one.
	Mailbox storage.Digest
	// Change is the flow of the last change that was asked for, zero if there is none; it may have ended. New and Present are set once that mailbox
	// has confirmed.
	Change       storage.Key
	New, Present bool
	// TakeBack is the flow that undoes the last change, zero if nothing does.
	TakeBack storage.Key
}

// AddressState returns what an account knows of changes of its address.
func (s *Service) AddressState(tx storage.Tx, id string) (st AddressState, found bool, err error) {
	r, found, err := tx.Accounts().Get(id)
	if err != nil || !found {
		return st, false, err
	}
	p, err := s.unseal(r)
	if err != nil {
		return st, false, err
	}
	if st.Account, _, err = s.open(r, true, nil); err != nil {
		return st, false, err
	}
	st.Mailbox = r.Mailbox
	if p.Change != nil {
		st.Change, st.New, st.Present = p.Change.Flow.key(), p.Change.New, p.Change.Present
	}
	alive, err := s.isAlive(tx, p.TakeBack)
	if alive {
		st.TakeBack = p.TakeBack.Flow.key()
	}
	return st, err == nil, err
}

// isAlive reports whether a change can be taken back.
func (s *Service) isAlive(tx storage.Tx, b *takeBack) (bool, error) {
	if b == nil || !b.Flow.key().Alive(s.Clock.Now()) {
		return false, nil
	}
	global, err := tx.Epochs().Get(storage.GlobalEpoch)
	return global == b.Global, err
}

// reservationPrefix begins the names under which the ids of accounts are kept for the mailboxes that they may take back.
const reservationPrefix = "take_back "

// ReservationName names the value that is read of a mailbox without an account, for steps that announce what they read.
func ReservationName(mailbox storage.Digest) string { return reservationPrefix + mailbox.String() }

// reservedFor returns the id of the account that may take a mailbox back, empty if there is none: no other account gets the mailbox until then.
func (s *Service) reservedFor(tx storage.Tx, mailbox storage.Digest) (id string, err error) {
	value, found, err := tx.Meta().Get(ReservationName(mailbox))
	if err != nil || !found {
		return "", err
	}
	r, found, err := tx.Accounts().Get(string(value))
	if err != nil || !found {
		return "", err
	}
	p, err := s.unseal(r)
	if err != nil || p.TakeBack == nil || p.TakeBack.mailbox() != mailbox {
		return "", err
	}
	if alive, err := s.isAlive(tx, p.TakeBack); err != nil || !alive {
		return "", err
	}
	return r.ID, nil
}

// ReservedError is the [ErrTaken] of a mailbox that has no account, but may be taken back by the one that has given it up.
type ReservedError struct {
	// Account is the id of that account.
	Account string
}

// Error implements error.
func (e *ReservedError) Error() string {
	return "account: the mailbox may be taken back by another account"
}

// Is makes the error an ErrTaken.
func (e *ReservedError) Is(target error) bool { return target == ErrTaken } //nolint:errorlint // this is what errors.Is asks

// CheckFree returns [ErrTaken] if an account, none for an empty id, cannot have a mailbox because another one has it, and a *[ReservedError] if another
// one may take it back. The read of the mailbox guards what the step writes.
func (s *Service) CheckFree(tx storage.Tx, mailbox storage.Digest, id string) error {
	r, found, err := tx.Accounts().ByMailboxForUpdate(mailbox)
	switch {
	case err != nil:
		return err
	case found && r.ID != id:
		return ErrTaken
	case found:
		return nil
	}
	of, err := s.reservedFor(tx, mailbox)
	if err == nil && of != "" && of != id {
		err = &ReservedError{of}
	}
	return err
}

// release ends the reservation of a mailbox.
func release(tx storage.Tx, b *takeBack) error {
	if b == nil {
		return nil
	}
	return tx.Meta().Delete(ReservationName(b.mailbox()))
}

// BeginAddressChange notes the flow of a change, in the place of any other.
func (s *Service) BeginAddressChange(tx storage.Tx, id string, flow storage.Key) error {
	return s.change(tx, id, false, func(_ *storage.Account, p *private) bool {
		p.Change = &addressChange{Flow: newFlowRef(flow)}
		return true
	})
}

// ConfirmAddressChange notes that a mailbox has confirmed the change of a flow, and reports whether both have. It returns [ErrNotFound] if
// that is not the account's present one.
func (s *Service) ConfirmAddressChange(tx storage.Tx, id string, flow storage.Key, half Half) (both bool, err error) {
	current := false
	err = s.change(tx, id, false, func(_ *storage.Account, p *private) bool {
		if current = p.Change != nil && p.Change.Flow.key() == flow; !current {
			return false
		}
		if half == NewMailbox {
			p.Change.New = true
		} else {
			p.Change.Present = true
		}
		both = p.Change.New && p.Change.Present
		return true
	})
	if err == nil && !current {
		err = ErrNotFound
	}
	return both, err
}

// ChangeAddress gives an account another address by the word of the second mailbox, half, and ends every session, link, flow and machine token.
// The flow back undoes the change until its end, unless an earlier change can still be undone: then that one goes on, and undone is false. Errors,
// before anything is written: [ErrTaken], and [ErrNotFound] if flow is not the account's present one or the other mailbox has not confirmed it.
func (s *Service) ChangeAddress(tx storage.Tx, id string, flow storage.Key, half Half, addr address.Address, back storage.Key) (undone bool, err error) {
	err = s.replaceAddress(tx, id, addr, func(r *storage.Account, p *private) error {
		if c := p.Change; c == nil || c.Flow.key() != flow || half == NewMailbox && !c.Present || half == OldMailbox && !c.New {
			return ErrNotFound
		}
		alive, err := s.isAlive(tx, p.TakeBack)
		if err != nil || alive {
			return err
		}
		if err := release(tx, p.TakeBack); err != nil { // one that is over
			return err
		}
		global, err := tx.Epochs().Get(storage.GlobalEpoch)
		if err != nil {
			return err
		}
		mailbox := r.Mailbox
		p.TakeBack, undone = &takeBack{Flow: newFlowRef(back), Mailbox: mailbox[:], Global: global}, true
		return tx.Meta().Put(ReservationName(mailbox), []byte(id))
	})
	return undone && err == nil, err
}

// SetAddress gives an account another address by the word of an operator, which ends every session, link, flow and machine token: nothing
// undoes it. Error, before anything is written: [ErrTaken].
func (s *Service) SetAddress(tx storage.Tx, id string, addr address.Address) error {
	return s.replaceAddress(tx, id, addr, func(_ *storage.Account, p *private) error {
		err := release(tx, p.TakeBack)
		p.TakeBack = nil
		return err
	})
}

// RestoreAddress gives an account the address back that it had before a change, without a password, and ends every session, link, flow, machine
// token and deletion. An account that an operator has disabled stays so. Error, before anything is written: [ErrTaken].
func (s *Service) RestoreAddress(tx storage.Tx, id string, addr address.Address) error {
	var before password.Record
	err := s.replaceAddress(tx, id, addr, func(r *storage.Account, p *private) error {
		history, err := s.openHistory(*r)
		if err != nil {
			return err
		}
		before, r.Password = history.Current, password.History{}.Seal(s.Ring, r.ID)
		if p.Deletion != nil && !p.Deletion.Disabled {
			r.Status = storage.StatusActive
		}
		err = release(tx, p.TakeBack)
		p.Deletion, p.TakeBack = nil, nil
		return err
	})
	if err != nil {
		return err
	}
	if err := changeDeletions(tx, func(all map[string]int64) { delete(all, id) }); err != nil {
		return err
	}
	return countCosts(tx, before, password.Record{})
}

// replaceAddress gives an account another address and raises the epochs of the account and of both mailboxes. f sees the record and its
// sealed part as they were.
func (s *Service) replaceAddress(tx storage.Tx, id string, addr address.Address, f func(r *storage.Account, p *private) error) error {
	mailbox := addr.Mailbox(s.Ring)
	if err := s.CheckFree(tx, mailbox, id); err != nil {
		return err
	}
	r, found, err := tx.Accounts().GetForUpdate(id)
	if err != nil || !found {
		return orElse(err, ErrNotFound)
	}
	p, err := s.unseal(r)
	if err != nil {
		return err
	}
	if err := f(&r, &p); err != nil {
		return err
	}
	if err := raiseEpochs(tx, r); err != nil {
		return err
	}
	if mailbox != r.Mailbox {
		if _, err := tx.Epochs().Raise(storage.MailboxEpoch(mailbox)); err != nil {
			return err
		}
	}
	r.Mailbox, p.Email, p.Change = mailbox, addr.Typed(), nil
	if err := s.seal(&r, p); err != nil {
		return err
	}
	return replace(tx, r)
}
