package gate

import (
	"net/http"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

// endsServiceWorker reports whether a request that needs a sign-in is a browser's question for the script of an app's service worker,
// and is answered with one that removes itself. A worker which answers navigations from its cache would otherwise keep people from the
// sign-in page for good.
func (s *Site) endsServiceWorker(r *http.Request, st *requestState) bool {
	return !s.KeepServiceWorkers && !st.outer.KeepServiceWorkers && r.Method == http.MethodGet && boundary.IsServiceWorkerScript(r) && !boundary.IsUpgrade(r)
}
