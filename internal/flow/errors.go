package flow

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrDead is the one answer for every link that does not work: unknown, used, over, of another site.
	ErrDead = errors.New("flow: dead link")
	// ErrChanged reports that what was confirmed is not what was shown: show the page of what is parked now. Nothing happened.
	ErrChanged = errors.New("flow: not what was shown")
	// ErrNoFlow reports that this browser has no flow of its own, or an expired one.
	ErrNoFlow = errors.New("flow: no flow in this browser")
	// ErrClosed reports that signing up is not open to this address, by the address alone.
	ErrClosed = errors.New("flow: signing up is not open to this address")
	// ErrAddressClosed reports that people cannot have this address here by themselves, by the address alone.
	ErrAddressClosed = errors.New("flow: the address is one that could not sign up here")
	// ErrNoMail reports that no mail leaves this gate: people ask the contact for a link.
	ErrNoMail = errors.New("flow: no mail leaves")
	// ErrUnavailable wraps every failure of the store: nothing is handed out, whether or not the step happened.
	ErrUnavailable = errors.New("flow: the store is not available")
	// ErrNoAccount reports that a sign-in link has no account. It is returned to operators only, never to a browser.
	ErrNoAccount = errors.New("flow: there is no active account with this address")
	// ErrDisabled reports that an account is disabled. It is returned only after the right password.
	ErrDisabled = errors.New("flow: the account is disabled")
	// ErrSignedOut reports that what needs a session has none, or has one no more.
	ErrSignedOut = errors.New("flow: not signed in")
	// ErrTaken reports that the account of an activation link exists already. It is returned to operators only, never to a browser.
	ErrTaken = errors.New("flow: there is an account with this address")
)

// Names of limits that a Limited may carry beside those of the configuration.
const (
	// LimitResend: the wait between two mails of a flow.
	LimitResend = "resend"
	// LimitResends: the resends of a flow are spent.
	LimitResends = "resends"
	// LimitEntries: the entries to other sites that one session may have unused at a time.
	LimitEntries = "entries"
)

// Limited reports that a limit was reached, and when to try again.
type Limited struct {
	// Name is the limit's name, as in the configuration, or LimitResend, LimitResends, LimitEntries.
	Name    string
	RetryAt time.Time
	// ByMailbox is set when the limit counts a mailbox, which other people's requests can spend; else it counts the client.
	ByMailbox bool
	// Reserve is set when a mail leaves all the same if the client is in a network of one of the account's sessions.
	Reserve bool
	// Page and Mailbox are what Service.Challenge is asked for to get a proof of work whose solution is taken in place of this limit; both
	// are empty where none is.
	Page, Mailbox string
}

// Error implements error.
func (l *Limited) Error() string { return fmt.Sprintf("flow: limit %s reached", l.Name) }

// Invalid reports that a field cannot be used as sent. It never repeats the input.
type Invalid struct {
	// Field is the form's field: email, code, name, purpose, password, current, role; invitations for the number of open ones.
	Field string
	// Code is a stable word for the reason: syntax, wrong, off, too_long, control; for passwords also refused, missing, none,
	// not_offered, and those of password.Reasons; for invitations several, own, not_given, too_many.
	Code string
	// Left is how many more wrong codes are permitted, for the field code.
	Left int
	// Err is the cause, when it is safe to show; it may be nil.
	Err error
}

// Error implements error.
func (i *Invalid) Error() string { return fmt.Sprintf("flow: %s is invalid (%s)", i.Field, i.Code) }

// Unwrap returns the cause.
func (i *Invalid) Unwrap() error { return i.Err }
