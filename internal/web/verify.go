package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// SignInHeader is where a forward-auth proxy sends its client to sign in.
const SignInHeader = "Email-Link-Sign-In"

// RefuseVerify answers a proxy that has asked whether r may pass (forward-auth): 401 with the address of the sign-in, 503, and
// 403 for everything else, since proxies know no more. With redirect, a browser's navigation is led to the sign-in: for
// proxies that hand such an answer on to their client.
func (p *Pages) RefuseVerify(w http.ResponseWriter, r *http.Request, v Visit, refusal Refusal, redirect bool) {
	x := p.exchange(w, r, v)
	x.setHeaders()
	x.json = x.json || !acceptsHTML(r.Header)
	switch refusal {
	case SignIn:
		address := x.signInAddress(x.Site.Origin)
		if redirect && boundary.IsNavigation(r) {
			x.redirect(address)
			return
		}
		w.Header().Set(SignInHeader, address)
		x.json = true
		x.refuseWith(problem{status: http.StatusUnauthorized, code: templates.SignInRequired, signIn: address})
	case Unavailable:
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
	case Forbidden:
		x.refuse(http.StatusForbidden, templates.Forbidden)
	case UpgradeOrigin:
		x.refuse(http.StatusForbidden, templates.UpgradeOrigin)
	case InvalidToken, TokenNotAllowed, CrossOrigin:
		x.refuseToken(refusal)
	default:
		x.refuse(http.StatusForbidden, templates.BadRequest)
	}
}
