package integration

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
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
		Type: "email-link-event+jwt", Key: parts.Ring.AudienceKey(audience), Now: parts.Clock.Wall,
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
		if _, err := identity.VerifyStart(token, [][]byte{parts.Ring.SignKey(audience)}, audience, w.origin(), parts.Clock.Wall()); err == nil {
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

// TestSES4_UpgradesByToken need no Origin, as no browser sends a token by itself, but as Basic: then another site's is refused.
func TestSES4_UpgradesByToken(t *testing.T) {
	w := start(t, setup{global: "sign_up open\nscopes calendar", site: scoped})
	text, _ := w.token(w.client(), "ada@example.com", "calendar")
	for _, one := range []struct {
		line, origin string
		want         int
	}{
		{"Authorization: Bearer " + text, "", http.StatusSwitchingProtocols},
		{"Email-Link-Token: " + text, "", http.StatusSwitchingProtocols},
		{"Authorization: " + ways(text)["basic"].Get("Authorization"), "", http.StatusSwitchingProtocols},
		{"Authorization: " + ways(text)["basic"].Get("Authorization"), w.origin(), http.StatusSwitchingProtocols},
		{"Authorization: " + ways(text)["basic"].Get("Authorization"), "https://evil.example", http.StatusForbidden},
		{"Authorization: " + ways(text)["basic"].Get("Authorization"), "null", http.StatusForbidden},
		{"Authorization: Bearer " + text + "x", w.origin(), http.StatusUnauthorized},
	} {
		conn, _, res := w.upgrade("", one.origin, one.line)
		if res.StatusCode != one.want {
			t.Errorf("%.28s from %q: %d, want %d", one.line, one.origin, res.StatusCode, one.want)
		}
		_ = conn.Close()
	}
}

// TestLOG1_NoTokens sends tokens, good and bad ones, and looks for them in the log and in the files of the database.
func TestLOG1_NoTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "caddy.log")
	w := start(t, setup{
		global: "sign_up open\nscopes calendar", site: scoped, before: "log",
		after: "handle /dead {\n reverse_proxy 127.0.0.1:1\n }",
		top:   "debug\nlog default {\n output file " + file + " {\n mode 0600\n }\n level DEBUG\n}",
	})
	text, id := w.token(w.client(), "ada@example.com", "calendar")
	broken := text[:len(text)-3] + "AAA"
	for _, one := range []string{text, broken} {
		for _, header := range ways(one) {
			for _, path := range []string{"/x", "/dead", "/email-link/session", "/email-link/sign-in"} {
				_, _, _ = w.client().do(http.MethodGet, path, nil, header)
			}
		}
	}
	if status, _, body := w.client().do(http.MethodGet, "/dead", nil, ways(text)["own header"]); status != http.StatusBadGateway || body != "" {
		t.Errorf("an app that is down: %d %q", status, body)
	}
	parts, _ := module.Running()
	if _, _, err := parts.Machines.Revoke(t.Context(), id, storage.Operator{}); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), `"outcome":"revoked"`) || !strings.Contains(string(log), id) {
		t.Error("the log does not tell that the token was revoked")
	}
	if strings.Count(string(log), `"event":"token_request"`) != 9 {
		t.Error("the log has no line of ours for each request that Caddy's own log shall not have")
	}
	sealed := strings.Split(text, ".")[3]
	for _, secret := range []string{sealed[:40], base64.StdEncoding.EncodeToString([]byte("whoever:" + text))[:60]} {
		if strings.Contains(string(log), secret) {
			t.Error("a token is in the log")
		}
		if strings.Contains(string(readAll(t, filepath.Dir(w.db))), secret) {
			t.Error("a token is in the database")
		}
	}
}
