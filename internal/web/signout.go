package web

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// signOutPage asks, or says that it has happened.
func (x *exchange) signOutPage() {
	facts := templates.SignOut{}
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
	everywhere := fields["everywhere"] == "1"
	if x.Live != nil {
		e := storage.Event{Name: "signed_out", Outcome: "here", Site: x.Site.Origin, Client: boundary.NetworkText(x.Client)}
		if everywhere {
			e.Outcome = "everywhere"
			err = x.Sessions.EndEverywhere(x.r.Context(), x.Live.Account.ID, e)
		} else {
			err = x.Sessions.End(x.r.Context(), x.Live, e)
		}
		if err != nil {
			x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
			return
		}
		x.logSignOut(e)
	}
	x.clearCookie(boundary.SessionCookie)
	if x.json {
		x.replyOK(http.StatusOK, map[string]string{"status": "signed_out"})
		return
	}
	x.redirect(x.path("/sign-out"))
}

func (x *exchange) logSignOut(e storage.Event) {
	if x.Log != nil {
		x.Log.Info("signed out", "event", e.Name, "outcome", e.Outcome, "account", x.Live.Account.ID, "site", e.Site, "client", e.Client)
	}
}
