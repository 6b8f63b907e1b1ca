package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// TestJWT1_PublicKeyOfTheApp encrypts assertions to an app's public key, from a PEM file and from a JWK: the app reads them by
// its private key, and nothing that the gate holds opens them.
func TestJWT1_PublicKeyOfTheApp(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	for name, public := range map[string]string{
		"pem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"jwk": fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, text(point[1:33]), text(point[33:])),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "app.pub")
			if err := os.WriteFile(file, []byte(public), 0o600); err != nil {
				t.Fatal(err)
			}
			w := start(t, setup{global: "sign_up open", site: "audience shop\nidentity {\n key {file." + file + "}\n}"})
			c := w.client()
			w.signUp(c, "ada@example.com")
			if status, _ := c.get("/x"); status != http.StatusOK {
				t.Fatal(status)
			}
			records := w.backend.taken()
			got := records[len(records)-1].header.Get("Email-Link-Assertion")
			config := identity.Config{
				Issuers: []string{w.origin()}, Audience: "shop", Type: identity.TypeAssertion, PrivateKey: private,
				JWKSURL: w.origin() + "/email-link/jwks.json",
			}
			v, err := identity.NewVerifier(config)
			if err != nil {
				t.Fatal(err)
			}
			if id, err := v.Verify(context.Background(), got); err != nil || id.Email != "ada@example.com" {
				t.Errorf("the app reads %+v, %v", id, err)
			}
			head, err := base64.RawURLEncoding.DecodeString(strings.SplitN(got, ".", 2)[0])
			if err != nil || !strings.Contains(string(head), `"alg":"ECDH-ES+A256KW"`) {
				t.Errorf("the header is %s, %v", head, err)
			}
			parts, _ := module.Running()
			config.PrivateKey, config.Keys = nil, [][]byte{parts.Ring.AudienceKey("shop")}
			if v, err = identity.NewVerifier(config); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(context.Background(), got); err == nil {
				t.Error("the gate's own key opens what was meant for the app")
			}
		})
	}
	w := start(t, setup{})
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.key")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.tryLoad(setup{site: "identity {\n key {file." + file + "}\n}"}); err == nil || !strings.Contains(err.Error(), "public key") {
		t.Errorf("a private key at the gate: %v", err)
	}
}

// TestJWT2_BackendRefusesOthers puts the shipped middleware before an app behind the gate: what the gate mints for it passes,
// and what is forged, meant for another app, of another gate, or not there at all is 401, from whoever reaches the app
// directly.
func TestJWT2_BackendRefusesOthers(t *testing.T) {
	sites := "$ADDR {\n handle /shop/* {\n email_link {\n audience shop\n }\n reverse_proxy $BACKEND\n }\n handle {\n email_link {\n audience wiki\n }\n reverse_proxy $BACKEND\n }\n}\n"
	w := start(t, setup{global: "sign_up open", sites: sites})
	parts, _ := module.Running()
	v, err := identity.NewVerifier(identity.Config{
		Issuers: []string{w.origin()}, Audience: "shop", Type: identity.TypeAssertion,
		Keys: [][]byte{parts.Ring.AudienceKey("shop")}, JWKSURL: w.origin() + "/email-link/jwks.json",
	})
	if err != nil {
		t.Fatal(err)
	}
	app := v.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, ok := identity.FromContext(r.Context())
		_, _ = fmt.Fprintf(rw, "hello %s %v", id.Email, ok)
	}))
	w.backend.answers(app.ServeHTTP)
	c := w.client()
	w.signUp(c, "ada@example.com")
	if status, body := c.get("/shop/x"); status != http.StatusOK || body != "hello ada@example.com true" {
		t.Errorf("through the gate: %d %q", status, body)
	}
	good := w.backend.taken()
	mine := good[len(good)-1].header.Get("Email-Link-Assertion")
	if status, _ := c.get("/wiki"); status != http.StatusUnauthorized {
		t.Errorf("what was meant for another app: %d", status)
	}
	others := w.backend.taken()
	pieces := strings.Split(mine, ".")
	swapped := append([]string{}, pieces...)
	swapped[3] = strings.Split(others[len(others)-1].header.Get("Email-Link-Assertion"), ".")[3]
	for name, one := range map[string]struct {
		header []string
		want   int
	}{
		"as it came":      {[]string{mine}, http.StatusOK},
		"none":            {nil, http.StatusUnauthorized},
		"empty":           {[]string{""}, http.StatusUnauthorized},
		"twice":           {[]string{mine, mine}, http.StatusUnauthorized},
		"one byte less":   {[]string{mine[:len(mine)-1]}, http.StatusUnauthorized},
		"another's body":  {[]string{strings.Join(swapped, ".")}, http.StatusUnauthorized},
		"the other app's": {others[len(others)-1].header["Email-Link-Assertion"], http.StatusUnauthorized},
		"words":           {[]string{"ada@example.com"}, http.StatusUnauthorized},
	} {
		r := httptest.NewRequest(http.MethodGet, "/shop/x", nil)
		r.Header["Email-Link-Assertion"] = one.header
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, r)
		if rec.Code != one.want || (one.want != http.StatusOK && strings.Contains(rec.Body.String(), "hello")) {
			t.Errorf("%s: %d %q", name, rec.Code, rec.Body)
		}
	}
	// The same gate with another master key is another gate, at the same address.
	old := mine
	w.db = filepath.Join(w.dir, "another", "email_link.db")
	w.load(setup{global: "sign_up open", sites: sites, secret: "another-master-key-of-enough-bytes-0123456789"})
	again := w.client()
	w.backend.answers(nil)
	w.signUp(again, "ada@example.com")
	w.backend.taken()
	if status, _ := again.get("/shop/x"); status != http.StatusOK {
		t.Fatal(status)
	}
	foreign := w.backend.taken()[0].header.Get("Email-Link-Assertion")
	r := httptest.NewRequest(http.MethodGet, "/shop/x", nil)
	r.Header.Set("Email-Link-Assertion", foreign)
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, r)
	if rec.Code != http.StatusUnauthorized || foreign == old {
		t.Errorf("of another gate: %d", rec.Code)
	}
}
