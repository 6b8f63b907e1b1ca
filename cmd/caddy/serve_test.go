package main

import (
	"bufio"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

func TestHelpLeadsToOurReference(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, args := range [][]string{{"--help"}, {"accounts", "--help"}, {"accounts", "add", "--help"}} {
		if out := p.must(args...); !strings.Contains(out, "docs/reference.md#command-line") || strings.Contains(out, "caddyserver.com") {
			t.Errorf("%v:\n%s", args, out)
		}
	}
}

// TestServeSaysWhatToOpen runs a trial at a port of its own: it says where the pages, the mails and the app's key are, and a second
// one at the same port is refused, although Caddy itself would share it.
func TestServeSaysWhatToOpen(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	port := gatetest.Port(t)
	origin := "http://localhost:" + port
	cmd := p.command("email-link", "serve", "--to", "localhost:1", "--from", origin, "--admin", p.admin)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, or is about to
		_ = cmd.Wait()
	})
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "Stop") {
			break
		}
	}
	for _, want := range []string{"Open      " + origin + "/email-link/sign-up\n", "./mails", "keys audience localhost:" + port + " --address " + p.admin + "\n", "Ctrl-C"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	for _, dir := range []string{"mails", "email_link_data"} {
		if ignored, err := os.ReadFile(filepath.Join(p.dir, dir, ".gitignore")); err != nil || string(ignored) != "*\n" {
			t.Errorf("git would take %s: %q, %v", dir, ignored, err)
		}
	}
	mails := regexp.MustCompile(`Mails     (http://localhost:\d+)\n`).FindStringSubmatch(text.String())
	if mails == nil {
		t.Fatalf("no page of mails in\n%s", text.String())
	}
	b := newBrowser(t)
	if status, page := b.do(http.MethodPost, origin+"/email-link/sign-up", "email=you%40example.com"); status != http.StatusOK {
		t.Fatalf("sign-up: %d\n%s", status, page)
	}
	link := ""
	for limit := time.Now().Add(gatetest.Patience); link == "" && time.Now().Before(limit); {
		_, page := newBrowser(t).do(http.MethodGet, mails[1]+"/", "")
		link = html.UnescapeString(regexp.MustCompile(`http://[^"<\s]+/link\?t=[^"<\s]+`).FindString(page))
	}
	status, page := b.do(http.MethodGet, link, "")
	if status != http.StatusBadGateway || !strings.Contains(page, "You are signed in") || !strings.Contains(page, "Nothing answers at <b>localhost:1</b> yet") {
		t.Errorf("without an app: %d\n%s", status, page)
	}
	_, errs, code := p.run("serve", "--to", "localhost:1", "--from", origin, "--admin", gatetest.Address(t))
	if code != 1 || !strings.Contains(errs, "port "+port+" is taken") {
		t.Errorf("a second one: exit %d\n%s", code, errs)
	}
}
