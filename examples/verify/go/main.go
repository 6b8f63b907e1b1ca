// Command go is an app in Go behind the gate: it greets whoever the assertion names, and refuses everybody else.
//
//	EMAIL_LINK_KEY=$(caddy email-link keys audience app.example.com) go run . -origin https://app.example.com
package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

func main() {
	origin := flag.String("origin", "https://app.example.com", "where people find the app, as in base_url")
	listen := flag.String("listen", "127.0.0.1:3000", "the address that the gate hands requests to; nobody else may reach it")
	flag.Parse()
	app, err := newApp(*origin)
	if err == nil {
		server := &http.Server{Addr: *listen, Handler: app, ReadHeaderTimeout: 10 * time.Second}
		err = server.ListenAndServe()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// newApp puts the verifier in front of the app's own pages.
func newApp(origin string) (http.Handler, error) {
	site, err := url.Parse(origin)
	if err != nil || site.Host == "" {
		return nil, errors.New("-origin is an origin, such as https://app.example.com")
	}
	v, err := identity.NewVerifier(identity.Config{
		Issuers:  []string{origin},
		Audience: site.Host, // unless the gate's Caddyfile names another
		Type:     identity.TypeAssertion,
		Key:      os.Getenv("EMAIL_LINK_KEY"),
		JWKSURL:  origin + "/email-link/jwks.json", // or JWKSFile
		Log:      slog.Default(),
	})
	if err != nil {
		return nil, err
	}
	return v.Handler(http.HandlerFunc(hello)), nil
}

// hello is only reached with a valid assertion. Use id.Subject as the key of your own records: an address may change.
func hello(w http.ResponseWriter, r *http.Request) {
	id, _ := identity.FromContext(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Hello %s\n", id.Email) //nolint:gosec // plain text, an address that the gate has proven
}
