// Package flow is the domain: it asks for a mail, sends it again, shows what a link would do, does it, and takes it back. It
// also signs in with a password and changes one.
//
// An invitation is a flow that an operator or another account has begun: see Invite and SendInvitation.
//
// A flow is one pending request of one purpose, held by the browser that asked through a cookie and by the mailbox through
// links and codes. Each step of a flow is one storage Update, answered after its commit; what a step refuses is a value that
// commits nothing or only its counter.
//
// The request never looks an account up: it writes the same records for anybody. The mail worker (package outbox) finds out
// whom the mail is for, and what it says.
//
// The package knows neither HTTP nor mail: package web calls it, package outbox delivers.
//
// The states of a flow, and what moves it:
//
//	      Request, Start, Link, Invite
//	                   │
//	                   ▼            Confirm, SubmitCode
//	   Resend, ┌──── open ─────────────────────────────► redeemed
//	wrong code └─────► │ │
//	                   │ └── Cancel ───────────────────► cancelled
//	                   └──── its end, a raised epoch ──► expired
//
// Redeemed, cancelled and expired are final. Only the first two are written; a flow is expired once its end has passed or one of
// its three epochs is no longer what it was at its creation. The epochs:
//
//	global   raised by the first start on a restored backup and when an operator ends everything: voids all flows
//	mailbox  raised when the mailbox gets an account, and together with the account's
//	account  raised by a new password (change, reset), by disabling or deleting the account and by signing out everywhere
package flow

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/password"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Purposes of flows.
const (
	// Activation proves a mailbox and makes its account.
	Activation = outbox.Activation
	// SignIn proves that the owner of an account reads its mailbox.
	SignIn = outbox.SignIn
	// Reset proves the same, and sets a new password.
	Reset = outbox.Reset
	// Proof proves one act of a signed-in person on the account, and nothing else.
	Proof = outbox.Proof
	// NewDevice signs out a browser that has signed in from a new device.
	NewDevice = outbox.NewDevice
	// UndoDeletion keeps an account that its owner has deleted.
	UndoDeletion = outbox.UndoDeletion
	// Address gives an account another address, once the mailbox of that one and, by AddressConsent, the present one have confirmed it.
	Address        = outbox.Address
	AddressConsent = outbox.AddressConsent
	// TakeBack undoes that.
	TakeBack = outbox.TakeBack
	// Invite makes the account of somebody who was invited, or gives roles to one.
	Invite = outbox.Invite
)

// purposes are those a mailed token may have; a token's text does not say which.
var purposes = [...]string{SignIn, Activation, Reset, Proof, NewDevice, UndoDeletion, Address, AddressConsent, TakeBack, Invite}

// Bounds that no option changes.
const (
	// MaxWrongCodes is how many wrong codes switch a flow's codes off.
	MaxWrongCodes = 5
	// MaxReturnTo is the longest path to go to after a flow, in bytes.
	MaxReturnTo = 2048
	// MaxName is the longest name of an account, in bytes.
	MaxName = accounts.MaxName
	// KnownBrowserLifetime is how long a browser is known for a mailbox it has signed in to.
	KnownBrowserLifetime = 400 * 24 * time.Hour
)

// Service runs the steps of flows. All fields but Passwords, Wake, Observer and Log are required. It is safe for concurrent use and
// must not be changed after its first use.
type Service struct {
	Store    storage.Store
	Ring     *keyring.Ring
	Clock    *clock.Clock
	Limiter  *limit.Limiter
	Sessions *session.Manager
	Accounts *accounts.Service
	// Passwords hashes; nil: there are no passwords at any site. It must outlive configurations, see package password.
	Passwords *password.Hasher
	// Invites says who may invite whom from the page of an account. Operators may always.
	Invites []InviteRule
	// Wake wakes the mail worker after a mail was queued; it may be nil.
	Wake func()
	// Observer counts; it may be nil.
	Observer Observer
	// Log gets one line for each event; nil disables logging.
	Log *slog.Logger
	// FullClients names whole addresses in lines of the log about denials, in the place of networks.
	FullClients bool

	unanswered unanswered
}

// Observer counts what steps did. Its methods are called after the commit and must not block.
type Observer interface {
	// Flow counts one step: its purpose ("" when unknown), its name (request, resend, confirm, code, cancel, link, password,
	// change, start, done, enter, proof, undo, address, invite) and its outcome (ok, limited, invalid, dead, closed, changed, busy, unavailable).
	Flow(purpose, step, outcome string)
	// Denied counts one refusal of a limit, by the limit's name.
	Denied(limit string)
	// Requested counts a request for a mail to a mailbox, or an attempt at its password, of a browser that is not known for it, whether or not
	// there is an account. mailbox is what limits are keyed by.
	Requested(client netip.Addr, mailbox storage.Digest, masked string)
}

// Site is what a flow needs to know about the site it runs on. The zero value of each option is its default.
type Site struct {
	// Origin is the entry of base_url that the request came in on; it names the site in records and in links.
	Origin string
	// Prefix is the path below which our pages live, such as "/email-link".
	Prefix string
	// SignUp is the policy of new accounts. Default: closed.
	SignUp SignUp
	// Methods are the ways of signing in. Default: link and code.
	Methods Methods
	// Lifetimes are how long flows live. Default: activation 24h, sign_in 15m, reset 30m.
	Lifetimes Lifetimes
	// Resends is how many mails follow the first one; nil: 5. ResendWait is the time between two; 0: 60s.
	Resends    *int
	ResendWait time.Duration
	// Stateless is set when the flows asked for here are not stored until something has to be counted or marked: their cookies
	// and links carry them. Default: they are stored. Flows of both kinds go on until they end, whatever it says.
	Stateless bool
	// Limits are the rates of this site. Rates that are empty limit nothing: fill it from limit.Defaults.
	Limits limit.Table
	// SessionIdle and SessionAbsolute are the lifetimes of sessions opened here. Default: 7 and 30 days.
	SessionIdle, SessionAbsolute time.Duration
	// KeepAddresses is set when people do not change their addresses by themselves: no change begins, and none that waits is confirmed.
	KeepAddresses bool
	// NoMail is set when no mail leaves (mailer none): asking is answered with ErrNoMail.
	NoMail bool
	// AskName is set when an activation asks for a name; it then never happens by one click.
	AskName bool
	// Passwords judges new passwords, where Methods offers them.
	Passwords password.Policy
	// PasswordWords are words of the site that no password may be made of, such as its name; the host is one of itself.
	PasswordWords []string
	// SignInAfterReset is set when a finished reset signs in. Default: the new password is to be used.
	SignInAfterReset bool
}

// Lifetimes are how long flows live, by purpose; 0 is the default.
type Lifetimes struct {
	// Activation: 24h.
	Activation time.Duration
	// SignIn: 15m.
	SignIn time.Duration
	// Reset: 30m.
	Reset time.Duration
	// Invite: 7 days.
	Invite time.Duration
}

// Requester is the browser that sends a request, as the web layer has validated it.
type Requester struct {
	// Client is the client's address; the zero value shares one strict bucket with all others of unknown address.
	Client netip.Addr
	// Device is a name from a closed list, such as "Firefox on Linux"; Locale a BCP 47 tag from the catalogues, or empty.
	Device, Locale string
	// FlowCookie is the value of the only flow cookie of the request, empty when there was none or more than one.
	FlowCookie string
	// KnownCookie is the value of the known-browser cookie.
	KnownCookie string
	// HandoffCookie is the value of the hand-over cookie.
	HandoffCookie string
	// Session is the live session of this browser at this site, nil when there is none.
	Session *session.Live
	// Origin is set when this is a POST which passed the cross-origin check.
	Origin bool
	// Navigation is set when this request meets the conditions of one click that are in its method and headers: GET,
	// Sec-Fetch-Mode navigate, Sec-Fetch-Dest document or, passed on by a service worker, empty, none of Sec-Purpose, Purpose,
	// X-Purpose and X-Moz.
	Navigation bool
}

// RequestInput is what a person fills in to ask for a mail.
type RequestInput struct {
	// Purpose is Activation (/sign-up), SignIn (/sign-in) or Reset (/reset).
	Purpose string
	// Email is the address as typed.
	Email string
	// ReturnTo is the path to go to afterwards, already validated by boundary.ReturnTo; anything that is no local path
	// becomes "/".
	ReturnTo string
	// Ephemeral is set when the person wants to be signed in this once: see EphemeralLifetime.
	Ephemeral bool
	// Altcha is the solution of a Challenge, empty for none. It is looked at only where a limit refuses.
	Altcha string

	// app is set where an app asks.
	app *appFlow
}

// RequestResult is the answer to a request for a mail; it is the same for every address.
type RequestResult struct {
	// FlowCookie is the value to set, which lives until Pending.End.
	FlowCookie string
	Pending    Pending
}

// Pending is what a browser may know of the flow it asked for.
type Pending struct {
	// Purpose is Activation, SignIn or Reset.
	Purpose string
	// Address is the address for people to read (homographs in punycode); Typed is what they typed.
	Address, Typed string
	// ReturnTo is where the flow leads.
	ReturnTo string
	// ResendsLeft is how many mails may still be asked for, NextResend the earliest time of the next one.
	ResendsLeft int
	NextResend  time.Time
	// Started and End are the flow's first and last time. Compare both with clock.Now; show them by clock.ShownAs.
	Started, End time.Time
	// CodeOff is set when no code can be typed any more: five wrong ones, or a site that offers none.
	CodeOff bool
	// SignedIn is set when this browser is signed in to the account of this mailbox: the page leads on.
	SignedIn bool
	// Reserve is set when the mailbox's limit was spent when the flow began: its mails leave only if this browser is in a network of one of
	// the account's sessions, which is not told.
	Reserve bool
	// App is set when an app has started the flow; Form is the path of its page where the person has asked, empty when not known.
	App  bool
	Form string
}

// LinkPreview is what the page of a parked token shows.
type LinkPreview struct {
	// H is to be sent back by the form: it binds the press of the button to what was shown.
	H string
	// Purpose is Activation, SignIn, Reset, Invite, UndoDeletion, for which Undo is to be called, or one of those for which ConfirmAddress is: see
	// IsAddressPurpose. Cancel is set when the token is the one of "this wasn't me", which has the purposes Proof and NewDevice as well.
	Purpose string
	Cancel  bool
	// Mute is for how long the press of "this wasn't me" holds back further mails that the same browser asks for.
	Mute time.Duration
	// Address is the account's address, Masked the same with most of the local part hidden. Show Address only where SameBrowser.
	Address, Masked string
	// Site is the origin; Device, Network and Started describe who asked.
	Site, Device, Network string
	Started, End          time.Time
	// ReturnTo is where the flow leads; show it where not SameBrowser.
	ReturnTo string
	// SameBrowser is set when the requester holds the flow's cookie.
	SameBrowser bool
	// OneClick is set when all conditions of one click hold: call Confirm with OneClick instead of showing a page.
	OneClick bool
	// OtherAccount is the masked address of another account that this browser is signed in to, empty when there is none.
	OtherAccount string
	// AskName is set when the form asks for a name.
	AskName bool
	// AskPassword is set when the form asks for a new password: a Reset needs one, an Activation may do without. Where it is
	// set, Username is the address that a password manager shall keep it with (for a hidden field), and MinLength
	// the least number of code points.
	AskPassword bool
	Username    string
	MinLength   int
	// Invitation is set where the link accepts one. No click of its own does.
	Invitation *InvitedTo
	// CodeOff is set when the mail's code cannot be typed where the flow was started.
	CodeOff bool
	// Destination is set when this link has been used and this browser holds the session or the hand-over it opened: go there,
	// nothing else.
	Destination string
	// App is set when an app has started the flow: it leads on to the app, and opens no session here.
	App bool
	// NewAddress is the one that the account of Address is about to have, for the purposes Address and AddressConsent.
	NewAddress string
}

// ConfirmInput is the press of the button, or the one click.
type ConfirmInput struct {
	// Token is the text of the parked token, or of the link for one click.
	Token string
	// H is LinkPreview.H as the form sent it back.
	H string
	// Name is the new account's name, where asked for; it may be empty.
	Name string
	// Password is the new password, where LinkPreview.AskPassword; an Activation without one makes an account without one.
	Password string
	// OneClick is set when there was no page: Token comes from the link itself and H is not compared. All of flow's own
	// conditions are judged again.
	OneClick bool
}

// Done is what ended well: in a session, unless Reset.
type Done struct {
	// Purpose is Activation, SignIn or Reset.
	Purpose string
	// SessionCookie is the value to set until Session.Key.End; the flow and the parked-token cookie are to be cleared. It is
	// empty when AlreadySignedIn and when Reset.
	SessionCookie string
	Session       storage.Session
	// Ephemeral is set when SessionCookie is to end with the browser.
	Ephemeral bool
	// KnownCookie is the value to set for KnownBrowserLifetime, empty when Ephemeral: the browser may belong to another person.
	KnownCookie string
	// ReturnTo is where to go now.
	ReturnTo string
	// Account is the account's id.
	Account string
	// Owner is the account whose session this is, the zero value where there is no session.
	Owner accounts.Account
	// AlreadySignedIn is set when this browser already holds the session this link opened: set no cookie, go to ReturnTo.
	AlreadySignedIn bool
	// PasswordSet is set when the account has a new password.
	PasswordSet bool
	// Reset is set when the password has been reset without a sign-in: every session of the account has ended, also
	// one of this browser. The flow and the parked-token cookie are to be cleared, KnownCookie is to be set.
	Reset bool
	// App is set when an app has started the flow: there is no account and no session, ReturnTo is the app's. HandoffCookie is to
	// be set until HandoffEnd, unless AlreadySignedIn; KnownCookie is to be set as well.
	App           bool
	HandoffCookie string
	HandoffEnd    time.Time
}

// Cancelled is a flow that its mailbox's owner ended.
type Cancelled struct {
	Purpose string
	// Masked is the address of the mailbox with most of the local part hidden.
	Masked string
}
