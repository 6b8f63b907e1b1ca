package address

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// displayDomain returns the U-labels of a domain where every label is of one script and of letters that are not taken for
// others, else the A-labels. The list is closed and short: Latin letters of Western and Central Europe, Japanese, Chinese and
// Korean, and Cyrillic and Greek below a top-level domain of the same script. Scripts that run from right to left reorder
// the text round them, and combining marks can hide, so both stay punycode.
func displayDomain(ascii string) string {
	if !strings.Contains(ascii, "xn--") {
		return ascii
	}
	uni, err := registration.ToUnicode(ascii)
	if err != nil {
		return ascii
	}
	labels := strings.Split(uni, ".")
	top := scriptOf(labels[len(labels)-1])
	for _, label := range labels {
		switch script := scriptOf(label); script {
		case plain, latin, eastAsian:
		case cyrillic, greek:
			if script != top {
				return ascii
			}
		default:
			return ascii
		}
	}
	return uni
}

type script uint8

const (
	unsafeScript script = iota
	plain               // ASCII only
	latin               // ASCII and Latin letters
	cyrillic
	greek
	eastAsian
)

// scriptOf says which one script of the closed list a label is written in. Digits and hyphens belong to each.
func scriptOf(label string) script {
	var found script
	var letters, hangul, kana bool
	for _, r := range label {
		var s script
		switch {
		case r == '-', '0' <= r && r <= '9':
			continue
		case r < utf8.RuneSelf:
			letters = true
			continue
		case safeLatin(r):
			s = latin
		case 0x0430 <= r && r <= 0x045F, r == 0x0491:
			s = cyrillic
		case 0x03AC <= r && r <= 0x03CE:
			s = greek
		case unicode.Is(unicode.Hangul, r):
			s, hangul = eastAsian, true
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			s, kana = eastAsian, true
		case unicode.Is(unicode.Han, r):
			s = eastAsian
		default:
			return unsafeScript
		}
		if found != unsafeScript && found != s {
			return unsafeScript
		}
		found = s
	}
	switch {
	case found == unsafeScript:
		return plain
	case letters && found != latin, hangul && kana:
		return unsafeScript
	default:
		return found
	}
}

// safeLatin accepts the letters of Latin-1 and Latin Extended-A, without those that are read as an ASCII letter (dotless i,
// kra, thorn, long s) or as two.
func safeLatin(r rune) bool {
	return 0x00DF <= r && r <= 0x017E && unicode.Is(unicode.Ll, r) &&
		!strings.ContainsRune("\u00FE\u0131\u0133\u0138\u0140\u0149", r)
}
