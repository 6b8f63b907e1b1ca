package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// importBatch is how many accounts one step writes where a bad one does not stop the others.
const importBatch = 100

// ImportAccount is an account as another program had it.
type ImportAccount struct {
	// Email is the address in any spelling; it is stored as it stands here.
	Email string
	Name  string
	Roles []string
	// Language is a BCP 47 tag, empty when unknown.
	Language string
	// Record is the password record, zero when there is none.
	Record password.Record
	// Verified says that the other program has seen a proof of the mailbox. Without one the password and the name are left
	// out: whoever wrote them need not be the one who reads the mail. The account is made, and its first link proves the
	// mailbox.
	Verified bool
	// Created is when the account was made there; zero, and what lies ahead, is now.
	Created time.Time
	// Disabled makes an account that cannot sign in.
	Disabled bool
}

// Imported is what became of one account.
type Imported struct {
	// ID is the new account's; in a dry run it is of no use.
	ID string
	// LeftOut says that a password or a name was left out because the mailbox is not proven.
	LeftOut bool
	// Err says why there is no account: [ErrTaken], also by an earlier one of the same list, or an *[InvalidError].
	Err error
}

// ImportOptions say how [Service.ImportAll] writes. The zero value writes everything or nothing.
type ImportOptions struct {
	// GoOn writes what is good although something is bad. The accounts are then written by and by.
	GoOn bool
}

// Import makes one account in the caller's step. Errors, before anything is written: [ErrTaken] and *[InvalidError].
func (s *Service) Import(tx storage.Tx, in ImportAccount) (Imported, error) {
	addr, err := address.Parse(in.Email)
	if err != nil {
		return Imported{}, &InvalidError{"email", "is no address"}
	}
	n := NewAccount{
		Address: addr, Name: in.Name, Roles: in.Roles, Language: in.Language, Disabled: in.Disabled,
		Password: in.Record, Created: in.Created,
	}
	var done Imported
	if !in.Verified {
		if err := CheckName(in.Name); err != nil {
			return Imported{}, err
		}
		done.LeftOut = n.Name != "" || !n.Password.IsZero()
		n.Name, n.Password = "", password.Record{}
	}
	a, err := s.Create(tx, n)
	done.ID = a.ID
	return done, err
}

// errKeepOut undoes the step of an import that is not to be written.
var errKeepOut = errors.New("account: not written")

// ImportAll makes many accounts and says of each what became of it, in the order given. written says that the good ones are
// in the store now: unless told to go on only when all are good. All or nothing is one step, for which other writers wait. An
// error means that the store failed: then nothing was written, or where told to go on, what stands in results.
func (s *Service) ImportAll(ctx context.Context, list []ImportAccount, o ImportOptions) (results []Imported, written bool, err error) {
	batch := len(list)
	if o.GoOn {
		batch = importBatch
	}
	results = make([]Imported, 0, len(list))
	for len(list) > 0 {
		part := list[:min(batch, len(list))]
		list = list[len(part):]
		var done []Imported
		err := s.Store.Update(ctx, func(tx storage.Tx) error {
			made, bad, err := s.importPart(tx, part)
			if err != nil {
				return err
			}
			done = made
			if bad && !o.GoOn {
				return errKeepOut
			}
			return nil
		})
		switch {
		case errors.Is(err, errKeepOut):
			return append(results, done...), false, nil
		case err != nil:
			return results, len(results) > 0, err
		}
		results = append(results, done...)
	}
	return results, true, nil
}

// importPart makes the good ones of a list.
func (s *Service) importPart(tx storage.Tx, part []ImportAccount) (done []Imported, bad bool, err error) {
	done = make([]Imported, 0, len(part))
	for _, in := range part {
		one, err := s.Import(tx, in)
		if invalid := new(InvalidError); errors.Is(err, ErrTaken) || errors.As(err, &invalid) {
			one, bad = Imported{Err: err}, true
		} else if err != nil {
			return nil, false, err
		}
		done = append(done, one)
	}
	return done, bad, nil
}

// Exported is an account with all that is kept of it.
type Exported struct {
	Account
	Created time.Time
	// Record is the password record, zero when there is none. Its text is a secret: whoever has it can try passwords.
	Record password.Record
}

// Export returns up to limit accounts with ids after the given one, in the order of ids.
func (s *Service) Export(tx storage.Tx, after string, limit int) ([]Exported, error) {
	records, err := tx.Accounts().List(after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]Exported, 0, len(records))
	for _, r := range records {
		c, _, err := s.credentials(r, true, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, Exported{Account: c.Account, Created: r.Created, Record: c.Passwords.Current})
	}
	return list, nil
}
