package outbox

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Purposes of mails, as stored and counted. All but Notice and Alert are those of flows.
const (
	// Activation is the purpose of a mail that proves a mailbox for a new account.
	Activation = "activation"
	// SignIn is the purpose of a mail that signs in.
	SignIn = "sign_in"
	// Reset is the purpose of a mail that leads to a new password.
	Reset = "reset"
	// Proof is the purpose of a mail by which the owner of an account proves one act on it.
	Proof = "proof"
	// NewDevice is the purpose of the flow whose link, in a mail about a sign-in from a new device, signs that browser out. The mail's is Notice.
	NewDevice = "new_device"
	// UndoDeletion is the purpose of the flow whose link, in the mail about a deleted account, keeps that account. The mail's is Notice.
	UndoDeletion = "undo_deletion"
	// Address is the purpose of a mail by which a mailbox confirms that it becomes that of an account.
	Address = "address"
	// AddressConsent is the purpose of a mail by which the present mailbox of an account agrees to that.
	AddressConsent = "address_consent"
	// TakeBack is the purpose of a mail by which the mailbox that an account had before may take it back.
	TakeBack = "take_back"
	// Invite is the purpose of a mail that invites somebody.
	Invite = "invite"
	// Notice is the purpose of a mail that informs and belongs to no flow.
	Notice = "notice"
	// Alert is the purpose of a mail that alerts the operator.
	Alert = "alert"
)

// Act is one thing on an account that a session alone does not prove, because it gives something away: its kind, and the values that it is done
// with. The mail of its code names all of it.
type Act struct {
	// Kind is one of those of package flow.
	Kind string `json:"kind"`
	// Email is the new address, or the one that is invited; empty for acts of another kind.
	Email string `json:"email,omitempty"`
	// Invitation describes what that address is invited to; nil for acts of another kind.
	Invitation *NewInvitation `json:"invitation,omitempty"`
	// Token describes the machine token that is to be made; nil for acts of another kind.
	Token *NewToken `json:"token,omitempty"`
}

// NewInvitation is the invitation that an act sends.
type NewInvitation struct {
	// Site is the origin that it is an invitation to, ReturnTo the path that it leads to where it is accepted.
	Site     string   `json:"site"`
	ReturnTo string   `json:"return_to"`
	Roles    []string `json:"roles"`
}

// NewToken is the machine token that an act makes.
type NewToken struct {
	// Name is what its owner calls it, Site the origin that it works at.
	Name   string        `json:"name"`
	Site   string        `json:"site"`
	Scopes []string      `json:"scopes"`
	TTL    time.Duration `json:"ttl"`
}

// Message is all that a template needs to write one mail. It holds nothing that the asker wrote except, as To, the address.
type Message struct {
	Kind mailer.Kind
	// Purpose is the purpose of the mail: Activation, SignIn, Reset, Proof, Address, AddressConsent, TakeBack, Invite, Notice or Alert.
	Purpose string
	// Site is the origin of the site that was asked; Base is Site and the path prefix of our pages, without a slash at the end.
	Site, Base string
	// To is the address the mail goes to: as stored for an account, as typed for a mailbox without one.
	To string
	// Name is the account's name, empty when there is none or no account.
	Name string
	// Locale is the account's language, else the one the asking browser preferred: a BCP 47 tag, empty when unknown.
	Locale string
	// Timezone is the account's, empty when there is none or no account.
	Timezone string
	// Link is the URL that activates, signs in or resets, Cancel the URL of "this wasn't me", Code the eight digits to type. Each is
	// empty where the message has none.
	Link, Cancel, Code string
	// RequestedAt is when the mail was asked for (or, for a notice, when the thing happened), by the system's clock.
	RequestedAt time.Time
	// Device is the asking browser from a closed list of names; Network is its address prefix.
	Device, Network string
	// Ends is when Link and Code stop working, by the system's clock, and Cancel, but for that of a proof. It is zero where there is none of them.
	Ends time.Time
	// Act is what the code of a mail of the purpose Proof does.
	Act Act
	// Address is the new address, for mailboxes that may know it, of a mail about a change of the address. It is empty in all others.
	Address string
	// Invitation is what a mail of the kind mailer.KindInvite invites to.
	Invitation *Invitation
	// App is set when an app with users of its own has asked: our own pages for signing up are not meant.
	App bool
	// Subject and Text are those of an alert, which no template writes.
	Subject, Text string
	// ID names the queued mail, for logs. It reveals nothing about link or code.
	ID storage.MailID
}

// Invitation is what a mail says of an invitation.
type Invitation struct {
	// Inviter is the address of the account that invites, empty for an operator.
	Inviter string   `json:"by,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	// Site is the origin that it is an invitation to.
	Site string `json:"site"`
}

// Observer counts. Its methods are called after the fact and must not block.
type Observer interface {
	// Mailed counts one mail: its purpose and its outcome (see the Outcome constants).
	Mailed(purpose, outcome string)
	// Denied counts one refusal of a limit, by the limit's name.
	Denied(limit string)
}

// Outcomes of one attempt at a mail.
const (
	// OutcomeSent is a final yes of the mailer.
	OutcomeSent = "sent"
	// OutcomeDropped is a mail that was never meant to leave: a decoy, a limit, a mute, a flow that has ended.
	OutcomeDropped = "dropped"
	// OutcomeRetry is an attempt that failed and will be repeated.
	OutcomeRetry = "retry"
	// OutcomeDead is a mail that was given up and kept as a dead letter.
	OutcomeDead = "dead"
)
