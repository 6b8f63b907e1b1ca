//go:build postgres

package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// written returns the lines that a migration says to write into the configuration.
func written(t *testing.T, out string) []string {
	t.Helper()
	_, text, ok := strings.Cut(out, "start Caddy:\n\n")
	if !ok {
		t.Fatalf("it says nothing to write:\n%s", out)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// TestMOVE1_AWholeGateThereAndBack: a session that is signed in, a link that is not used, a machine token and a key live through a move to
// PostgreSQL and back, with the configuration that the command says to write.
func TestMOVE1_AWholeGateThereAndBack(t *testing.T) {
	t.Parallel()
	server := pgtest.StartFor(t)
	p := newPlace(t, "storage bbolt gate.db", "scopes calendar")
	p.edit("storage bbolt gate.db", "storage bbolt "+filepath.Join(p.dir, "gate.db"))
	stop := p.start()
	b, link := signIn(t, p)
	second := firstLine(p.must("link", "anna@example.com"))
	token := firstLine(p.must("tokens", "create", "anna@example.com", "--scope", "calendar"))
	key := p.must("keys", "audience", "localhost")
	dsn := "postgres://gate@localhost/postgres?host=" + server.Dir
	args := []string{"migrate", "--from", filepath.Join(p.dir, "gate.db"), "--to", dsn}

	// While Caddy has the file.
	if _, errs, code := p.run(args...); code != 1 || !strings.Contains(errs, "stop every Caddy that uses it") {
		t.Errorf("beside Caddy: exit %d, %s", code, errs)
	}
	stop()
	out, progress, code := p.run(args...)
	if code != 0 || !strings.Contains(progress, "sessions: 1 of 1") || !strings.Contains(out, "accounts") {
		t.Fatalf("exit %d\n%s%s", code, out, progress)
	}
	lines := written(t, out)
	if len(lines) != 2 || lines[0] != "storage postgres "+dsn || !strings.HasPrefix(lines[1], `secret "{file.`) {
		t.Fatalf("it says to write %q", lines)
	}
	p.edit("storage bbolt "+filepath.Join(p.dir, "gate.db"), lines[0]+"\n\t\t"+lines[1])
	stop = p.start()
	check := func(where, link string) {
		t.Helper()
		if status, page := b.do(http.MethodGet, p.origin()+"/", ""); status != 200 || !strings.HasPrefix(page, "hello") {
			t.Errorf("%s: the session answers %d %q", where, status, page)
		}
		if status, page := newBrowser(t).open(link); status != 200 || !strings.HasPrefix(page, "hello") {
			t.Errorf("%s: a link from before answers %d %q", where, status, page)
		}
		if status, _ := newBrowser(t).open(link); status != http.StatusGone {
			t.Errorf("%s: a used link answers %d", where, status)
		}
		if list := p.must("tokens", "list"); !strings.Contains(list, "anna@example.com") || token == "" {
			t.Errorf("%s: the tokens are\n%s", where, list)
		}
		if p.must("keys", "audience", "localhost") != key || strings.Contains(p.log.String(), "restored backup") {
			t.Errorf("%s: other keys, or a restored copy", where)
		}
	}
	check("on PostgreSQL", link)
	stop()

	out = p.must("migrate", "--from", lines[0][len("storage "):], "--to", "bbolt "+filepath.Join(p.dir, "back.db"))
	if back := written(t, out); len(back) != 1 || back[0] != "storage bbolt "+filepath.Join(p.dir, "back.db") {
		t.Fatalf("it says to write %q", back)
	}
	p.edit(lines[0], written(t, out)[0])
	stop = p.start()
	check("back in a file", second)
	stop()

	// The file of before is a restored copy now.
	p.edit("back.db", "gate.db")
	p.start()
	if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.HasPrefix(page, "hello") || !strings.Contains(p.log.String(), "restored backup") {
		t.Error("the session is alive in the source as well")
	}
}

// TestMOVE2_WhatPostgreSQLRefuses: nothing is made on a server before the source was looked at.
func TestMOVE2_WhatPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	server := pgtest.StartFor(t)
	p := newPlace(t)
	file, dsn := filepath.Join(p.dir, "gate.db"), "postgres://gate@localhost/postgres?host="+server.Dir
	p.refusesMove(file, dsn, "--from: there is no database at "+file)
	p.refusesMove(dsn, file, "has no tables of a gate")
	p.refusesMove(file, "postgres://gate:secret@localhost/gate", "--to:", "{env.X}")
	if dump := string(server.Tool(t, "pg_dump", "postgres", nil)); strings.Contains(dump, "email_link") {
		t.Errorf("something was written:\n%s", dump)
	}
}
