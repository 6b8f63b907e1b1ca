package operator

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// LimitShared asks for the counters that many share.
const LimitShared = "shared"

// Limit is one counter of a subject.
type Limit struct {
	Name string `json:"name"`
	Rate string `json:"rate"`
	// Wide marks the second count of an IPv6 address, its /48; Known that of browsers that signed in before.
	Wide  bool      `json:"wide,omitempty"`
	Known bool      `json:"known,omitempty"`
	Count int64     `json:"count"`
	Limit int64     `json:"limit"`
	Ends  time.Time `json:"ends"`
}

// LimitsReset says how many counters a reset has forgotten.
type LimitsReset struct {
	Reset int `json:"reset"`
}

// subject reads who is counted: an IP address, a mailbox, both, or the word shared.
func (svc *Service) subject(words []string) (limit.Subject, error) {
	var s limit.Subject
	if len(words) == 1 && words[0] == LimitShared {
		return s, nil
	}
	for _, word := range words {
		if addr, err := netip.ParseAddr(word); err == nil {
			if s.Client.IsValid() {
				return s, invalid("%s is a second client: name one", word)
			}
			s.Client = addr.Unmap().WithZone("")
			continue
		}
		mailbox, err := address.Parse(word)
		if err != nil {
			return s, invalid("%q is neither an IP address nor an email address, and only the word %s stands for everybody", word, LimitShared)
		}
		if !s.Mailbox.IsZero() {
			return s, invalid("%s is a second mailbox: name one", word)
		}
		s.Mailbox = mailbox.LimitKey(svc.Vault.Ring)
	}
	if s == (limit.Subject{}) {
		return s, invalid("name whom to look at: an IP address, an email address, both, or %q", LimitShared)
	}
	return s, nil
}

// Limits implements Operations.
func (svc *Service) Limits(ctx context.Context, words []string) ([]Limit, error) {
	s, err := svc.subject(words)
	if err != nil {
		return nil, err
	}
	var found []limit.Usage
	err = svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
		found, err = svc.Limiter.Usage(tx, svc.Vault.Clock.Now(), svc.Rates, s)
		return err
	})
	list := make([]Limit, 0, len(found))
	for _, u := range found {
		if strings.HasPrefix(u.Name, "password_") && u.Count == 0 && !slices.ContainsFunc(svc.Sites, svc.Flows.OffersPasswords) {
			continue // nothing asks for passwords
		}
		list = append(list, Limit{
			Name: u.Name, Rate: u.Rate, Wide: u.Tier48, Known: u.Known, Count: u.Count, Limit: u.Limit, Ends: svc.displayTime(u.Ends),
		})
	}
	slices.SortStableFunc(list, func(a, b Limit) int {
		return cmp.Or(cmp.Compare(slices.Index(limit.Names(), a.Name), slices.Index(limit.Names(), b.Name)), cmp.Compare(a.Limit, b.Limit))
	})
	return list, err
}

// ResetLimits implements Operations.
func (svc *Service) ResetLimits(ctx context.Context, words []string) (LimitsReset, error) {
	s, err := svc.subject(words)
	if err != nil {
		return LimitsReset{}, err
	}
	var done LimitsReset
	e := svc.event(ctx, eventChanged, "limits", "reset")
	if s.Client.IsValid() {
		e.Client = boundary.NetworkText(s.Client)
	}
	err = svc.Vault.Store.Update(ctx, func(tx storage.Tx) (err error) {
		if done.Reset, err = svc.Limiter.Reset(tx, svc.Vault.Clock.Now(), svc.Rates, s); err != nil {
			return err
		}
		if e.Account, err = svc.accountAmong(tx, words); err != nil {
			return err
		}
		return audit(tx, e)
	})
	if err != nil {
		return LimitsReset{}, err
	}
	svc.report(ctx, e)
	return done, nil
}

// accountAmong returns the id of the account that one of the words names by its address, empty if there is none.
func (svc *Service) accountAmong(tx storage.Tx, words []string) (string, error) {
	for _, word := range words {
		if addr, err := address.Parse(word); err == nil {
			a, _, err := tx.Accounts().ByMailbox(addr.Mailbox(svc.Vault.Ring))
			return a.ID, err
		}
	}
	return "", nil
}
