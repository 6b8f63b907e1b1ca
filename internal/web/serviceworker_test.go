package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWEB4_ALinkThroughAServiceWorkerIsOneClick opens a link in the browser that asked, whose navigations an app's worker passes on.
func TestWEB4_ALinkThroughAServiceWorkerIsOneClick(t *testing.T) {
	bothModes(t, func(t *testing.T) {
		g := newGate(t)
		g.account(known)
		b := g.browser()
		link := g.find(linkPattern, b.asks(known).Text)
		passedOn := func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "empty") }
		g.browser().do("GET", link, "", "", passedOn).wants(t, 303, "/email-link/confirm")
		b.do("GET", link, "", "", passedOn).wants(t, 303, "/")
		if b.cookies["__Host-email_link"] == "" {
			t.Error("not signed in")
		}
	})
}

// TestWEB4_TheAnswerWithTheWorker: other writers may have said on what it depends.
func TestWEB4_TheAnswerWithTheWorker(t *testing.T) {
	g := newGate(t)
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Accept-Encoding")
	g.pages.Refuse(w, httptest.NewRequest(http.MethodGet, origin+"/sw.js", nil), Visit{Site: g.site}, EndServiceWorker)
	if got := w.Header()["Vary"]; len(got) != 2 || got[0] != "Accept-Encoding" || got[1] != "Cookie" {
		t.Errorf("Vary: %q", got)
	}
	if got := w.Header().Get("Service-Worker-Allowed"); got != "/" {
		t.Errorf("Service-Worker-Allowed: %q", got) // a worker with a scope above its folder would stay
	}
}

// TestWEB4_TheWorkerTouchesNothingElse: it answers no request, takes no window over that the app's worker has not had, and so reloads no
// public page that registers it again at each load.
func TestWEB4_TheWorkerTouchesNothingElse(t *testing.T) {
	for _, word := range []string{"fetch", "claim", "includeUncontrolled", "caches", "indexedDB", "importScripts"} {
		if strings.Contains(endingWorker, word) {
			t.Errorf("the worker says %q", word)
		}
	}
}
