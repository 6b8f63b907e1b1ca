//go:build e2e

package e2e

import (
	"html/template"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// backend is an app behind the gate: it believes the assertion alone, and shows what is in it.
type backend struct {
	address  string
	verifier atomic.Pointer[identity.Verifier]
	// hint is a link that the page at /hint asks the browser to fetch ahead.
	hint atomic.Pointer[string]
	// app answers in place of the page that shows the assertion, nil for that page.
	app http.HandlerFunc
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	b.address = s.Listener.Addr().String()
	return b
}

// verifyFor gives the app the key of its audience, as an operator would.
func (b *backend) verifyFor(t *testing.T, g *gate) {
	t.Helper()
	_, audience, _ := strings.Cut(g.origin, "://") // the origin's host, with a port that is not the scheme's own
	v, err := identity.NewVerifier(identity.Config{
		Issuers: []string{g.origin}, Audience: audience, Type: identity.TypeAssertion,
		Key: g.cli("keys", "audience", audience), JWKSURL: g.origin + "/email-link/jwks.json", Client: g.client, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.verifier.Store(v)
}

var appPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>The app</title>
<link rel="icon" href="data:,">
<h1>The app</h1>
<p>Path: <span id="path">{{.Path}}</span></p>
<p>Email: <span id="email-seen">{{.ID.Email}}</span></p>
<p>Subject: <span id="subject">{{.ID.Subject}}</span></p>
<p>By: <span id="methods">{{range .ID.Methods}}{{.}} {{end}}</span></p>
<p>Cookies: <span id="cookies">{{.Cookies}}</span></p>
<p><a href="/email-link/">Your account</a></p>
`))

var hintPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Soon</title><link rel="icon" href="data:,">
<link rel="prefetch" href="{{.}}"><p>Soon</p>
`))

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/favicon.ico" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if link := b.hint.Load(); link != nil && r.URL.Path == "/hint" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = hintPage.Execute(w, *link)
		return
	}
	if b.app != nil {
		b.app(w, r)
		return
	}
	b.verifier.Load().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := identity.FromContext(r.Context())
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = appPage.Execute(w, map[string]any{"ID": id, "Path": r.URL.RequestURI(), "Cookies": r.Header.Get("Cookie")})
	})).ServeHTTP(w, r)
}
