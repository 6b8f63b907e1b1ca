package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// codePage answers a GET of the code form's address: the form itself is on "check your mail".
func (x *exchange) codePage() { x.methodNotAllowedOr("/resend") }

// methodNotAllowedOr leads a person to the page that they look for, and refuses a program.
func (x *exchange) methodNotAllowedOr(page string) {
	if x.json {
		x.w.Header().Set("Allow", "POST")
		x.refuse(http.StatusMethodNotAllowed, templates.MethodNotAllowed)
		return
	}
	x.redirect(x.path(page))
}

// code takes the typed code, in the browser that asked.
func (x *exchange) code() {
	fields, err := x.form("code")
	if err != nil {
		x.refuseForm(err)
		return
	}
	done, err := x.Flows.SubmitCode(x.r.Context(), x.Site.Site, x.requester(), fields["code"])
	if err != nil {
		x.refuseResend(x.problemOf(err), fields["code"])
		return
	}
	x.signedIn(done, true)
	x.done(done)
}
