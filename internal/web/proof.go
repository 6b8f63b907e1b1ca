package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// proofPath is the page that takes the code of an act.
const proofPath = accountPath + "/proof"

// export hands out everything that is kept about the account.
func (x *exchange) export() {
	if fields, ok := x.readAccountForm(selfservice.Export, "current", usernameField); ok {
		x.act(flow.Act{Kind: flow.Export}, fields["current"])
	}
}

// act does an act that needs a proof: for the password of the account, which its form has sent along, or for the code that is mailed for it.
func (x *exchange) act(act flow.Act, password string) {
	if password != "" {
		var done performedAct
		if err := x.Flows.ProveByPassword(x.r.Context(), x.Site.Site, x.requester(), password, act, x.perform(&done)); err != nil {
			x.refuseAct(x.problemOf(err))
			return
		}
		x.performed(done)
		return
	}
	cookie, pending, err := x.Flows.RequestProof(x.r.Context(), x.Site.Site, x.requester(), act)
	if err != nil {
		x.refuseAct(x.problemOf(err))
		return
	}
	x.setCookie(boundary.ProofCookie, cookie, pending.End.Sub(x.Clock.Now()))
	if x.json {
		x.replyOK(http.StatusAccepted, proofBody{Status: "sent", ExpiresIn: seconds(pending.End.Sub(x.Clock.Now()))})
		return
	}
	x.redirect(x.path(proofPath))
}

// performed answers an act that was done.
func (x *exchange) performed(done performedAct) {
	if done.address.Cookie != "" {
		x.addressStarted(done.address)
		return
	}
	x.clearCookie(boundary.ProofCookie)
	x.Self.Report(x.r.Context(), done.Performed)
	switch done.Act.Kind {
	case flow.MakeToken:
		x.tokenMade(done.Performed)
	case flow.Delete:
		x.deleted()
	case flow.SendInvitation:
		x.invited()
	default:
		x.download(done.Overview)
	}
}

// proofBody is the answer to a request for a code.
type proofBody struct {
	Status string `json:"status"`
	// ExpiresIn is in seconds.
	ExpiresIn int `json:"expires_in"`
}

// refuseAct shows the form of the act, with what is wrong.
func (x *exchange) refuseAct(p problem) {
	if x.json || p.code == templates.SignInRequired || p.status == http.StatusServiceUnavailable && p.code != templates.Busy {
		x.refuseWith(p)
		return
	}
	if x.formAgain != nil {
		x.formAgain(p)
		return
	}
	x.showAccount(p, "")
}

// proofPage asks for the code, and says what it does.
func (x *exchange) proofPage() {
	if !x.refuseSignedOut() {
		x.showProof(problem{status: http.StatusOK})
	}
}

func (x *exchange) showProof(p problem) {
	pending, err := x.Flows.PendingProof(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Proof)
	switch {
	case errors.Is(err, flow.ErrNoFlow) && !x.json:
		x.redirect(x.path(accountPath))
	case err != nil:
		x.refuseWith(x.problemOf(err))
	case x.json:
		x.methodNotAllowedOr(proofPath)
	default:
		f := templates.Prove{
			Act: pending.Act.Kind, Token: newToken(pending.Act.Token), New: displayed(pending.Act.Email), Address: pending.Address, End: x.Clock.ToWall(pending.End), CodesOff: pending.CodeOff, Problem: p.words(),
		}
		if i := pending.Act.Invitation; i != nil {
			f.InvitedTo, f.Roles = x.Site.invitedTo(i.Site), strings.Join(i.Roles, ", ")
		}
		x.refuseOn(p, f)
	}
}

// prove takes the code, and does what it was mailed for.
func (x *exchange) prove() {
	if x.refuseSignedOut() {
		return
	}
	if !slices.ContainsFunc(selfservice.ProvenActs(), x.Site.may) && len(x.givenRoles()) == 0 {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	fields, ok := x.readAccountForm("", "code")
	if !ok {
		return
	}
	var done performedAct
	if err := x.Flows.SubmitProof(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Proof, fields["code"], x.perform(&done)); err != nil {
		switch p := x.problemOf(err); {
		case p.field == "code" && !x.json:
			x.showProof(p)
		case done.Act.Kind == flow.SendInvitation && !x.json: // the code was right, and is used up: the form has what was typed
			x.formAgain = func(p problem) { x.showInvitationForm(p, typedInvitation(done.Act)) }
			x.refuseAct(p)
		default:
			x.refuseProof(p)
		}
		return
	}
	x.performed(done)
}

// refuseProof answers where there is no code to take any more: the page of the account is where another one is asked for.
func (x *exchange) refuseProof(p problem) {
	if p.code == templates.NoFlow && !x.json {
		x.redirect(x.path(accountPath))
		return
	}
	x.refuseWith(p)
}

// exportBody is the account as its owner downloads it.
type exportBody struct {
	Created time.Time `json:"created"`
	accountBody
}

// download answers with a file.
func (x *exchange) download(o selfservice.Overview) {
	text, err := json.MarshalIndent(exportBody{o.Created, wholeBody(o)}, "", "  ")
	if err != nil {
		x.refuse(http.StatusInternalServerError, templates.Internal)
		return
	}
	x.w.Header().Set("Content-Disposition", `attachment; filename="account.json"`)
	x.answer(http.StatusOK, "application/json", text)
}
