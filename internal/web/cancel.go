package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// cancel opens the link of "this wasn't me", which is parked as every other is. Without a token it is the page that follows a
// pressed button.
func (x *exchange) cancel() {
	if x.r.URL.RawQuery == "done" {
		x.page(http.StatusOK, templates.Cancelled{})
		return
	}
	x.openToken(false)
}

// confirmCancel ends the one flow of the parked token.
func (x *exchange) confirmCancel(h string) {
	if _, err := x.Flows.Cancel(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Token, h); err != nil {
		x.refuseConfirm(x.problemOf(err), "")
		return
	}
	x.clearCookie(boundary.TokenCookie)
	if x.json {
		x.replyOK(http.StatusOK, map[string]string{"status": "cancelled"})
		return
	}
	x.redirect(x.path("/cancel?done"))
}
