package web

import (
	"net/http"
	"net/url"

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
	if app := x.refusedApp(); app != nil {
		p := problem{status: http.StatusForbidden, code: templates.Forbidden}
		x.Reference = app.LogRefusal(x.r, &x.Live.Account)
		x.refuseOn(p, templates.Refused{
			Status: p.status, Problem: p.words(), Email: x.Live.Account.Email, App: app.Name, Reference: x.Reference, NextSteps: []templates.NextStep{
				{Kind: templates.StepOtherAddress, Address: x.path("/sign-in?other=1&return_to=") + url.QueryEscape(x.path(openPath)+"?app="+url.QueryEscape(app.Origin))}, {Kind: templates.StepAccount, Address: x.path("/")},
			},
		})
		return
	}
	l := x.Live
	var apps []templates.App
	if x.isPortal() {
		apps = x.launcher()
	}
	x.page(http.StatusOK, templates.Home{
		Portal: x.isPortal(), Apps: apps, Several: x.Site.Portal != nil,
		Email: l.Account.Email, Name: l.Account.Name, Roles: l.Account.Roles, Since: x.Clock.ToWall(l.Session.AuthTime),
		Password: x.changesPassword(), PasswordSet: x.passwords() && x.r.URL.RawQuery == passwordSet,
		Ends: x.Clock.ToWall(l.AbsoluteEnd()), Device: l.Session.Device, Methods: l.Session.Methods,
	})
}
