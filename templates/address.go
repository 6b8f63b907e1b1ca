package templates

import "time"

// AccountAddress is the part of the page of an account that is about its address.
type AccountAddress struct {
	// Form is set where people change it by themselves, Operator where they may but no address could sign up here: then operators do.
	Form, Operator bool
	// Typed is what was typed in the refused form, and Refused is set when the problem of the page is that form's.
	Typed   string
	Refused bool
	// Change is the one that waits for its mailboxes, nil if there is none.
	Change *AddressChange
}

// Shown reports whether the page has anything to say about the address.
func (a AccountAddress) Shown() bool { return a.Form || a.Operator || a.Change != nil }

// AddressChange is a change of the address that waits for its mailboxes.
type AddressChange struct {
	// Address is the new one. New and Present are set once that mailbox has confirmed.
	Address      string
	New, Present bool
	// Code is set when this browser may type the code of the new mailbox. The change ends at End.
	Code bool
	End  time.Time
}

// ConfirmAddress is the page of an opened link of a change of an address.
type ConfirmAddress struct {
	Token string
	// Kind is "address" for the new mailbox, "consent" for the present one, and "back" for the one that an account had before.
	Kind string
	// Address is that of the mailbox, New the new one where that is another.
	Address, New string
	// Asked and Device are of the browser that asked.
	Asked   time.Time
	Device  string
	Problem Problem
}

// AddressDone follows a pressed button of ConfirmAddress. What is "new" or "old" where that mailbox was the first to confirm, "changed" or
// "restored".
type AddressDone struct{ What string }

func (ConfirmAddress) page() string { return "confirm-address" }
func (AddressDone) page() string    { return "address-done" }
