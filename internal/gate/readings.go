package gate

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// Step is one stage on the way from an outer gate to an inner one.
type Step struct {
	// Match has to match, Unless must not: it holds the matchers of what keeps a request off this way, such as an earlier sibling.
	Match  Sets
	Unless []Sets
	// Rewrite returns a request with another path. Where it is set, requests that Match does not match go on as they are.
	Rewrite func(r *http.Request) *http.Request
	// Set returns a request with the values that a handler sets by its path, for each case that programs may read it in. Where it is
	// set, requests that Match does not match go on as they are.
	Set func(r *http.Request) []*http.Request
}

// Route leads from an outer gate to an inner one.
type Route []Step

// maxReadings bounds how many readings of one request are followed. One with more is taken to reach every gate.
const maxReadings = 512

// Readings are the requests that one request is to the programs which may read it, the request itself among them.
type Readings struct {
	list []*http.Request
	see  See
	// everything reports that there are too many readings to follow.
	everything bool
}

// Read returns the readings of a request.
func Read(r *http.Request, see See) Readings {
	readings := Readings{see: see}
	readings.add(r)
	return readings
}

func (s *Readings) add(r *http.Request) {
	views, _, err := boundary.Views(boundary.SentPath(r.URL))
	if err != nil || views == nil || len(s.list)+len(views) > maxReadings {
		s.everything = true
		return
	}
	// The request itself counts too: its escaped path is compared by patterns with a percent sign.
	s.list = append(s.list, r)
	for _, view := range views {
		if view != r.URL.Path {
			s.list = append(s.list, s.see(r, view))
		}
	}
}

// Reaches reports whether some reading of a request leads all the way: each program reads it in one way, so one and the same
// reading has to pass every step. A rewrite makes a new path, which can be read in several ways again.
func (w Route) Reaches(s Readings) bool {
	for _, step := range w {
		if s.everything {
			return true
		}
		next := Readings{see: s.see}
		for _, r := range s.list {
			changes := step.Rewrite != nil || step.Set != nil
			switch {
			case !changes || !step.Match.Demands(r):
			case step.Rewrite != nil:
				next.add(step.Rewrite(r))
			default:
				next.list = append(next.list, step.Set(r)...)
			}
			if changes && !(len(step.Match) == 0 || step.Match.Opens(r)) || !changes && step.passes(r) {
				next.list = append(next.list, r)
			}
		}
		next.everything = next.everything || len(next.list) > maxReadings
		if s = next; len(s.list) == 0 && !s.everything {
			return false
		}
	}
	return true
}

func (s *Step) passes(r *http.Request) bool {
	if !s.Match.Demands(r) {
		return false
	}
	for _, unless := range s.Unless {
		if unless.Opens(r) {
			return false
		}
	}
	return true
}
