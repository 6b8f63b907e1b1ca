package templates

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Kinds of characters that get into addresses unseen, as the catalogue names them.
const (
	invisible = "invisible"
	lookalike = "lookalike"
	space     = "space"
)

// kindOfCharacter returns the kind of a character, empty for one that people see and know.
func kindOfCharacter(r rune) string {
	switch {
	case unicode.IsSpace(r):
		return space
	case unicode.In(r, unicode.Cf, unicode.Cc, unicode.Mn), strings.ContainsRune("\u115f\u1160\u3164\uffa0", r): // letters without a glyph
		return invisible
	case r > unicode.MaxASCII && isASCII(norm.NFKC.String(string(r))):
		return lookalike
	}
	return ""
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// UnseenCharacter returns the first character of an address that people cannot see or tell from an ordinary one, and its place, counted
// from 1; both are zero where there is none.
func UnseenCharacter(address string) (r rune, position int) {
	for _, r := range address {
		if position++; kindOfCharacter(r) != "" {
			return r, position
		}
	}
	return 0, 0
}
