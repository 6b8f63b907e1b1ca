package address

import (
	"errors"
	"strings"
)

// Pattern is a compiled pattern of `require email`. The zero value matches nothing.
type Pattern struct {
	local  string   // "*" for any
	labels []string // "*" for any one
}

// Errors of patterns.
var (
	errPatternForm = errors.New("a pattern is an address, such as ada@example.com, *@example.com or *@*.example.com")
	errPatternStar = errors.New("* stands only for the whole part before the @ or for one whole label of the domain")
	errPatternOpen = errors.New("after a * in the domain two labels must follow: anybody can get a name below a top-level domain")
)

// CompilePattern reads a pattern: an address in which "*" may stand for the whole local part, and for one whole label of the
// domain that has two or more labels after it. Case and spelling of the domain do not matter.
func CompilePattern(s string) (Pattern, error) {
	local, domain, found := strings.Cut(s, "@")
	if !found || len(s) > MaxLength || local == "" || domain == "" {
		return Pattern{}, errPatternForm
	}
	if local != "*" && strings.Contains(local, "*") || strings.Count(domain, "*") > 1 {
		return Pattern{}, errPatternStar
	}
	if local != "*" && !dotAtom(local) {
		return Pattern{}, errPatternForm
	}
	labels := strings.Split(domain, ".")
	star := -1
	for i, label := range labels {
		if label == "*" {
			star, labels[i] = i, "x" // a stand-in while the whole domain is judged
		} else if strings.Contains(label, "*") {
			return Pattern{}, errPatternStar
		}
	}
	if star >= 0 && len(labels)-star < 3 {
		return Pattern{}, errPatternOpen
	}
	ascii, ok := canonicalDomain(strings.Join(labels, "."))
	if !ok {
		return Pattern{}, errPatternForm
	}
	labels = strings.Split(ascii, ".")
	if star >= 0 {
		labels[star] = "*"
	}
	return Pattern{local: strings.ToLower(local), labels: labels}, nil
}

// String returns the pattern as it is written.
func (p Pattern) String() string { return p.local + "@" + strings.Join(p.labels, ".") }

// Match reports whether the pattern covers a.
func (p Pattern) Match(a Address) bool {
	if a.IsZero() || p.local == "" || p.local != "*" && p.local != a.local {
		return false
	}
	rest := a.domain
	for i, want := range p.labels {
		label, after, more := strings.Cut(rest, ".")
		if want != "*" && want != label || more != (i < len(p.labels)-1) {
			return false
		}
		rest = after
	}
	return true
}

// ParsePattern reports whether p is a pattern, for checks of a configuration.
func ParsePattern(p string) error {
	_, err := CompilePattern(p)
	return err
}
