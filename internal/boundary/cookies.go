package boundary

import (
	"net/http"
	"slices"
	"strings"
)

// Kinds of cookies, for CookieName.
const (
	SessionCookie = ""
	FlowCookie    = "_flow"
	TokenCookie   = "_token"
	KnownCookie   = "_known"
	HandoffCookie = "_handover"
	// LanguageCookie names the language that the person has chosen; it says nothing about who they are.
	LanguageCookie = "_language"
	// AltchaCookie names, by a keyed digest, the mailbox for which a form was refused that takes a proof of work.
	AltchaCookie = "_altcha"
	// PortalCookie is a random value by which a site knows a browser that it has led to the portal; it opens nothing by itself.
	PortalCookie = "_portal"
	// ProofCookie holds the pending proof of one act on the account.
	ProofCookie = "_proof"
)

const (
	cookieBase   = "email_link"
	cookieSecure = "__Host-" + cookieBase
)

var cookieKinds = [...]string{SessionCookie, FlowCookie, TokenCookie, KnownCookie, HandoffCookie, LanguageCookie, AltchaCookie, PortalCookie, ProofCookie}

// CookieName returns the name of a cookie of ours: "__Host-email_link" and the kind, without "__Host-" on plain http.
func CookieName(kind string, secure bool) string {
	if secure {
		return cookieSecure + kind
	}
	return cookieBase + kind
}

// Cookies are the values of our cookies in a request, empty where the request has none.
type Cookies struct {
	Session, Flow, Token, Known, Handoff, Language, Altcha, Portal, Proof string
	// Doubled is set when a name came twice. Another site may have set the second one, so such a name counts as missing.
	Doubled bool
}

// ExtractCookies removes all cookies of ours, in both forms, from all Cookie lines of a request, and returns the values of the
// form that secure says. A header without any is not touched. Values are as sent, quotes included.
func ExtractCookies(header http.Header, secure bool) Cookies {
	var t extraction
	t.secure = secure
	lines := header["Cookie"]
	empty := false
	for i, line := range lines {
		if strings.Contains(line, cookieBase) {
			lines[i] = t.line(line)
			empty = empty || lines[i] == ""
		}
	}
	if empty {
		replace(header, "Cookie", slices.DeleteFunc(lines, func(line string) bool { return line == "" }))
	}
	value := func(kind int) string {
		if t.seen[kind] > 1 {
			t.doubled = true
			return ""
		}
		return t.values[kind]
	}
	c := Cookies{Session: value(0), Flow: value(1), Token: value(2), Known: value(3), Handoff: value(4), Language: value(5), Altcha: value(6), Portal: value(7), Proof: value(8)}
	c.Doubled = t.doubled
	return c
}

// extraction is the state of ExtractCookies; kinds are indexes of cookieKinds.
type extraction struct {
	values  [len(cookieKinds)]string
	seen    [len(cookieKinds)]int
	secure  bool
	doubled bool
}

// line takes our cookies out of one line. Runs of other cookies are kept as they are; the usual line, with ours at an end,
// needs no new string, and any other is put together once.
func (t *extraction) line(line string) string {
	remaining, more, run, found := "", []string(nil), -1, false
	keep := func(cookies string) {
		cookies = strings.TrimLeft(cookies, " \t;")
		switch {
		case strings.Trim(cookies, " \t;") == "": // nothing but separators
		case remaining == "":
			remaining = cookies
		default:
			more = append(more, cookies)
		}
	}
	for start := 0; start <= len(line); {
		end := len(line)
		if i := strings.IndexByte(line[start:], ';'); i >= 0 {
			end = start + i
		}
		if t.extract(line[start:end]) {
			found = true
			if run >= 0 {
				keep(line[run : start-1])
				run = -1
			}
		} else if run < 0 {
			run = start
		}
		start = end + 1
	}
	if !found {
		return line
	}
	if run >= 0 {
		keep(line[run:])
	}
	if len(more) == 0 {
		return remaining
	}
	return remaining + "; " + strings.Join(more, "; ")
}

// extract notes a cookie of ours and reports whether it is one. A name without "=" is one too, so that it does not go on.
func (t *extraction) extract(pair string) bool {
	name, value, valued := strings.Cut(pair, "=")
	kind, secure, ok := ourCookie(trimSpace(name))
	if ok && valued && secure == t.secure {
		t.seen[kind]++
		t.values[kind] = trimSpace(value)
	}
	return ok
}

// ourCookie says which of our cookies a name is. Names of cookies are case-sensitive.
func ourCookie(name string) (kind int, secure, ok bool) {
	rest, secure := strings.CutPrefix(name, "__Host-")
	rest, ok = strings.CutPrefix(rest, cookieBase)
	if !ok {
		return 0, false, false
	}
	kind = slices.Index(cookieKinds[:], rest)
	return kind, secure, kind >= 0
}

// setsOurs reports whether a Set-Cookie line names a cookie of ours as any browser reads it: white space and control characters
// round the name do not count, nor does case, and a cookie without name ("=email_link=x", "email_link") is stored by some
// engines in a way that they send back as ours.
func setsOurs(line string) bool {
	pair, _, _ := strings.Cut(line, ";")
	for range 2 {
		name, rest, _ := strings.Cut(pair, "=")
		name = strings.TrimFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f })
		if name == "" {
			pair = rest
			continue
		}
		if _, _, ok := ourCookie(lowerCookie(name)); ok {
			return true
		}
		break
	}
	return false
}

// lowerCookie lowers a name, but for the H of the prefix.
func lowerCookie(name string) string {
	name = strings.ToLower(name)
	if rest, ok := strings.CutPrefix(name, "__host-"); ok {
		return "__Host-" + rest
	}
	return name
}

// keepCookies takes the orders to forget cookies out of Clear-Site-Data; "*" becomes what remains of it.
func keepCookies(values []string) []string {
	remaining := make([]string, 0, len(values))
	for _, value := range values {
		var orders []string
		for order := range strings.SplitSeq(value, ",") {
			switch order = trimSpace(order); strings.ToLower(strings.Trim(order, `"`)) {
			case "", "cookies":
			case "*":
				orders = append(orders, `"cache"`, `"storage"`)
			default:
				orders = append(orders, order)
			}
		}
		if len(orders) > 0 {
			remaining = append(remaining, strings.Join(orders, ", "))
		}
	}
	return remaining
}

// trimSpace trims what readers of headers take for white space: SP and TAB, and what cannot arrive but some would trim.
//
// It is a loop of its own because strings.Trim builds a set of the characters at each call, and each cookie is trimmed.
func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
