package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// Queries of /confirm that say what a mailbox has done about a change of an address.
const (
	addressHalfNew  = "confirmed_new"
	addressHalfOld  = "confirmed_old"
	addressChanged  = "address_changed"
	addressRestored = "address_restored"
)

// addressDone are the pages of these queries.
var addressDone = map[string]templates.AddressDone{
	addressHalfNew: {What: "new"}, addressHalfOld: {What: "old"}, addressChanged: {What: "changed"}, addressRestored: {What: "restored"},
}

// mayChangeAddress reports whether people change their addresses by themselves here.
func (x *exchange) mayChangeAddress() bool {
	return x.Site.may(selfservice.Address) && x.Site.SignUp.Mode == flow.SignUpOpen && !x.Site.NoMail
}

// refusedAddress is a form for a new address that was refused.
type refusedAddress struct {
	refused bool
	typed   string
}

// changeAddress begins a change of the address, for a proof.
func (x *exchange) changeAddress() {
	fields, ok := x.readAccountForm(selfservice.Address, "email", "current", usernameField)
	if !ok {
		return
	}
	if !x.mayChangeAddress() {
		x.refuse(http.StatusNotFound, templates.NotFound)
		return
	}
	x.refusedAddress = refusedAddress{true, fields["email"]}
	typed, err := x.Flows.CheckNewAddress(x.Site.Site, x.requester(), fields["email"])
	if err != nil {
		x.refuseAct(x.problemOfAddress(err, fields["email"]))
		return
	}
	x.act(flow.Act{Kind: flow.NewAddress, Email: typed}, fields["current"])
}

// perform returns what does an act, and fills done with what came of it.
func (x *exchange) perform(done *performedAct) flow.Perform {
	other := x.Self.Perform(x.Live, x.Site.may, x.actor(), &done.Performed)
	return x.Flows.PerformAddressChange(x.Site.Site, x.requester(), x.mayChangeAddress, other, &done.address)
}

// performedAct is what an act that was proven has done.
type performedAct struct {
	selfservice.Performed
	address flow.StartedAddressChange
}

// addressStarted answers that both mailboxes get mail now. The browser keeps what lets it type the code of the new one.
func (x *exchange) addressStarted(c flow.StartedAddressChange) {
	left := c.End.Sub(x.Clock.Now())
	x.setCookie(boundary.ProofCookie, c.Cookie, left)
	if x.json {
		x.replyOK(http.StatusAccepted, proofBody{Status: "mailed", ExpiresIn: seconds(left)})
		return
	}
	x.redirect(x.path(accountPath))
}

// addressChange returns the change that the account waits for, nil if there is none.
func (x *exchange) addressChange() (*flow.AddressChange, error) {
	c, err := x.Flows.PendingAddressChange(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Proof)
	switch {
	case errors.Is(err, flow.ErrNoFlow), errors.Is(err, flow.ErrSignedOut):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, err
	}
	return &c, nil
}

// addressFacts fills the part of the page that is about the address.
func (x *exchange) addressFacts(c *flow.AddressChange) templates.AccountAddress {
	f := templates.AccountAddress{
		Form: x.mayChangeAddress(), Operator: x.Site.may(selfservice.Address) && x.Site.SignUp.Mode != flow.SignUpOpen,
		Typed: x.refusedAddress.typed, Refused: x.refusedAddress.refused,
	}
	if c != nil {
		f.Change = &templates.AddressChange{
			Address: c.Address, New: c.New, Present: c.Present, Code: c.Code && !c.CodeOff, End: x.Clock.ToWall(c.End),
		}
	}
	return f
}

// addressChangeBody is a change of the address that waits for its mailboxes, as JSON.
type addressChangeBody struct {
	Email string `json:"email"`
	// New and Present are set once that mailbox has confirmed, Code when this browser may send the code of the new one.
	New     bool      `json:"new"`
	Present bool      `json:"old"`
	Code    bool      `json:"code"`
	Ends    time.Time `json:"ends"`
}

func (x *exchange) addressChangeBody(c *flow.AddressChange) *addressChangeBody {
	if c == nil {
		return nil
	}
	return &addressChangeBody{c.Address, c.New, c.Present, c.Code && !c.CodeOff && !c.New, x.Clock.ToWall(c.End).UTC()}
}

// addressCode takes the code of the mail to the new mailbox.
func (x *exchange) addressCode() {
	fields, ok := x.readAccountForm(selfservice.Address, "code")
	if !ok {
		return
	}
	done, err := x.Flows.SubmitAddressCode(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Proof, fields["code"])
	if err != nil {
		if p := x.problemOf(err); x.json || p.field != "code" {
			x.refuseProof(p)
		} else {
			x.showAccount(p, "")
		}
		return
	}
	x.clearCookie(boundary.ProofCookie)
	x.addressConfirmed(done, x.path(accountPath), x.path(accountPath)+"?"+accountChanged)
}

// stopAddressChange ends the change that the account waits for.
func (x *exchange) stopAddressChange() {
	if _, ok := x.readAccountForm(""); !ok {
		return
	}
	err := x.Flows.StopAddressChange(x.r.Context(), x.Site.Site, x.requester())
	switch {
	case err != nil && (x.json || !errors.Is(err, flow.ErrNoFlow)):
		x.refuseWith(x.problemOf(err))
	case x.json:
		x.replyOK(http.StatusOK, map[string]string{"status": accountStopped})
	default: // what has ended meanwhile is what the person wanted
		x.redirect(x.path(accountPath) + "?" + accountStopped)
	}
}

// confirmAddress presses the button of a link of a change of an address.
func (x *exchange) confirmAddress(h string) {
	done, err := x.Flows.ConfirmAddress(x.r.Context(), x.Site.Site, x.requester(), x.Cookies.Token, h)
	if err != nil {
		x.refuseConfirm(x.problemOf(err), "")
		return
	}
	x.clearCookie(boundary.TokenCookie)
	half, whole := addressHalfNew, addressChanged
	switch done.Purpose {
	case flow.AddressConsent:
		half = addressHalfOld
	case flow.TakeBack:
		whole = addressRestored
	}
	x.addressConfirmed(done, x.path("/confirm?"+half), x.path("/confirm?"+whole))
}

// addressConfirmed answers the word of a mailbox: half is the page where the other one is missing.
func (x *exchange) addressConfirmed(done flow.AddressDone, half, whole string) {
	switch {
	case done.Session.SessionCookie != "":
		x.setSignInCookies(done.Session)
	case done.Changed && x.Live != nil && x.Live.Account.ID == done.Account:
		x.clearCookie(boundary.SessionCookie)
	}
	body := addressBody{Status: "confirmed"}
	to := half
	switch {
	case done.Changed:
		to, body.Status = whole, "changed"
		if done.Purpose == flow.TakeBack {
			body.Status = "restored"
		}
	case done.Purpose == flow.Address:
		body.Missing = "old"
	default:
		body.Missing = "new"
	}
	if x.json {
		x.replyOK(http.StatusOK, body)
		return
	}
	x.redirect(to)
}

// addressBody is what the word of a mailbox has done, as JSON.
type addressBody struct {
	// Status is confirmed, changed or restored.
	Status string `json:"status"`
	// Missing is the mailbox that has not confirmed yet: new or old.
	Missing string `json:"missing,omitempty"`
}

// confirmAddressFacts fills the page of an opened link.
func (x *exchange) confirmAddressFacts(o flow.LinkPreview, p problem) templates.ConfirmAddress {
	kinds := map[string]string{flow.Address: "address", flow.AddressConsent: "consent", flow.TakeBack: "back"}
	return templates.ConfirmAddress{
		Token: o.H, Kind: kinds[o.Purpose], Address: o.Address, New: o.NewAddress, Asked: x.Clock.ToWall(o.Started), Device: o.Device, Problem: p.words(),
	}
}
