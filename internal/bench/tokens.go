package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// scope is what the machine tokens of the benchmark are made for.
const scope = "calendar"

// byToken asks a site with a machine token, as a program does. The floors get the same bytes.
func (s *sites) byToken(site string) side {
	return side{site: site, status: http.StatusOK, size: bodySize, requests: []request{{"/x", []string{
		"User-Agent", "calendar-sync/3.1", "Accept", "*/*", "Authorization", "Bearer " + s.token,
	}}}}
}

// tokenRow is a request with a machine token beside the proxy alone and beside one with a session, at the same site.
func tokenRow(b *bench) ([]figure, error) {
	s, err := b.sites()
	if err != nil {
		return nil, err
	}
	var list []figure
	for _, floor := range []struct {
		of   side
		name string
	}{{s.byToken(siteBare), "reverse_proxy"}, {s.signedIn(siteToken), "a session's cookie"}} {
		a, c, err := b.inTurns(s, shape{conns: 32, brief: true}, floor.of, s.byToken(siteToken))
		if err != nil {
			return nil, err
		}
		list = append(list,
			figure{what: "requests/s", floor: floor.name, values: perSecond(a, c)},
			cpuFigure(figure{what: "CPU of a request", floor: floor.name}, a, c))
	}
	return list, nil
}

// tokenHitRow is what the gate itself does for such a request, with a token it has seen before and with one it has not.
func tokenHitRow(b *bench) ([]figure, error) {
	g, err := newGateAt(b.path("tokens.db"), nil)
	if err != nil {
		return nil, err
	}
	defer os.Remove(g.path) //nolint:errcheck // temporary
	defer g.close()         //nolint:errcheck // read no more
	addr, err := address.Parse("ada.lovelace@example.com")
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var id string
	err = g.bolt.Update(ctx, func(tx storage.Tx) error {
		a, err := g.vault.Accounts.Create(tx, accounts.NewAccount{Address: addr, Name: "Ada Lovelace", Roles: []string{"admin", "editor"}})
		id = a.ID
		return err
	})
	if err != nil {
		return nil, err
	}
	machines := g.vault.Machines
	machines.SetScopes([]string{scope})
	text, _, err := machines.Create(ctx, machinetoken.Input{Account: id, Site: origin, Scopes: []string{scope}, TTL: time.Hour})
	if err != nil {
		return nil, err
	}
	seen := func() error {
		l, err := machines.Find(ctx, text, origin)
		if err == nil && l == nil {
			err = errors.New("the token was not found")
		}
		return err
	}
	broken := []byte(text)
	broken[len(broken)-1] ^= 4
	forged := func() error {
		l, err := machines.Find(ctx, string(broken), origin)
		if err == nil && l != nil {
			err = errors.New("a broken token was found")
		}
		return err
	}
	again, first := figure{what: "a token seen before", unit: "µs"}, figure{what: "one that is none", unit: "µs"}
	var allocs []float64
	for range b.options.pairs {
		elapsed, allocated, err := each(b.step, seen)
		if err != nil {
			return nil, err
		}
		again.values, allocs = append(again.values, elapsed), append(allocs, allocated)
		if elapsed, _, err = each(b.step, forged); err != nil {
			return nil, err
		}
		first.values = append(first.values, elapsed)
	}
	return []figure{again, atMost(figure{what: "its allocations", values: allocs}, 0), first}, nil
}

// makeToken makes the token of the site for requests with one.
func (s *sites) makeToken(ctx context.Context, machines *machinetoken.Manager, accountID string) (err error) {
	s.token, _, err = machines.Create(ctx, machinetoken.Input{
		Account: accountID, Site: "http://" + s.addr[siteToken], Scopes: []string{scope}, TTL: 24 * time.Hour,
	})
	return err
}
