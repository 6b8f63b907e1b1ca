package web

import (
	"net/http"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// signInForm shows the form. Whoever is signed in is led on, unless a fresh proof is asked for.
func (x *exchange) signInForm() {
	back, again := x.queryReturnTo(), x.Live != nil && x.r.URL.Query().Has("again")
	if !again && x.leadOn(back) {
		return
	}
	facts := x.signInFacts("", back, templates.Problem{})
	facts.Again = again
	x.page(http.StatusOK, facts)
}

// signIn asks for a mail that signs in.
func (x *exchange) signIn() {
	x.ask(flow.SignIn, func(email, back string, p templates.Problem) templates.PageFacts {
		return x.signInFacts(email, back, p)
	})
}

func (x *exchange) signInFacts(email, back string, p templates.Problem) templates.SignIn {
	return templates.SignIn{
		Email: email, ReturnTo: back, Problem: p, MailOff: x.Site.NoMail,
		SignUp: x.Site.SignUp.Mode == flow.SignUpOpen && !x.Site.NoMail,
	}
}

// leadOn sends a signed-in browser to where it wanted to go, or to its own page.
func (x *exchange) leadOn(back string) bool {
	if x.Live == nil || x.json {
		return false
	}
	if back == "" {
		back = x.path("/")
	}
	x.redirect(back)
	return true
}

// ask reads the form of an address and asks for a mail. again shows the form once more, with what is wrong with it.
func (x *exchange) ask(purpose string, again func(email, back string, p templates.Problem) templates.PageFacts) {
	fields, err := x.form("email", "return_to")
	if err != nil {
		x.refuseForm(err)
		return
	}
	email, back := strings.TrimSpace(fields["email"]), x.returnTo(fields["return_to"])
	if email == "" {
		p := problem{status: http.StatusBadRequest, code: templates.MissingEmail, field: "email"}
		x.refuseOn(p, again("", back, p.words()))
		return
	}
	asked, err := x.Flows.Request(x.r.Context(), x.Site.Site, x.asker(), flow.RequestInput{
		Purpose: purpose, Email: email, ReturnTo: back,
	})
	if err != nil {
		p := x.problemOf(err)
		if p.status == http.StatusServiceUnavailable || p.code == templates.BadForm {
			x.refuseWith(p)
			return
		}
		x.refuseOn(p, again(email, back, p.words()))
		return
	}
	x.setCookie(boundary.FlowCookie, asked.FlowCookie, asked.Pending.End.Sub(x.Clock.Now()))
	if x.json {
		x.replyOK(http.StatusAccepted, x.sent(asked.Pending))
		return
	}
	x.redirect(x.path("/resend"))
}
