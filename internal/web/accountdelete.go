package web

import (
	"net/http"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// deletePath is the page on which people delete their accounts.
const deletePath = accountPath + "/delete"

// Queries of pages that follow the end of a deletion, or of an account.
const (
	deleteDone     = "deleted"
	deletionUndone = "kept"
)

// mayDelete reports whether people delete their accounts here: the mail that undoes it has to leave.
func (x *exchange) mayDelete() bool { return x.Site.may(selfservice.Delete) && !x.Site.NoMail }

// deletePage says what happens to an account that is deleted, and has the form for it.
func (x *exchange) deletePage() {
	switch {
	case x.r.URL.RawQuery == deleteDone && !x.json:
		x.page(http.StatusOK, templates.Deleted{Grace: accounts.DeletionGrace})
	case x.refuseSignedOut():
	case !x.mayDelete():
		x.refuse(http.StatusNotFound, templates.NotFound)
	case x.json:
		x.methodNotAllowedOr(deletePath)
	default:
		x.showDelete(problem{status: http.StatusOK}, "")
	}
}

// showDelete shows the form, with what was wrong with it: typed is the address that was typed.
func (x *exchange) showDelete(p problem, typed string) {
	last, err := x.Self.LastOf(x.r.Context(), x.Live, x.RequiredRoles)
	if err != nil {
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
		return
	}
	o, err := x.Self.Overview(x.r.Context(), x.Live)
	if err != nil {
		x.refuse(http.StatusServiceUnavailable, templates.Unavailable)
		return
	}
	x.refuseOn(p, templates.Delete{
		Email: x.Live.Account.Email, Typed: typed, Current: x.passwords() && o.Password, LastRoles: last, Grace: accounts.DeletionGrace, Problem: p.words(),
	})
}

// delete deletes the account, for its address, typed out, and a proof.
func (x *exchange) delete() {
	fields, ok := x.readAccountForm(selfservice.Delete, "email", "current", usernameField)
	x.formAgain = func(p problem) { x.showDelete(p, fields["email"]) }
	switch {
	case !ok:
	case !x.mayDelete():
		x.refuse(http.StatusNotFound, templates.NotFound)
	case !strings.EqualFold(strings.TrimSpace(fields["email"]), x.Live.Account.Email):
		x.refuseAct(problem{status: http.StatusBadRequest, code: templates.OtherAddress, field: "email"})
	default:
		x.act(flow.Act{Kind: flow.Delete}, fields["current"])
	}
}

// deleted answers a deletion: this browser is signed out, as all others are.
func (x *exchange) deleted() {
	x.clearCookie(boundary.SessionCookie)
	if x.json {
		x.replyOK(http.StatusOK, map[string]any{"status": deleteDone, "undo_for": seconds(accounts.DeletionGrace)})
		return
	}
	x.redirect(x.path(deletePath) + "?" + deleteDone)
}

// undoDeletion keeps the account of the parked token.
func (x *exchange) undoDeletion(h string) {
	if err := x.Flows.Undo(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Token, h); err != nil {
		x.refuseConfirm(x.problemOf(err), "")
		return
	}
	x.clearCookie(boundary.TokenCookie)
	if x.json {
		x.replyOK(http.StatusOK, map[string]string{"status": deletionUndone})
		return
	}
	x.redirect(x.path("/cancel?" + deletionUndone))
}
