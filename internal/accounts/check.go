package accounts

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxName is the longest name, in bytes.
	MaxName = 200
	// MaxRole is the longest role, in bytes.
	MaxRole = 64
	// MaxRoles is the largest number of roles of one account; all of them go into each assertion, which has a bound.
	MaxRoles     = 32
	maxLanguage  = 35
	maxRolesSize = 1024
)

// InvalidError says which field of an account is refused and why. It holds nothing of the input.
type InvalidError struct {
	// Field is email, name, role, language or status.
	Field string
	// Reason follows the field's name in a sentence.
	Reason string
}

func (e *InvalidError) Error() string { return "account: the " + e.Field + " " + e.Reason }

// CheckName says why a name is refused: longer than [MaxName], not UTF-8, or with characters that control something: names
// go into headers, mails and terminals. Characters that turn the direction of writing or join lines count as such. The empty
// name is good.
func CheckName(name string) error {
	switch {
	case len(name) > MaxName:
		return &InvalidError{"name", "is longer than 200 bytes"}
	case !utf8.ValidString(name):
		return &InvalidError{"name", "is not UTF-8"}
	}
	for _, r := range name {
		if forbidden(r) {
			return &InvalidError{"name", "holds a control character"}
		}
	}
	return nil
}

// forbidden reports control characters, line and paragraph separators, and the format characters that reorder or hide text.
// Joiners stay: names in Persian and Sinhala need them.
func forbidden(r rune) bool {
	const zwnj, zwj = '\u200c', '\u200d'
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) ||
		unicode.Is(unicode.Cf, r) && r != zwnj && r != zwj
}

// CheckRole says why a role is refused. Roles are 1 to [MaxRole] visible ASCII characters without comma, quotation mark and
// backslash: they are joined by commas in headers and compared byte for byte.
func CheckRole(role string) error {
	if role == "" || len(role) > MaxRole {
		return &InvalidError{"role", "is empty or longer than 64 bytes"}
	}
	for i := range len(role) {
		switch c := role[i]; {
		case c <= ' ' || c > '~':
			return &InvalidError{"role", "holds something else than visible ASCII characters"}
		case c == ',' || c == '"' || c == '\\':
			return &InvalidError{"role", "holds a comma, a quotation mark or a backslash"}
		}
	}
	return nil
}

// CheckRoles says why a list of roles is refused: one of them is, or they are more than [MaxRoles] or 1024 bytes.
func CheckRoles(roles []string) error {
	size := 0
	for _, r := range roles {
		if err := CheckRole(r); err != nil {
			return err
		}
		size += len(r)
	}
	if len(roles) > MaxRoles || size > maxRolesSize {
		return &InvalidError{"role", "list is longer than 32 roles or 1024 bytes"}
	}
	return nil
}

// CheckLanguage says why a language is refused: it has not the form of a BCP 47 tag. The empty one is good.
func CheckLanguage(tag string) error {
	if len(tag) > maxLanguage {
		return &InvalidError{"language", "is longer than 35 bytes"}
	}
	part := 0
	for i := range len(tag) {
		c := tag[i] | 0x20
		switch {
		case c >= 'a' && c <= 'z' || i > 0 && tag[i] >= '0' && tag[i] <= '9':
			part++
		case tag[i] == '-' && part > 0 && i < len(tag)-1:
			part = 0
		default:
			return &InvalidError{"language", "is no language tag"}
		}
	}
	return nil
}

// roleSet returns the roles sorted, each once.
func roleSet(roles []string) []string {
	set := slices.Clone(roles)
	slices.Sort(set)
	return slices.Compact(set)
}
