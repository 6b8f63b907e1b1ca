package templates

import (
	"slices"
	"time"
)

// Account is the page on which a signed-in person looks after the account.
type Account struct {
	Email string
	// Name is the account's, empty for none. Where MayName is set it is in a form, with TypedName: the same, or what was refused.
	Name, TypedName string
	MayName         bool
	// Language is the tag of the language of mails.
	Language string
	// Timezone is the zone of all times that are written for this person, empty for none. Regions are those to choose from, and OtherTimezone is
	// Timezone if none of them has it.
	Timezone, OtherTimezone string
	Regions                 []TimezoneRegion
	// Sessions is set where people see and end sessions. Browsers are those that are signed in, this one first; More are not shown. Others is
	// set when there is another one than this.
	Sessions bool
	Browsers []SignedInBrowser
	More     int
	Others   bool
	// Passwords is set where people change their passwords, Password when this person has one.
	Passwords, Password bool
	// Export is set where people download what is kept about the account: for the password where Current is set, else for a mailed code.
	Export, Current bool
	// Delete is set where people delete their accounts.
	Delete bool
	// NewToken is set where people make machine tokens.
	NewToken bool
	Tokens   []AccountToken
	// NewInvitation is set where this person may invite others. MoreInvitations have been sent and are not shown.
	NewInvitation   bool
	Invitations     []AccountInvitation
	MoreInvitations int
	// Invited is the address to which an invitation has just been sent, empty for none.
	Invited string
	Events  []AccountEvent
	Address AccountAddress
	// Done is what has just been done: "ended", "others", "revoked", "name", "language", "timezone", "stopped", "changed", "withdrawn" (an
	// invitation), or empty.
	Done    string
	Problem Problem
}

// ProblemIn returns the part of the page with the form that was refused, "name", "address", "timezone" or "export": what is wrong is said there, beside
// the field that has the focus. It is empty for what is said at the top.
func (a Account) ProblemIn() string {
	switch {
	case a.Problem.Code == "":
		return ""
	case a.Address.Refused || a.Problem.Code == WrongCode || a.Problem.Code == MalformedCode:
		return "address"
	case a.Problem.Code == InvalidName:
		return "name"
	case a.Problem.Code == InvalidTimezone:
		return "timezone"
	case a.Problem.Code == WrongCurrent || a.Problem.Code == MissingCurrent:
		return "export"
	}
	return ""
}

// TimezoneRegion is a part of the world with its time zones.
type TimezoneRegion struct {
	// Name is the first part of the zones' names, such as Europe.
	Name  string
	Zones []Timezone
}

// Timezone is one time zone to choose.
type Timezone struct {
	// Name is that of the IANA database, City the rest of it for people to read.
	Name, City string
}

// Prove is the page that takes the code which was mailed for one act on the account.
type Prove struct {
	// Act is "export", "token", "delete", "address" or "invite"; New is the new address of "address", and the one that "invite" invites.
	Act, New string
	// Token is the machine token that is made, nil for other acts.
	Token *NewToken
	// InvitedTo is what people call the site of an invitation, Roles its roles, apart by commas.
	InvitedTo, Roles string
	// Address is where the code was mailed to, End when it stops working.
	Address  string
	End      time.Time
	CodesOff bool
	Problem  Problem
}

// Delete is the page on which a person deletes the account.
type Delete struct {
	// Email is the account's address, Typed what was typed in its place.
	Email, Typed string
	// Current is set where the account's password is asked for; else a code is mailed.
	Current bool
	// LastRoles are the roles that a site requires and that no other account has.
	LastRoles []string
	// Grace is for how long the account is kept.
	Grace   time.Duration
	Problem Problem
}

// Deleted is the page that follows.
type Deleted struct{ Grace time.Duration }

// ConfirmUndo is the page of an opened link that keeps a deleted account.
type ConfirmUndo struct {
	Token, Account string
	// Ends is when the account is gone.
	Ends    time.Time
	Problem Problem
}

// NewToken is a machine token that is about to be made.
type NewToken struct {
	// Name is what its owner calls it, empty for nothing; Site is the host where it works.
	Name, Site string
	Scopes     []string
	Lifetime   time.Duration
}

// TokenForm is the form of a new machine token.
type TokenForm struct {
	// Email is the account's address; Current is set where its password is asked for.
	Email   string
	Current bool
	// Name, Site, Chosen and Days are what was typed.
	Name, Site string
	Chosen     []string
	Days       int
	// Scopes and Sites are those to choose from, MaxDays the longest life.
	Scopes  []CheckBox
	Sites   []SiteChoice
	MaxDays int
	Problem Problem
}

// CheckBox is one scope, or one role, to choose.
type CheckBox struct {
	Name    string
	Checked bool
}

// SiteChoice is one site to choose.
type SiteChoice struct {
	Origin, Name string
	Chosen       bool
}

// InvitationForm is the form of an invitation.
type InvitationForm struct {
	// Email is the address of the account that invites; Current is set where its password is asked for.
	Email   string
	Current bool
	// Typed is the address that was typed, Site and Chosen are the site and the roles that were chosen.
	Typed, Site string
	Chosen      []string
	// Roles and Sites are those to choose from, Lifetime is for how long it may be accepted.
	Roles    []CheckBox
	Sites    []SiteChoice
	Lifetime time.Duration
	Problem  Problem
}

// TokenMade shows a new machine token, once.
type TokenMade struct {
	Text  string
	Token NewToken
	Ends  time.Time
}

// SignedInBrowser is one browser that is signed in to an account.
type SignedInBrowser struct {
	ID, Device string
	// Network is the network that it signed in from, empty when not known.
	Network string
	Methods []string
	// Since is when it signed in, Seen when it was used last.
	Since, Seen time.Time
	// Sites are those that it is signed in to.
	Sites   []string
	Current bool
}

// AccountToken is one machine token of an account.
type AccountToken struct {
	ID, Name, Site string
	Scopes         []string
	Created, Ends  time.Time
}

// AccountInvitation is one invitation that an account has sent.
type AccountInvitation struct {
	ID, Email, Site string
	Roles           []string
	Sent, Ends      time.Time
	// Open is set while it may be accepted.
	Open bool
}

// AccountEvent is one thing that has happened to an account, in the words of the audit log.
type AccountEvent struct {
	Time                   time.Time
	Name, Purpose, Outcome string
	Site                   string
	// Network is that of the browser that did it, empty when not known. Operator is set where an operator did it.
	Network  string
	Operator bool
}

// eventKeys are the messages that say what has happened to an account.
var eventKeys = []string{
	"event.signed_in.link", "event.signed_in.code", "event.signed_in.pwd", "event.signed_in.portal",
	"event.signed_out.here", "event.signed_out.everywhere",
	"event.mailed.sign_in", "event.mailed.activation", "event.mailed.reset",
	"event.requested", "event.denied", "event.cancelled", "event.cancelled.new_device", "event.replayed",
	"event.changed.password", "event.changed.name", "event.changed.language", "event.changed.timezone",
	"event.changed.address", "event.changed.address_stopped", "event.changed.take_back", "event.mailed.address_consent",
	"event.changed.account.added", "event.changed.account.changed", "event.changed.account.disabled", "event.changed.account.enabled", "event.changed.account.deleting", "event.changed.account.kept",
	"event.changed.session", "event.changed.other_sessions", "event.changed.sessions",
	"event.changed.token.created", "event.changed.token.revoked", "event.exported", "event.mailed.proof",
	"event.invited", "event.cancelled.invite", "event.changed.invite", "event.mailed.invite", "event.other",
}

// key returns the message of an event.
func (e AccountEvent) key() string {
	key := "event." + e.Name
	switch e.Name {
	case "signed_in", "signed_out":
		key += "." + e.Outcome
	case "mailed":
		key += "." + e.Purpose
	case "cancelled":
		if e.Purpose == "new_device" || e.Purpose == "invite" {
			key += "." + e.Purpose
		}
	case "changed":
		switch e.Purpose {
		case "account", "token":
			key += "." + e.Purpose + "." + e.Outcome
		default:
			key += "." + e.Purpose
		}
	}
	if !slices.Contains(eventKeys, key) {
		return "event.other"
	}
	return key
}
