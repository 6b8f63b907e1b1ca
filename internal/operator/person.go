package operator

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// AccountDetails is an account with everything that hangs on it.
type AccountDetails struct {
	Account
	// Password reports whether the account has a password.
	Password bool `json:"password"`
	// LastSignIn is the latest sign-in that a live session or the audit log knows; nil if there is none.
	LastSignIn *time.Time `json:"last_sign_in,omitempty"`
	// Sessions are the live ones.
	Sessions []Session `json:"sessions"`
	// Tokens are its machine tokens whose time is not over.
	Tokens []MachineToken `json:"tokens"`
	// SpentLimits are the limits of its mailbox that refuse more right now, apart from those counted together with a network.
	SpentLimits []Limit `json:"spent_limits"`
	// Mails are the queued ones to its address, without the dead letters, which keep no address.
	Mails []Mail `json:"mails"`
}

// Account implements Operations.
func (svc *Service) Account(ctx context.Context, who string) (d AccountDetails, err error) {
	if d.Account, err = svc.account(ctx, who); err != nil {
		return d, err
	}
	if d.Sessions, err = svc.Sessions(ctx, d.ID); err != nil {
		return d, err
	}
	if d.Tokens, err = svc.Tokens(ctx, d.ID); err != nil {
		return d, err
	}
	if d.Password, err = svc.hasPassword(ctx, d.ID); err != nil {
		return d, err
	}
	if d.LastSignIn, err = svc.lastSignIn(ctx, d); err != nil {
		return d, err
	}
	if d.SpentLimits, err = svc.spentLimits(ctx, d.Email); err != nil {
		return d, err
	}
	d.Mails, err = svc.mailsTo(ctx, d.Email)
	return d, err
}

func (svc *Service) hasPassword(ctx context.Context, id string) (has bool, err error) {
	err = svc.Vault.Store.View(ctx, func(tx storage.Tx) error {
		c, _, err := svc.Vault.Accounts.Credentials(tx, id)
		has = c.Passwords.Current.Text() != ""
		return err
	})
	return has, err
}

// lastSignIn looks at the live sessions, and at the audit log if there are none.
func (svc *Service) lastSignIn(ctx context.Context, d AccountDetails) (*time.Time, error) {
	var last time.Time
	for _, s := range d.Sessions {
		if s.SignedIn.After(last) {
			last = s.SignedIn
		}
	}
	if last.IsZero() {
		list, err := svc.Events(ctx, EventQuery{N: 1, Account: d.ID, Event: "signed_in"})
		if err != nil || len(list) == 0 {
			return nil, err
		}
		last = svc.displayTime(list[0].Time)
	}
	return &last, nil
}

func (svc *Service) spentLimits(ctx context.Context, email string) ([]Limit, error) {
	spent := []Limit{}
	if svc.Limiter == nil {
		return spent, nil
	}
	all, err := svc.Limits(ctx, []string{email})
	for _, l := range all {
		if l.Count >= l.Limit {
			spent = append(spent, l)
		}
	}
	return spent, err
}

// mailsTo returns the queued mails to an address.
func (svc *Service) mailsTo(ctx context.Context, email string) ([]Mail, error) {
	list := []Mail{}
	to, err := address.Parse(email)
	if err != nil {
		return list, nil //nolint:nilerr // an address that an earlier build has accepted
	}
	var waiting []storage.Mail
	err = svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
		waiting, err = tx.Outbox().List(false, MaxListed)
		return err
	})
	for _, m := range waiting {
		p, openErr := outbox.OpenPayload(svc.Vault.Ring, m.ID, m.Sealed)
		addr, parseErr := address.Parse(p.To)
		if openErr == nil && parseErr == nil && addr.Mailbox(svc.Vault.Ring) == to.Mailbox(svc.Vault.Ring) {
			list = append(list, svc.toMail(m))
		}
	}
	return list, err
}
