package accounts

import "time"

// Status decides whether an account may sign in.
type Status string

// The statuses of an account.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
)

// Account is an account without its passwords.
type Account struct {
	// ID is opaque and never reused.
	ID string
	// Email is the address as stored, byte for byte; mail goes to it.
	Email string
	// Name may be empty. It contains no control characters.
	Name   string
	Roles  []string
	Status Status
	// Language is a BCP 47 tag, empty when unknown.
	Language string
	// Timezone is the zone in which times are written for this person, a name of the IANA database; empty: that of pages and mails for everybody.
	Timezone string
	// Deletes is when the account goes, by the gate's clock, because its owner has deleted it, once no mailbox may take it back any more. It is zero for all
	// others.
	Deletes time.Time
	// BrowsersForgotten is when the owner last said of a session that it was not theirs, to the second: browsers that signed in until then count
	// as new once more. It is zero where that has not happened.
	BrowsersForgotten time.Time
}
