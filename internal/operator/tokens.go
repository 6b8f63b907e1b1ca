package operator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// MachineTokenInput asks for a machine token.
type MachineTokenInput struct {
	// Who is the account's id or its address.
	Who    string   `json:"who"`
	Scopes []string `json:"scopes"`
	// TTL is how long it works, machinetoken.MaxTTL at most. Zero: as long as that.
	TTL time.Duration `json:"ttl,omitempty"`
	// Site is the origin it is valid at. Empty: the only one there is.
	Site string `json:"site,omitempty"`
	// Name is what the operator calls it.
	Name string `json:"name,omitempty"`
}

// MachineToken is one machine token.
type MachineToken struct {
	ID      string `json:"id"`
	Account string `json:"account"`
	Email   string `json:"email,omitempty"`
	Name    string `json:"name,omitempty"`
	Site    string `json:"site"`
	// Scopes are what it was made for; Lost are those of them that the configuration no longer has.
	Scopes  []string  `json:"scopes"`
	Lost    []string  `json:"lost,omitempty"`
	Created time.Time `json:"created"`
	Ends    time.Time `json:"ends"`
	// State is "good", "revoked", or "ended" where it ended with what its account had.
	State string `json:"state"`
	// Token is its text, set only in the answer that creates it.
	Token string `json:"token,omitempty"`
}

// CreateToken implements Operations.
func (svc *Service) CreateToken(ctx context.Context, in MachineTokenInput) (MachineToken, error) {
	site, err := svc.site(in.Site)
	if err != nil {
		return MachineToken{}, err
	}
	if in.TTL == 0 {
		in.TTL = machinetoken.MaxTTL
	}
	if err := svc.checkToken(in); err != nil {
		return MachineToken{}, err
	}
	id, err := svc.find(ctx, in.Who)
	if err != nil {
		return MachineToken{}, err
	}
	text, made, err := svc.Vault.Machines.Create(ctx, machinetoken.Input{
		Account: id, Site: site.Origin, Scopes: in.Scopes, TTL: in.TTL, Name: in.Name, Operator: storage.Operator(CallerOf(ctx)),
	})
	if errors.Is(err, machinetoken.ErrNoAccount) {
		return MachineToken{}, conflict("the account of %s is disabled; 'caddy email-link accounts enable' lets it in again", in.Who)
	}
	if err != nil {
		return MachineToken{}, err
	}
	shown := svc.toMachineToken(made)
	shown.Token = text
	return shown, nil
}

func (svc *Service) checkToken(in MachineTokenInput) error {
	if len(svc.Scopes) == 0 {
		return conflict("the configuration has no scopes that a token could be made for; write 'scopes <name>…' in the global option email_link")
	}
	if len(in.Scopes) == 0 || len(in.Scopes) > machinetoken.MaxScopes {
		return invalid("name 1 to %d of the scopes with --scope: %s", machinetoken.MaxScopes, strings.Join(svc.Scopes, ", "))
	}
	for _, s := range in.Scopes {
		if !slices.Contains(svc.Scopes, s) {
			return invalid("unknown scope %q: the configuration has %s", s, strings.Join(svc.Scopes, ", "))
		}
	}
	if in.TTL < time.Second || in.TTL > machinetoken.MaxTTL {
		return invalid("--ttl %s: must be a positive duration of at most %d days", in.TTL, machinetoken.MaxTTL/(24*time.Hour))
	}
	if err := accounts.CheckName(in.Name); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// Tokens implements Operations.
func (svc *Service) Tokens(ctx context.Context, who string) ([]MachineToken, error) {
	id := ""
	if who != "" {
		var err error
		if id, err = svc.find(ctx, who); err != nil {
			return nil, err
		}
	}
	found, err := svc.Vault.Machines.List(ctx, id)
	if err != nil {
		return nil, err
	}
	var list []MachineToken
	err = svc.Vault.Store.View(ctx, func(tx storage.Tx) error {
		list = make([]MachineToken, 0, len(found))
		for _, t := range found {
			one := svc.toMachineToken(t)
			a, _, err := svc.Vault.Accounts.Get(tx, t.Account)
			if err != nil {
				return err
			}
			one.Email = a.Email
			list = append(list, one)
		}
		return nil
	})
	return list, err
}

// RevokeToken implements Operations.
func (svc *Service) RevokeToken(ctx context.Context, id string) (MachineToken, error) {
	t, _, err := svc.Vault.Machines.Revoke(ctx, id, storage.Operator(CallerOf(ctx)))
	if errors.Is(err, machinetoken.ErrNotFound) {
		return MachineToken{}, notFound("there is no token %s, or it has expired; 'caddy email-link tokens list' names them", id)
	}
	if err != nil {
		return MachineToken{}, err
	}
	return svc.toMachineToken(t), nil
}

func (svc *Service) toMachineToken(t machinetoken.Token) MachineToken {
	shown := MachineToken{
		ID: t.ID, Account: t.Account, Name: t.Name, Site: t.Site, Scopes: t.Scopes, State: "good",
		Created: svc.displayTime(t.Created), Ends: svc.displayTime(t.Key.Ends()),
	}
	for _, s := range t.Scopes {
		if !slices.Contains(svc.Scopes, s) {
			shown.Lost = append(shown.Lost, s)
		}
	}
	switch {
	case !t.Revoked.IsZero():
		shown.State = "revoked"
	case t.Ended:
		shown.State = "ended"
	}
	return shown
}
