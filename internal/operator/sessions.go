package operator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Session is one signed-in browser.
type Session struct {
	// ID names the session. It opens nothing: only the browser's cookie does.
	ID string `json:"id"`
	// Account and Email are those of the account.
	Account string `json:"account"`
	Email   string `json:"email,omitempty"`
	Site    string `json:"site"`
	Device  string `json:"device,omitempty"`
	// Network is the network that it was opened from, empty if that is not known.
	Network  string    `json:"network,omitempty"`
	Methods  []string  `json:"methods"`
	SignedIn time.Time `json:"signed_in"`
	Seen     time.Time `json:"seen"`
	// Ends is the absolute end.
	Ends time.Time `json:"ends"`
}

// EndedSessions is an account of which sessions have ended.
type EndedSessions struct {
	ChangedAccount
	// Session is the id of the one that has ended, empty if all of the account's have.
	Session string `json:"session,omitempty"`
}

// Sessions implements Operations.
func (svc *Service) Sessions(ctx context.Context, who string) ([]Session, error) {
	a, err := svc.account(ctx, who)
	if err != nil {
		return nil, err
	}
	found, err := svc.Vault.Sessions.List(ctx, a.ID)
	list := make([]Session, 0, len(found))
	for _, s := range found {
		list = append(list, svc.toSession(s, a.Email))
	}
	return list, err
}

func (svc *Service) toSession(s storage.Session, email string) Session {
	return Session{
		ID: s.ID, Account: s.Account, Email: email, Site: s.Site, Device: s.Device, Network: s.Network, Methods: s.Methods,
		SignedIn: svc.displayTime(s.AuthTime), Seen: svc.displayTime(s.Seen), Ends: svc.displayTime(s.Key.Ends()),
	}
}

// AllSessions implements Operations.
func (svc *Service) AllSessions(ctx context.Context, site string, each func(Session) error) error {
	if site != "" {
		one, err := svc.site(site)
		if err != nil {
			return err
		}
		site = one.Origin
	}
	emails := map[string]string{}
	return svc.Vault.Sessions.All(ctx, func(s storage.Session) error {
		if site != "" && s.Site != site {
			return nil
		}
		email, known := emails[s.Account]
		if !known {
			var err error
			if email, err = svc.emailOf(ctx, s.Account); err != nil {
				return err
			}
			emails[s.Account] = email
		}
		return each(svc.toSession(s, email))
	})
}

// emailOf returns the address of an account, empty for one that an app owns.
func (svc *Service) emailOf(ctx context.Context, id string) (string, error) {
	var a accounts.Account
	err := svc.Vault.Store.View(ctx, func(tx storage.Tx) (err error) {
		a, _, err = svc.Vault.Accounts.Get(tx, id)
		return err
	})
	return a.Email, err
}

// EndSessions implements Operations.
func (svc *Service) EndSessions(ctx context.Context, who string) (EndedSessions, error) {
	id, sessions, err := svc.withSessions(ctx, who)
	if refusal := (*Error)(nil); errors.As(err, &refusal) && refusal.Kind == NotFound && !strings.Contains(who, "@") {
		return svc.endSession(ctx, who)
	}
	if err != nil {
		return EndedSessions{}, err
	}
	e := svc.event(ctx, eventChanged, "sessions", "ended")
	e.Account = id
	if err := svc.Vault.Sessions.EndEverywhere(ctx, id, e); err != nil {
		return EndedSessions{}, err
	}
	svc.report(ctx, e)
	a, err := svc.account(ctx, id)
	return EndedSessions{ChangedAccount: ChangedAccount{a, sessions}}, err
}

// errFound ends a search.
var errFound = errors.New("found")

// endSession ends one session by its id.
func (svc *Service) endSession(ctx context.Context, sid string) (EndedSessions, error) {
	var found storage.Session
	err := svc.Vault.Sessions.All(ctx, func(s storage.Session) error {
		if s.ID != sid {
			return nil
		}
		found = s
		return errFound
	})
	switch {
	case err == nil:
		return EndedSessions{}, notFound("there is no account and no live session %s; 'caddy email-link sessions list --all' shows the ids", sid)
	case !errors.Is(err, errFound):
		return EndedSessions{}, err
	}
	e := svc.event(ctx, eventChanged, "session", "ended")
	e.Account, e.Site = found.Account, found.Site
	ended, err := svc.Vault.Sessions.EndByID(ctx, found.Account, sid, e)
	if err != nil {
		return EndedSessions{}, err
	}
	if !ended {
		return EndedSessions{}, notFound("the session %s has ended meanwhile", sid)
	}
	svc.report(ctx, e)
	email, err := svc.emailOf(ctx, found.Account)
	return EndedSessions{ChangedAccount{Account{ID: found.Account, Email: email}, 1}, sid}, err
}
