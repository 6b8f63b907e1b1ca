package adminapi

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
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

// SigningKey is one of the keys that sign assertions.
type SigningKey struct {
	ID string `json:"id"`
	// InUse says that it signs now. Another one is still listed, or listed already, for verifiers to know it.
	InUse bool `json:"in_use"`
}

// Rotated says what a rotation has begun.
type Rotated struct {
	ID string `json:"id"`
	// UsedFrom is when the new key signs first.
	UsedFrom time.Time `json:"used_from"`
}

// Events implements Backend.
func (g *Gate) Events(ctx context.Context, n int) ([]Event, error) {
	if n < 1 || n > listMax {
		return nil, badRequest("-n %d is not a number from 1 to %d", n, listMax)
	}
	var found []storage.Event
	err := g.State.Store.View(ctx, func(tx storage.Tx) (err error) {
		found, err = tx.Events().List(n)
		return err
	})
	list := make([]Event, 0, len(found))
	for _, e := range found {
		list = append(list, Event{
			Time: e.Time.UTC(), Event: e.Name, Purpose: e.Purpose, Outcome: e.Outcome, Account: e.Account, Flow: e.Flow,
			Site: e.Site, Client: e.Client,
		})
	}
	return list, err
}

// Sessions implements Backend.
func (g *Gate) Sessions(ctx context.Context, who string) ([]Session, error) {
	id, err := g.find(ctx, who)
	if err != nil {
		return nil, err
	}
	found, err := g.State.Sessions.List(ctx, id)
	list := make([]Session, 0, len(found))
	for _, s := range found {
		list = append(list, Session{
			ID: s.ID, Site: s.Site, Device: s.Device, Methods: s.Methods, SignedIn: g.shownTime(s.AuthTime),
			Seen: g.shownTime(s.Seen), Ends: g.shownTime(s.Key.Ends()),
		})
	}
	return list, err
}

// subject reads who is counted: an IP address, a mailbox, both, or the word shared.
func (g *Gate) subject(words []string) (limit.Subject, error) {
	var s limit.Subject
	if len(words) == 1 && words[0] == LimitShared {
		return s, nil
	}
	for _, word := range words {
		if addr, err := netip.ParseAddr(word); err == nil {
			if s.Client.IsValid() {
				return s, badRequest("%s is a second client: name one", word)
			}
			s.Client = addr.Unmap().WithZone("")
			continue
		}
		mailbox, err := address.Parse(word)
		if err != nil {
			return s, badRequest("%q is neither an IP address nor an email address", word)
		}
		if !s.Mailbox.IsZero() {
			return s, badRequest("%s is a second mailbox: name one", word)
		}
		s.Mailbox = mailbox.LimitKey(g.State.Ring)
	}
	if s == (limit.Subject{}) {
		return s, badRequest("name whom to look at: an IP address, an email address, both, or %q", LimitShared)
	}
	return s, nil
}

// Limits implements Backend.
func (g *Gate) Limits(ctx context.Context, words []string) ([]Limit, error) {
	s, err := g.subject(words)
	if err != nil {
		return nil, err
	}
	var found []limit.Usage
	err = g.State.Store.View(ctx, func(tx storage.Tx) (err error) {
		found, err = g.Limiter.Show(tx, g.State.Clock.Now(), &g.Rates, s)
		return err
	})
	list := make([]Limit, 0, len(found))
	for _, u := range found {
		if strings.HasPrefix(u.Name, "password_") && u.Count == 0 && !slices.ContainsFunc(g.Sites, g.Flows.OffersPasswords) {
			continue // nothing asks for passwords
		}
		list = append(list, Limit{
			Name: u.Name, Rate: u.Rate, Wide: u.Wide, Known: u.Known, Count: u.Count, Limit: u.Limit, Ends: g.shownTime(u.Ends),
		})
	}
	slices.SortStableFunc(list, func(a, b Limit) int {
		return cmp.Or(cmp.Compare(slices.Index(limit.Names(), a.Name), slices.Index(limit.Names(), b.Name)), cmp.Compare(a.Limit, b.Limit))
	})
	return list, err
}

// ResetLimits implements Backend.
func (g *Gate) ResetLimits(ctx context.Context, words []string) (LimitsReset, error) {
	s, err := g.subject(words)
	if err != nil {
		return LimitsReset{}, err
	}
	var done LimitsReset
	err = g.State.Store.Update(ctx, func(tx storage.Tx) (err error) {
		done.Reset, err = g.Limiter.Reset(tx, g.State.Clock.Now(), &g.Rates, s)
		return err
	})
	return done, err
}

// SigningKeys implements Backend.
func (g *Gate) SigningKeys(context.Context) ([]SigningKey, error) {
	now := g.State.Clock.Now()
	current := g.State.Signing.Current(now).ID
	list := []SigningKey{}
	for _, k := range g.State.Signing.Listed(now) {
		list = append(list, SigningKey{ID: k.ID, InUse: k.ID == current})
	}
	return list, nil
}

// RotateKey implements Backend.
func (g *Gate) RotateKey(ctx context.Context) (Rotated, error) {
	id, err := g.State.RotateSigningKey(ctx)
	if errors.Is(err, keyring.ErrRotating) {
		return Rotated{}, conflict("%s", strings.TrimPrefix(err.Error(), "keyring: "))
	}
	if err != nil {
		return Rotated{}, err
	}
	return Rotated{ID: id, UsedFrom: g.shownTime(g.State.Clock.Now().Add(keyring.SigningLead))}, nil
}

// Diagnose implements Backend.
func (g *Gate) Diagnose(ctx context.Context, to string) ([]doctor.Finding, error) {
	if g.Doctor == nil {
		return nil, errNotHere
	}
	return g.Doctor(ctx, to)
}
