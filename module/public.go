package module

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// needsSession says whether a request needs a session. A session is needed where any view of the path is protected; none is
// where every view is public. A path that two programs may read in two ways is never public.
func (h *Handler) needsSession(r *http.Request) (bool, error) {
	if h.Optional || len(h.protect) == 0 && len(h.public) == 0 {
		err := boundary.CheckPath(r.URL.EscapedPath())
		return !h.Optional || err != nil, err
	}
	views, ambiguous, err := boundary.ClearViews(r.URL.EscapedPath())
	if err != nil {
		return true, err
	}
	if ambiguous {
		return true, nil
	}
	protected := len(h.protect) == 0
	public := len(h.public) > 0
	for i := -1; i < len(views); i++ {
		seen := r
		if i >= 0 {
			if views[i] == r.URL.Path && r.URL.RawPath == "" {
				continue // it is the request itself
			}
			seen = asSeen(r, views[i])
		}
		if !protected {
			if protected, err = h.protect.AnyMatchWithError(seen); err != nil {
				return true, nil
			}
		}
		if public {
			ok, err := h.public.AnyMatchWithError(seen)
			public = ok && err == nil
		}
	}
	return protected && !public, nil
}

// asSeen returns the request as somebody sees it who reads the path in another way.
func asSeen(r *http.Request, path string) *http.Request {
	seen := *r
	u := *r.URL
	u.Path, u.RawPath = path, ""
	seen.URL = &u
	return &seen
}
