package gate

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/credential"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
)

// principal is on whose behalf a request is made: a [userSession] or a [machineToken]. It is nil for an anonymous request.
type principal interface {
	account() *accounts.Account
	// scopes returns what a token was made for.
	scopes() []string
	// authTime returns when the account was proven, by the gate's clock.
	authTime() time.Time
	credential.Credential
	// Ended reports whether session or token have ended since they were found.
	Ended() bool
	// Use records that a request moves bytes, and reports whether session or token are alive.
	Use() bool
	// track registers a request that ends with them, until untrack.
	track(rt *Runtime, q *credential.Request)
	untrack(rt *Runtime, q *credential.Request)
	// identity returns what an assertion says.
	identity(rt *Runtime) identity.Identity
}

// userSession is the session of a person who has signed in.
type userSession struct{ *session.Live }

func (u userSession) account() *accounts.Account { return &u.Account }
func (u userSession) scopes() []string           { return sessionScopes }
func (u userSession) authTime() time.Time        { return u.Session.AuthTime }

func (u userSession) track(rt *Runtime, q *credential.Request)   { rt.Sessions.Track(q) }
func (u userSession) untrack(rt *Runtime, q *credential.Request) { rt.Sessions.Untrack(q) }

func (u userSession) identity(rt *Runtime) identity.Identity {
	return identity.Identity{
		Subject: u.Account.ID, SessionID: u.Session.ID,
		Email: u.Account.Email, EmailVerified: true, Name: u.Account.Name, Roles: u.Account.Roles,
		AuthTime: rt.Clock.ToWall(u.Session.AuthTime), Methods: u.Session.Methods,
	}
}

// machineToken is the token of a program.
type machineToken struct{ *machinetoken.Live }

func (m machineToken) account() *accounts.Account { return &m.Account }
func (m machineToken) scopes() []string           { return m.Scopes }
func (m machineToken) authTime() time.Time        { return m.Issued }

func (m machineToken) track(rt *Runtime, q *credential.Request)   { rt.Machines.Track(q) }
func (m machineToken) untrack(rt *Runtime, q *credential.Request) { rt.Machines.Untrack(q) }

func (m machineToken) identity(rt *Runtime) identity.Identity {
	return identity.Identity{
		Subject: m.Account.ID, SessionID: m.ID,
		Email: m.Account.Email, EmailVerified: true, Name: m.Account.Name, Roles: m.Account.Roles,
		AuthTime: rt.Clock.ToWall(m.Issued), Methods: tokenMethods, Scope: m.Scopes,
	}
}

var (
	sessionScopes = []string{machinetoken.People}
	tokenMethods  = []string{"token"}
)

// identify finds the session or the token of a request. It returns false if that cannot be read.
func (s *Site) identify(ctx context.Context, st *requestState) bool {
	if st.token.Presented {
		st.at = st.runtime.Clock.Read()
		found, err := st.runtime.Machines.FindAt(ctx, st.at.Now, st.token.Text, st.site.Origin)
		if err != nil {
			s.log.Warn("a machine token could not be read", "event", "unavailable", "site", st.site.Origin, "error", err)
			return false
		}
		if found != nil {
			st.principal, st.visit.Token = machineToken{found}, found
		}
		return true
	}
	if st.visit.Cookies.Session == "" {
		return true
	}
	st.at = st.runtime.Clock.Read()
	found, err := st.runtime.Sessions.FindAt(ctx, st.at.Now, st.visit.Cookies.Session, st.site.Origin)
	if err != nil {
		s.log.Warn("a session could not be read", "event", "unavailable", "site", st.site.Origin, "error", err)
		return false
	}
	if found != nil && !(st.site.Led && found.Session.Parent.IsZero()) { // from before the portal
		st.principal, st.visit.Live = userSession{found}, found
	}
	return true
}
