package web

import (
	"net/http"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
)

// parkedLifetime is how long an opened link waits for the press of a button.
const parkedLifetime = 10 * time.Minute

// setCookie sets one of our cookies for at least a second.
func (x *exchange) setCookie(kind, value string, lifetime time.Duration) {
	x.writeCookie(kind, value, max(int(lifetime/time.Second), 1))
}

// clearCookie takes one of our cookies back.
func (x *exchange) clearCookie(kind string) { x.writeCookie(kind, "", -1) }

func (x *exchange) writeCookie(kind, value string, maxAge int) {
	http.SetCookie(x.w, &http.Cookie{
		Name: boundary.CookieName(kind, x.Site.Secure), Value: value, Path: "/", MaxAge: maxAge,
		Secure: x.Site.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// park keeps an opened token for the page that asks for the press of a button.
func (x *exchange) park(text string, ends time.Time) {
	x.setCookie(boundary.TokenCookie, text, min(ends.Sub(x.Clock.Now()), parkedLifetime))
}

// clearConsumed takes back the cookies of what has just been used up. ownFlow says that the browser's flow cookie is of it.
func (x *exchange) clearConsumed(ownFlow bool) {
	if ownFlow {
		x.clearCookie(boundary.FlowCookie)
	}
	if x.Cookies.Token != "" {
		x.clearCookie(boundary.TokenCookie)
	}
}

// signedIn sets the cookies of a flow that has ended in a session. ownFlow says that the browser's flow cookie is of it.
func (x *exchange) signedIn(d flow.Done, ownFlow bool) {
	x.clearConsumed(ownFlow)
	if !d.AlreadySignedIn {
		x.setSignInCookies(d)
	}
}

// setSignInCookies sets the cookies of a new session or hand-over, if there is one, and that of a known browser.
func (x *exchange) setSignInCookies(d flow.Done) {
	if d.SessionCookie != "" && d.Ephemeral {
		x.writeCookie(boundary.SessionCookie, d.SessionCookie, 0) // without Max-Age: until the browser is closed
	} else if d.SessionCookie != "" {
		x.setCookie(boundary.SessionCookie, d.SessionCookie, d.Session.Key.Ends().Sub(x.Clock.Now()))
	}
	if d.KnownCookie != "" {
		x.setCookie(boundary.KnownCookie, d.KnownCookie, flow.KnownBrowserLifetime)
	}
	if d.HandoffCookie != "" {
		x.setCookie(boundary.HandoffCookie, d.HandoffCookie, d.HandoffEnd.Sub(x.Clock.Now()))
	}
}
