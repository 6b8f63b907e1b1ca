// Package selfservice is what people do with their own accounts: they see where they are signed in and what has happened, end sessions,
// revoke machine tokens, and change their name, the language of their mails and their time zone.
//
// A session is proof enough for what grants no access and reveals nothing. Everything else is done in a step that proves that very act: see
// [Service.Perform].
package selfservice

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// MaxEvents is how many events an [Overview] lists at most.
const MaxEvents = 50

// maxExported is how many events an export holds at most: more than a person causes in the 90 days for which they are kept.
const maxExported = 10_000

// ErrNotFound is returned when the account has no such session, token or open invitation.
var ErrNotFound = machinetoken.ErrNotFound

// Service runs the acts of people on their own accounts. All fields but Log are required. It is safe for concurrent use.
type Service struct {
	Store    storage.Store
	Clock    *clock.Clock
	Accounts *accounts.Service
	Sessions *session.Manager
	Machines *machinetoken.Manager
	Flows    *flow.Service
	// Log gets one line for each act; nil disables logging.
	Log *slog.Logger
}

// Session is one signed-in browser.
type Session struct {
	// ID names the session. It opens nothing.
	ID string
	// Sites are the origins at which the browser is signed in by this session, the session's own first.
	Sites []string
	// Device is a name from a closed list, Network the network that the session was opened from, empty if that is not known.
	Device, Network string
	// Methods are how it was opened: link, code, pwd.
	Methods []string
	// SignedIn is the time of the last proof, Seen that of the last use, to the minute, and Ends the absolute end, by the wall clock.
	SignedIn, Seen, Ends time.Time
	// Current is set for the session that asks.
	Current bool
}

// Token is one machine token that works.
type Token struct {
	ID, Name, Site string
	Scopes         []string
	// Created and Ends are times of the wall clock.
	Created, Ends time.Time
}

// Invitation is one invitation that the account has sent and that has not expired.
type Invitation struct {
	ID, Email, Site string
	Roles           []string
	// Sent and Ends are times of the wall clock.
	Sent, Ends time.Time
	// Open is set while it may be accepted. What has ended one is not told: not whether it was accepted.
	Open bool
}

// Event is one line of the audit log about the account.
type Event struct {
	Time time.Time
	// Name, Purpose and Outcome are the words of the audit log.
	Name, Purpose, Outcome string
	Site                   string
	// Client is the network of the client, empty if no browser did it.
	Client string
	// Operator is set if a command of an operator did it.
	Operator bool
}

// Overview is everything that the page of an account shows.
type Overview struct {
	Account accounts.Account
	// Created is when the account was made, by the wall clock. Password is set if it has one.
	Created  time.Time
	Password bool
	// Sessions are the live ones, the one that asks first, then by their last use.
	Sessions []Session
	Tokens   []Token
	// Invitations are those that may be accepted first, then by when they were sent, the newest first.
	Invitations []Invitation
	// Events are the last ones of the account that say something to its owner, the newest first.
	Events []Event
}

// Client is the browser that acts.
type Client struct {
	// Site is the origin that the page belongs to, Network the network of the client.
	Site, Network string
}

// Overview returns what the account of a session has. Errors: machinetoken.ErrNotLoaded, and the store's.
func (s *Service) Overview(ctx context.Context, l *session.Live) (o Overview, err error) {
	err = s.Store.View(ctx, func(tx storage.Tx) (err error) {
		o, err = s.overview(tx, l, isTelling, MaxEvents)
		return err
	})
	if err != nil {
		return Overview{}, err
	}
	return o, nil
}

// overview returns what an account has, with those of its events that are wanted; nil: each.
func (s *Service) overview(tx storage.Tx, l *session.Live, wanted func(storage.Event) bool, events int) (o Overview, err error) {
	id := l.Account.ID
	a, found, err := s.Accounts.Get(tx, id)
	if err != nil || !found {
		return o, cmp.Or(err, session.ErrEnded)
	}
	o.Account = a
	c, _, err := s.Accounts.Credentials(tx, id)
	if err != nil {
		return o, err
	}
	o.Password = !c.Passwords.Current.IsZero()
	record, _, err := tx.Accounts().Get(id)
	if err != nil {
		return o, err
	}
	o.Created = s.wall(record.Created)
	sessions, err := s.Sessions.ListIn(tx, id)
	if err != nil {
		return o, err
	}
	o.Sessions = s.browsers(sessions, l)
	tokens, err := s.Machines.ListIn(tx, id)
	if err != nil {
		return o, err
	}
	for _, t := range tokens {
		if !t.Ended {
			o.Tokens = append(o.Tokens, Token{
				ID: t.ID, Name: t.Name, Site: t.Site, Scopes: t.Scopes, Created: s.wall(t.Created), Ends: s.wall(t.Key.Ends()),
			})
		}
	}
	if o.Invitations, err = s.invitations(tx, id); err != nil {
		return o, err
	}
	list, err := tx.Events().List(storage.EventFilter{Account: id, Match: wanted}, events)
	for _, e := range list {
		o.Events = append(o.Events, Event{
			Time: s.wall(e.Time), Name: e.Name, Purpose: e.Purpose, Outcome: e.Outcome, Site: e.Site, Client: e.Client,
			Operator: e.Operator != storage.Operator{},
		})
	}
	return o, err
}

// wall returns a time of the gate's clock as people read it.
func (s *Service) wall(t time.Time) time.Time { return s.Clock.ToWall(t).UTC().Truncate(time.Second) }

// browsers puts the sessions of one browser together: those that another one has opened below that one.
func (s *Service) browsers(all []storage.Session, l *session.Live) []Session {
	sites := map[storage.Key][]string{}
	for _, one := range all {
		if !one.Parent.IsZero() {
			sites[one.Parent] = append(sites[one.Parent], one.Site)
		}
	}
	var list []Session
	for _, one := range all {
		if !one.Parent.IsZero() {
			continue
		}
		below := sites[one.Key]
		slices.Sort(below)
		list = append(list, Session{
			ID: one.ID, Sites: append([]string{one.Site}, slices.Compact(below)...), Device: one.Device, Network: one.Network,
			Methods: one.Methods, SignedIn: s.wall(one.AuthTime), Seen: s.wall(one.Seen), Ends: s.wall(one.Key.Ends()),
			Current: one.ID == l.Session.ID,
		})
	}
	slices.SortStableFunc(list, func(a, b Session) int {
		if a.Current != b.Current {
			if a.Current {
				return -1
			}
			return 1
		}
		return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// isTelling reports whether an event says something to the owner of the account that no other event of the same act says.
func isTelling(e storage.Event) bool {
	switch e.Name {
	case "signed_in", "signed_out", "cancelled", "replayed", "changed", "exported", "invited":
		return true
	case "mailed":
		return e.Outcome == "sent" && e.Purpose != "notice" && e.Purpose != flow.Address && e.Purpose != flow.TakeBack
	case "denied":
		return e.Outcome == "refused"
	case "requested":
		return e.Operator != storage.Operator{}
	default:
		return false
	}
}

// EndSession ends a session of the account by its id, and all others of the same browser. Errors: [session.ErrEnded] if the session that
// asks has ended, [ErrNotFound], and the store's.
func (s *Service) EndSession(ctx context.Context, l *session.Live, id string, c Client) error {
	e := storage.Event{Name: "changed", Purpose: "session", Outcome: "ended", Site: c.Site, Client: c.Network}
	ended, err := s.Sessions.EndOther(ctx, l, id, e)
	if err != nil {
		return err
	}
	if !ended {
		return ErrNotFound
	}
	s.report(ctx, l, e)
	return nil
}

// EndOthers ends all sessions of the account but those of the browser that asks, and returns how many. Errors: [session.ErrEnded], and the
// store's.
func (s *Service) EndOthers(ctx context.Context, l *session.Live, c Client) (ended int, err error) {
	e := storage.Event{Name: "changed", Purpose: "other_sessions", Outcome: "ended", Site: c.Site, Client: c.Network}
	if ended, err = s.Sessions.EndOthers(ctx, l, e); err != nil || ended == 0 {
		return ended, err
	}
	s.report(ctx, l, e)
	return ended, nil
}

// RevokeToken ends a machine token of the account. Errors: [ErrNotFound], and the store's.
func (s *Service) RevokeToken(ctx context.Context, l *session.Live, id string, c Client) error {
	return s.Machines.RevokeOwn(ctx, l.Account.ID, id, c.Network)
}

// SetName changes the name of the account. Errors: *[accounts.InvalidError], [session.ErrEnded], and the store's.
func (s *Service) SetName(ctx context.Context, l *session.Live, name string, c Client) error {
	return s.change(ctx, l, c, "name", func(tx storage.Tx, a accounts.Account) (changed bool, err error) {
		return a.Name != name, s.Accounts.SetName(tx, a.ID, name)
	})
}

// SetLanguage changes the language of the account's mails. Errors: *[accounts.InvalidError], [session.ErrEnded], and the store's.
func (s *Service) SetLanguage(ctx context.Context, l *session.Live, language string, c Client) error {
	return s.change(ctx, l, c, "language", func(tx storage.Tx, a accounts.Account) (changed bool, err error) {
		return a.Language != language, s.Accounts.SetLanguage(tx, a.ID, language)
	})
}

// SetTimezone changes the zone in which times are written for the owner of the account. Errors: *[accounts.InvalidError], [session.ErrEnded], and
// the store's.
func (s *Service) SetTimezone(ctx context.Context, l *session.Live, zone string, c Client) error {
	return s.change(ctx, l, c, "timezone", func(tx storage.Tx, a accounts.Account) (changed bool, err error) {
		return a.Timezone != zone, s.Accounts.SetTimezone(tx, a.ID, zone)
	})
}

// change changes the account of a live session in one step, and writes to the audit log what has changed.
func (s *Service) change(ctx context.Context, l *session.Live, c Client, purpose string,
	apply func(tx storage.Tx, a accounts.Account) (changed bool, err error),
) error {
	e := storage.Event{Name: "changed", Purpose: purpose, Outcome: "changed", Account: l.Account.ID, Site: c.Site, Client: c.Network}
	changed := false
	err := s.Store.Update(ctx, func(tx storage.Tx) error {
		alive, err := s.Sessions.Alive(tx, l)
		if err != nil {
			return err
		}
		a, found, err := s.Accounts.Get(tx, l.Account.ID)
		if err != nil {
			return err
		}
		if !alive || !found {
			return session.ErrEnded
		}
		if changed, err = apply(tx, a); err != nil || !changed {
			return err
		}
		e.Time = s.Clock.Now()
		return tx.Events().Append(e, e.Time.Add(storage.EventLifetime))
	})
	if err == nil && changed {
		s.report(ctx, l, e)
	}
	return err
}

func (s *Service) report(ctx context.Context, l *session.Live, e storage.Event) {
	if s.Log != nil {
		s.Log.InfoContext(ctx, "an account was changed by its owner", "event", e.Name, "purpose", e.Purpose, "outcome", e.Outcome,
			"account", l.Account.ID, "site", e.Site, "client", e.Client)
	}
}
