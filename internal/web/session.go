package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// sessionBody is a session as JSON, in the words of the assertion's claims.
type sessionBody struct {
	// Sub is the account's id, Sid that of the session or the token.
	Sub   string   `json:"sub"`
	Sid   string   `json:"sid"`
	Email string   `json:"email,omitempty"`
	Name  string   `json:"name,omitempty"`
	Roles []string `json:"roles,omitempty"`
	Amr   []string `json:"amr"`
	// Scope holds the scopes of a machine token, apart by spaces.
	Scope string `json:"scope,omitempty"`
	// AuthTime and Exp are in seconds since 1970; Exp is the end that no use moves.
	AuthTime int64 `json:"auth_time"`
	Exp      int64 `json:"exp"`
	// ReturnTo is where to go after having just signed in.
	ReturnTo string `json:"return_to,omitempty"`
}

// liveBody is the session that this request came with.
func (x *exchange) liveBody() sessionBody {
	s := x.Live.Session
	return x.sessionBody(x.Live.Account, s.ID, s.Methods, s.AuthTime, x.Live.AbsoluteEnd())
}

// sessionBody is a session of an account: its id, the methods and the time of its proof, and its absolute end.
func (x *exchange) sessionBody(a accounts.Account, sid string, methods []string, authTime, end time.Time) sessionBody {
	return sessionBody{
		Sub: a.ID, Sid: sid, Email: a.Email, Name: a.Name, Roles: a.Roles, Amr: methods, AuthTime: x.seconds(authTime), Exp: x.seconds(end),
	}
}

// seconds returns a time of the database's clock as JSON has it.
func (x *exchange) seconds(t time.Time) int64 { return x.Clock.ToWall(t).Unix() }

// signInRequired is the answer to a program without a session: where its user signs in.
func (x *exchange) signInRequired() problem {
	return problem{status: http.StatusUnauthorized, code: templates.SignInRequired, signIn: x.Site.Origin + x.path("/sign-in")}
}

// session says who is signed in, or whose token it is, or 401.
func (x *exchange) session() {
	x.json = true
	if t := x.Token; t != nil {
		x.replyOK(http.StatusOK, sessionBody{
			Sub: t.Account.ID, Sid: t.ID, Email: t.Account.Email, Name: t.Account.Name, Roles: t.Account.Roles,
			Amr: []string{"token"}, Scope: strings.Join(t.Scopes, " "),
			AuthTime: x.seconds(t.Issued), Exp: x.seconds(t.Ends),
		})
		return
	}
	if x.Live == nil {
		x.refuseWith(x.signInRequired())
		return
	}
	x.replyOK(http.StatusOK, x.liveBody())
}

// doneBody is the session that a flow has just opened.
func (x *exchange) doneBody(d flow.Done) sessionBody {
	s := d.Session
	body := x.sessionBody(d.Owner, s.ID, s.Methods, s.AuthTime, s.Key.Ends())
	if d.AlreadySignedIn && x.Live != nil {
		body = x.liveBody()
	}
	body.ReturnTo = d.ReturnTo
	return body
}
