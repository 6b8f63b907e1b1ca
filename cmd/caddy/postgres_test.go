//go:build postgres

package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// newPostgresPlace is a place whose database is in a server of its own, which writes every statement to its log.
func newPostgresPlace(t *testing.T, settings ...string) (*place, *pgtest.Server) {
	t.Helper()
	server := pgtest.StartFor(t, append(settings, "log_statement=all", "log_parameter_max_length=-1", "log_parameter_max_length_on_error=-1")...)
	dsn := strings.ReplaceAll(server.DSN(), "user=", "password={env.GATE_DB_PASSWORD} user=")
	return newPlace(t, `storage postgres "`+dsn+`"`, "secret {env.GATE_SECRET}"), server
}

// secrets are texts that stand in no dump and no log, in every form in which a database writes one.
func secrets(t *testing.T, browsers ...*browser) (list []string) {
	t.Helper()
	list = []string{"anna@example.com", "anna%40example.com", "s3cret-w0rd"}
	for _, b := range browsers {
		for _, value := range b.cookies {
			list = append(list, value)
			if raw, err := base64.RawURLEncoding.DecodeString(value); err == nil {
				list = append(list, hex.EncodeToString(raw), hex.EncodeToString(raw[max(0, len(raw)-32):]))
			}
		}
	}
	for _, text := range list[:1] {
		list = append(list, hex.EncodeToString([]byte(text)))
	}
	return list
}

func TestREST1_NothingUsableInPostgreSQL(t *testing.T) {
	t.Parallel()
	p, server := newPostgresPlace(t)
	stop := p.start()
	p.must("accounts", "add", "anna@example.com")
	b := newBrowser(t)
	link := firstLine(p.must("link", "anna@example.com"))
	if status, page := b.open(link); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	asked := p.ask("anna@example.com")
	parsed, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	words := append(secrets(t, b, asked), parsed.Query().Get("t"))
	dump := string(server.Tool(t, "pg_dump", "postgres", nil))
	resp, err := http.Get("http://" + p.admin + "/config/")
	if err != nil {
		t.Fatal(err)
	}
	config, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(config), "postgres") {
		t.Fatalf("%v: %s", err, config)
	}
	stop()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	log := server.Log()
	if !strings.Contains(log, "insert into email_link.sessions") || !strings.Contains(dump, "COPY email_link.sessions") {
		t.Fatal("the log and the dump hold nothing of the gate")
	}
	for place, text := range map[string]string{"the dump": dump, "the server's log": log, "/config": string(config), "Caddy's log": p.log.String()} {
		for _, word := range words {
			if word != "" && strings.Contains(text, word) && (place != "Caddy's log" || word == "s3cret-w0rd") {
				t.Errorf("%q is in %s", word, place)
			}
		}
	}
}

func TestSTO1_TheWholeOnPostgreSQL(t *testing.T) {
	t.Parallel()
	p, server := newPostgresPlace(t)
	stop := p.start()
	p.must("accounts", "add", "anna@example.com")
	b := newBrowser(t)
	if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	unused := firstLine(p.must("link", "anna@example.com"))

	if _, errs, code := p.run("backup", filepath.Join(t.TempDir(), "x")); code != 1 || !strings.Contains(errs, "pg_dump") || !strings.Contains(errs, "ends every session") {
		t.Errorf("backup: exit %d, %q", code, errs)
	}
	if _, errs, code := p.run("restore", filepath.Join(p.dir, "Caddyfile")); code != 1 || !strings.Contains(errs, "pg_restore") || !strings.Contains(errs, "email-link restored") {
		t.Errorf("restore: exit %d, %q", code, errs)
	}
	if out := p.must("schema"); !strings.Contains(out, "create table email_link.sessions") || !strings.Contains(out, "grant usage") {
		t.Errorf("schema printed %.200q", out)
	}
	stop()
	if out := p.must("accounts", "list"); !strings.Contains(out, "anna@example.com") {
		t.Errorf("a command without Caddy printed %q", out)
	}

	// A restart: the session goes on. A copy that the server's own tools have put back: it has ended.
	stop = p.start()
	if status, page := b.do(http.MethodGet, p.origin()+"/", ""); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Errorf("after a restart: %d %q", status, page)
	}
	stop()
	dump := server.Tool(t, "pg_dump", "postgres", nil)
	server.Exec(t, "create database copied")
	server.Tool(t, "psql", "copied", dump, "-q", "-v", "ON_ERROR_STOP=1")
	p.edit("dbname=postgres", "dbname=copied")
	p.start()
	if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.HasPrefix(page, "hello") {
		t.Error("a session from before the copy is alive")
	}
	if status, _ := newBrowser(t).open(unused); status != http.StatusGone {
		t.Errorf("a link from before the copy answered %d", status)
	}
	if status, page := newBrowser(t).open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Errorf("a new link: %d %q", status, page)
	}
	if !strings.Contains(p.log.String(), "restored backup") {
		t.Errorf("the log does not say that it is a copy:\n%s", p.log)
	}
}

func TestSTO2_ServeOnPostgreSQL(t *testing.T) {
	p, server := newPostgresPlace(t)
	dsn := fmt.Sprintf("postgres://gate@localhost/postgres?host=%s", url.QueryEscape(server.Dir))
	out := p.must("serve", "--to", "localhost:3000", "--from", "https://app.example.com", "--mail-from", "no-reply@example.com", "--smtp",
		"mail.example.com:587", "--storage", dsn, "--print")
	if !strings.Contains(out, "storage postgres "+dsn) || !strings.Contains(out, "secret {env.EMAIL_LINK_SECRET}") {
		t.Errorf("serve printed\n%s", out)
	}
	p.edit("\t\tsecret {env.GATE_SECRET}\n", "")
	if _, errs, code := p.run("accounts", "list"); code != 1 || !strings.Contains(errs, "secret {env.EMAIL_LINK_SECRET}") {
		t.Errorf("without a secret: exit %d, %q", code, errs)
	}
}
