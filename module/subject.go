package module

import (
	"context"
	"slices"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/machine"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
)

// subject is on whose behalf a request is made: a [person] or a [program]. Nobody is nil.
type subject interface {
	// who is the account, scopes what a token was made for, since when the person has proven themselves by the gate's clock.
	who() *accounts.Account
	scopes() []string
	since() time.Time
	credential.Credential
	// Ended reports whether session or token have ended since they were found.
	Ended() bool
	// Use records that a request moves bytes, and reports whether session or token are alive.
	Use() bool
	// track registers a request that ends with them, until untrack.
	track(c *core, q *credential.Request)
	untrack(c *core, q *credential.Request)
	// identity is what an assertion says.
	identity(c *core) identity.Identity
}

// person is somebody with a session.
type person struct{ *session.Live }

func (p person) who() *accounts.Account { return &p.Account }
func (p person) scopes() []string       { return people }
func (p person) since() time.Time       { return p.Session.AuthTime }

func (p person) track(c *core, q *credential.Request)   { c.Sessions.Track(q) }
func (p person) untrack(c *core, q *credential.Request) { c.Sessions.Untrack(q) }

func (p person) identity(c *core) identity.Identity {
	return identity.Identity{
		Subject: p.Account.ID, SessionID: p.Session.ID,
		Email: p.Account.Email, EmailVerified: true, Name: p.Account.Name, Roles: p.Account.Roles,
		AuthTime: c.Clock.ToWall(p.Session.AuthTime), Methods: p.Session.Methods,
	}
}

// program is something with a machine token.
type program struct{ *machine.Live }

func (p program) who() *accounts.Account { return &p.Account }
func (p program) scopes() []string       { return p.Scopes }
func (p program) since() time.Time       { return p.Issued }

func (p program) track(c *core, q *credential.Request)   { c.Machines.Track(q) }
func (p program) untrack(c *core, q *credential.Request) { c.Machines.Untrack(q) }

func (p program) identity(c *core) identity.Identity {
	return identity.Identity{
		Subject: p.Account.ID, SessionID: p.ID,
		Email: p.Account.Email, EmailVerified: true, Name: p.Account.Name, Roles: p.Account.Roles,
		AuthTime: c.Clock.ToWall(p.Issued), Methods: byToken, Scope: p.Scopes,
	}
}

var (
	people  = []string{machine.People}
	byToken = []string{"token"}
)

// recognize finds the session or the token of a request. It returns false where that cannot be read.
func (h *Handler) recognize(ctx context.Context, p *pass) bool {
	if p.token.Presented {
		p.at = p.live.core.Clock.Read()
		found, err := p.live.core.Machines.FindAt(ctx, p.at.Now, p.token.Text, p.site.Origin)
		if err != nil {
			h.log.Warn("a machine token could not be judged", "event", "unavailable", "site", p.site.Origin, "error", err)
			return false
		}
		if found != nil {
			p.sess, p.visit.Token = program{found}, found
		}
		return true
	}
	if p.visit.Cookies.Session == "" {
		return true
	}
	p.at = p.live.core.Clock.Read()
	found, err := p.live.core.Sessions.FindAt(ctx, p.at.Now, p.visit.Cookies.Session, p.site.Origin)
	if err != nil {
		h.log.Warn("a session could not be read", "event", "unavailable", "site", p.site.Origin, "error", err)
		return false
	}
	if found != nil {
		p.sess, p.visit.Live = person{found}, found
	}
	return true
}

// scoped says whether the scopes of a request are what `require scope` asks for: each group by one of its words. A token passes
// only where the site names scopes at all.
func (h *Handler) scoped(p *pass) bool {
	for _, group := range h.Require.Scope {
		if !anyOf(group, p.sess.scopes()) {
			return false
		}
	}
	return !p.token.Presented || len(p.outer.Require.Scope) > 0
}

// namesScopes says whether a token may pass.
func (r Require) namesScopes() bool {
	return slices.ContainsFunc(r.Scope, func(group []string) bool {
		return slices.ContainsFunc(group, func(s string) bool { return s != machine.People })
	})
}

// scopes are those with which a token may pass.
func (r Require) scopes() (list []string) {
	for _, group := range r.Scope {
		list = append(list, group...)
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == machine.People })
}

// besidePeople are the scopes of tokens that pass where people do; none where people do not.
func (r Require) besidePeople() []string {
	for _, group := range r.Scope {
		if !slices.Contains(group, machine.People) {
			return nil
		}
	}
	return r.scopes()
}
