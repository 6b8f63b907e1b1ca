package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// resetForm shows the form that asks for a new password. A signed-in browser gets it, too.
func (x *exchange) resetForm() {
	if !x.passwords() {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	email, _ := x.requested("change")
	if email == "" && x.Live != nil {
		email = x.Live.Account.Email
	}
	x.page(http.StatusOK, x.resetFacts(email, templates.Problem{}))
}

// reset asks for a mail whose link sets a new password.
func (x *exchange) reset() {
	if !x.passwords() {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	fields, err := x.form("email", altchaField)
	if err != nil {
		x.refuseForm(err)
		return
	}
	x.requestMail(flow.Reset, fields, func(email, _ string, p templates.Problem) templates.PageFacts {
		return x.resetFacts(email, p)
	})
}

func (x *exchange) resetFacts(email string, p templates.Problem) templates.Reset {
	return templates.Reset{Email: email, MailOff: x.Site.NoMail, Problem: p}
}

// resetDone follows a new password without a sign-in: the form asks for it, with the address that this browser typed, which the cookie of
// its flow leads to. Every session of the account has ended, so the cookie of one that this browser had goes as well.
func (x *exchange) resetDone(d flow.Done) {
	x.clearConsumed(false)
	if x.Live != nil && x.Live.Account.ID == d.Account {
		x.clearCookie(boundary.SessionCookie)
	}
	x.setSignInCookies(d)
	if x.json {
		x.replyOK(http.StatusOK, passwordSetBody)
		return
	}
	x.redirect(x.path("/sign-in?" + passwordSet))
}
