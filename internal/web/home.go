package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// home says who is signed in, and lets them out.
func (x *exchange) home() {
	if x.json {
		x.session()
		return
	}
	if x.Live == nil {
		x.redirect(x.path("/sign-in"))
		return
	}
	l := x.Live
	x.page(http.StatusOK, templates.Home{
		Email: l.Account.Email, Name: l.Account.Name, Roles: l.Account.Roles, Since: x.Clock.ToWall(l.Session.AuthTime),
		Password: x.passwords(), PasswordSet: x.passwords() && x.r.URL.RawQuery == passwordSet,
		Ends: x.Clock.ToWall(l.AbsoluteEnd()), Device: l.Session.Device, Methods: l.Session.Methods,
	})
}
