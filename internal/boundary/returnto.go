package boundary

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxReturnTo is the longest place to return to, in bytes.
const maxReturnTo = 2048

// ReturnTo returns where to send a browser after a flow: raw, when it is a path on this site outside prefix (with its query
// and fragment), else "/". Dot segments are resolved as a browser resolves them; what a header field or a page must not hold
// is escaped. Anything by which some reader could leave the site or get to our own pages counts as no path: backslashes,
// control characters, two slashes at the start, also behind one or two levels of escapes.
func ReturnTo(raw, prefix string) string {
	if to, ok := returnTo(raw, strings.TrimRight(prefix, "/")); ok {
		return to
	}
	return "/"
}

func returnTo(raw, prefix string) (string, bool) {
	if len(raw) > maxReturnTo || !strings.HasPrefix(raw, "/") || !utf8.ValidString(raw) || strings.ContainsFunc(raw, control) {
		return "", false
	}
	if ordinary(raw) { // nothing to resolve, nothing to escape, one way to read it
		return raw, !below(raw, prefix)
	}
	path, rest := raw, ""
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		path, rest = raw[:i], raw[i:]
	}
	if strings.Contains(path, `\`) {
		return "", false
	}
	path = resolve(path, false)
	views, _, err := Views(path)
	if err != nil {
		return "", false
	}
	for _, view := range views {
		if leaves(view) || below(view, prefix) {
			return "", false
		}
	}
	to := escape(path) + escape(rest)
	if u, err := url.Parse(to); err != nil || u.Host != "" || u.Scheme != "" || len(to) > maxReturnTo {
		return "", false
	}
	return to, true
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// leaves reports whether a browser that is sent to a path leaves the site.
func leaves(path string) bool {
	return len(path) > 1 && strings.IndexByte(`/\`, path[1]) >= 0 || !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, control)
}

// below reports whether a path is prefix or below it, in any case.
func below(path, prefix string) bool {
	if prefix == "" || len(path) < len(prefix) || !strings.EqualFold(path[:len(prefix)], prefix) {
		return false
	}
	return len(path) == len(prefix) || path[len(prefix)] == '/'
}

// escape escapes what is not printable ASCII and what delimits texts and placeholders.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			out.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}
