//go:build postgres

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// TestSTO1_CommandsOnAnotherMachine runs each command where no admin endpoint answers, while a Caddy has the database: those that read
// work, those that change something are refused with the name of that process and do nothing.
func TestSTO1_CommandsOnAnotherMachine(t *testing.T) {
	p, _ := newPostgresPlace(t)
	p.edit("\t\tsecret", "\t\tscopes calendar\n\t\tsecret")
	p.start()
	p.must("accounts", "add", "anna@example.com")
	b := newBrowser(t)
	if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	token := regexp.MustCompile(`token (\S+) works`).FindStringSubmatch(p.must("tokens", "create", "anna@example.com", "--scope", "calendar"))[1]

	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	other := &place{t: t, dir: t.TempDir(), admin: gatetest.Address(t), site: p.site}
	other.write("Caddyfile", strings.ReplaceAll(string(text), p.admin, other.admin))
	other.write("accounts.jsonl", `{"email":"bob@example.com"}`)
	shown := func() string { // times are rounded by each look
		return regexp.MustCompile(`"\d{4}-[^"]*Z"`).ReplaceAllString(p.must("accounts", "show", "anna@example.com", "--json"), "")
	}
	before := shown()

	for command, want := range map[string]string{
		"accounts list":                  "anna@example.com",
		"accounts show anna@example.com": "anna@example.com",
		"accounts export":                "anna@example.com",
		"sessions list anna@example.com": "127.0.0.0/24",
		"tokens list":                    token,
		"mail list":                      "",
		"events":                         "signed_in",
		"limits show anna@example.com":   "",
		"keys show":                      "",
		"keys audience app.example.com":  "",
		"schema":                         "create table email_link.sessions",
	} {
		if out, errs, code := other.run(strings.Fields(command)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d\n%s%s", command, code, out, errs)
		}
	}
	host, _ := os.Hostname()
	refusal := regexp.MustCompile(`process \d+ on ` + regexp.QuoteMeta(host) + ` has it since .*\n.*run the command on its machine, or name its admin endpoint with --address`)
	for _, command := range []string{
		"accounts add carl@example.com", "accounts import accounts.jsonl", "accounts set anna@example.com --name Anna", "accounts disable anna@example.com",
		"accounts enable anna@example.com --json", "accounts delete anna@example.com --yes", "link anna@example.com", "sessions end anna@example.com",
		"tokens create anna@example.com --scope calendar", "tokens revoke " + token, "keys rotate", "restored --yes",
	} {
		out, errs, code := other.run(strings.Fields(command)...)
		if strings.HasPrefix(command, "accounts enable") && code == 0 {
			continue // it is enabled, so there is nothing to change
		}
		if code != 1 || !refusal.MatchString(errs) {
			t.Errorf("%s: exit %d\n%s%s", command, code, out, errs)
		}
	}
	if _, errs, code := other.run("backup", filepath.Join(t.TempDir(), "x")); code != 1 || !strings.Contains(errs, "pg_dump") {
		t.Errorf("backup: exit %d, %q", code, errs)
	}
	if after := shown(); after != before {
		t.Errorf("a refused command has changed\n%s\nto\n%s", before, after)
	}
	if out := p.must("events", "--operators"); !strings.Contains(out, "accounts export") || !strings.Contains(out, "keys audience") {
		t.Errorf("the audit log lacks what was read on the other machine:\n%s", out)
	}

	// What the refusal says to do.
	if out := other.must("sessions", "end", "anna@example.com", "--address", p.admin); !strings.Contains(out, "1 session") {
		t.Errorf("with --address: %q", out)
	}
	if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.HasPrefix(page, "hello") {
		t.Error("the session is alive")
	}
}

// TestREST2_Restored: the command ends everything at once, while Caddy runs and while it does not.
func TestREST2_Restored(t *testing.T) {
	for _, postgres := range []bool{false, true} {
		p := newPlace(t)
		if postgres {
			p, _ = newPostgresPlace(t)
		}
		stop := p.start()
		p.must("accounts", "add", "anna@example.com")
		for _, running := range []bool{true, false} {
			b := newBrowser(t)
			if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
				t.Fatalf("signing in: %d %q", status, page)
			}
			unused := firstLine(p.must("link", "anna@example.com"))
			if !running {
				stop()
			}
			if _, errs, code := p.run("restored"); code != 1 || !strings.Contains(errs, "--yes") {
				t.Errorf("without an answer: exit %d, %q", code, errs)
			}
			if out := p.must("restored", "--yes"); !strings.Contains(out, "ended every session") {
				t.Errorf("it printed %q", out)
			}
			if !running {
				p.start()
			}
			if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.HasPrefix(page, "hello") {
				t.Errorf("postgres %v, running %v: the session is alive", postgres, running)
			}
			if status, _ := newBrowser(t).open(unused); status != http.StatusGone {
				t.Errorf("postgres %v, running %v: a link from before answered %d", postgres, running, status)
			}
		}
		if out := p.must("events", "--operators"); strings.Count(out, ": restored") != 2 {
			t.Errorf("the audit log has\n%s", out)
		}
	}
}
