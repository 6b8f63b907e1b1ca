package boundary

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ErrPath reports that a path holds NUL or an invalid escape: 400.
var ErrPath = errors.New("the path holds NUL or a malformed escape")

// Views returns what a path may mean to a program that reads it behind the gate: raw is the path as it will be forwarded
// (SentPath). A path is public only when every view is; it is protected when any view is. Views leave case as it is: what compares
// them knows whether case matters.
//
// A spelling is ambiguous when programs differ on what it means: an escaped slash, backslash, percent sign, dot, semicolon,
// question mark, hash, control or unreserved character; a backslash, a semicolon, a raw control character, "?" or "#"; empty
// and dot segments, segments that end in a dot or a space; bytes that are not UTF-8, and characters that compatibility or
// case mapping turns into ASCII. An ambiguous path is never public. Its views are all results of [readings], raw itself first.
// They are nil where there are too many of them to look at: such a path has to be taken for any.
//
// Any other path has one view, the decoded one: its escapes can only be read in one way.
func Views(raw string) (views []string, ambiguous bool, err error) {
	once, ambiguous, err := decodePath(raw)
	switch {
	case err != nil:
		return nil, true, err
	case ambiguous:
		return allViews(raw, once), true, nil
	default:
		return []string{once}, false, nil
	}
}

// Ambiguous reports whether programs differ on what a path means. It builds no views, since those of a long path cost far more
// than the rest of a request.
func Ambiguous(raw string) (ambiguous bool, err error) {
	_, ambiguous, err = decodePath(raw)
	return ambiguous, err
}

// decodePath returns a path decoded once.
func decodePath(raw string) (once string, ambiguous bool, err error) {
	if ordinary(raw) {
		return raw, false, nil
	}
	once, oddEscape, ok := decode(raw)
	if !ok || strings.IndexByte(once, 0) >= 0 {
		return "", true, ErrPath
	}
	return once, oddEscape || strings.ContainsAny(raw, "\\;?#") || !unambiguous(once), nil
}

// ordinary reports whether a path has but one view: lower-case unreserved characters in segments that are plain.
func ordinary(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	last := byte(0)
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '~', c == '.':
		case c == '/' && last != '/' && last != '.':
		default:
			return false
		}
		last = path[i]
	}
	return last != '.'
}

// decode decodes escapes once. odd is set when one of them stood for a character that has a meaning in paths, or that needs no
// escape.
func decode(s string) (decoded string, odd, ok bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, false, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		c, ok := unhex(s, i)
		if !ok {
			return "", true, false
		}
		odd = odd || oddlyEscaped(c)
		out = append(out, c)
		i += 2
	}
	return string(out), odd, true
}

// decodeLenient decodes escapes once and leaves malformed ones as they are.
func decodeLenient(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := unhex(s, i); ok {
			out = append(out, c)
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

// unhex reads the escape at s[i:].
func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) || s[i] != '%' {
		return 0, false
	}
	high, ok1 := hexDigit(s[i+1])
	low, ok2 := hexDigit(s[i+2])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}

func oddlyEscaped(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c < ' ', c == 0x7f:
		return true
	default:
		return strings.IndexByte(`/\%;?#.-_~`, c) >= 0
	}
}

// unambiguous reports whether a decoded path has one meaning.
func unambiguous(path string) bool {
	if path == "" || path[0] != '/' || !utf8.ValidString(path) {
		return false
	}
	segments := path[1:]
	for more := true; more; {
		var segment string
		segment, segments, more = strings.Cut(segments, "/")
		if segment == "" && more || strings.HasSuffix(segment, ".") || strings.HasSuffix(segment, " ") {
			return false
		}
	}
	return !strings.ContainsFunc(path, func(r rune) bool {
		return r < ' ' || r == 0x7f || r >= utf8.RuneSelf && asciiInDisguise(r)
	})
}

// asciiInDisguise reports whether compatibility or case mapping makes ASCII of r (fullwidth slashes, the Kelvin sign), or
// whether it is a control or format character.
func asciiInDisguise(r rune) bool {
	if unicode.In(r, unicode.Cc, unicode.Cf) || unicode.ToLower(r) < utf8.RuneSelf {
		return true
	}
	return strings.ContainsFunc(norm.NFKC.String(string(r)), func(r rune) bool { return r < utf8.RuneSelf })
}
