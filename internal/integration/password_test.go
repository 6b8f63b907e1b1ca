package integration

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
)

const (
	oldWords = "eleven quiet herons over Trondheim"
	newWords = "a kettle of brass and seven plums"
)

var hIn = regexp.MustCompile(`name="h" value="([^"]+)"`)

// choose presses the button of an opened link with a password, and returns where that leads.
func (c *client) choose(link, words string) string {
	c.w.t.Helper()
	if status, header, _ := c.visit(link); status != http.StatusSeeOther || header.Get("Location") != "/email-link/confirm" {
		c.w.t.Fatalf("the link: %d, Location %q", status, header.Get("Location"))
	}
	_, _, page := c.visit("/email-link/confirm")
	h := hIn.FindStringSubmatch(page)
	if h == nil {
		c.w.t.Fatalf("no button:\n%s", page)
	}
	status, header, body := c.post("/email-link/confirm", url.Values{"h": {h[1]}, "password": {words}})
	if status != http.StatusSeeOther {
		c.w.t.Fatalf("confirming: %d\n%s", status, body)
	}
	return header.Get("Location")
}

func (c *client) signIn(email, words string) int {
	c.w.t.Helper()
	status, _, _ := c.post("/email-link/sign-in", url.Values{"email": {email}, "password": {words}})
	return status
}

// claims returns what the gate tells the app about this browser.
func (c *client) claims(verifier *identity.Verifier) *identity.Identity {
	c.w.t.Helper()
	c.w.backend.taken()
	c.get("/x")
	seen := c.w.backend.taken()
	if len(seen) != 1 {
		c.w.t.Fatalf("%d requests arrived, wanted 1", len(seen))
	}
	claims, err := verifier.Verify(c.w.t.Context(), seen[0].header.Get("Email-Link-Assertion"))
	if err != nil {
		c.w.t.Fatal(err)
	}
	return claims
}

// verifier is that of the app behind the gate.
func (w *world) verifier() *identity.Verifier {
	w.t.Helper()
	parts, ok := module.Running()
	if !ok {
		w.t.Fatal("no gate runs")
	}
	audience := "localhost:" + w.port
	v, err := identity.NewVerifier(identity.Config{
		Issuers: []string{w.origin()}, Audience: audience, Type: identity.TypeAssertion,
		Keys: [][]byte{parts.Ring.AudienceKey(audience)}, JWKSURL: w.origin() + "/email-link/jwks.json",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// TestFLOW3_ResetOnARunningGate signs up with a first password, signs in with it, sets another by mail, and looks at what the
// app is told, at open sockets and at a reload in the middle.
func TestFLOW3_ResetOnARunningGate(t *testing.T) {
	bothModes(t, func(t *testing.T, links string) {
		s := setup{global: "sign_up open\nsign_in link code password\n" + links}
		w := start(t, s)
		c := w.client()
		if status, _, _ := c.post("/email-link/sign-up", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
			t.Fatalf("sign-up: %d", status)
		}
		_, link := w.mail()
		if to := c.choose(link, oldWords); to != "/" {
			t.Fatalf("the sign-up leads to %q", to)
		}
		verifier := w.verifier()
		if got := c.claims(verifier); len(got.Methods) != 1 || got.Methods[0] != "link" {
			t.Errorf("amr of a link: %v", got.Methods)
		}

		before := time.Now().Add(-time.Second)
		other := w.client()
		if status := other.signIn("ada@example.com", "not the right words"); status != http.StatusForbidden {
			t.Errorf("a wrong password: %d", status)
		}
		if status := other.signIn("ada@example.com", oldWords); status != http.StatusSeeOther {
			t.Fatalf("the right password: %d", status)
		}
		w.mail() // the notice about a browser that was not used before
		got := other.claims(verifier)
		if len(got.Methods) != 1 || got.Methods[0] != "pwd" || got.AuthTime.Before(before) || got.AuthTime.After(time.Now().Add(time.Second)) {
			t.Errorf("amr %v, auth_time %v", got.Methods, got.AuthTime)
		}
		conn, r, res := w.upgrade(other.cookie(), w.origin())
		if res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("upgrading: %d", res.StatusCode)
		}
		_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))

		hasher := running(t)
		w.load(s)
		if running(t) != hasher {
			t.Error("a reload has replaced the hasher, and with it the count of what is under way")
		}
		asker := w.client()
		if status, _, _ := asker.post("/email-link/reset", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
			t.Fatalf("asking for a reset: %d", status)
		}
		_, link = w.mail()
		if to := asker.choose(link, newWords); to != "/email-link/sign-in?password-set" {
			t.Fatalf("the reset leads to %q", to)
		}
		done := time.Now()
		if _, err := r.ReadByte(); err == nil || time.Since(done) > 5*time.Second {
			t.Errorf("SES-4: the socket ended after %v with %v", time.Since(done), err)
		}
		if c.session() != nil || other.session() != nil || asker.session() != nil {
			t.Error("a session has outlived the reset, or the reset has opened one")
		}
		if m, link := w.mail(); link != "" || !strings.Contains(m.Text, "Firefox on Linux") || !strings.Contains(m.Text, "/email-link/reset") {
			t.Errorf("the notice:\n%s", m.Text)
		}
		if status := asker.signIn("ada@example.com", oldWords); status != http.StatusForbidden {
			t.Errorf("the old password: %d", status)
		}
		if status := asker.signIn("ada@example.com", newWords); status != http.StatusSeeOther {
			t.Errorf("the new password: %d", status)
		}
	})
}

// running returns what hashes in the gate that runs.
func running(t *testing.T) any {
	t.Helper()
	parts, ok := module.Running()
	if !ok {
		t.Fatal("no gate runs")
	}
	return parts.Flows.Passwords
}
