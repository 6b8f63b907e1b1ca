package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// TestHDR2_SignUpToBackend signs up, opens the link in the same browser and finds at the backend exactly one assertion, which
// the shipped verifier accepts with the key that operators are given.
func TestHDR2_SignUpToBackend(t *testing.T) { bothModes(t, testSignUpToBackend) }

func testSignUpToBackend(t *testing.T, links string) {
	w := start(t, setup{global: "sign_up open\n" + links, site: "headers {\n Remote-User {http.auth.user.email}\n}"})
	c := w.client()
	if status, header, _ := c.visit("/app?x=1"); status != http.StatusSeeOther || header.Get("Location") != "/email-link/sign-in?return_to=%2Fapp%3Fx%3D1" {
		t.Fatalf("an anonymous visit: %d to %q", status, header.Get("Location"))
	}
	if status, _ := c.get("/app"); status != http.StatusUnauthorized {
		t.Fatalf("an anonymous fetch: %d", status)
	}
	if got := w.backend.taken(); len(got) != 0 {
		t.Fatalf("the backend has seen %d anonymous requests", len(got))
	}
	w.signUp(c, "ada@example.com")
	if status, body := c.get("/app"); status != http.StatusOK || body != "hello" {
		t.Fatalf("signed in: %d %q", status, body)
	}
	records := w.backend.taken()
	last := records[len(records)-1]
	got := last.header["Email-Link-Assertion"]
	if len(got) != 1 {
		t.Fatalf("%d assertions arrived", len(got))
	}
	if user := last.header["Remote-User"]; len(user) != 1 || user[0] != "ada@example.com" {
		t.Errorf("Remote-User is %q", user)
	}
	if cookie := last.header.Get("Cookie"); strings.Contains(cookie, "email_link") {
		t.Errorf("SES-2: a cookie of ours arrived: %q", cookie)
	}
	parts, _ := module.Running()
	audience := "localhost:" + w.port
	v, err := identity.NewVerifier(identity.Config{
		Issuers: []string{w.origin()}, Audience: audience, Type: identity.TypeAssertion,
		Keys: [][]byte{parts.Ring.AudienceKey(audience)}, JWKSURL: w.origin() + "/email-link/jwks.json",
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(context.Background(), got[0])
	if err != nil {
		t.Fatal(err)
	}
	if id.Email != "ada@example.com" || !id.EmailVerified || id.Subject == "" || id.SessionID == "" || len(id.Methods) != 1 || id.Methods[0] != "link" {
		t.Errorf("the assertion says %+v", id)
	}
	if len(got[0]) > 950 {
		t.Errorf("the assertion has %d bytes", len(got[0]))
	}
}
