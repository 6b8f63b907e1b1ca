package web

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// signInForm shows the form. A signed-in browser is redirected, unless a fresh proof is asked for.
func (x *exchange) signInForm() {
	back, again := x.queryReturnTo(), x.Live != nil && x.r.URL.Query().Has("again")
	set := x.passwords() && x.r.URL.RawQuery == passwordSet
	other := x.Live != nil && x.r.URL.Query().Has("other") // the account in use may not open the page
	if !again && !other && !set && x.redirectSignedIn(back) {
		return
	}
	email, destination := x.requested("change", passwordSet)
	facts := x.signInFacts(email, cmp.Or(back, destination), templates.Problem{})
	facts.Again, facts.PasswordSet = again, set
	x.page(http.StatusOK, facts)
}

// signIn signs in with a password where the form has one, and asks for a mail that signs in otherwise.
func (x *exchange) signIn() {
	names := []string{"email", "return_to", onlyThisTime, altchaField}
	if x.passwords() {
		names = append(names, "password", "mail")
	}
	fields, err := x.form(names...)
	if err != nil {
		x.refuseForm(err)
		return
	}
	if _, typed := fields["password"]; typed && fields["mail"] == "" {
		x.signInByPassword(fields)
		return
	}
	x.requestMail(flow.SignIn, fields, func(email, back string, p templates.Problem) templates.PageFacts {
		facts := x.signInFacts(email, back, p)
		facts.OnlyThisTime = isEphemeral(fields)
		return facts
	})
}

// onlyThisTime is the box on the form: a session that ends with the browser.
const onlyThisTime = "only_this_time"

// isEphemeral reports whether the box was ticked. Browsers send nothing for one that was not; JSON has false for it.
func isEphemeral(fields map[string]string) bool { return fields[onlyThisTime] != "" }

func (x *exchange) signInFacts(email, back string, p templates.Problem) templates.SignIn {
	m := x.Site.Methods.WithDefaults()
	app := ""
	if site, _ := x.appAt(back); site != nil {
		app = site.Name
	}
	return templates.SignIn{
		App: app, Email: email, ReturnTo: back, Problem: p, MailOff: x.Site.NoMail,
		SignUp:   x.Site.SignUp.Mode != flow.SignUpClosed && !x.Site.NoMail,
		Password: x.passwords(), Mail: x.mails(), CodeOnly: m.Code && !m.Link,
	}
}

// mails reports whether people sign in by mail at this site.
func (x *exchange) mails() bool {
	m := x.Site.Methods.WithDefaults()
	return !x.Site.NoMail && (m.Link || m.Code)
}

// redirectSignedIn sends a signed-in browser to where it wanted to go, or to its own page.
func (x *exchange) redirectSignedIn(back string) bool {
	if x.Live == nil || x.json {
		return false
	}
	if back == "" {
		back = x.path("/")
	}
	x.redirect(back)
	return true
}

// requestMail asks for a mail. again shows the form once more, with what is wrong with it.
func (x *exchange) requestMail(
	purpose string, fields map[string]string, again func(email, back string, p templates.Problem) templates.PageFacts,
) {
	email, back := strings.TrimSpace(fields["email"]), x.returnTo(fields["return_to"])
	if email == "" {
		p := problem{status: http.StatusBadRequest, code: templates.MissingEmail, field: "email"}
		x.refuseOn(p, again("", back, p.words()))
		return
	}
	result, err := x.Flows.Request(x.r.Context(), x.Site.Site, x.requester(), flow.RequestInput{
		Purpose: purpose, Email: email, ReturnTo: back, Ephemeral: isEphemeral(fields), Altcha: fields[altchaField],
	})
	if err != nil {
		p := x.problemOfAddress(err, email)
		if p.limit.reserve {
			x.setFlowCookie(result)
		}
		if p.code == templates.BadForm { // no field of the form is wrong
			x.refuseWith(p)
			return
		}
		x.refuseOn(p, again(email, back, p.words()))
		return
	}
	x.sentTo(result)
}
