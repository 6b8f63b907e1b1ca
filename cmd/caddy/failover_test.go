//go:build postgres

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// signIn adds an account, signs it in, and returns the browser and a link that is not used yet.
func signIn(t *testing.T, p *place) (b *browser, link string) {
	t.Helper()
	p.must("accounts", "add", "anna@example.com")
	b = newBrowser(t)
	if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	return b, firstLine(p.must("link", "anna@example.com"))
}

// TestREST2_APromotedStandby fails over while Caddy runs: what it may have lost ends by itself, unless the option says that nothing is lost.
func TestREST2_APromotedStandby(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		p, server := newPostgresPlace(t)
		standby := server.Copy(t, "--write-recovery-conf")
		standby.RunFor(t)
		p.edit("host="+server.Dir, "target_session_attrs=read-write host="+server.Dir+","+standby.Dir)
		if keep {
			p.edit(`storage postgres "`, "storage postgres {\n\t\t\tfailover keep\n\t\t\tdsn \"")
			p.edit("dbname=postgres\"", "dbname=postgres\"\n\t\t}")
		}
		p.start()
		b, link := signIn(t, p)
		server.CatchUp(t, standby)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		standby.Exec(t, "select pg_promote()")
		back := func() bool { return strings.Contains(p.log.String(), "restored backup") }
		if keep {
			back = func() bool { _, _, code := p.run("accounts", "list"); return code == 0 }
		}
		for limit := time.Now().Add(gatetest.Patience); !back() && time.Now().Before(limit); {
			time.Sleep(20 * time.Millisecond)
		}
		status, page := b.do(http.MethodGet, p.origin()+"/", "")
		if strings.HasPrefix(page, "hello") != keep {
			t.Errorf("failover keep %v: after the failover: %d %q", keep, status, page)
		}
		if status, _ := newBrowser(t).open(link); (status == http.StatusOK) != keep {
			t.Errorf("failover keep %v: a link from before answered %d", keep, status)
		}
		if said := strings.Contains(p.log.String(), "restored backup"); said == keep {
			t.Errorf("failover keep %v: the log says so: %v\n%s", keep, said, p.log)
		}
		if status, page := newBrowser(t).open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
			t.Errorf("failover keep %v: a new link: %d %q", keep, status, page)
		}
	}
}

// mailed returns the link of the only mail, when it is there.
func (p *place) mailed() string {
	p.t.Helper()
	for limit := time.Now().Add(gatetest.Patience); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(p.dir, "mails", "*.txt"))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				p.t.Fatal(err)
			}
			if link := regexp.MustCompile(`http://\S+/link\?t=\S+`).FindString(string(text)); link != "" {
				return link
			}
		}
	}
	p.t.Fatal("no mail with a link")
	return ""
}

// TestREST2_OldBackupsOfPostgreSQL puts an old state back in each way that PostgreSQL knows. Nothing that was handed out before lives, neither
// what was used meanwhile nor what was not; accounts stay, and what is made afterwards lives on.
func TestREST2_OldBackupsOfPostgreSQL(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name string
		// save takes a backup, and returns what puts it back.
		save func(p *place, s *pgtest.Server, archive string) (back func())
		// tell is set when only the operator knows.
		tell bool
	}{
		{name: "pg_restore into a new database", save: func(p *place, s *pgtest.Server, _ string) func() {
			dump := s.Tool(t, "pg_dump", "postgres", nil, "--format=custom")
			return func() {
				s.Exec(t, "create database restored")
				s.Tool(t, "pg_restore", "restored", dump)
				p.edit("dbname=postgres", "dbname=restored")
			}
		}},
		{name: "pg_restore --clean", save: func(_ *place, s *pgtest.Server, _ string) func() {
			dump := s.Tool(t, "pg_dump", "postgres", nil, "--format=custom")
			return func() { s.Tool(t, "pg_restore", "postgres", dump, "--clean", "--if-exists") }
		}},
		{name: "a point in time", save: func(p *place, s *pgtest.Server, archive string) func() {
			base := s.Copy(t)
			s.Exec(t, "select pg_create_restore_point('yesterday')")
			return func() {
				s.Exec(t, "select pg_switch_wal()")
				if err := s.Stop(); err != nil { // it archives what there is
					t.Fatal(err)
				}
				base.Signal(t, "recovery.signal")
				base.RunFor(t, "restore_command=cp "+archive+"/%f %p", "recovery_target_name=yesterday", "recovery_target_action=promote")
				base.Await(t, "select not pg_is_in_recovery()")
				p.edit("host="+s.Dir, "host="+base.Dir)
			}
		}},
		{name: "the snapshot of a volume", tell: true, save: func(p *place, s *pgtest.Server, _ string) func() {
			base := s.Copy(t, "--wal-method=fetch")
			return func() {
				if err := s.Stop(); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(filepath.Join(base.Dir, "data", "backup_label")); err != nil {
					t.Fatal(err)
				}
				base.RunFor(t)
				p.edit("host="+s.Dir, "host="+base.Dir)
			}
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			archive := pgtest.PublicDir(t)
			p, server := newPostgresPlace(t, "archive_mode=on", "archive_command=cp %p "+archive+"/%f")
			p.edit("\t\tsecret", "\t\tlinks stateless\n\t\tscopes calendar\n\t\tsecret")
			p.edit("\temail_link\n\trespond", "\temail_link {\n\t\trequire scope calendar session\n\t}\n\trespond")
			stop := p.start()
			b, link := signIn(t, p)
			token := firstLine(p.must("tokens", "create", "anna@example.com", "--scope", "calendar"))
			p.ask("anna@example.com")
			stateless := p.mailed()
			back := way.save(p, server, archive)
			if status, page := newBrowser(t).open(stateless); status != 200 || !strings.HasPrefix(page, "hello") {
				t.Fatalf("the stateless link: %d %q", status, page)
			}
			stop()
			back()
			if way.tell {
				p.must("restored", "--yes")
			}
			stop = p.start()
			if said := strings.Contains(p.log.String(), "restored backup"); said == way.tell {
				t.Errorf("the log says so: %v", said)
			}
			if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.HasPrefix(page, "hello") {
				t.Error("a session from before is alive")
			}
			for name, old := range map[string]string{"an unused link": link, "a used stateless link": stateless} {
				if status, _ := newBrowser(t).open(old); status != http.StatusGone {
					t.Errorf("%s from before answered %d", name, status)
				}
			}
			if status := p.request(token); status != http.StatusUnauthorized {
				t.Errorf("a machine token from before: %d", status)
			}
			if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
				t.Errorf("a new link: %d %q", status, page)
			}
			stop()
			p.start()
			if _, page := b.do(http.MethodGet, p.origin()+"/", ""); !strings.HasPrefix(page, "hello") {
				t.Errorf("the next start has ended a session: %q", page)
			}
		})
	}
}
