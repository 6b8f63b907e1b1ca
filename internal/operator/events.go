package operator

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
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
	// Command, User and Host are set if an operator's command did it: what the command said about itself, unverified.
	Command string `json:"command,omitempty"`
	User    string `json:"user,omitempty"`
	Host    string `json:"host,omitempty"`
}

// renamedEvents are the present names of events that earlier builds have stored under others.
var renamedEvents = map[string]string{"asked": "requested"}

// eventNames are the events of the audit log.
var eventNames = []string{
	"requested", "resent", "mailed", "denied", "confirmed", "signed_in", "cancelled", "replayed", "done", "signed_out", "invited", eventChanged, eventExported,
}

// EventQuery selects lines of the audit log. Only N is required.
type EventQuery struct {
	// N is how many lines to list at most.
	N int `json:"n"`
	// Since is the earliest time.
	Since time.Time `json:"since,omitzero"`
	// Account is an account's id, of a deleted account too, or an address.
	Account string `json:"account,omitempty"`
	// Event is the name of the event.
	Event string `json:"event,omitempty"`
	// Client is an IP address in the network that the line names.
	Client string `json:"client,omitempty"`
	// Operators leaves only what operators' commands did.
	Operators bool `json:"operators,omitempty"`
}

// Events implements Operations.
func (svc *Service) Events(ctx context.Context, q EventQuery) ([]Event, error) {
	if q.N < 1 || q.N > MaxListed {
		return nil, invalid("-n %d is not a number from 1 to %d", q.N, MaxListed)
	}
	match, err := svc.matchEvents(ctx, q)
	if err != nil {
		return nil, err
	}
	var found []storage.Event
	err = svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
		found, err = tx.Events().List(storage.EventFilter{Since: q.Since, Match: match}, q.N)
		return err
	})
	list := make([]Event, 0, len(found))
	for _, e := range found {
		list = append(list, toEvent(e))
	}
	return list, err
}

func toEvent(e storage.Event) Event {
	return Event{
		Time: e.Time.UTC(), Event: cmp.Or(renamedEvents[e.Name], e.Name), Purpose: e.Purpose, Outcome: e.Outcome, Account: e.Account, Flow: e.Flow,
		Site: e.Site, Client: e.Client, Command: e.Operator.Command, User: e.Operator.User, Host: e.Operator.Host,
	}
}

// matchEvents returns what reports whether a query selects an event.
func (svc *Service) matchEvents(ctx context.Context, q EventQuery) (func(storage.Event) bool, error) {
	var client netip.Addr
	if q.Client != "" {
		var err error
		if client, err = netip.ParseAddr(q.Client); err != nil {
			return nil, invalid("--client %q is not an IP address: write one such as 203.0.113.7 or 2001:db8::1", q.Client)
		}
		client = client.Unmap().WithZone("")
	}
	if q.Event != "" && !slices.Contains(eventNames, q.Event) {
		return nil, invalid("--event %q is no event of the audit log: %swrite one of %s", q.Event, meant(q.Event, eventNames), strings.Join(eventNames, ", "))
	}
	if strings.Contains(q.Account, "@") {
		a, err := svc.account(ctx, q.Account)
		if err != nil {
			return nil, err
		}
		q.Account = a.ID
	}
	return func(e storage.Event) bool {
		if client.IsValid() {
			network, err := netip.ParsePrefix(e.Client)
			if err != nil || !network.Contains(client) {
				return false
			}
		}
		return (!q.Operators || e.Operator != storage.Operator{}) && (q.Account == "" || e.Account == q.Account) &&
			(q.Event == "" || cmp.Or(renamedEvents[e.Name], e.Name) == q.Event)
	}, nil
}
