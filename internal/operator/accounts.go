package operator

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Account is one account as operators see it.
type Account struct {
	ID    string   `json:"id"`
	Email string   `json:"email"`
	Name  string   `json:"name,omitempty"`
	Roles []string `json:"roles,omitempty"`
	// Language is a BCP 47 tag, empty where mails follow the browser that asks.
	Language string `json:"language,omitempty"`
	// Timezone is the zone that times are written in for this person, empty for that of everybody.
	Timezone string    `json:"timezone,omitempty"`
	Status   string    `json:"status,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	// Deletes is when it is gone, because its owner has deleted it; zero for all others.
	Deletes time.Time `json:"deletes,omitzero"`
}

// AccountInput describes an account to add.
type AccountInput struct {
	Email    string   `json:"email"`
	Name     string   `json:"name,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Language string   `json:"language,omitempty"`
	Timezone string   `json:"timezone,omitempty"`
}

// AccountChange describes what to change about an account; nil leaves a field as it is.
type AccountChange struct {
	// Email is the new address, which ends everything of the account; both mailboxes are told.
	Email    *string   `json:"email,omitempty"`
	Name     *string   `json:"name,omitempty"`
	Roles    *[]string `json:"roles,omitempty"`
	Language *string   `json:"language,omitempty"`
	Timezone *string   `json:"timezone,omitempty"`
	Status   *string   `json:"status,omitempty"`
}

// AddedAccount is an account that has been added.
type AddedAccount struct {
	Account
	// SignIn are the pages where its owner signs in, one for each site.
	SignIn []string `json:"sign_in,omitempty"`
}

// ChangedAccount is an account after a change.
type ChangedAccount struct {
	Account
	// SessionsEnded is how many sessions the change has ended.
	SessionsEnded int `json:"sessions_ended"`
}

// page is how many accounts are read in one transaction.
const page = 500

// AddAccount implements Operations.
func (svc *Service) AddAccount(ctx context.Context, in AccountInput) (AddedAccount, error) {
	addr, err := address.Parse(in.Email)
	if err != nil {
		return AddedAccount{}, invalid("the address cannot be used: %v", err)
	}
	e := svc.event(ctx, eventChanged, purposeAccount, "added")
	err = svc.Vault.Store.Update(ctx, func(tx storage.Tx) error {
		made, err := svc.Vault.Accounts.Create(tx, accounts.NewAccount{
			Address: addr, Name: in.Name, Roles: in.Roles, Language: in.Language, Timezone: in.Timezone,
		})
		if err != nil {
			return err
		}
		e.Account = made.ID
		return audit(tx, e)
	})
	if err := reservedConflict(err, addr.Display()); err != nil {
		return AddedAccount{}, err
	}
	if errors.Is(err, accounts.ErrTaken) {
		return AddedAccount{}, conflict("%s has an account already; 'caddy email-link accounts set' changes it", addr.Display())
	}
	if err != nil {
		return AddedAccount{}, accountError(err)
	}
	svc.report(ctx, e)
	a, err := svc.account(ctx, e.Account)
	return AddedAccount{a, svc.signInPages()}, err
}

// reservedConflict returns what to do about an address that an account has given up lately, nil for every other error.
func reservedConflict(err error, email string) error {
	reserved := (*accounts.ReservedError)(nil)
	if !errors.As(err, &reserved) {
		return nil
	}
	return conflict("the account %s has changed its address from %s within the last 7 days, and may take that back; to give the address to another account, "+
		"first write 'caddy email-link accounts set %s --email <the address that the account has now>', which ends the take-back",
		reserved.Account, email, reserved.Account)
}

// signInPages returns where people sign in, as far as the configuration names whole origins.
func (svc *Service) signInPages() (list []string) {
	for _, s := range svc.Sites {
		list = append(list, s.Origin+s.Prefix+"/sign-in")
	}
	return list
}

// Accounts implements Operations.
func (svc *Service) Accounts(ctx context.Context, each func(Account) error) error {
	for after := ""; ; {
		var list []accounts.Entry
		err := svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
			list, err = svc.Vault.Accounts.List(tx, after, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := each(toAccount(e)); err != nil {
				return err
			}
			after = e.ID
		}
		if len(list) < page {
			return nil
		}
	}
}

func toAccount(e accounts.Entry) Account {
	return Account{
		ID: e.ID, Email: e.Email, Name: e.Name, Roles: e.Roles, Language: e.Language, Timezone: e.Timezone, Status: string(e.Status),
		Created: e.Created, Deletes: e.Deletes,
	}
}

// account returns an account by its id or its address.
func (svc *Service) account(ctx context.Context, who string) (Account, error) {
	var list []accounts.Entry
	id, err := svc.find(ctx, who)
	if err == nil {
		err = svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
			// The list starts after the id before this one: ids are texts, and shortening one gives a text before it.
			list, err = svc.Vault.Accounts.List(tx, id[:len(id)-1], page)
			return err
		})
	}
	for _, e := range list {
		if e.ID == id {
			return toAccount(e), nil
		}
	}
	if err == nil {
		err = notFound("there is no account %s", who)
	}
	return Account{}, err
}

// find returns the id of an account that is named by its id or its address.
func (svc *Service) find(ctx context.Context, who string) (id string, err error) {
	if strings.TrimSpace(who) == "" {
		return "", invalid("the account is empty: name it by its address or id")
	}
	var a accounts.Account
	var found bool
	if addr, bad := address.Parse(who); bad == nil {
		a, found, err = svc.Vault.Accounts.Lookup(ctx, addr.Typed())
	} else {
		err = svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
			a, found, err = svc.Vault.Accounts.Get(tx, who)
			return err
		})
	}
	if err == nil && !found {
		err = notFound("there is no account %s", who)
	}
	return a.ID, err
}

// ChangeAccount implements Operations.
func (svc *Service) ChangeAccount(ctx context.Context, who string, change AccountChange) (ChangedAccount, error) {
	status := map[string]storage.Status{"active": storage.StatusActive, "disabled": storage.StatusDisabled}
	if change.Status != nil && status[*change.Status] == 0 {
		return ChangedAccount{}, invalid("the status is one of active, disabled")
	}
	outcome := "changed"
	if change.Status != nil {
		outcome = map[string]string{"active": "enabled", "disabled": "disabled"}[*change.Status]
	}
	var addr address.Address
	if change.Email != nil {
		var err error
		if addr, err = address.Parse(*change.Email); err != nil {
			return ChangedAccount{}, invalid("the address cannot be used: %v", err)
		}
	}
	id, ended, err := svc.change(ctx, who, outcome, func(tx storage.Tx, id string) error {
		if change.Email != nil {
			if err := svc.setAddress(tx, id, addr); err != nil {
				return err
			}
		}
		if change.Name != nil {
			if err := svc.Vault.Accounts.SetName(tx, id, *change.Name); err != nil {
				return err
			}
		}
		if change.Roles != nil {
			if err := svc.Vault.Accounts.SetRoles(tx, id, *change.Roles); err != nil {
				return err
			}
		}
		if change.Language != nil {
			if err := svc.Vault.Accounts.SetLanguage(tx, id, *change.Language); err != nil {
				return err
			}
		}
		if change.Timezone != nil {
			if err := svc.Vault.Accounts.SetTimezone(tx, id, *change.Timezone); err != nil {
				return err
			}
		}
		if change.Status != nil {
			return svc.Vault.Accounts.SetStatus(tx, id, status[*change.Status])
		}
		return nil
	})
	if err != nil {
		return ChangedAccount{}, err
	}
	if change.Email == nil && (change.Status == nil || *change.Status != "disabled") {
		ended = 0
	}
	if change.Email != nil && svc.Wake != nil {
		svc.Wake()
	}
	a, err := svc.account(ctx, id)
	return ChangedAccount{a, ended}, err
}

// setAddress gives an account another address, and tells both mailboxes where the configuration names a site that people sign in at.
func (svc *Service) setAddress(tx storage.Tx, id string, addr address.Address) error {
	a, found, err := svc.Vault.Accounts.Get(tx, id)
	if err != nil || !found {
		return cmp.Or(err, accounts.ErrNotFound)
	}
	if err := svc.Vault.Accounts.SetAddress(tx, id, addr); err != nil {
		if reserved := reservedConflict(err, addr.Display()); reserved != nil {
			return reserved
		}
		if errors.Is(err, accounts.ErrTaken) {
			err = conflict("%s has an account already: choose another address", addr.Display())
		}
		return err
	}
	site, _, err := svc.signInSite("")
	if err != nil && len(svc.Sites) > 0 {
		site, err = svc.Sites[0], nil
	}
	if err != nil {
		return nil //nolint:nilerr // there is no site whose name a mail could bear
	}
	return svc.Flows.NoticeAddress(tx, site, a, addr)
}

// DeleteAccount implements Operations.
func (svc *Service) DeleteAccount(ctx context.Context, who string) (ChangedAccount, error) {
	a, err := svc.account(ctx, who)
	if err != nil {
		return ChangedAccount{}, err
	}
	_, ended, err := svc.change(ctx, a.ID, "deleted", svc.Vault.Accounts.Delete)
	if err != nil {
		return ChangedAccount{}, err
	}
	a.Status = "deleted"
	return ChangedAccount{a, ended}, nil
}

// purposeAccount is the purpose of events that say what became of an account.
const purposeAccount = "account"

// change applies f and notes its outcome in one step. It returns the account's id and how many live sessions it had before.
func (svc *Service) change(ctx context.Context, who, outcome string, f func(tx storage.Tx, id string) error) (id string, sessions int, err error) {
	if id, sessions, err = svc.withSessions(ctx, who); err != nil {
		return "", 0, err
	}
	e := svc.event(ctx, eventChanged, purposeAccount, outcome)
	e.Account = id
	err = svc.Vault.Store.Update(ctx, func(tx storage.Tx) error {
		if err := f(tx, id); err != nil {
			return err
		}
		return audit(tx, e)
	})
	if err != nil {
		return "", 0, accountError(err)
	}
	svc.report(ctx, e)
	return id, sessions, nil
}

// withSessions returns the id of an account and how many live sessions it has.
func (svc *Service) withSessions(ctx context.Context, who string) (id string, sessions int, err error) {
	if id, err = svc.find(ctx, who); err != nil {
		return "", 0, err
	}
	list, err := svc.Vault.Sessions.List(ctx, id)
	return id, len(list), err
}

// accountError turns refusals of the accounts into ones for the operator.
func accountError(err error) error {
	var fault *accounts.InvalidError
	switch {
	case errors.As(err, &fault):
		return invalid("%v", fault)
	case errors.Is(err, accounts.ErrNotFound):
		return notFound("there is no such account any more")
	}
	return err
}
