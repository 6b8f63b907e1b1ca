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
	if query := x.r.URL.RawQuery; query == "done" || query == accountEnded {
		x.page(http.StatusOK, templates.Cancelled{SignedOut: query == accountEnded})
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
	if cancelled.Purpose == flow.Proof { // the browser that asked is signed out
		x.redirect(x.path("/cancel?" + accountEnded))
		return
	}
	x.redirect(x.path("/cancel?done"))
}
