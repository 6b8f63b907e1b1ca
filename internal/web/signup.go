package web

import (
	"cmp"
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// signUpForm shows the form, or says that there is none.
func (x *exchange) signUpForm() {
	back := x.queryReturnTo()
	if x.redirectSignedIn(back) {
		return
	}
	email, destination := x.requested("change")
	x.page(http.StatusOK, x.signUpFacts(email, cmp.Or(back, destination), templates.Problem{}))
}

// signUp asks for a mail that makes an account.
func (x *exchange) signUp() {
	fields, err := x.form("email", "return_to", altchaField)
	if err != nil {
		x.refuseForm(err)
		return
	}
	x.requestMail(flow.Activation, fields, func(email, back string, p templates.Problem) templates.PageFacts {
		return x.signUpFacts(email, back, p)
	})
}

func (x *exchange) signUpFacts(email, back string, p templates.Problem) templates.SignUp {
	s := templates.SignUp{
		Email: email, ReturnTo: back, Problem: p, MailOff: x.Site.NoMail, Closed: x.Site.SignUp.Mode == flow.SignUpClosed,
	}
	if s.Closed {
		// The page says it in its own words already.
		s.Problem = templates.Problem{}
	}
	return s
}
