package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// importBatch is how many accounts one transaction writes where a refused one does not stop the others.
const importBatch = 100

// ImportAccount is an account of another program.
type ImportAccount struct {
	// Email is the address in any spelling. It is stored as given.
	Email string
	Name  string
	Roles []string
	// Language is a BCP 47 tag, empty when unknown, Timezone a name of the IANA database.
	Language, Timezone string
	// Record is the password record, zero when there is none.
	Record password.Record
	// Verified reports whether the other program has seen a proof of the mailbox. Without one the password and the name are left
	// out, because their author need not be the one who reads the mail. The account is created, and its first link proves the
	// mailbox.
	Verified bool
	// Created is when the account was created there. The zero value and a time in the future mean now.
	Created time.Time
	// Disabled creates an account that cannot sign in.
	Disabled bool
}

// Imported is the result of importing one account.
type Imported struct {
	// ID is the id of the new account. It is meaningless if the transaction was rolled back.
	ID string
	// LeftOut reports whether a password or a name was left out because the mailbox is not proven.
	LeftOut bool
	// Err is nil if the account was created. Otherwise it is [ErrTaken], also by an earlier account of the same list, or an
	// *[InvalidError].
	Err error
}

// ImportOptions are the options of [Service.ImportAll]. The zero value writes everything or nothing.
type ImportOptions struct {
	// GoOn writes the valid accounts although others are refused, in several transactions.
	GoOn bool
}

// Import creates one account in the caller's transaction. Errors, before anything is written: [ErrTaken] and *[InvalidError].
func (s *Service) Import(tx storage.Tx, in ImportAccount) (Imported, error) {
	addr, err := address.Parse(in.Email)
	if err != nil {
		return Imported{}, &InvalidError{"email", "is no address"}
	}
	n := NewAccount{
		Address: addr, Name: in.Name, Roles: in.Roles, Language: in.Language, Timezone: in.Timezone, Disabled: in.Disabled,
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

// errRollback rolls back the transaction of an import with a refused account.
var errRollback = errors.New("account: not written")

// ImportAll creates many accounts and returns a result for each, in the order given. written reports whether the valid ones are in
// the store; without GoOn they are only if all are valid, and one transaction writes them while other writers wait. An error is the
// store's: nothing was written then, or with GoOn exactly what results lists.
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
			created, refused, err := s.importPart(tx, part)
			if err != nil {
				return err
			}
			done = created
			if refused && !o.GoOn {
				return errRollback
			}
			return nil
		})
		switch {
		case errors.Is(err, errRollback):
			return append(results, done...), false, nil
		case err != nil:
			return results, len(results) > 0, err
		}
		results = append(results, done...)
	}
	return results, true, nil
}

// importPart creates the valid accounts of a list. refused reports whether there were others.
func (s *Service) importPart(tx storage.Tx, part []ImportAccount) (done []Imported, refused bool, err error) {
	done = make([]Imported, 0, len(part))
	for _, in := range part {
		one, err := s.Import(tx, in)
		if invalid := new(InvalidError); errors.Is(err, ErrTaken) || errors.As(err, &invalid) {
			one, refused = Imported{Err: err}, true
		} else if err != nil {
			return nil, false, err
		}
		done = append(done, one)
	}
	return done, refused, nil
}

// Exported is an account with everything that an export contains.
type Exported struct {
	Account
	Created time.Time
	// Record is the password record, zero when there is none. Its text is a secret: it permits guessing offline.
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
