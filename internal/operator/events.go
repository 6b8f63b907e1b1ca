package operator

import (
	"cmp"
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Event is one line of the audit log.
type Event struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	Purpose string    `json:"purpose,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	Account string    `json:"account,omitempty"`
	Flow    string    `json:"flow,omitempty"`
	Site    string    `json:"site,omitempty"`
	Client  string    `json:"client,omitempty"`
}

// renamedEvents are the present names of events that earlier builds have stored under others.
var renamedEvents = map[string]string{"asked": "requested"}

// Events implements Operations.
func (svc *Service) Events(ctx context.Context, n int) ([]Event, error) {
	if n < 1 || n > MaxListed {
		return nil, invalid("-n %d is not a number from 1 to %d", n, MaxListed)
	}
	var found []storage.Event
	err := svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
		found, err = tx.Events().List(n)
		return err
	})
	list := make([]Event, 0, len(found))
	for _, e := range found {
		list = append(list, Event{
			Time: e.Time.UTC(), Event: cmp.Or(renamedEvents[e.Name], e.Name), Purpose: e.Purpose, Outcome: e.Outcome, Account: e.Account, Flow: e.Flow,
			Site: e.Site, Client: e.Client,
		})
	}
	return list, err
}
