package accounts

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-email-link/caddy-email-link/internal/timezone"
)

const (
	// MaxName is the longest name, in bytes.
	MaxName = 200
	// MaxRole is the longest role, in bytes.
	MaxRole = 64
	// MaxRoles is the largest number of roles of one account: an assertion carries all of them, and its size is bounded.
	MaxRoles     = 32
	maxLanguage  = 35
	maxRolesSize = 1024
)

// InvalidError is the refusal of one field of an account. It contains nothing of the input.
type InvalidError struct {
	// Field is email, name, role, language, timezone or status.
	Field string
	// Reason continues a sentence that begins with the field's name.
	Reason string
}

func (e *InvalidError) Error() string { return "account: the " + e.Field + " " + e.Reason }

// CheckName returns an *[InvalidError] for a name that is longer than [MaxName], is not UTF-8 or contains control characters, because
// names go into headers, mails and terminals. Characters that change the direction of writing or separate lines are among them. The
// empty name is valid.
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

// forbidden reports whether r is a control character, a line or paragraph separator, or a format character that reorders or hides
// text. Joiners are permitted: names in Persian and Sinhala need them.
func forbidden(r rune) bool {
	const zwnj, zwj = '\u200c', '\u200d'
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) ||
		unicode.Is(unicode.Cf, r) && r != zwnj && r != zwj
}

// CheckRole returns an *[InvalidError] unless role is 1 to [MaxRole] visible ASCII characters without comma, quotation mark and
// backslash: roles are joined by commas in headers and compared byte for byte.
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

// CheckRoles returns an *[InvalidError] if [CheckRole] refuses one of roles, or if they are more than [MaxRoles] or 1024 bytes.
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

// CheckLanguage returns an *[InvalidError] unless tag is empty or has the form of a BCP 47 tag.
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

// CheckTimezone returns an *[InvalidError] unless zone is empty or a name of the IANA database.
func CheckTimezone(zone string) error {
	if _, ok := timezone.Load(zone); !ok && zone != "" {
		return &InvalidError{"timezone", "is not the name of a time zone; write one of the IANA database, such as Europe/Berlin, or leave it empty"}
	}
	return nil
}

// roleSet returns the roles sorted, each once.
func roleSet(roles []string) []string {
	set := slices.Clone(roles)
	slices.Sort(set)
	return slices.Compact(set)
}
