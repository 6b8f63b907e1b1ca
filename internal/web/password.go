package web

import (
	"net/http"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// passwordSet is the query of a page that says that there is a new password.
const passwordSet = "password-set"

// passwordSetBody is the answer to a new password without a sign-in.
var passwordSetBody = map[string]string{"status": "password_set"}

// passwords reports whether people have passwords at this site.
func (x *exchange) passwords() bool { return x.Flows.OffersPasswords(x.Site.Site) }

// signInByPassword takes address and password.
func (x *exchange) signInByPassword(fields map[string]string) {
	email, back := strings.TrimSpace(fields["email"]), x.returnTo(fields["return_to"])
	again := func(p problem) {
		facts := x.signInFacts(email, back, p.words())
		facts.OnlyThisTime = isEphemeral(fields)
		x.refuseOn(p, facts)
	}
	switch {
	case email == "":
		again(problem{status: http.StatusBadRequest, code: templates.MissingEmail, field: "email"})
		return
	case fields["password"] == "":
		again(problem{status: http.StatusBadRequest, code: templates.MissingPassword, field: "password"})
		return
	}
	done, err := x.Flows.SignIn(x.r.Context(), x.Site.Site, x.requester(), flow.SignInInput{
		Email: email, Password: fields["password"], ReturnTo: back, Ephemeral: isEphemeral(fields), Altcha: fields[altchaField],
	})
	if err != nil {
		p := x.problemOfAddress(err, email)
		if p.code == templates.PasswordLimited && x.mails() {
			p.limit.mail = x.path("/sign-in")
		}
		again(p)
		return
	}
	x.setSignInCookies(done)
	x.done(done)
}

// done answers what ended in a session, or in a hand-over to the app that has started it.
func (x *exchange) done(d flow.Done) {
	if x.json && d.App {
		x.replyOK(http.StatusOK, handoffBody{Status: "handed_over", ReturnTo: d.ReturnTo})
		return
	}
	if x.json {
		x.replyOK(http.StatusOK, x.doneBody(d))
		return
	}
	x.redirect(d.ReturnTo)
}

// passwordForm shows the form that changes the password, or says how to get the first one.
func (x *exchange) passwordForm() {
	if x.refusePassword() {
		return
	}
	has, err := x.Flows.HasPassword(x.r.Context(), x.requester())
	if err != nil {
		x.refuseWith(x.problemOf(err))
		return
	}
	x.page(http.StatusOK, x.passwordFacts(!has, templates.Problem{}))
}

// refusePassword answers where there is no password to change: at a site without passwords, and without a session.
func (x *exchange) refusePassword() bool {
	if !x.changesPassword() {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return true
	}
	return x.refuseSignedOut()
}

// changesPassword reports whether people change their passwords at this site.
func (x *exchange) changesPassword() bool { return x.passwords() && x.Site.may(selfservice.Password) }

func (x *exchange) passwordFacts(none bool, p templates.Problem) templates.Password {
	return templates.Password{
		Email: x.Live.Account.Email, None: none, MailOff: x.Site.NoMail, MinLength: x.Site.Passwords.Min(), Problem: p,
	}
}

// changePassword takes the password in force and the new one. This browser gets a new session; all others are out.
func (x *exchange) changePassword() {
	if x.refusePassword() {
		return
	}
	fields, err := x.form("current", "password", usernameField)
	if err != nil {
		x.refuseForm(err)
		return
	}
	done, err := x.Flows.ChangePassword(x.r.Context(), x.Site.Site, x.requester(), flow.ChangeInput{
		Current: fields["current"], New: fields["password"],
	})
	if err != nil {
		x.refuseChange(x.problemOf(err))
		return
	}
	x.setSignInCookies(done)
	if x.json {
		x.replyOK(http.StatusOK, x.doneBody(done))
		return
	}
	x.redirect(x.path("/?" + passwordSet))
}

// refuseChange shows the form once more, with what is wrong.
func (x *exchange) refuseChange(p problem) {
	if p.code == templates.SignInRequired || p.status == http.StatusServiceUnavailable && p.code != templates.Busy {
		x.refuseWith(p)
		return
	}
	x.refuseOn(p, x.passwordFacts(p.code == templates.NoPassword, p.words()))
}

// usernameField is a hidden field: password managers keep a password with the address in it. What it holds when
// it comes back is not looked at.
const usernameField = "username"
