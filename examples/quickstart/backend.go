package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// backend is what an app behind the gate looks like: a verifier around the pages. Beside that it tries on its page what
// happens to assertions that are not good.
type backend struct {
	origin  string
	accept  *identity.Verifier
	later   *identity.Verifier // the same app, an hour later
	another *identity.Verifier // another app behind the same gate
	forger  *identity.Minter   // knows the app's key, and not the gate's
}

// newBackend returns the app's handler. key is the audience's key, which the gate has as well.
func newBackend(origin, key string) (http.Handler, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	config := identity.Config{
		Issuers: []string{origin}, Audience: u.Host, Type: identity.TypeAssertion,
		Key: key, JWKSURL: origin + "/email-link/jwks.json",
	}
	b := &backend{origin: origin}
	var errs [4]error
	b.accept, errs[0] = identity.NewVerifier(config)
	late := config
	late.Now = func() time.Time { return time.Now().Add(time.Hour) }
	b.later, errs[1] = identity.NewVerifier(late)
	other := config
	other.Audience = "other.example.com"
	b.another, errs[2] = identity.NewVerifier(other)
	raw, err := identity.ParseKey(key)
	if err != nil {
		return nil, err
	}
	_, forged, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	b.forger, errs[3] = identity.NewMinter(identity.MinterConfig{
		Key: raw, Signer: func() (string, ed25519.PrivateKey) { return "forged", forged },
	})
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return b.accept.Handler(http.HandlerFunc(b.page)), nil // nothing below here runs without a valid assertion
}

// trial is one assertion that must not be accepted.
type trial struct{ What, Result string }

func (b *backend) page(w http.ResponseWriter, r *http.Request) {
	who, _ := identity.FromContext(r.Context())
	token := r.Header.Get(identity.Header)
	boss := *who
	boss.Email, boss.Subject = "boss@example.com", "somebody-else"
	forged, _, err := b.forger.Mint(boss)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	try := func(v *identity.Verifier, token string) string {
		if _, err := v.Verify(r.Context(), token); err != nil {
			var reason identity.Refusal
			if errors.As(err, &reason) {
				return "refused: " + string(reason)
			}
			return "refused: " + err.Error()
		}
		return "ACCEPTED – this must not happen"
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Cache-Control", "no-store")
	_ = backendPage.Execute(w, map[string]any{ // the reader is gone
		"Who": who, "Methods": strings.Join(who.Methods, ", "), "Home": b.origin + "/email-link/",
		"Trials": []trial{
			{"Forged: says boss@example.com, encrypted with this app's key, signed by somebody else", try(b.accept, forged)},
			{"Expired: yours, shown again an hour later", try(b.later, token)},
			{"Foreign: yours, shown to another app of this gate", try(b.another, token)},
		},
	})
}

var backendPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Demo backend</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
body { max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
th { text-align: left; padding-right: 1rem; font-weight: 600; vertical-align: top }
h1, th, td { overflow-wrap: anywhere }
td.result { min-width: 5rem }
</style>
<h1>Hello, {{.Who.Email}}</h1>
<p>This is the demo backend. It has no sign-in of its own: the gate put a signed and encrypted assertion into this request,
and the backend verified it.</p>
<table>
<tr><th>email<td>{{.Who.Email}} (verified: {{.Who.EmailVerified}})
<tr><th>sub<td>{{.Who.Subject}}
<tr><th>iss<td>{{.Who.Issuer}}
<tr><th>aud<td>{{.Who.Audience}}
<tr><th>amr<td>{{.Methods}}
<tr><th>auth_time<td>{{.Who.AuthTime.Format "2006-01-02 15:04:05 MST"}}
<tr><th>exp<td>{{.Who.Expiry.Format "2006-01-02 15:04:05 MST"}}
</table>
<h2>What it does not accept</h2>
<table>
{{range .Trials}}<tr><th>{{.What}}<td class="result">{{.Result}}
{{end}}</table>
<p><a href="{{.Home}}">Your session</a>: sign out here or everywhere.</p>
</html>
`))
