package boundary

import (
	"strconv"
	"strings"
)

// KeepHSTS reports whether a site's own Strict-Transport-Security lasts at least as long as ours, so that sending ours in its
// place would shorten the promise, or drop its includeSubDomains, in browsers that have it. Browsers read the first value alone
// (RFC 6797 section 8.1).
func KeepHSTS(site []string, ours string) bool {
	if len(site) == 0 {
		return false
	}
	age := maxAge(site[0])
	return age > 0 && age >= maxAge(ours)
}

// maxAge returns the max-age of a Strict-Transport-Security header in seconds, -1 when it has none.
func maxAge(value string) int64 {
	for directive := range strings.SplitSeq(value, ";") {
		name, text, _ := strings.Cut(directive, "=")
		if !strings.EqualFold(trimSpace(name), "max-age") {
			continue
		}
		age, err := strconv.ParseInt(strings.Trim(trimSpace(text), `"`), 10, 64)
		if err != nil || age < 0 {
			return -1
		}
		return age
	}
	return -1
}
