package gate

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// Need is what a request has to bring along.
type Need uint8

const (
	// NeedNothing lets a request go on as an anonymous one.
	NeedNothing Need = iota
	// NeedSession asks for a session or a token, and for all that the site requires where Protects holds. It is for ambiguous
	// paths, whose views are many: they are not looked at for anonymous requests.
	NeedSession
	// NeedAll asks for all that the site requires.
	NeedAll
)

// See returns a request as a program sees it that reads another path in it.
type See func(r *http.Request, path string) *http.Request

// Access says which requests of a site need what.
type Access struct {
	// Optional lets every request through.
	Optional bool
	// Protect holds what is protected, empty for everything; Public what is open all the same, empty for nothing.
	Protect, Public Sets
	See             See
}

// Need returns what a request needs. err is boundary.ErrPath for a path that is refused.
//
// A path is public where it is matched in every reading, as it was sent, case included. An ambiguous one is never public.
func (a *Access) Need(r *http.Request) (Need, error) {
	ambiguous, err := boundary.Ambiguous(boundary.SentPath(r.URL))
	switch {
	case err != nil:
		return NeedAll, err
	case a.Optional:
		return NeedNothing, nil
	case ambiguous && len(a.Protect) > 0:
		return NeedSession, nil
	case ambiguous, a.Protect.Demands(r) && (len(a.Public) == 0 || !a.Public.Opens(r)):
		return NeedAll, nil
	default:
		return NeedNothing, nil
	}
}

// Protects reports whether a request is protected in any reading of its path.
func (a *Access) Protects(r *http.Request) bool {
	if len(a.Protect) == 0 || a.Protect.Demands(r) {
		return true
	}
	ambiguous, _ := boundary.Ambiguous(boundary.SentPath(r.URL))
	return ambiguous && Route{{Match: a.Protect}}.Reaches(Read(r, a.See))
}
