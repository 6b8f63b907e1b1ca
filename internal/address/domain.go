package address

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// registration maps nothing and refuses what may not be registered: RFC 5891 section 4, RFC 5893 and the lengths of DNS. It
// still lets symbols through that UTS 46 knows and IDNA2008 does not; permitted refuses those.
var registration = idna.New(idna.ValidateForRegistration())

// canonicalDomain returns the A-labels of a domain given as U-labels or A-labels, or false. Upper case is lowered and
// decomposed letters are composed, as people and keyboards produce both; nothing else is mapped.
func canonicalDomain(s string) (string, bool) {
	if s == "" || len(s) > MaxLength || !utf8.ValidString(s) || !strings.Contains(s, ".") {
		return "", false
	}
	lowered, ok := lowerDomain(s)
	if !ok {
		return "", false
	}
	ascii, err := registration.ToASCII(lowered)
	if err != nil || strings.HasSuffix(ascii, ".") {
		return "", false
	}
	uni, err := registration.ToUnicode(ascii)
	if err != nil {
		return "", false
	}
	labels := strings.Split(uni, ".")
	if len(labels) < 2 || !permittedTop(labels[len(labels)-1]) {
		return "", false
	}
	for _, label := range labels {
		if !permitted([]rune(label)) {
			return "", false
		}
	}
	// An A-label that is not the one encoding of its U-label would be a second spelling of the domain.
	if again, err := registration.ToASCII(uni); err != nil || again != ascii {
		return "", false
	}
	return ascii, true
}

// lowerDomain lowers and composes. It refuses characters that would turn into ASCII (the Kelvin sign, a dotted capital I) or
// that are a canonical double of another character.
func lowerDomain(s string) (string, bool) {
	ascii := true
	for _, r := range s {
		if r < utf8.RuneSelf {
			continue
		}
		ascii = false
		if one := string(r); !norm.NFC.IsNormalString(one) && !unicode.Is(unicode.M, r) || unicode.ToLower(r) < utf8.RuneSelf {
			return "", false
		}
	}
	lowered := strings.ToLower(s)
	if ascii {
		return lowered, true
	}
	return norm.NFC.String(lowered), true
}

// permittedTop refuses a last label of digits only: such a name is an IP address to many programs.
func permittedTop(label string) bool {
	return strings.ContainsFunc(label, func(r rune) bool { return r < '0' || r > '9' })
}

// permitted reports whether each character of a U-label is PVALID or, in its context, CONTEXTO (RFC 5892). Joiners
// (CONTEXTJ) are format characters and refused. That two kinds of Arabic digits do not meet follows from the bidi rule of the
// profile.
func permitted(label []rune) bool {
	for i, r := range label {
		switch {
		case r < utf8.RuneSelf: // letters, digits and hyphens only, by the profile
		case contextual(r):
			if !inContext(label, i) {
				return false
			}
		case strings.ContainsRune("\u06FD\u06FE\u0F0B\u3007", r): // exceptions of section 2.6
		case !unicode.In(r, unicode.Ll, unicode.Lo, unicode.Lm, unicode.Mn, unicode.Mc, unicode.Nd):
			return false
		}
	}
	return true
}

func contextual(r rune) bool { return strings.ContainsRune("\u00B7\u0375\u05F3\u05F4\u30FB", r) }

// inContext holds the rules of RFC 5892 appendix A.3 to A.7.
func inContext(label []rune, i int) bool {
	at := func(i int) rune {
		if i < 0 || i >= len(label) {
			return -1
		}
		return label[i]
	}
	switch label[i] {
	case '\u00B7':
		return at(i-1) == 'l' && at(i+1) == 'l'
	case '\u0375':
		return unicode.Is(unicode.Greek, at(i+1))
	case '\u05F3', '\u05F4':
		return unicode.Is(unicode.Hebrew, at(i-1))
	default: // KATAKANA MIDDLE DOT
		for _, r := range label {
			if unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han) {
				return true
			}
		}
		return false
	}
}
