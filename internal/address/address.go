// Package address has a grammar of its own for email addresses, much smaller than RFC 5322's: an ASCII dot-atom of at most
// 64 bytes, "@", and an IDNA2008 domain (RFC 5890 to 5893) with a dot, at most 254 bytes in all. There are no quoted strings,
// comments, groups, address literals, percent or bang routes, and no control, format or compatibility characters: each of
// them has been a way to make two programs see two recipients in one string.
//
// One mailbox has one canonical form: local part and domain in lower case, the domain as A-labels. Equal canonical forms are
// one account. A domain that only looks like another one has another canonical form, and is shown as punycode.
package address

import (
	"strings"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Lengths in bytes. MaxLength is the longest path that fits RFC 5321 section 4.5.3.1.3 without its angle brackets.
const (
	MaxLength = 254
	MaxLocal  = 64
)

// Labels under which digests of addresses are made.
const (
	mailboxLabel = "mailbox"
	limitLabel   = "mailbox limit"
)

// Ring makes keyed digests; *keyring.Ring is one.
type Ring interface {
	MAC(label string, parts ...[]byte) storage.Digest
}

// Address is a valid address. The zero value is no address. Compare addresses by String.
type Address struct {
	typed  string // local part as typed
	local  string // local part in lower case
	domain string // A-labels in lower case
}

// Parse reads exactly one address. Lengths are judged before anything else. It trims nothing. Its errors are of type *Error
// and hold nothing of the input.
func Parse(s string) (Address, error) {
	switch {
	case s == "":
		return Address{}, ErrMissing
	case len(s) > MaxLength:
		return Address{}, ErrTooLong
	}
	local, domain, found := strings.Cut(s, "@")
	switch {
	case !found:
		return Address{}, ErrNoAt
	case strings.Contains(domain, "@"):
		return Address{}, ErrSeveral
	case len(local) > MaxLocal:
		return Address{}, ErrTooLong
	case !dotAtom(local):
		return Address{}, ErrLocal
	}
	ascii, ok := canonicalDomain(domain)
	switch {
	case !ok:
		return Address{}, ErrDomain
	case len(local)+1+len(ascii) > MaxLength:
		return Address{}, ErrTooLong
	}
	return Address{typed: local, local: strings.ToLower(local), domain: ascii}, nil
}

// IsZero reports whether a is no address.
func (a Address) IsZero() bool { return a.domain == "" }

// String returns the canonical form: lower case, the domain as A-labels. Parsing it gives it back.
func (a Address) String() string { return a.join(a.local, a.domain) }

// Typed returns the address to store and to send to: the local part as it was typed, because only the receiving server knows
// whether its case matters, and the domain as A-labels, so that no server needs SMTPUTF8.
func (a Address) Typed() string { return a.join(a.typed, a.domain) }

// Display returns the address to show: the local part as typed, the domain in its own script where no reader can take it for
// another one, else as punycode.
func (a Address) Display() string { return a.join(a.typed, displayDomain(a.domain)) }

// Masked returns the address for pages and logs that must not tell it: the first character of the local part and the domain,
// "j•••@example.com". How long the local part is does not show.
func (a Address) Masked() string {
	if a.IsZero() {
		return ""
	}
	return a.local[:1] + "•••@" + displayDomain(a.domain)
}

// Domain returns the domain as A-labels in lower case.
func (a Address) Domain() string { return a.domain }

// Mailbox returns the keyed digest of the canonical form. It says which account an address belongs to; "+tag" is kept, as
// it is part of the address.
func (a Address) Mailbox(ring Ring) storage.Digest {
	return ring.MAC(mailboxLabel, []byte(a.String()))
}

// LimitKey returns the keyed digest under which mails to the mailbox are counted: "+tag" is folded, because all of ada+1@,
// ada+2@ … mostly arrive in one mailbox. So are dots at Gmail, which takes no notice of them: a name of ten letters would be
// 512 mailboxes to a limit, and one to their owner (https://support.google.com/mail/answer/7436150).
func (a Address) LimitKey(ring Ring) storage.Digest {
	local, domain := a.local, a.domain
	if i := strings.IndexByte(local, '+'); i > 0 {
		local = local[:i]
	}
	if domain == "gmail.com" || domain == "googlemail.com" {
		local, domain = strings.ReplaceAll(local, ".", ""), "gmail.com"
	}
	return ring.MAC(limitLabel, []byte(a.join(local, domain)))
}

func (a Address) join(local, domain string) string {
	if a.IsZero() {
		return ""
	}
	return local + "@" + domain
}

// dotAtom reports whether s is a dot-atom of RFC 5322 section 3.2.3 without "!" and "%", which are routes to old mail servers.
func dotAtom(s string) bool {
	dot := true // a dot may not come first, last or twice
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.':
			if dot {
				return false
			}
			dot = true
		case atext(c):
			dot = false
		default:
			return false
		}
	}
	return !dot
}

func atext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return strings.IndexByte("#$&'*+-/=?^_`{|}~", c) >= 0
	}
}
