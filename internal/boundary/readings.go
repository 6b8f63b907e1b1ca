package boundary

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// maxViewed is the length in bytes up to which an ambiguous path is looked at in every way. S3 allows keys of 1024 bytes,
	// three times as many once they are escaped.
	maxViewed = 4096
	// maxViews bounds the views of one path. Paths that people use have a dozen.
	maxViews = 256
)

// SentPath returns the path of a request as it is forwarded. That of an opaque target, such as "x:admin", is what follows its
// scheme: reverse_proxy sends that on, and Node's URL parser reads it below "/".
func SentPath(u *url.URL) string {
	if u.Opaque != "" {
		return u.Opaque
	}
	return u.EscapedPath()
}

// IsOrdinary reports whether every program reads a path alike and as it is: segments of lower-case letters, digits, "-", "_", "~"
// and ".", none of which ends in a dot. It is meant for URL.Path beside an empty URL.RawPath.
func IsOrdinary(path string) bool { return ordinary(path) }

// readings are what programs do to a path before they compare it with their routes, in the order in which they do it. Each one is
// optional, so a path has a view for each combination that makes a difference.
var readings = [...]func(path string) string{
	dropInvisible,       // URL parsers remove tabs and line ends, databases and file systems format characters
	cutQuery,            // programs that parse a path which they have decoded
	slashes,             // Windows, and every parser of the WHATWG's for http
	cutAuthority,        // parsers that take the target for a reference: new URL(target, base), parse_url, urlsplit, url.Parse
	cutParams,           // Tomcat, Jetty, Spring
	trimSegments,        // Windows
	resolveKeepingEmpty, // browsers, RFC 3986 section 5.2.4
	cutAuthority,        // programs that parse once more what they have resolved
	collapse,            // nginx's merge_slashes, Caddy
}

// allViews returns the views of an ambiguous path, nil where they are too many. once is the path decoded once.
func allViews(raw, once string) []string {
	if len(raw) > maxViewed {
		return nil
	}
	twice := decodeLenient(once)
	views := []string{raw}
	for _, base := range []string{raw, once, twice, compatible(once), compatible(twice)} {
		forms := []string{base}
		for _, reading := range readings {
			for _, form := range forms {
				if other := reading(form); !slices.Contains(forms, other) {
					forms = append(forms, other)
				}
			}
			if len(forms) > maxViews {
				return nil
			}
		}
		for _, form := range forms {
			if !slices.Contains(views, form) {
				views = append(views, form)
			}
		}
		if len(views) > maxViews {
			return nil
		}
	}
	return views
}

// compatible returns a decoded path as programs read it that accept overlong UTF-8 and map compatibility characters to the ones
// that they stand for: fullwidth letters and slashes, "‥", the Kelvin sign.
func compatible(path string) string {
	if isASCII(path) {
		return path
	}
	short := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		// C0 and C1 begin two bytes that encode ASCII (RFC 3629 section 3 forbids them).
		if lead := path[i]; lead&0xfe == 0xc0 && i+1 < len(path) && path[i+1]&0xc0 == 0x80 {
			short = append(short, lead<<6|path[i+1]&0x3f)
			i++
			continue
		}
		short = append(short, path[i])
	}
	return norm.NFKC.String(string(short))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// dropInvisible removes control and format characters.
func dropInvisible(path string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= utf8.RuneSelf && unicode.In(r, unicode.Cc, unicode.Cf) {
			return -1
		}
		return r
	}, path)
}

// cutQuery cuts what a parser takes for a query or a fragment.
func cutQuery(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i]
	}
	return path
}

func slashes(path string) string { return strings.ReplaceAll(path, `\`, "/") }

// cutAuthority returns the path of a reference that begins with a host, as in "//host/path". The WHATWG's parser skips any number
// of slashes before the host (https://url.spec.whatwg.org/#special-authority-ignore-slashes-state).
func cutAuthority(path string) string {
	if !strings.HasPrefix(path, "//") {
		return path
	}
	host := strings.TrimLeft(path, "/")
	if i := strings.IndexByte(host, '/'); i >= 0 {
		return host[i:]
	}
	return "/"
}

// trimSegments cuts dots and spaces off the end of each segment, but leaves dot segments alone.
func trimSegments(path string) string {
	if !strings.ContainsAny(path, ". ") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if dotsOf(segment) == "" {
			segments[i] = strings.TrimRight(segment, ". ")
		}
	}
	return strings.Join(segments, "/")
}

func collapse(path string) string            { return resolve(path, true) }
func resolveKeepingEmpty(path string) string { return resolve(path, false) }

// cutParams cuts ";params" off each segment.
func cutParams(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

// resolve resolves dot segments, escaped ones too, as browsers do, and drops empty segments where collapse says so. The result begins with a slash.
func resolve(path string, collapse bool) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	out := make([]string, 0, len(segments)+1)
	for i, segment := range segments {
		last := i == len(segments)-1
		dots := dotsOf(segment)
		switch {
		case dots != "":
			if dots == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		case segment == "" && collapse && !last:
		default:
			out = append(out, segment)
		}
	}
	return "/" + strings.Join(out, "/")
}

// dotsOf returns "." or ".." for a segment that is one to a browser (https://url.spec.whatwg.org/#single-dot-path-segment),
// else nothing.
func dotsOf(segment string) string {
	if len(segment) > len("%2e%2e") {
		return ""
	}
	switch dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", "."); dots {
	case ".", "..":
		return dots
	default:
		return ""
	}
}
