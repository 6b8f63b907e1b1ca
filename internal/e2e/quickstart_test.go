//go:build e2e

package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// startQuickstart runs what the README says, on other ports and in a directory of its own, and returns the addresses of the
// gate and of the mails.
func startQuickstart(t *testing.T) (gate, mails string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "quickstart")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/caddy-email-link/caddy-email-link/examples/quickstart")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program, "-port", strconv.Itoa(threePorts(t)))
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = patience
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait()
		_ = log.Close()
		text, err := os.ReadFile(log.Name())
		if strings.Contains(string(text), "WARN") {
			t.Error("the quickstart warns of what a trial wants")
		}
		if err == nil && t.Failed() {
			t.Logf("the quickstart's log:\n%s", text)
		}
	})
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 2 && words[0] == "Open":
			gate = words[1]
		case len(words) == 2 && words[0] == "Mails":
			mails = words[1]
		case len(words) > 0 && words[0] == "Stop":
			return gate, mails
		}
	}
	t.Fatal("the quickstart ended before it said how to stop it")
	return "", ""
}

// threePorts returns the first of three ports in a row that nothing listens on.
func threePorts(t *testing.T) int {
	t.Helper()
	for range 50 {
		port, err := strconv.Atoi(gatetest.Port(t))
		if err != nil {
			t.Fatal(err)
		}
		if isFree(t, port+1) && isFree(t, port+2) {
			return port
		}
	}
	t.Fatal("no three ports in a row are free")
	return 0
}

// TestQuickstart goes through the README's first section: sign up, open the link on the page with the mails, and see at the
// demo backend who the gate says it is, and what it refuses.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	gate, mails := startQuickstart(t)
	origin := strings.TrimSuffix(gate, "/email-link/sign-up")
	if origin == gate {
		t.Errorf("the quickstart says to open %s, which is not where one signs up", gate)
	}
	b := newBrowser(t, "anna")
	b.alien = true
	b.open(mails).says("None yet")
	b.alien = false
	b.open(gate)
	b.types("Email address", "anna@example.com").presses("Email me a link").says("Check your email")
	if !b.await(func() bool { return strings.Contains(b.open(mails).text(), "anna@example.com") }) {
		t.Fatal("the mail is not on the page with the mails")
	}
	b.goes(chromedp.Click(`//article[1]//a`)).at("/", 200)
	b.says("Hello, anna@example.com", "Forged:", "refused: "+"unknown_key", "Expired:", "refused: expired", "Foreign:", "refused: audience")
	b.lacks("ACCEPTED")
	b.alien = true
	b.shows("quickstart-backend")
	b.open(mails).shows("quickstart-mails")
	b.alien = false
	b.open(origin).presses("Your session").says("You are signed in as anna@example.com").presses("Sign out here")
	b.open(origin).at("/email-link/sign-in", 200)
}
