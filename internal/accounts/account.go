package accounts

// Status is the state of an account.
type Status string

// Account states.
const (
	Active   Status = "active"
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
