package gate

import (
	"net/http"
	"slices"
)

// Matcher is one condition on a request, which can be read in two ways.
type Matcher interface {
	// Opens reports whether a request is certainly meant: as it is, case included.
	Opens(r *http.Request) bool
	// Demands reports whether a request may be meant by a program that ignores case. It holds wherever Opens does.
	Demands(r *http.Request) bool
}

// Set holds matchers that have to hold together.
type Set []Matcher

// Sets holds alternatives. No alternative at all matches every request.
type Sets []Set

// Opens implements Matcher.
func (s Sets) Opens(r *http.Request) bool {
	for _, set := range s {
		if !slices.ContainsFunc(set, func(m Matcher) bool { return !m.Opens(r) }) {
			return true
		}
	}
	return len(s) == 0
}

// Demands implements Matcher.
func (s Sets) Demands(r *http.Request) bool {
	for _, set := range s {
		if !slices.ContainsFunc(set, func(m Matcher) bool { return !m.Demands(r) }) {
			return true
		}
	}
	return len(s) == 0
}

// Not holds where none of its sets does. A negation turns the readings around: what it excludes from protection is opened by
// it, so it has to be certain, and what it excludes from opening only has to be possible.
type Not struct{ Sets Sets }

// Opens implements Matcher.
func (n Not) Opens(r *http.Request) bool { return !n.Sets.Demands(r) }

// Demands implements Matcher.
func (n Not) Demands(r *http.Request) bool { return !n.Sets.Opens(r) }
