package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// cancelledDevice is the query of the page that says that a new device was signed out.
const cancelledDevice = "device"

// cancel opens the link of "this wasn't me", which is parked as every other is. Without a token it is the page that follows a
// pressed button.
func (x *exchange) cancel() {
	switch query := x.r.URL.RawQuery; query {
	case "done", accountEnded, cancelledDevice, deletionUndone:
		x.page(http.StatusOK, templates.Cancelled{SignedOut: query == accountEnded, NewDevice: query == cancelledDevice, Undone: query == deletionUndone})
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
	case flow.Proof, flow.AddressConsent: // the browser that asked is signed out
		x.redirect(x.path("/cancel?" + accountEnded))
	case flow.NewDevice:
		x.redirect(x.path("/cancel?" + cancelledDevice))
	default:
		x.redirect(x.path("/cancel?done"))
	}
}
