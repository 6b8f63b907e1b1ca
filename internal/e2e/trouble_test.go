//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/templates"
)

// TestWEB2_WhatWentWrongHasAWayOn looks at the pages of refusals that no walk comes to, because a gate in order does not show them: too many
// requests, a fault, a database that is away, too many people. Each is readable, small and with forced colours, and has one way on that
// stands out.
func TestWEB2_WhatWentWrongHasAWayOn(t *testing.T) {
	t.Parallel()
	troubles := map[string]int{"error-limited": 429, "error-internal": 500, "error-unavailable": 503, "error-busy": 503, "sign-in-limited": 429}
	set, err := templates.Load(templates.Options{Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	samples := slices.DeleteFunc(templates.PageSamples(), func(s templates.PageSample) bool { return troubles[s.Name] == 0 })
	if len(samples) != len(troubles) {
		t.Fatalf("%d pages, want %d", len(samples), len(troubles))
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { showSample(rw, r, set, samples) }))
	t.Cleanup(server.Close)
	for _, i := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d-%s-scripts-%v", walkers[i].width, walkers[i].locale, walkers[i].scripts), func(t *testing.T) {
			t.Parallel()
			w := newWalker(t, "anna", i)
			for _, s := range samples {
				w.open(server.URL + "/email-link/" + s.Name)
				w.audits("/email-link/"+s.Name, troubles[s.Name])
				ways := evaluate[[]string](w.browser, `[...document.querySelectorAll('main a.button, main button:not(.quiet, [type=button])')].map((e) => e.getAttribute('href') ?? e.form.getAttribute('action'))`)
				want := "/email-link/sign-in"
				if refused, ok := s.Facts.(templates.Refused); ok {
					want = refused.NextSteps[0].Address
				}
				if len(ways) != 1 || ways[0] != want {
					t.Errorf("%s: the ways on that stand out are %q", s.Name, ways)
				}
			}
		})
	}
}

// showSample serves a sample of a page, and what it loads, with the headers of our pages.
func showSample(rw http.ResponseWriter, r *http.Request, set *templates.Set, samples []templates.PageSample) {
	for name, value := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; worker-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'",
		"X-Frame-Options":         "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, no-store, no-transform",
		"Referrer-Policy": "strict-origin", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		rw.Header().Set(name, value)
	}
	if asset, ok := strings.CutPrefix(r.URL.Path, "/email-link/assets/"); ok {
		content, kind, _ := set.Asset(asset)
		rw.Header().Set("Content-Type", kind)
		_, _ = rw.Write(content)
		return
	}
	i := slices.IndexFunc(samples, func(s templates.PageSample) bool { return r.URL.Path == "/email-link/"+s.Name })
	if i < 0 {
		http.NotFound(rw, r)
		return
	}
	s := samples[i]
	s.Frame.Language = set.Language(r.Header.Get("Accept-Language"))
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(s.Status)
	_ = set.Page(rw, s.Frame, s.Facts)
}
