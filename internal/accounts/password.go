package accounts

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// metaCosts is the key of the number of records for each cost, so that the slowest kind is known without reading every account.
const metaCosts = "password_costs"

// Credentials are an account with its password records.
type Credentials struct {
	Account Account
	// Mailbox is the digest of the account's canonical address.
	Mailbox storage.Digest
	// Passwords are the records; the zero value is an account without a password.
	Passwords password.History
	// Version is the version of the stored account. Every change gives it another one.
	Version uint64
}

// Credentials returns the account with this id and its records.
func (s *Service) Credentials(tx storage.Tx, id string) (Credentials, bool, error) {
	return s.credentials(tx.Accounts().Get(id))
}

// CredentialsByAddress returns the account of a mailbox and its records.
func (s *Service) CredentialsByAddress(tx storage.Tx, addr address.Address) (Credentials, bool, error) {
	return s.credentials(tx.Accounts().ByMailbox(addr.Mailbox(s.Ring)))
}

// CredentialsForUpdate is Credentials for a read that guards a write of the same transaction.
func (s *Service) CredentialsForUpdate(tx storage.Tx, id string) (Credentials, bool, error) {
	return s.credentials(tx.Accounts().GetForUpdate(id))
}

func (s *Service) credentials(r storage.Account, found bool, err error) (Credentials, bool, error) {
	a, found, err := s.open(r, found, err)
	if err != nil || !found {
		return Credentials{}, false, err
	}
	history, err := s.openHistory(r)
	if err != nil {
		return Credentials{}, false, err
	}
	return Credentials{Account: a, Mailbox: r.Mailbox, Passwords: history, Version: r.Version}, true, nil
}

// SetPassword sets the password and ends every session, link and flow of the account. The policy decides how many earlier records
// are kept.
func (s *Service) SetPassword(tx storage.Tx, id string, r password.Record, policy password.Policy) error {
	return s.changePassword(tx, id, true, func(k password.History) password.History { return policy.Replace(k, r) })
}

// UpgradePassword replaces the current record by another one of the same password and ends nothing. The caller has compared the
// version of the account in the same transaction.
func (s *Service) UpgradePassword(tx storage.Tx, id string, r password.Record) error {
	return s.changePassword(tx, id, false, func(k password.History) password.History {
		k.Current = r
		return k
	})
}

func (s *Service) changePassword(tx storage.Tx, id string, endAccess bool, f func(password.History) password.History) error {
	r, found, err := tx.Accounts().GetForUpdate(id)
	if err != nil || !found {
		return orElse(err, ErrNotFound)
	}
	previous, err := s.openHistory(r)
	if err != nil {
		return err
	}
	history := f(previous)
	r.Password = history.Seal(s.Ring, r.ID)
	if endAccess {
		if err := raiseEpochs(tx, r); err != nil {
			return err
		}
	}
	if err := replace(tx, r); err != nil {
		return err
	}
	return countCosts(tx, previous.Current, history.Current)
}

// openHistory opens the records of a stored account.
func (s *Service) openHistory(r storage.Account) (password.History, error) {
	k, err := password.OpenHistory(s.Ring, r.ID, r.Password)
	if err != nil {
		return password.History{}, fmt.Errorf("%w: %s: %w", ErrDamaged, r.ID, err)
	}
	return k, nil
}

// Costs returns the costs of the current records of all accounts, in a stable order. Answers to sign-ins take as long as the slowest
// of them (password.Hasher.Measure).
func (s *Service) Costs(ctx context.Context) (password.Costs, error) {
	var set password.Costs
	err := s.Store.View(ctx, func(tx storage.Tx) error {
		counts, err := readCosts(tx.Meta().Get)
		if err != nil {
			return err
		}
		set = nil
		for _, c := range counts {
			set = append(set, c.cost)
		}
		return nil
	})
	return set, err
}

// costCount is the number of records with a cost.
type costCount struct {
	cost  password.Cost
	count uint64
}

// readCosts returns the counts. It skips costs that this version refuses, as the sign-in with such a record does.
func readCosts(get func(name string) ([]byte, bool, error)) (counts []costCount, err error) {
	value, _, err := get(metaCosts)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(value)) {
		word, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		cost, err := password.ParseCost(word)
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || n == 0 {
			continue
		}
		counts = append(counts, costCount{cost, n})
	}
	return counts, nil
}

// countCosts counts that one record has replaced another. Either may be the zero record.
func countCosts(tx storage.Tx, before, after password.Record) error {
	if before.Cost() == after.Cost() {
		return nil
	}
	counts, err := readCosts(tx.Meta().GetForUpdate)
	if err != nil {
		return err
	}
	if !before.IsZero() {
		if i := slices.IndexFunc(counts, func(c costCount) bool { return c.cost == before.Cost() }); i >= 0 {
			if counts[i].count--; counts[i].count == 0 {
				counts = slices.Delete(counts, i, i+1)
			}
		}
	}
	if !after.IsZero() {
		i := slices.IndexFunc(counts, func(c costCount) bool { return c.cost == after.Cost() })
		if i < 0 {
			i = len(counts)
			counts = append(counts, costCount{cost: after.Cost()})
		}
		counts[i].count++
	}
	slices.SortFunc(counts, func(a, b costCount) int { return strings.Compare(a.cost.String(), b.cost.String()) })
	var value bytes.Buffer
	for _, c := range counts {
		fmt.Fprintf(&value, "%s %d\n", c.cost, c.count)
	}
	return tx.Meta().Put(metaCosts, value.Bytes())
}
