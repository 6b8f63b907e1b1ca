package templates

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// Frame is what every page knows.
type Frame struct {
	// Language is a tag of [Set.Languages]; empty means English.
	Language string
	// Site is the site's name, Host its host as people type it, Origin its address.
	Site, Host, Origin string
	// Prefix is the path our pages live under, such as "/email-link".
	Prefix string
	// Logo is the path of the logo, empty for none; LogoDark that for the dark theme, empty where it is the same. Wordmark is set when the
	// logo shows the site's name, which is then there for screen readers alone.
	Logo, LogoDark string
	Wordmark       bool
	// Favicon is the path of the site's own icon, and BrandStyle that of the rules with its colour; empty: the embedded ones.
	Favicon, BrandStyle string
	// Contact is whom to ask: an address, a telephone number, a name; it may be empty.
	Contact string
	// Here is the address of the page for the choice of a language to lead back to, empty where no language is offered.
	Here string
	// Now is the time of the request.
	Now time.Time
	// Timezone is the zone that the signed-in person has chosen for the times of all pages, nil for that of the [Set].
	Timezone *time.Location
}

// PageFacts is what one page says. The structs of this file implement it.
type PageFacts interface{ page() string }

// SignIn is the page that asks for an address to sign in.
type SignIn struct {
	// Email is kept from the refused form, as it was typed.
	Email string
	// ReturnTo is where to go after, empty for the site's front page.
	ReturnTo string
	// SignUp is set when the page for a new account is open.
	SignUp bool
	// MailOff is set when no mail leaves: ask the contact for a link.
	MailOff bool
	// Password is set when the form takes a password, Mail when it sends a mail as well; without Password it sends a mail.
	Password, Mail bool
	// CodeOnly reports whether the mails carry a code and no link.
	CodeOnly bool
	// OnlyThisTime is set when the box of that name was ticked: the session is to end with the browser.
	OnlyThisTime bool
	// PasswordSet is set when a new password has just been set.
	PasswordSet bool
	// App is the name of the site that the person wants to open, at the portal of several sites; it may be empty.
	App string
	// Again is set when a signed-in person is asked for a fresh proof.
	Again   bool
	Problem Problem
}

// SignUp is the page that asks for an address to make an account.
type SignUp struct {
	Email, ReturnTo string
	// Closed is set when accounts are made by the operator.
	Closed, MailOff bool
	Problem         Problem
}

// Reset is the page that asks for an address to set a new password.
type Reset struct {
	Email   string
	MailOff bool
	Problem Problem
}

// Password is the page on which a signed-in person changes the password.
type Password struct {
	// Email is the account's address, which a password manager keeps the password with.
	Email string
	// None is set when the account has no password: a mail leads to the page that sets one. MailOff is set when no mail leaves.
	None, MailOff bool
	// MinLength is the least number of characters.
	MinLength int
	Problem   Problem
}

// Resend is "check your mail".
type Resend struct {
	// Address is the address as it was typed in this browser; SignUp and Reset say which of the three forms asked.
	Address       string
	SignUp, Reset bool
	// ResendsLeft of ResendsTotal are left, the next from NextResend on. Mails work until End.
	ResendsLeft, ResendsTotal int
	NextResend, End           time.Time
	// Code is set when a code may be typed, CodesOff when wrong ones have switched codes off; both are false where no codes are
	// offered. Link says that mails carry links.
	Code, CodesOff, Link bool
	// TypedCode is what was typed that cannot be a code, to be mended in its field.
	TypedCode string
	// App is set when an app with users of its own has asked: the address is changed there, on the page Form where that is known,
	// and on no page of ours.
	App  bool
	Form string
	// ReturnTo is where the flow leads, empty for the site's front page: it survives the sign-in of another tab.
	ReturnTo string
	// Sent reports whether a further mail was requested just now, Opened whether the person says that the link has been opened.
	// SignedIn reports whether this browser has a session that is not the one awaited.
	Sent, Opened, SignedIn bool
	// Reserve is set when the address's limit was spent when it was asked for: the mail leaves only if this network has a session of its account.
	Reserve bool
	MailOff bool
	Problem Problem
}

// NoFlowPage is /resend and /code of a browser that waits for no mail.
type NoFlowPage struct{}

// Confirm is the page of an opened link.
type Confirm struct {
	// Token ties the form to what the page shows.
	Token string
	// Account is the address, masked where this browser did not ask and is not signed in to it.
	Account string
	// SignUp is set when the press of the button makes the account; AskName that it may be given a name. Reset says that it sets
	// a new password.
	SignUp, AskName, Reset bool
	Name                   string
	// AskPassword is set when the form takes a new password of MinLength characters or more: a sign-up may do without one.
	AskPassword bool
	MinLength   int
	// Username is the address for a password manager to keep the password with, in a hidden field, and empty where
	// Account is masked: the manager then keeps it at the first sign-in with it.
	Username string
	// Asked and Device are of the browser that asked; SameBrowser is set when it is this one.
	Asked       time.Time
	Device      string
	SameBrowser bool
	// App is set when an app with users of its own has asked: the press of the button leads on to it and is all.
	App bool
	// Portal is set when no link led here: a portal at which this browser is signed in did.
	Portal bool
	// Code is set when the code of the mail may be typed where it was asked for.
	Code bool
	// SignedInAs is the address of another account this browser is signed in to, empty otherwise.
	SignedInAs string
	// ReturnTo is shown where this browser did not ask; empty for the front page.
	ReturnTo string
	// Invite is set where the link accepts an invitation; SignIn when that takes a sign-in first, to the account that the address has.
	Invite  *Invitation
	SignIn  bool
	Problem Problem
}

// Invitation is what the page of an invitation shows.
type Invitation struct {
	// Inviter is the address of the account that has sent it, empty for an operator.
	Inviter string
	// Site is what people call the site that it is an invitation to, Roles its roles, apart by commas.
	Site, Roles string
	// Note is the operator's.
	Note string
	// Account is set when the address has an account.
	Account bool
}

// ConfirmCancel is the page of an opened cancel link.
type ConfirmCancel struct {
	Token string
	// Proof is set when the request was for a code for an act on the account: the browser that asked is signed out.
	Proof bool
	// NewDevice is set when the mail was about a sign-in from a new device: that browser is signed out.
	NewDevice bool
	// Mute is for how long the press of the button holds back mails that the same browser asks for.
	Mute    time.Duration
	Account string
	Asked   time.Time
	Device  string
	Problem Problem
}

// ConfirmNone is /confirm without an opened link.
type ConfirmNone struct {
	// Flow is set when this browser waits for a mail.
	Flow bool
	// Portal is set where people sign in at a portal, and a sign-in by way of it did not come to its end.
	Portal bool
	// SignedInAs is the address of the account where this browser is signed in and waits for no mail, empty otherwise: its person has gone back
	// to the page of a link that has been used.
	SignedInAs string
}

// Cancelled follows a pressed cancel button. SignedOut is set when it has signed out the browser that had asked, NewDevice when a
// new device, and Undone when an account is not deleted.
type Cancelled struct{ SignedOut, NewDevice, Undone bool }

// Dead is the one page of every link that does not work.
type Dead struct {
	// Reset reports whether people here set new passwords by mail: the link may have been one of those.
	Reset bool
}

// Incomplete is the page of a link whose token is none, after everything that mail programs add has been removed: a part is missing.
type Incomplete struct {
	// Flow reports whether this browser waits for a mail whose code may be typed, Code whether one may be typed in the browser that does.
	Flow, Code bool
}

// Home is the signed-in person's own page.
type Home struct {
	Email, Name string
	Roles       []string
	// Since is when this browser signed in, Ends when it has to do so again at the latest.
	Since, Ends time.Time
	Device      string
	Methods     []string
	// Password is set when passwords are offered here; PasswordSet that a new one has just been set.
	Password, PasswordSet bool
	// Portal is set at the portal of several sites, and Apps are those that the person may open. Several is set at such a site as well.
	Portal, Several bool
	Apps            []App
}

// App is a site on the portal's page.
type App struct {
	// Name is what people call it, Address where it is, and Logo the path of its picture, which may be empty.
	Name, Address, Logo string
}

// SignOut asks whether to sign out. SignedIn is false on the page that follows it.
type SignOut struct {
	SignedIn bool
	Email    string
	// Several is set where this browser is signed out of several sites at once.
	Several bool
}

// Refused is the page of an error. Status is the HTTP status it comes with.
type Refused struct {
	Status int
	Problem
	// Email is the account that lacks what it needs, for Forbidden.
	Email string
	// App is the site that it may not open, at the portal of several sites; empty for this one.
	App string
	// NextSteps lead on, the best one first.
	NextSteps []NextStep
	// Reference is a short text by which the operator finds the refusal in the log; empty for none.
	Reference string
}

// NextStep leads on from a page.
type NextStep struct {
	Kind    StepKind
	Address string
}

// StepKind says where a step leads.
type StepKind string

// Kinds of steps.
const (
	// StepRetry leads to the same page again.
	StepRetry StepKind = "retry"
	// StepOtherAddress leads to the sign-in with another address.
	StepOtherAddress StepKind = "other_address"
	// StepAccount leads to the page of the person's own account.
	StepAccount StepKind = "account"
	// StepSite leads to the site's front page.
	StepSite StepKind = "site"
	// StepHost leads to the address that the site really has.
	StepHost StepKind = "host"
	// StepSignIn leads to the sign-in.
	StepSignIn StepKind = "sign_in"
	// StepWindow leads to the same page in a window of its own.
	StepWindow StepKind = "window"
)

func (SignIn) page() string         { return "sign-in" }
func (SignUp) page() string         { return "sign-up" }
func (Reset) page() string          { return "reset" }
func (Password) page() string       { return "password" }
func (Resend) page() string         { return "resend" }
func (NoFlowPage) page() string     { return "no-flow" }
func (Confirm) page() string        { return "confirm" }
func (ConfirmCancel) page() string  { return "confirm-cancel" }
func (ConfirmNone) page() string    { return "confirm-none" }
func (Cancelled) page() string      { return "cancelled" }
func (Dead) page() string           { return "dead" }
func (Incomplete) page() string     { return "incomplete" }
func (Home) page() string           { return "home" }
func (Account) page() string        { return "account" }
func (Prove) page() string          { return "prove" }
func (Delete) page() string         { return "delete" }
func (Deleted) page() string        { return "deleted" }
func (TokenForm) page() string      { return "token" }
func (TokenMade) page() string      { return "token-made" }
func (InvitationForm) page() string { return "invitation" }
func (ConfirmUndo) page() string    { return "confirm-undo" }
func (SignOut) page() string        { return "sign-out" }
func (Refused) page() string        { return "refused" }

// Pages lists the names of all pages, as in pages/<name>.html.
var Pages = []string{
	"sign-in", "sign-up", "reset", "password", "resend", "no-flow", "confirm", "confirm-cancel", "confirm-undo", "confirm-none", "cancelled", "dead", "incomplete", "home",
	"account", "prove", "delete", "deleted", "token", "token-made", "invitation", "confirm-address", "address-done", "sign-out", "refused",
}

// Mail is what a mail may say. It holds nothing that the asker wrote.
type Mail struct {
	Kind mailer.Kind
	// SignUp is set when a link finishes a sign-up; it signs in otherwise.
	SignUp bool
	// Reset is set when a new password was asked for, App that an app with users of its own has asked, for mailer.KindNoAccount.
	Reset, App bool
	// Site is the site's name, Host its host, Origin its address, Prefix the path of our pages there.
	Site, Host, Origin, Prefix string
	Contact                    string
	// Link and Cancel are whole addresses; Link is empty in notices, Cancel where there is nothing to cancel.
	Link, Cancel string
	// Code is eight digits, empty where codes are not offered. A mail of the kind mailer.KindLink has a link or a code, or both; one
	// of the kind mailer.KindAccountExists may have none.
	Code string
	// Act is what the code of a mailer.KindProof does: "export", "token", "delete", "address" or "invite".
	Act string
	// Address is the new address, or the one that came back, where the mailbox may know it, or the one that an act invites; empty otherwise.
	Address string
	// Token is the machine token that it makes, nil for other acts.
	Token *NewToken
	// InvitedTo is what people call the site of a mailer.KindInvite and of an act that invites, Inviter the address of the account that invites, empty for an operator, and
	// Roles the roles, apart by commas.
	InvitedTo, Inviter, Roles string
	// Asked is when it was asked for or happened, by Device in Network (an address prefix, empty when unknown).
	Asked   time.Time
	Device  string
	Network string
	// Ends is when link and code end.
	Ends time.Time
}

// Lifetime is the time from asking to the end, in whole minutes unless it is short.
func (m Mail) Lifetime() time.Duration {
	d := m.Ends.Sub(m.Asked)
	if d < 2*time.Minute {
		return d
	}
	return d.Round(time.Minute)
}

// SignInURL is the plain address of the sign-in form, the same for everybody.
func (m Mail) SignInURL() string { return m.Origin + m.Prefix + "/sign-in" }

// SignUpURL is the plain address of the sign-up form, the same for everybody.
func (m Mail) SignUpURL() string { return m.Origin + m.Prefix + "/sign-up" }

// ResetURL is the plain address of the form that asks for a new password, the same for everybody.
func (m Mail) ResetURL() string { return m.Origin + m.Prefix + "/reset" }

// AccountURL is the plain address of the page of a signed-in person's own account.
func (m Mail) AccountURL() string { return m.Origin + m.Prefix + "/account" }

// NewDevice reports whether the mail is about a sign-in from a new device: its cancel link signs that browser out.
func (m Mail) NewDevice() bool { return m.Kind == mailer.KindNewDevice }

// Rendered is a mail in words.
type Rendered struct {
	Subject, Text, HTML string
	// Language is the tag of the catalogue that was used.
	Language string
}
