package exampletest

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// CheckTokens makes sure that another proxy lets tokens of the scope calendar through, that the app gets the identity and no
// token, and that a program which waits to be asked for a password is asked. There is an account ada@example.com.
func CheckTokens(t *testing.T, g *Gate, app *gatetest.Backend, origin string) {
	t.Helper()
	token, _, _ := strings.Cut(g.Command(t, "tokens", "create", "ada@example.com", "--scope", "calendar", "--site", origin), "\n")
	program := NewBrowser(t, origin)
	app.Taken()
	for _, line := range []string{
		"Email-Link-Token: " + token, "Authorization: Bearer " + token,
		"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("phone:"+token)),
	} {
		res, _ := program.Do("PROPFIND", "/dav/", nil, line, "Remote-User: root")
		got := app.Taken()
		if res.StatusCode != http.StatusOK || len(got) != 1 {
			t.Fatalf("%.30s: %d, %d requests", line, res.StatusCode, len(got))
		}
		if h := got[0].Header; h.Get("Remote-User") != "ada@example.com" || h.Get("Authorization") != "" || h.Get("Email-Link-Token") != "" ||
			strings.Count(h.Get("Email-Link-Assertion"), ".") != 4 {
			t.Errorf("%.30s: the app got %v", line, h)
		}
		if res, _ := program.Do("PROPFIND", "/dav/", nil, line+"x"); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%.30s, broken: %d", line, res.StatusCode)
		}
	}
	res, _ := program.Do("PROPFIND", "/dav/", nil, "Authorization: Bearer the-apps-own")
	if requested := res.Header.Values("WWW-Authenticate"); res.StatusCode != http.StatusUnauthorized || len(requested) != 1 || !strings.HasPrefix(requested[0], "Basic ") {
		t.Errorf("a program that waits to be asked: %d %q", res.StatusCode, requested)
	}
	if n := len(app.Taken()); n != 0 {
		t.Errorf("%d requests without a good token reached the app", n)
	}
}

// CheckForeign makes sure that the app's own Authorization reaches it.
func CheckForeign(t *testing.T, b *Browser, app *gatetest.Backend) {
	t.Helper()
	app.Taken()
	res, _ := b.Do(http.MethodGet, "/app", nil, "Authorization: Bearer the-apps-own")
	if got := app.Taken(); res.StatusCode != http.StatusOK || len(got) != 1 || got[0].Header.Get("Authorization") != "Bearer the-apps-own" {
		t.Errorf("the app's own Authorization: %d, %v", res.StatusCode, got)
	}
}
