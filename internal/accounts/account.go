package accounts

import "context"

// Status is the state of an account.
type Status string

// Account states. A pending account has not proven its mailbox yet; only apps that own their users have such.
const (
	Active   Status = "active"
	Pending  Status = "pending"
	Disabled Status = "disabled"
)

// Account is what the gate knows of a person.
type Account struct {
	// ID is opaque and never reused.
	ID string
	// Email is the address as stored, byte for byte: where mail goes.
	Email string
	// Name may be empty. It holds no control characters.
	Name   string
	Roles  []string
	Status Status
	// Language is a BCP 47 tag, empty when unknown.
	Language string
}

// Source looks accounts up. It is called by the mail worker and by operators, never by the request that asks for a link.
type Source interface {
	// Lookup returns the account whose mailbox is that of email, in any spelling of it. found is false for an unknown one.
	Lookup(ctx context.Context, email string) (a Account, found bool, err error)
}
