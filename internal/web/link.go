package web

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// link opens a mailed link. It changes nothing: the token waits in a cookie for the press of a button, and the address that
// the browser ends at holds no token. The one exception is the browser that asked, see oneClick.
func (x *exchange) link() { x.openToken(true) }

// openToken parks the token of the query. What is no token, after cleaning, gets words of its own: its end is missing more often than it
// is forged. A page may be rendered at such an address, since it holds no token.
func (x *exchange) openToken(oneClick bool) {
	text, ends, ok := x.queryToken()
	if !ok {
		code := oneClick && x.Site.Methods.WithDefaults().Code
		x.refuseOn(problem{status: http.StatusGone, code: templates.IncompleteLink},
			templates.Incomplete{Flow: code && x.Cookies.Flow != "", Code: code})
		return
	}
	if oneClick && x.oneClick(text) {
		return
	}
	x.park(text, ends)
	x.redirect(x.path("/confirm"))
}

// queryToken reads the one token of the query, cleaned of what mail programs add, and when it stops working if it is one of ours.
func (x *exchange) queryToken() (text string, ends time.Time, ok bool) {
	_, query, _ := tokenRoute(strings.TrimPrefix(x.r.URL.Path, x.Site.Prefix))
	query = cmp.Or(query, x.r.URL.RawQuery)
	if strings.HasPrefix(query, "t%3D") || strings.HasPrefix(query, "t%3d") {
		query = "t=" + query[len("t%3D"):]
	}
	values, err := url.ParseQuery(strings.ReplaceAll(query, ";", "%3B")) // a semicolon behind the link, or that of "&amp;", is refused there
	if err != nil || len(values["t"]) != 1 {
		return "", time.Time{}, false
	}
	return x.Flows.CleanToken(x.Site.Site, values.Get("t"))
}

// oneClick signs in at once where all conditions hold: those in the headers are judged here, the others by package flow,
// twice. It reports whether it has answered.
func (x *exchange) oneClick(text string) bool {
	requester := x.requester()
	if !requester.Navigation || x.json || requester.FlowCookie == "" && x.Live == nil {
		return false
	}
	preview, err := x.Flows.Open(x.r.Context(), x.Site.Site, requester, text)
	switch {
	case err != nil:
		return false
	case preview.Destination != "":
		x.redirect(preview.Destination)
		return true
	case !preview.OneClick || preview.Cancel:
		return false
	}
	done, err := x.Flows.Confirm(x.r.Context(), x.Site.Site, requester, flow.ConfirmInput{Token: text, OneClick: true})
	if err != nil {
		return false
	}
	x.signedIn(done, true)
	x.redirect(done.ReturnTo)
	return true
}

// deadLink is the one answer to every link that does not work. It sets and takes no cookie.
func (x *exchange) deadLink() {
	if x.Log != nil {
		x.Log.Info("denied", "event", "denied", "outcome", "dead_link", "site", x.Site.Origin, "client", x.Flows.LogClient(x.Client))
	}
	x.refuseOn(problem{status: http.StatusGone, code: templates.DeadLink}, templates.Dead{Reset: x.passwords() && !x.Site.NoMail})
}
