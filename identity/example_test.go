package identity_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
)

// An app behind the gate. Here the gate's part is played by a Minter; a real app names JWKSURL or JWKSFile instead of
// SigningKeys.
func ExampleVerifier_Handler() {
	signing := ed25519.NewKeyFromSeed([]byte(strings.Repeat("s", ed25519.SeedSize)))
	key := strings.Repeat("5a", 32) // caddy email-link keys audience app.example.com

	v, err := identity.NewVerifier(identity.Config{
		Issuers:     []string{"https://app.example.com"},
		Audience:    "app.example.com",
		Type:        identity.TypeAssertion,
		Key:         key,
		SigningKeys: []identity.PublicKey{{ID: "1", Key: signing.Public().(ed25519.PublicKey)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := identity.FromContext(r.Context())
		fmt.Fprintf(w, "Hello %s!", id.Email)
	}))

	secret, err := identity.ParseKey(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := identity.NewMinter(identity.MinterConfig{
		Key:    secret,
		Signer: func() (string, ed25519.PrivateKey) { return "1", signing },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	assertion, _, err := gate.Mint(identity.Identity{
		Issuer: "https://app.example.com", Audience: "app.example.com", Subject: "AAECAwQFBgcICQoL",
		Email: "ada@example.com", EmailVerified: true, AuthTime: time.Now(), Methods: []string{"link"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, value := range []string{assertion, "forged"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(identity.Header, value)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 Hello ada@example.com!
	// 401 {"status":401,"title":"Unauthorized","code":"unauthorized"}
}
