//go:build postgres

package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// TestNODE3_AServerWhoseClockIsWrong runs PostgreSQL under Debian's faketime, whose clocks nodes go by: half a minute is told and harms
// nothing, one and a half is refused.
func TestNODE3_AServerWhoseClockIsWrong(t *testing.T) {
	onlyLong(t)
	libs, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(libs) == 0 {
		t.Fatal("libfaketime is missing: apt-get install faketime")
	}
	for _, offset := range []string{"+30s", "-30s", "+90s", "-90s"} {
		t.Run(offset, func(t *testing.T) {
			t.Setenv("POSTGRES_ENV", "LD_PRELOAD="+libs[0]+" FAKETIME="+offset)
			server := pgtest.StartFor(t)
			p := newPlace(t, `storage postgres "`+server.DSN()+`"`, "secret {env.GATE_SECRET}")
			if strings.HasSuffix(offset, "90s") {
				out, err := p.command("run").CombinedOutput()
				if err == nil || !strings.Contains(string(out), "1m30s") || !strings.Contains(string(out), "NTP") {
					t.Errorf("%v\n%s", err, out)
				}
				return
			}
			p.start()
			p.must("accounts", "add", "ada@example.com")
			b := newBrowser(t)
			link := firstLine(p.must("link", "ada@example.com"))
			if status, page := b.open(link); status != http.StatusOK || !strings.HasPrefix(page, "hello") {
				t.Fatalf("signing in: %d %q", status, page)
			}
			if status, _ := newBrowser(t).open(link); status != http.StatusGone {
				t.Errorf("the second use: %d", status)
			}
			if !strings.Contains(p.log.String(), "30s") || !strings.Contains(p.must("nodes"), "its clock is off by") {
				t.Errorf("nothing tells of the clock:\n%s", p.log)
			}
			if status, _ := b.do(http.MethodPost, p.origin()+"/email-link/sign-out", ""); status != http.StatusOK {
				t.Errorf("signing out: %d", status)
			}
			if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.HasPrefix(page, "hello") {
				t.Error("the session lives on")
			}
		})
	}
}

// TestNODE1_AChangeThatCommitsAfterLaterOnes disables an account by a transaction that commits five seconds after it began, while later ones
// come and go: the nodes know of it within a second of its commit.
func TestNODE1_AChangeThatCommitsAfterLaterOnes(t *testing.T) {
	onlyLong(t)
	c := newCluster(t)
	b := c.enter("late@example.com")
	account, err := c.nodes[0].client().Account(t.Context(), "late@example.com")
	if err != nil {
		t.Fatal(err)
	}
	committed := make(chan struct{})
	go func() {
		defer close(committed)
		c.server.Tool(t, "psql", "postgres", []byte("begin; insert into email_link.changes (node, kind, account) values ('elsewhere', 1, '"+account.ID+"'); "+
			"update email_link.accounts set status = 2, ver = ver + 1 where id = '"+account.ID+"'; select pg_sleep(5); commit; select pg_notify('email_link', '');"),
			"-q", "-v", "ON_ERROR_STOP=1")
	}()
	later := 0
	for done := false; !done; later++ {
		other := c.enter(fmt.Sprintf("user%d@example.com", later))
		if status, _ := c.nodes[1].browser(other.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", ""); status != http.StatusOK {
			t.Errorf("signing out: %d", status)
		}
		c.refused("a later end", other)
		select {
		case <-committed:
			done = true
		default:
		}
	}
	t.Logf("the last request that was let in was sent %s after the commit, which came after %d later ends", c.awaitOthers(b, "", func(_ int, page string) bool {
		return !strings.HasPrefix(page, "hello")
	}), later)
	c.refused("the late end", b)
}
