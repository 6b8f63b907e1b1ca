package operator

import (
	"context"
	"slices"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// History implements Operations. A request for a mail names no account, because whom it is for is found out later: its lines are found by
// their flows, of which a later line names the account. who may be the id of a deleted account.
func (svc *Service) History(ctx context.Context, who string, n int) ([]Event, error) {
	if n < 1 || n > MaxListed {
		return nil, invalid("-n %d is not a number from 1 to %d", n, MaxListed)
	}
	if strings.Contains(who, "@") {
		id, err := svc.find(ctx, who)
		if err != nil {
			return nil, err
		}
		who = id
	}
	var found []storage.Event
	err := svc.Vault.Store.View(ctx, func(tx storage.Tx) error {
		own, err := tx.Events().List(storage.EventFilter{Account: who}, n)
		if err != nil {
			return err
		}
		flows := map[string]bool{}
		for _, e := range own {
			if e.Flow != "" {
				flows[e.Flow] = true
			}
		}
		found, err = tx.Events().List(storage.EventFilter{Match: func(e storage.Event) bool {
			return e.Account == who || e.Account == "" && flows[e.Flow]
		}}, n)
		return err
	})
	list := make([]Event, 0, len(found))
	for _, e := range slices.Backward(found) {
		list = append(list, toEvent(e))
	}
	return list, err
}
