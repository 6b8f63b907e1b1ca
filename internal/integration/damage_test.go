package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// TestDUR1_DamagedDatabase starts on databases that are damaged in several ways: Caddy refuses, names the file, and leaves it
// as it is.
func TestDUR1_DamagedDatabase(t *testing.T) {
	t.Parallel()
	p := startProcess(t, setup{global: "sign_up open"})
	p.signUp(p.client(), "ada@example.com")
	p.stop()
	good, err := os.ReadFile(p.db)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for name, bad := range map[string][]byte{
		"truncated":     good[:5*page], // the file grows ahead of what it holds: its end may be empty
		"one page":      good[:page],
		"text":          []byte("this is no database\n"),
		"lost heads":    append(make([]byte, 2*page), good[2*page:]...),
		"garbage":       append(bytes.Clone(good[:2*page]), bytes.Repeat([]byte{0xa5}, len(good)-2*page)...),
		"cut to a byte": good[:1],
	} {
		if err := os.WriteFile(p.db, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if said := p.refused(); !strings.Contains(said, p.db) || !strings.Contains(said, "'caddy email-link restore' a backup") || strings.Contains(said, "goroutine ") {
			t.Errorf("%s: it said\n%s", name, said)
		}
		if now, err := os.ReadFile(p.db); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("%s: the file was changed: %d bytes, %v", name, len(now), err)
		}
	}
	if err := os.WriteFile(p.db, good, 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	if out := p.must("accounts", "list"); !strings.Contains(out, "ada@example.com") {
		t.Errorf("with the good file again: %s", out)
	}
}

// TestCFG1_BadInput starts with configurations that cannot work: each answer names the remedy, those of the Caddyfile the
// file and the line.
func TestCFG1_BadInput(t *testing.T) {
	t.Parallel()
	p := newProcess(t, setup{})
	good := p.caddyfile(setup{})
	mailer := "mailer smtp " + p.mails.Addr + " {\n\t\t\ttls none\n\t\t}"
	for name, c := range map[string]struct {
		old, with string
		want      []string
	}{
		"no base_url":       {"base_url " + p.origin() + "\n", "\n", []string{"base_url is missing", "base_url https://app.example.com"}},
		"no from":           {`from "Example <no-reply@example.com>"`, "", []string{"Caddyfile:", `from "Example <no-reply@example.com>"`}},
		"no mailer":         {mailer, "", []string{"Caddyfile:", "mailer smtp <your provider's host>:587", "mailer file <dir>", "mailer none"}},
		"an unreadable key": {"{env.EMAIL_LINK_TEST_SECRET}", "{file./nowhere/key}", []string{"secret", "/nowhere/key", "openssl rand"}},
		"an unset key":      {"{env.EMAIL_LINK_TEST_SECRET}", "{env.EMAIL_LINK_UNSET}", []string{"secret", "EMAIL_LINK_UNSET", "openssl rand"}},
		"an option's typo":  {"base_url", "base_uri", []string{"Caddyfile:", "base_uri", "base_url"}},
		"a directive's":     {"\temail_link {\n\n\t}\n\n\treverse_proxy", "\temail_link {\n\toptionl\n\t}\n\treverse_proxy", []string{"Caddyfile:", "optionl", "optional"}},
	} {
		text := strings.Replace(good, c.old, c.with, 1)
		if text == good {
			t.Fatalf("%s: nothing was changed in\n%s", name, good)
		}
		p.write(text)
		said := p.refused()
		for _, want := range c.want {
			if !strings.Contains(said, want) && !strings.Contains(said, strings.ReplaceAll(want, `"`, `\"`)) {
				t.Errorf("%s: no %q in\n%s", name, want, said)
			}
		}
	}
	if _, err := os.Stat(filepath.Dir(p.db)); !os.IsNotExist(err) {
		t.Errorf("a start that was refused has made files: %v", err)
	}
}

// TestDUR1_LockedDatabase starts a second Caddy on a database that another holds: it says who.
func TestDUR1_LockedDatabase(t *testing.T) {
	t.Parallel()
	p := startProcess(t, setup{})
	other := newProcess(t, setup{})
	other.db = p.db
	other.write(other.caddyfile(setup{}))
	said := other.refused()
	for _, want := range []string{p.db, "caddy reload", fmt.Sprintf("process %d (", p.cmd.Process.Pid)} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if status, _ := p.client().get("/email-link/health"); status != http.StatusOK {
		t.Errorf("the first one afterwards: %d", status)
	}
}

// TestMAIL4_UnsentIsQueuedAndSeen asks for a link while the mail server refuses: the person sees nothing of it, the operator
// sees it in the log and in the queue without the whole address, and the mail leaves when it can.
func TestMAIL4_UnsentIsQueuedAndSeen(t *testing.T) {
	t.Parallel()
	bothModes(t, testUnsentIsQueuedAndSeen)
}

func testUnsentIsQueuedAndSeen(t *testing.T, links string) {
	p := startProcess(t, setup{global: "sign_up open\n" + links})
	p.mails.Fault(mailertest.From, mailertest.Fault{Code: 451, Text: "come back later"})
	if status, _, _ := p.client().post("/email-link/sign-up", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
		t.Fatalf("asking: %d", status)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(p.out.String(), "come back later"); time.Sleep(10 * time.Millisecond) { // polling another process
		if time.Now().After(end) {
			t.Fatalf("the log does not say it:\n%s", p.out)
		}
	}
	if list := p.must("mail", "list"); !strings.Contains(list, "451") || strings.Contains(list, "ada@") {
		t.Errorf("the queue: %s", list)
	}
	if strings.Contains(p.out.String(), "ada@") {
		t.Errorf("LOG-1: the log holds the address:\n%s", p.out)
	}
	p.mails.Heal()
	p.kill() // it waits in the database, not in the process
	p.start()
	p.must("mail", "retry", "--all")
	if _, link := p.mail(); p.client().press(link) != http.StatusSeeOther {
		t.Error("the link of a mail that had to wait is dead")
	}
}
