package integration

import (
	"crypto/ed25519"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// TestJWT2_MachineTokensAndOthers puts each kind of token that a gate makes or reads into the place of a machine token, and a
// machine token into the places of the others.
func TestJWT2_MachineTokensAndOthers(t *testing.T) {
	w := start(t, setup{global: "sign_up open\nlinks stateless\nscopes calendar", site: scoped})
	c := w.client()
	text, _ := w.token(c, "ada@example.com", "calendar")
	parts, _ := module.Running()
	audience := "localhost:" + w.port
	if status, _ := c.get("/x"); status != http.StatusOK {
		t.Fatal(status)
	}
	assertion := w.backend.taken()[0].header.Get("Email-Link-Assertion")
	config := identity.MinterConfig{
		Type: identity.TypeEvent, Key: parts.Ring.AudienceKey(audience), Now: parts.Clock.Wall,
		Signer: func() (string, ed25519.PrivateKey) {
			k := parts.Signing.Current(parts.Clock.Now())
			return k.ID, k.Private
		},
	}
	minter, err := identity.NewMinter(config)
	if err != nil {
		t.Fatal(err)
	}
	event, _, err := minter.Mint(identity.Identity{Issuer: w.origin(), Audience: audience, Subject: "x"})
	if err != nil {
		t.Fatal(err)
	}
	begin, err := identity.Start{
		Audience: audience, Origin: w.origin(), Purpose: "sign_in", Email: "ada@example.com", Subject: "x", Continue: "/there",
	}.Sign(parts.Ring.SignKey(audience), parts.Clock.Wall())
	if err != nil {
		t.Fatal(err)
	}
	asking := w.client()
	if status, _, body := asking.post("/email-link/sign-in", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
		t.Fatalf("asking: %d\n%s", status, body)
	}
	_, link := w.mail()
	address, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{
		"an assertion": assertion, "an event": event, "a start": begin, "a link": address.Query().Get("t"), "a session": c.cookieValue(),
		"a flow": asking.cookieValue(),
	}
	for kind, token := range kinds {
		if len(token) < 20 {
			t.Fatalf("%s: %q", kind, token)
		}
		for _, presented := range []string{"elt_" + token, "elt_" + strings.TrimPrefix(token, "elt_")} {
			for way, header := range ways(presented) {
				status, got, _ := w.client().do(http.MethodGet, "/x", nil, header)
				w.refusedToken(kind+" as a machine token by "+way, status, got, http.StatusUnauthorized)
			}
		}
	}
	v := w.verifier()
	for _, token := range []string{text, strings.TrimPrefix(text, "elt_")} {
		if _, err := v.Verify(t.Context(), token); err == nil {
			t.Error("a machine token is an assertion")
		}
		if _, err := identity.VerifyStart(token, parts.Ring.SignKey(audience), audience, w.origin(), parts.Clock.Wall()); err == nil {
			t.Error("a machine token is a start")
		}
		stranger := w.client()
		status, header, _ := stranger.visit("/email-link/link?t=" + url.QueryEscape(token))
		if status < 400 || header.Get("Set-Cookie") != "" || stranger.session() != nil {
			t.Errorf("a machine token is a link: %d %q", status, header.Get("Set-Cookie"))
		}
		for _, name := range []string{"email_link", "email_link_flow", "email_link_token", "email_link_known", "email_link_handover"} {
			status, _, _ := w.client().do(http.MethodGet, "/x", nil, http.Header{"Cookie": {name + "=" + token}})
			if n := len(w.backend.taken()); status != http.StatusUnauthorized || n != 0 {
				t.Errorf("a machine token as %s: %d, %d requests", name, status, n)
			}
		}
	}
}
