package operator

import (
	"context"
	"time"
)

// Session is one signed-in browser.
type Session struct {
	ID       string    `json:"id"`
	Site     string    `json:"site"`
	Device   string    `json:"device,omitempty"`
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
			ID: s.ID, Site: s.Site, Device: s.Device, Methods: s.Methods, SignedIn: svc.displayTime(s.AuthTime),
			Seen: svc.displayTime(s.Seen), Ends: svc.displayTime(s.Key.Ends()),
		})
	}
	return list, err
}

// EndSessions implements Operations.
func (svc *Service) EndSessions(ctx context.Context, who string) error {
	id, err := svc.find(ctx, who)
	if err != nil {
		return err
	}
	e := svc.event(ctx, eventChanged, "sessions", "ended")
	e.Account = id
	if err := svc.Vault.Sessions.EndEverywhere(ctx, id, e); err != nil {
		return err
	}
	svc.report(ctx, e)
	return nil
}
