package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// signOutPage asks, or says that it has happened.
func (x *exchange) signOutPage() {
	facts := templates.SignOut{Several: x.Site.Portal != nil}
	if x.Live != nil {
		facts.SignedIn, facts.Email = true, x.Live.Account.Email
	}
	x.page(http.StatusOK, facts)
}

// signOut ends this session, or all sessions of the account. The cookie goes only after the session has ended.
func (x *exchange) signOut() {
	fields, err := x.form("everywhere")
	if err != nil || fields["everywhere"] != "" && fields["everywhere"] != "1" {
		if err == nil {
			err = errForm
		}
		x.refuseForm(err)
		return
	}
	x.leave(fields["everywhere"] == "1")
}

// leave ends this session, or everything of the account, and answers.
func (x *exchange) leave(everywhere bool) {
	if x.Live != nil {
		client := boundary.NetworkText(x.Client)
		if err := x.Sessions.SignOut(x.r.Context(), x.Live, everywhere, x.Site.Origin, client); err != nil {
			x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
			return
		}
		x.logSignOut(everywhere, client)
	}
	x.clearCookie(boundary.SessionCookie)
	if x.json {
		x.replyOK(http.StatusOK, map[string]string{"status": "signed_out"})
		return
	}
	x.redirect(x.path("/sign-out"))
}

func (x *exchange) logSignOut(everywhere bool, client string) {
	if x.Log == nil {
		return
	}
	outcome := "here"
	if everywhere {
		outcome = "everywhere"
	}
	x.Log.Info("signed out", "event", "signed_out", "outcome", outcome, "account", x.Live.Account.ID, "site", x.Site.Origin, "client", client)
}
