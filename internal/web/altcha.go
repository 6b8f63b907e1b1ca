package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// altchaLifetime is how long a browser may ask for proofs of work after a refusal.
const altchaLifetime = 15 * time.Minute

// altchaField is the field of forms and of JSON that holds the solution of a proof of work: ALTCHA's own name for it.
const altchaField = "altcha"

// altcha answers with a proof of work, in ALTCHA's form. It is JSON for everybody: only scripts ask. The mailbox is the one for which this
// browser was refused last; without a refusal the solution is of no use.
func (x *exchange) altcha() {
	x.json = true
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil || len(query["for"]) != 1 {
		x.refuse(http.StatusBadRequest, templates.BadForm)
		return
	}
	page := strings.TrimPrefix(query.Get("for"), "/")
	c, err := x.Flows.Challenge(x.r.Context(), x.Site.Site, x.requester(), page, x.Cookies.Altcha)
	if err != nil {
		x.refuseWith(x.problemOf(err))
		return
	}
	x.replyOK(http.StatusOK, c)
}
