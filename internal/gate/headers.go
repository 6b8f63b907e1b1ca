package gate

import (
	"fmt"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
)

const placeholderPrefix = "http.auth.user."

// field is a part of the identity that a header or a placeholder can show.
type field uint8

const (
	fieldNone field = iota
	fieldID
	fieldEmail
	fieldName
	fieldRoles
)

var fields = map[string]field{"id": fieldID, "email": fieldEmail, "name": fieldName, "roles": fieldRoles}

// user shows an account to headers and placeholders.
type user struct{ account *accounts.Account }

func (u user) get(f field) string {
	switch f {
	case fieldID:
		return u.account.ID
	case fieldEmail:
		return u.account.Email
	case fieldName:
		return u.account.Name
	case fieldRoles:
		return strings.Join(u.account.Roles, ",")
	default:
		return ""
	}
}

// part is a literal text, or a field.
type part struct {
	literal string
	field   field
}

// PlainHeader is a configured header with parts of the identity.
type PlainHeader struct {
	Name  string
	Value HeaderValue
}

// HeaderValue is the value of a configured header, parsed at load. No Replacer is involved: what an account holds is copied, never
// expanded.
type HeaderValue []part

// ParseHeaderValue reads text with placeholders of the identity. Any other placeholder is an error: it would be empty at best.
func ParseHeaderValue(s string) (HeaderValue, error) {
	var v HeaderValue
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			i = len(s)
		}
		if i > 0 {
			v = append(v, part{literal: s[:i]})
			s = s[i:]
			continue
		}
		name, rest, closed := strings.Cut(s[1:], "}")
		f, known := fields[strings.TrimPrefix(name, placeholderPrefix)]
		if s[0] == '}' || !closed || !known || !strings.HasPrefix(name, placeholderPrefix) {
			return nil, fmt.Errorf("unrecognized placeholder in %q; expected one of {http.auth.user.id}, {http.auth.user.email}, {http.auth.user.name}, {http.auth.user.roles}", s)
		}
		v, s = append(v, part{field: f}), rest
	}
	if len(v) == 0 {
		return nil, fmt.Errorf("the value is empty")
	}
	for _, p := range v {
		if HasControl(p.literal) {
			return nil, fmt.Errorf("the value holds a control character")
		}
	}
	return v, nil
}

// text returns the value for one user. A value of one placeholder is the user's own string.
func (v HeaderValue) text(u user) string {
	if len(v) == 1 && v[0].field != fieldNone {
		return u.get(v[0].field)
	}
	var b strings.Builder
	for _, p := range v {
		b.WriteString(p.literal)
		b.WriteString(u.get(p.field))
	}
	return b.String()
}

// placeholders returns the value of {http.auth.user.…} for one user. ok is false for every other name.
func (u user) placeholders(name string) (value any, ok bool) {
	rest, ours := strings.CutPrefix(name, placeholderPrefix)
	if !ours {
		return nil, false
	}
	f, known := fields[rest]
	if !known {
		return nil, false
	}
	return u.get(f), true
}

// HasControl reports whether a text holds an ASCII control character.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
