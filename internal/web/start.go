package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
)

// SameOrigin reports whether an unsafe request may come from where it comes from, as the forms of our own pages demand.
func SameOrigin(r *http.Request, origin string) bool { return sameOrigin(r, origin) }

// Start begins the flow that an app asks for in its answer to r, a POST that is SameOrigin. locale is the language that the app
// wants, empty for the browser's. The error is that of flow's Start; Answer reports it, and flow.ErrReplayed is the caller's to
// pass over.
func (p *Pages) Start(r *http.Request, v Visit, in flow.StartInput, locale string) (flow.RequestResult, error) {
	x := p.exchange(nil, r, v)
	x.originChecked = true
	if locale != "" {
		x.language = p.Templates.Language(locale)
	}
	in.Form = x.formPath()
	return p.Flows.Start(r.Context(), v.Site.Site, x.requester(), in)
}

// maxForm is the longest path that is kept of the page where a person has asked, in bytes: a link may carry it.
const maxForm = 100

// formPath returns the path of the page of this site that a form was on, as far as the browser says, without its query.
func (x *exchange) formPath() string {
	path, _, _ := strings.Cut(x.refererPath(), "?")
	if len(path) > maxForm || boundary.ReturnTo(path, x.Site.Prefix) != path {
		return ""
	}
	return path
}

// refererPath returns the path and query of the page of this site that made the request, empty where the browser names none.
func (x *exchange) refererPath() string {
	u, err := url.Parse(x.r.Referer())
	if err != nil || u.Scheme+"://"+u.Host != x.Site.Origin {
		return ""
	}
	return u.RequestURI()
}

// Answer answers in the place of the app that has started a flow: as our own form would that asks for a mail.
func (p *Pages) Answer(w http.ResponseWriter, r *http.Request, v Visit, result flow.RequestResult, err error) {
	x := p.exchange(w, r, v)
	x.setHeaders()
	if err != nil {
		x.refuseWith(x.problemOf(err))
		return
	}
	x.sentTo(result)
}

// sentTo answers a request for a mail.
func (x *exchange) sentTo(result flow.RequestResult) {
	x.setFlowCookie(result)
	if x.json {
		x.replyOK(http.StatusAccepted, x.newSentBody(result.Pending))
		return
	}
	x.redirect(x.path("/resend"))
}

func (x *exchange) setFlowCookie(result flow.RequestResult) {
	x.setCookie(boundary.FlowCookie, result.FlowCookie, result.Pending.End.Sub(x.Clock.Now()))
}

// handoffBody is the answer to a program in whose browser a flow has ended that an app has started.
type handoffBody struct {
	Status string `json:"status"`
	// ReturnTo is the app's path that the hand-over goes to.
	ReturnTo string `json:"return_to"`
}

// FinishHandoff notes that the app is done with a hand-over, and takes its cookie back from the answer that w is going to be.
func (p *Pages) FinishHandoff(w http.ResponseWriter, r *http.Request, v Visit, h flow.Handoff) error {
	x := p.exchange(w, r, v)
	if err := p.Flows.FinishHandoff(r.Context(), v.Site.Site, x.requester(), h); err != nil {
		return err
	}
	x.clearCookie(boundary.HandoffCookie)
	return nil
}

// redirectToHandoff leads a browser that waits for no mail, but holds a hand-over, to the app that gets it: the link was opened in another
// tab. It reports whether it has answered.
func (x *exchange) redirectToHandoff() bool {
	h, ok := x.Flows.ReadHandoff(x.Site.Site, x.Cookies.Handoff)
	if !ok {
		return false
	}
	if alive, err := x.Flows.HandoffActive(x.r.Context(), x.Site.Site, h); err != nil || !alive {
		return false
	}
	if x.json {
		x.replyOK(http.StatusOK, handoffBody{Status: "handed_over", ReturnTo: h.Continue})
	} else {
		x.redirect(h.Continue)
	}
	return true
}
