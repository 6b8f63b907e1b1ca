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

// TestNODE1_CommandsOnAnotherMachine runs each command where no admin endpoint answers, while a Caddy has the database: they work there, and
// what they change reaches that Caddy.
func TestNODE1_CommandsOnAnotherMachine(t *testing.T) {
	t.Parallel()
	p, _ := newPostgresPlace(t)
	p.edit("\t\tsecret", "\t\tscopes calendar\n\t\tsecret")
	p.edit("\temail_link\n\trespond", "\temail_link {\n\t\trequire scope calendar session\n\t}\n\trespond")
	p.start()
	p.must("accounts", "add", "anna@example.com")
	b := newBrowser(t)
	if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	other := &place{t: t, dir: t.TempDir(), admin: gatetest.Address(t), site: p.site}
	other.write("Caddyfile", strings.ReplaceAll(string(text), p.admin, other.admin))
	other.write("accounts.jsonl", `{"email":"bob@example.com"}`)
	token := firstLine(other.must("tokens", "create", "anna@example.com", "--scope", "calendar"))
	eventually(t, "a token that was made on the other machine works", func() bool { return p.request(token) == http.StatusOK })
	id := regexp.MustCompile(`"id":\s*"([^"]+)"`).FindStringSubmatch(p.must("tokens", "list", "--json"))[1]

	for _, c := range []struct{ command, want string }{
		{"accounts list", "anna@example.com"},
		{"accounts show anna@example.com", "anna@example.com"},
		{"accounts export", "anna@example.com"},
		{"sessions list anna@example.com", "127.0.0.0/24"},
		{"tokens list", id},
		{"mail list", ""},
		{"events", "signed_in"},
		{"limits show anna@example.com", ""},
		{"keys show", ""},
		{"keys audience app.example.com", ""},
		{"schema", "create table email_link.sessions"},
		{"accounts add carl@example.com", "added"},
		{"accounts import accounts.jsonl", ""},
		{"accounts set anna@example.com --name Anna", ""},
		{"link anna@example.com", "/link?t="},
		{"tokens revoke " + id, ""},
		{"keys rotate", ""},
		{"sessions end anna@example.com", "1 session"},
	} {
		if out, errs, code := other.run(strings.Fields(c.command)...); code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d\n%s%s", c.command, code, out, errs)
		}
	}
	eventually(t, "a session that was ended on the other machine is refused", func() bool {
		_, page := b.do(http.MethodGet, p.origin()+"/", "")
		return !strings.HasPrefix(page, "hello")
	})
	eventually(t, "a token that was revoked on the other machine is refused", func() bool { return p.request(token) == http.StatusUnauthorized })
	eventually(t, "a key that was made on the other machine is listed", func() bool { return strings.Count(p.must("keys", "show"), "\n") == 2 })
	if _, errs, code := other.run("backup", filepath.Join(t.TempDir(), "x")); code != 1 || !strings.Contains(errs, "pg_dump") {
		t.Errorf("backup: exit %d, %q", code, errs)
	}
	if out := p.must("events", "--operators"); !strings.Contains(out, "accounts export") || !strings.Contains(out, "sessions end") {
		t.Errorf("the audit log lacks what was done on the other machine:\n%s", out)
	}
	b = newBrowser(t)
	if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	other.must("restored", "--yes")
	eventually(t, "everything has ended", func() bool {
		_, page := b.do(http.MethodGet, p.origin()+"/", "")
		return !strings.HasPrefix(page, "hello")
	})
}

// TestREST2_Restored: the command ends everything at once, while Caddy runs and while it does not.
func TestREST2_Restored(t *testing.T) {
	t.Parallel()
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
