//go:build postgres

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// onPostgres returns a gate whose database is in a server of its own. A copy is put back by the server's own tools, into another database.
func onPostgres(t *testing.T) *killed {
	t.Helper()
	server := pgtest.StartFor(t)
	k := newKilled(t, `storage postgres "`+server.DSN()+`"`, "secret {env.GATE_SECRET}")
	k.due = func() { server.Exec(t, "update email_link.mails set due = now() - interval '1 second' where not dead") }
	copies := 0
	k.backup = func() func() *place {
		dump := server.Tool(t, "pg_dump", "postgres", nil)
		copies++
		name := fmt.Sprintf("copy%d", copies)
		return func() *place {
			server.Exec(t, "create database "+name)
			server.Tool(t, "psql", name, dump, "-q", "-v", "ON_ERROR_STOP=1")
			other := &place{t: t, dir: t.TempDir(), admin: k.admin, site: k.site}
			text, err := os.ReadFile(filepath.Join(k.dir, "Caddyfile"))
			if err != nil {
				t.Fatal(err)
			}
			other.write("Caddyfile", string(text))
			other.edit("dbname=postgres", "dbname="+name)
			return other
		}
	}
	return k
}

// TestDUR1_KilledAtEachStepOnPostgreSQL is the same with the database in a server.
func TestDUR1_KilledAtEachStepOnPostgreSQL(t *testing.T) {
	t.Parallel()
	killAtEachStep(t, onPostgres(t))
}
