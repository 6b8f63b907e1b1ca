package selfservice

import (
	"fmt"
	"slices"
	"strings"
)

// Act is one kind of what people may do with their accounts.
type Act string

// Acts that an operator permits by name. The language of mails and the time zone need no permission.
const (
	// Name is to change the name.
	Name Act = "name"
	// Password is to change the password, where there are passwords.
	Password Act = "password"
	// Sessions is to see and end sessions.
	Sessions Act = "sessions"
	// Tokens is to see and revoke machine tokens.
	Tokens Act = "tokens"
	// Address is to change the address, to one that could sign up.
	Address Act = "address"
	// Export is to download everything that is kept about the account.
	Export Act = "export"
	// Delete is to delete the account.
	Delete Act = "delete"
)

// AllActs lists all acts.
func AllActs() []Act { return []Act{Name, Password, Sessions, Tokens, Address, Export, Delete} }

// Names lists the words of all acts.
func Names() []string {
	var names []string
	for _, a := range AllActs() {
		names = append(names, string(a))
	}
	return names
}

// ParseActs reads the words of acts. No word at all means all of them.
func ParseActs(words []string) ([]Act, error) {
	if len(words) == 0 {
		return AllActs(), nil
	}
	var acts []Act
	for _, w := range words {
		a := Act(w)
		switch {
		case !slices.Contains(AllActs(), a):
			return nil, fmt.Errorf("%q is nothing that people do with their accounts: write one or more of %s", w, strings.Join(Names(), ", "))
		case slices.Contains(acts, a):
			return nil, fmt.Errorf("%s is given twice", w)
		}
		acts = append(acts, a)
	}
	return acts, nil
}
