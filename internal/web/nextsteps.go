package web

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// nextSteps returns where a person can go from a refusal, the best one first.
func (x *exchange) nextSteps(code templates.Code) []templates.NextStep {
	if x.Site == nil {
		return nil
	}
	site, account := templates.NextStep{Kind: templates.StepSite, Address: "/"}, templates.NextStep{Kind: templates.StepAccount, Address: x.path("/")}
	live := x.Live != nil
	switch {
	case code == templates.Misdirected:
		return []templates.NextStep{{Kind: templates.StepHost, Address: x.Site.Origin}}
	case code == templates.Forbidden && live:
		return []templates.NextStep{{Kind: templates.StepOtherAddress, Address: x.otherAddress()}, account}
	case code == templates.Limited, code == templates.Internal, code == templates.Unavailable, code == templates.Busy:
		return x.retry()
	case code == templates.NotFound && live:
		return []templates.NextStep{account, site}
	case live, code == templates.TooLarge, code == templates.MethodNotAllowed:
		return []templates.NextStep{site}
	case code == templates.SignInRequired && strings.HasPrefix(x.r.URL.Path, x.path(accountPath)+"/"):
		return []templates.NextStep{{Kind: templates.StepSignIn, Address: x.accountSignIn()}}
	}
	return []templates.NextStep{{Kind: templates.StepSignIn, Address: x.path("/sign-in")}}
}

// otherAddress returns where a signed-in person signs in with another address, and comes back from.
func (x *exchange) otherAddress() string {
	address := x.path("/sign-in?other=1")
	if back := x.requestedPage(); back != "" {
		address += "&return_to=" + url.QueryEscape(back)
	}
	return address
}

// retry leads to where a person tries again what has failed: the page asked for, or the page of the form that was sent. There is no such
// way where its address would hold a token.
func (x *exchange) retry() []templates.NextStep {
	address := cmp.Or(x.requestedPage(), "/")
	switch {
	case TokenRoute(x.r.URL, x.Site.Prefix):
		return nil
	case strings.HasPrefix(x.r.URL.Path, x.Site.Prefix+"/"):
		address = x.r.URL.EscapedPath()
	}
	return []templates.NextStep{{Kind: templates.StepRetry, Address: address}}
}
