package token

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// shapeSpan bounds how far the end of a mailed token may lie from now. Links live for 72 hours at most, so a text whose end is
	// further away is no link, whatever else it is. By it a token is distinguished from a long word in an address.
	shapeSpan = 366 * 24 * time.Hour
	// shapeSize is the least number of characters that are taken for a token cut short. What is missing of a shorter one (120 bits)
	// cannot be guessed.
	shapeSize = 32
	// shapeRounds bounds how often escapes are undone: once for the address itself, again for an address in a parameter of it.
	shapeRounds = 4
)

// Clean returns the mailed token in text: the value of `t` as a mail program has left it. White space, invisible characters and soft
// line breaks of quoted-printable are removed wherever they are; quotes, brackets and `=3D` before the token and any punctuation
// behind it are removed as well. The rest is strict: ok is false unless it is exactly one text that this package writes, of a stored
// or of a stateless flow. Only the store or its seal decides whether such a token exists.
//
// What Clean accepts, [Holds] finds in an address: no spelling that opens a page is one that a log shows.
func Clean(text string, now time.Time) (cleaned string, ok bool) {
	if len(text) > 2*MaxLink {
		return "", false
	}
	text = strings.TrimLeft(string(removeFolding([]byte(text))), `<("'[=`)
	text = strings.TrimPrefix(text, "3D")
	size := completeAt(text, now)
	if size == 0 {
		return "", false
	}
	if rest := strings.TrimLeft(text[size:], "-_"); rest != "" && inAlphabet(rest[0]) {
		return "", false
	}
	return text[:size], true
}

// Holds reports whether text, an address or a part of one, contains a mailed token in any spelling: below any path, as or in any
// parameter, escaped up to four times over, folded by a mail program, or cut short by up to 20 characters. It allocates nothing for
// texts of up to 2 KiB. now is called at most once for each spelling, where something looks like a token; nil and the
// zero time stand for an unknown one, and then every plausible end counts.
func Holds(text string, now func() time.Time) bool {
	if len(text) < shapeSize {
		return false
	}
	if strings.Contains(text, linkHeader) || strings.IndexByte(text, 'A') >= 0 && holdsStored(text, now) {
		return true
	}
	if !isSpelled(text) {
		return false
	}
	var buffer [2 << 10]byte
	plain := append(buffer[:0], text...)
	for range shapeRounds {
		before := len(plain)
		plain = removeFolding(unescape(plain))
		if bytes.Contains(plain, linkHeaderBytes) || holdsStored(plain, now) {
			return true
		}
		if len(plain) == before { // nothing was left to undo: both only remove
			return false
		}
	}
	return false
}

var linkHeaderBytes = []byte(linkHeader)

// isSpelled reports whether a text may contain escapes or folding.
func isSpelled(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c == '%' || c == '+' || c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// Redact returns an address without its query and without the part of its path that holds a token.
func Redact(address string, now func() time.Time) string {
	address, _, _ = strings.Cut(address, "?")
	address, _, _ = strings.Cut(address, "#")
	redacted := false
	for Holds(address, now) {
		redacted = true
		i := strings.LastIndexByte(address, '/')
		if i < 0 {
			return "REDACTED"
		}
		address = address[:i]
	}
	if redacted {
		return address + "/REDACTED"
	}
	return address
}

// holdsStored looks for the text of a stored token. It begins with the letter A: the end's first byte is 0 for the next 34 000 years.
func holdsStored[T string | []byte](text T, now func() time.Time) bool {
	var at time.Time
	for i := 0; len(text)-i >= shapeSize; i++ {
		if text[i] != 'A' {
			continue
		}
		if end, ok := shapedEnd(text[i:]); ok && runLength(text[i:]) >= shapeSize {
			if now == nil {
				return true
			}
			if at.IsZero() {
				at = now()
			}
			if at.IsZero() || near(end, at) {
				return true
			}
		}
	}
	return false
}

// completeAt returns how many characters of text, from its beginning, are a whole token; it returns 0 if they are not.
func completeAt(text string, now time.Time) int {
	if strings.HasPrefix(text, linkStart) {
		return completeLink(text)
	}
	end, ok := shapedEnd(text)
	if !ok || !near(end, now) {
		return 0
	}
	for _, size := range [...]int{Size, legacySize} {
		if len(text) < size {
			continue
		}
		if _, err := Parse(text[:size]); err == nil {
			return size
		}
	}
	return 0
}

// completeLink returns the length of the compact JWE at the beginning of text: nonce, content and tag follow its constant header.
func completeLink(text string) int {
	at := len(linkStart)
	for _, size := range [...]int{encoding.EncodedLen(nonceSize), 0, encoding.EncodedLen(tagSize)} {
		run := runLength(text[at:])
		if run == 0 || run < size {
			return 0
		}
		if size == encoding.EncodedLen(tagSize) {
			at += size // what follows it may be an underscore of a mail program
			break
		}
		at += run
		if at == len(text) || text[at] != '.' {
			return 0
		}
		at++
	}
	if at > MaxLink {
		return 0
	}
	return at
}

// shapedEnd reads the end of a stored token from the beginning of its text, in seconds since 1970.
func shapedEnd[T string | []byte](text T) (end int64, ok bool) {
	const characters, lowest = 7, 1 << 30 // 2004
	if len(text) < characters {
		return 0, false
	}
	var bits uint64
	for i := range characters {
		value := digits[text[i]]
		if value < 0 {
			return 0, false
		}
		bits = bits<<6 | uint64(value)
	}
	end = int64(bits >> (6*characters - 8*endSize)) //nolint:gosec // five bytes fit
	return end, end > lowest && end>>32 == 0
}

func near(end int64, now time.Time) bool {
	distance := end - now.Unix()
	return -int64(shapeSpan/time.Second) < distance && distance < int64(shapeSpan/time.Second)
}

// runLength returns how many characters of base64url text begins with.
func runLength[T string | []byte](text T) int {
	for i := range len(text) {
		if !inAlphabet(text[i]) {
			return i
		}
	}
	return len(text)
}

func inAlphabet(c byte) bool { return digits[c] >= 0 }

// digits holds the value of each character of base64url (RFC 4648 section 5), and -1 for all others.
var digits = func() (table [256]int8) {
	for i := range table {
		table[i] = -1
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		table[c] = int8(i) //nolint:gosec // below 64
	}
	return table
}()

// removeFolding removes, in place, what mail programs put into a long line and what is not displayed: white space of all kinds, invisible
// characters, and the `=` of a soft line break (RFC 2045 section 6.7).
func removeFolding(text []byte) []byte {
	stored := text[:0]
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		soft := r == '=' && i+1 < len(text) && (text[i+1] == '\r' || text[i+1] == '\n')
		if !soft && !isFolding(r) {
			stored = append(stored, text[i:i+size]...)
		}
		i += size
	}
	return stored
}

func isFolding(r rune) bool {
	switch r {
	case ' ', '\t', '\r', '\n', '\v', '\f', '\u0085', '\u00a0', '\u00ad', '\u034f', '\u061c', '\u180e', '\u202f', '\u205f', '\u2060', '\u3000', '\ufeff':
		return true
	}
	return '\u2000' <= r && r <= '\u200f' || '\u2028' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// unescape undoes, in place, one layer of escapes as a query does, and leaves malformed ones as they are.
func unescape(text []byte) []byte {
	plain := text[:0]
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(text) && unhex(text[i+1]) >= 0 && unhex(text[i+2]) >= 0:
			c = byte(unhex(text[i+1])<<4 | unhex(text[i+2])) //nolint:gosec // below 256
			i += 2
		}
		plain = append(plain, c)
	}
	return plain
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
