package operator

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Session is one signed-in browser.
type Session struct {
	ID     string `json:"id"`
	Site   string `json:"site"`
	Device string `json:"device,omitempty"`
	// Network is the network that it was opened from, empty if that is not known.
	Network  string    `json:"network,omitempty"`
	Methods  []string  `json:"methods"`
	SignedIn time.Time `json:"signed_in"`
	Seen     time.Time `json:"seen"`
	// Ends is the absolute end.
	Ends time.Time `json:"ends"`
}

// Sessions implements Operations.
func (svc *Service) Sessions(ctx context.Context, who string) ([]Session, error) {
	id, err := svc.find(ctx, who)
	if err != nil {
		return nil, err
	}
	found, err := svc.Vault.Sessions.List(ctx, id)
	list := make([]Session, 0, len(found))
	for _, s := range found {
		list = append(list, Session{
			ID: s.ID, Site: s.Site, Device: s.Device, Network: s.Network, Methods: s.Methods, SignedIn: svc.displayTime(s.AuthTime),
			Seen: svc.displayTime(s.Seen), Ends: svc.displayTime(s.Key.Ends()),
		})
	}
	return list, err
}

// EndSessions implements Operations.
func (svc *Service) EndSessions(ctx context.Context, who string) (ChangedAccount, error) {
	id, sessions, err := svc.withSessions(ctx, who)
	if refusal := (*Error)(nil); errors.As(err, &refusal) && !strings.Contains(who, "@") {
		return ChangedAccount{}, notFound("there is no account %s: sessions end together, so name the address or the id of their account", who)
	}
	if err != nil {
		return ChangedAccount{}, err
	}
	e := svc.event(ctx, eventChanged, "sessions", "ended")
	e.Account = id
	if err := svc.Vault.Sessions.EndEverywhere(ctx, id, e); err != nil {
		return ChangedAccount{}, err
	}
	svc.report(ctx, e)
	a, err := svc.account(ctx, id)
	return ChangedAccount{a, sessions}, err
}
