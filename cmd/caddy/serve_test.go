package main

import (
	"bufio"
	"strings"
	"testing"

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
	for _, want := range []string{"Open      " + origin + "\n", "./mails", "keys audience localhost:" + port + " --address " + p.admin + "\n", "Ctrl-C"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	_, errs, code := p.run("serve", "--to", "localhost:1", "--from", origin, "--admin", gatetest.Address(t))
	if code != 1 || !strings.Contains(errs, "port "+port+" is taken") {
		t.Errorf("a second one: exit %d\n%s", code, errs)
	}
}
