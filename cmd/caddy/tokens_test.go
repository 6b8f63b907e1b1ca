package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// request asks the site for a page with a token and returns the status.
func (p *place) request(token string) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.origin()+"/x", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth("whoever", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestMACH2_Tokens makes, lists and revokes tokens by commands: on a free database, and through the running Caddy.
func TestMACH2_Tokens(t *testing.T) {
	p := newPlace(t, "scopes calendar contacts")
	p.edit("\temail_link\n\trespond", "\temail_link {\n\t\trequire scope calendar session\n\t}\n\trespond")
	p.must("accounts", "add", "ada@example.com", "--create")
	for name, args := range map[string][]string{
		"calendar, contacts": {"tokens", "create", "ada@example.com", "--scope", "files"},
		"at most 90 days":    {"tokens", "create", "ada@example.com", "--scope", "calendar", "--ttl", "91d"},
		"positive duration":  {"tokens", "create", "ada@example.com", "--scope", "calendar", "--ttl", "soon"},
		"no account":         {"tokens", "create", "grace@example.com", "--scope", "calendar"},
		"no token x":         {"tokens", "revoke", "x"},
		"missing argument":   {"tokens", "revoke"},
	} {
		if out, errs, code := p.run(args...); code != 1 || out != "" || !strings.Contains(errs, name) {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
	var made struct{ ID, Token, State string }
	if err := json.Unmarshal([]byte(p.must("tokens", "create", "ada@example.com", "--scope", "calendar", "--ttl", "1h", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Token, "elt_") || made.State != "good" {
		t.Errorf("made %+v", made)
	}

	stop := p.start()
	out := p.must("tokens", "create", "ada@example.com", "--scope", "calendar", "--scope", "contacts", "--name", "phone")
	second, rest, _ := strings.Cut(out, "\n")
	if !strings.HasPrefix(second, "elt_") || !strings.Contains(rest, "it is not shown again") {
		t.Errorf("made:\n%s", out)
	}
	for _, token := range []string{made.Token, second} {
		if status := p.request(token); status != http.StatusOK {
			t.Errorf("a good token: %d", status)
		}
	}
	list := p.must("tokens", "list", "ada@example.com")
	if !strings.Contains(list, made.ID) || !strings.Contains(list, "phone") || !strings.Contains(list, "calendar,contacts") || strings.Contains(list, "elt_") {
		t.Errorf("list:\n%s", list)
	}
	if got := p.must("tokens", "revoke", made.ID); got != "revoked "+made.ID+"\n" {
		t.Errorf("revoked: %q", got)
	}
	if first, other := p.request(made.Token), p.request(second); first != http.StatusUnauthorized || other != http.StatusOK {
		t.Errorf("after the revocation: %d and %d", first, other)
	}
	p.must("accounts", "disable", "ada@example.com")
	if status := p.request(second); status != http.StatusUnauthorized {
		t.Errorf("of a disabled account: %d", status)
	}
	p.must("accounts", "enable", "ada@example.com")
	if status := p.request(second); status != http.StatusUnauthorized {
		t.Errorf("after the account is enabled again: %d", status)
	}
	if events := p.must("events"); strings.Count(events, "token") < 3 || strings.Contains(events, "elt_") {
		t.Errorf("events:\n%s", events)
	}
	stop()

	var states []string
	for line := range strings.Lines(p.must("tokens", "list", "--json")) {
		if err := json.Unmarshal([]byte(line), &made); err != nil {
			t.Fatal(err)
		}
		states = append(states, made.State)
	}
	if strings.Join(states, " ") != "revoked ended" {
		t.Errorf("states: %q", states)
	}
	for _, secret := range []string{made.Token, second} {
		if strings.Contains(p.log.String(), secret) {
			t.Error("a token is in Caddy's log")
		}
	}
}

// TestREST2_TokensOfABackup end with the first opening of it.
func TestREST2_TokensOfABackup(t *testing.T) {
	p := newPlace(t, "scopes calendar")
	p.edit("\temail_link\n\trespond", "\temail_link {\n\t\trequire scope calendar session\n\t}\n\trespond")
	p.must("accounts", "add", "ada@example.com", "--create")
	token, _, _ := strings.Cut(p.must("tokens", "create", "ada@example.com", "--scope", "calendar"), "\n")
	stop := p.start()
	if status := p.request(token); status != http.StatusOK {
		t.Fatalf("before: %d", status)
	}
	backup := p.dir + "/backup.db"
	p.must("backup", backup)
	stop()
	if err := os.Remove(filepath.Join(p.dir, "data", "caddy", "email_link", "email_link.db")); err != nil {
		t.Fatal(err)
	}
	p.must("restore", backup)
	p.start()
	if status := p.request(token); status != http.StatusUnauthorized {
		t.Errorf("after a restore: %d", status)
	}
	if list := p.must("tokens", "list", "--json"); !strings.Contains(list, `"state":"ended"`) {
		t.Errorf("list: %s", list)
	}
}
