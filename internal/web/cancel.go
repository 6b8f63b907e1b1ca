package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// cancel opens the link of "this wasn't me", which is parked as every other is. Without a token it is the page that follows a
// pressed button.
func (x *exchange) cancel() {
	if query := x.r.URL.RawQuery; query == "done" || query == accountEnded || query == "device" {
		x.page(http.StatusOK, templates.Cancelled{SignedOut: query == accountEnded, NewDevice: query == "device"})
		return
	}
	x.openToken(false)
}

// confirmCancel ends the one flow of the parked token.
func (x *exchange) confirmCancel(h string) {
	cancelled, err := x.Flows.Cancel(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Token, h)
	if err != nil {
		x.refuseConfirm(x.problemOf(err), "")
		return
	}
	x.clearCookie(boundary.TokenCookie)
	if x.json {
		x.replyOK(http.StatusOK, map[string]string{"status": "cancelled"})
		return
	}
	switch cancelled.Purpose {
	case flow.Proof: // the browser that asked is signed out
		x.redirect(x.path("/cancel?" + accountEnded))
	case flow.NewDevice:
		x.redirect(x.path("/cancel?device"))
	default:
		x.redirect(x.path("/cancel?done"))
	}
}
