package integration

import (
	"net/http"
	"strings"
	"testing"
)

// sends sends a request with further header lines and returns what arrived at the backend, nil when nothing did.
func (w *world) sends(path, lines string) *record {
	w.t.Helper()
	w.backend.taken()
	_, _ = w.raw("GET " + path + " HTTP/1.1\nHost: $HOST\n" + lines + "Connection: close\n\n")
	if records := w.backend.taken(); len(records) > 0 {
		return &records[0]
	}
	return nil
}

// TestHDR1_PathHeaders: what a proxy says of the client's own request arrives from trusted_proxies, and from nobody else.
func TestHDR1_PathHeaders(t *testing.T) {
	const lines = "X-Forwarded-Prefix: /app\nX-Forwarded-Uri: /admin\nX_Forwarded_Path: /admin\nX-Original-URI: /admin\nClient-Cert: c\n" +
		"Remote-User: root\nX-Hasura-Role: admin\nX-Original-URL: /admin\nX-Real-IP: 192.0.2.1\n"
	gate := setup{site: "public /open/*"}
	w := start(t, gate)
	arrived := w.sends("/open/x", lines)
	if arrived == nil {
		t.Fatal("nothing arrived")
	}
	for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Original-Uri", "Client-Cert", "Remote-User", "X-Hasura-Role", "X-Original-Url"} {
		if got := arrived.header[name]; got != nil {
			t.Errorf("a client's %s arrived: %q", name, got)
		}
	}
	if arrived.header.Get("X-Real-Ip") == "" {
		t.Error("X-Real-IP is gone")
	}
	gate.top = "servers {\n trusted_proxies static 127.0.0.0/8\n trusted_proxies_strict\n}"
	w.load(gate)
	if arrived = w.sends("/open/x", lines); arrived == nil {
		t.Fatal("nothing arrived")
	}
	for name, want := range map[string]string{
		"X-Forwarded-Prefix": "/app", "X-Forwarded-Uri": "/admin", "X-Original-Uri": "/admin", "Client-Cert": "c", "Remote-User": "", "X-Hasura-Role": "", "X-Original-Url": "",
	} {
		if got := arrived.header.Get(name); got != want {
			t.Errorf("%s from a trusted proxy: %q, want %q", name, got, want)
		}
	}
}

// TestHDR1_EmptyHeadersAreLeftOut: an account without a name or roles has no header for them, neither the client's nor an empty one.
func TestHDR1_EmptyHeadersAreLeftOut(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "headers {\n Remote-Email {http.auth.user.email}\n Remote-Name {http.auth.user.name}\n X-Groups {http.auth.user.roles}\n X-Text \"is {http.auth.user.name}\"\n}"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	arrived := w.sends("/app", "Cookie: "+c.cookie()+"\nRemote-Name: forged\nx-groups: admin\n")
	if arrived == nil {
		t.Fatal("nothing arrived")
	}
	for name, want := range map[string]string{"Remote-Email": "ada@example.com", "X-Text": "is "} {
		if got := arrived.header[name]; len(got) != 1 || strings.TrimSpace(got[0]) != strings.TrimSpace(want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"Remote-Name", "X-Groups"} {
		if got, there := arrived.header[name]; there {
			t.Errorf("%s is there: %q", name, got)
		}
	}
	// A proxy that asks by forward-auth gets it empty, so that it replaces the client's.
	w.load(asked("verify from 127.0.0.1\nheaders {\n Remote-Name {http.auth.user.name}\n}", ""))
	res, _ := w.asks(c.cookie(), question{})
	if got, there := res.Header["Remote-Name"]; res.StatusCode != http.StatusOK || !there || len(got) != 1 || got[0] != "" {
		t.Errorf("/verify: %d, Remote-Name %q", res.StatusCode, got)
	}
}

// TestHDR1_CredentialsCarryNoIdentity obeys what the refusal of Authorization as an identity's name says to write.
func TestHDR1_CredentialsCarryNoIdentity(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "headers {\n Remote-User {http.auth.user.email}\n}"})
	for _, name := range []string{"Authorization", "authorization", "Proxy-Authorization", "X-Api-Key", "X-API-Key"} {
		for _, site := range []string{"headers {\n " + name + " {http.auth.user.email}\n}", "identity {\n header " + name + "\n}"} {
			err := w.tryLoad(setup{site: site})
			if err == nil || !strings.Contains(err.Error(), "clients send their own credentials") || !strings.Contains(err.Error(), "header_up "+name) {
				t.Errorf("%s: %v", site, err)
			}
		}
	}
	w.load(setup{global: "sign_up open", sites: "$ADDR {\n email_link {\n headers {\n Remote-User {http.auth.user.email}\n }\n }\n" +
		"reverse_proxy $BACKEND {\n header_up Authorization {http.request.header.Remote-User}\n }\n}\n"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	if arrived := w.sends("/app", "Cookie: "+c.cookie()+"\n"); arrived == nil || arrived.header.Get("Authorization") != "ada@example.com" {
		t.Errorf("as the error says: %+v", arrived)
	}
}
