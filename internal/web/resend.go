package web

import (
	"cmp"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// sentBody is the answer to a request for a mail.
type sentBody struct {
	// Status is "sent", or "signed_in" once this browser is signed in to the account it waits for.
	Status      string `json:"status"`
	ResendsLeft int    `json:"resends_left"`
	// ResendIn and ExpiresIn are in seconds.
	ResendIn  int `json:"resend_in"`
	ExpiresIn int `json:"expires_in"`
	// ReturnTo is where to go, once signed in.
	ReturnTo string `json:"return_to,omitempty"`
}

func (x *exchange) newSentBody(p flow.Pending) sentBody {
	now := x.Clock.Now()
	return sentBody{
		Status: "sent", ResendsLeft: p.ResendsLeft, ResendIn: seconds(p.NextResend.Sub(now)), ExpiresIn: seconds(p.End.Sub(now)),
	}
}

// resendPage is "check your mail". It leads on once this browser is signed in.
func (x *exchange) resendPage() {
	p, ok, err := x.Flows.Status(x.r.Context(), x.Site.Site, x.requester())
	switch {
	case err != nil:
		x.refuseWith(x.problemOf(err))
	case !ok && x.redirectToHandoff():
	case !ok && x.Live != nil && !x.json:
		// One click in another tab has ended the flow and cleared its cookie: on to where the flow led.
		x.redirect(cmp.Or(x.queryReturnTo(), "/"))
	case !ok:
		x.noFlow()
	case x.json:
		body := x.newSentBody(p)
		if x.hasDestination(p) {
			body.Status, body.ReturnTo = "signed_in", p.ReturnTo
		}
		x.replyOK(http.StatusOK, body)
	case x.hasDestination(p):
		x.clearCookie(boundary.FlowCookie)
		x.redirect(p.ReturnTo)
	default:
		facts := x.resendFacts(p, templates.Problem{})
		facts.Sent, facts.Opened = x.r.URL.RawQuery == "sent", x.r.URL.Query().Has("opened")
		x.page(http.StatusOK, facts)
	}
}

// hasDestination reports whether this browser has signed in to the account it waits for since it asked. A sign-in from before does not
// count: a signed-in browser that requests a mail needs a fresh proof.
func (x *exchange) hasDestination(p flow.Pending) bool {
	return p.SignedIn && x.Live != nil && !x.Live.Session.AuthTime.Before(p.Started)
}

// resend asks for one more mail.
func (x *exchange) resend() {
	if _, err := x.form(); err != nil {
		x.refuseForm(err)
		return
	}
	p, err := x.Flows.Resend(x.r.Context(), x.Site.Site, x.requester())
	switch {
	case err != nil:
		x.refuseResend(x.problemOf(err), "")
	case x.json:
		x.replyOK(http.StatusAccepted, x.newSentBody(p))
	default:
		x.redirect(x.path("/resend?sent"))
	}
}

// requested returns the address as typed and the destination of the flow of this browser, for a form whose query has one of these words:
// the person comes from "check your mail" to mend the address, or has just set a new password. Both are empty for any other request.
func (x *exchange) requested(words ...string) (email, back string) {
	if x.json || !slices.ContainsFunc(words, x.r.URL.Query().Has) {
		return "", ""
	}
	p, found, err := x.Flows.Status(x.r.Context(), x.Site.Site, x.requester())
	if err != nil || !found || p.App {
		return "", ""
	}
	return p.Typed, x.returnTo(p.ReturnTo)
}

// maxTypedCode is the longest text in the field of the code, in characters.
const maxTypedCode = 24

// refuseResend shows "check your mail" with what is wrong. What was typed that cannot be a code is in the field again, to be mended there.
func (x *exchange) refuseResend(p problem, typed string) {
	if x.json || p.status == http.StatusServiceUnavailable {
		x.refuseWith(p)
		return
	}
	pending, ok, err := x.Flows.Status(x.r.Context(), x.Site.Site, x.requester())
	switch {
	case err != nil:
		x.refuseWith(x.problemOf(err))
	case !ok:
		x.noFlow()
	default:
		facts := x.resendFacts(pending, p.words())
		if p.code == templates.MalformedCode && utf8.RuneCountInString(typed) <= maxTypedCode {
			facts.TypedCode = typed
		}
		x.refuseOn(p, facts)
	}
}

// noFlow reports that this browser waits for no mail.
func (x *exchange) noFlow() {
	if x.json {
		x.refuse(http.StatusNotFound, templates.NoFlow)
		return
	}
	x.page(http.StatusOK, templates.NoFlowPage{})
}

func (x *exchange) resendFacts(p flow.Pending, problem templates.Problem) templates.Resend {
	total := flow.DefaultResends
	if x.Site.Resends != nil {
		total = *x.Site.Resends
	}
	methods := x.Site.Methods.WithDefaults()
	address := p.Address
	if address == "" {
		address = p.Typed
	}
	back := p.ReturnTo
	if back == "/" || p.App {
		back = "" // an app may send people it knows elsewhere than others, and this page is the same for all
	}
	return templates.Resend{
		Address: address, ReturnTo: back, SignedIn: x.Live != nil, SignUp: p.Purpose == flow.Activation, Reset: p.Purpose == flow.Reset, ResendsLeft: p.ResendsLeft, ResendsTotal: max(total, p.ResendsLeft),
		NextResend: x.Clock.ToWall(p.NextResend), End: x.Clock.ToWall(p.End), Problem: problem,
		Code: !p.CodeOff, CodesOff: p.CodeOff && methods.Code && p.Purpose != flow.Reset,
		Link: methods.Link || p.Purpose != flow.SignIn, App: p.App, Form: p.Form, Reserve: p.Reserve,
	}
}
