//go:build apps

// Package radicale holds the test of the example beside it.
package radicale

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// TestHDR1_Radicale asks Debian's Radicale who it takes a browser for, and keeps a calendar there.
func TestHDR1_Radicale(t *testing.T) {
	program, err := exec.LookPath("radicale")
	if err != nil {
		t.Fatal("radicale is not installed: apt-get install radicale")
	}
	port, gatePort, dir := exampletest.Port(t), exampletest.Port(t), t.TempDir()
	config := filepath.Join(dir, "radicale.conf")
	if err := os.WriteFile(config, []byte(exampletest.Read(t, "radicale.conf", "127.0.0.1:5232", "127.0.0.1:"+port, "/var/lib/radicale/collections", dir+"/collections")), 0o600); err != nil {
		t.Fatal(err)
	}
	// The distribution's own Python: another one in PATH does not see its modules.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/usr/bin/python3", program, "--config", config)
	exampletest.Start(t, cmd, "127.0.0.1:"+port)
	origin := "http://localhost:" + gatePort
	g := exampletest.StartGate(t, exampletest.Read(t, "Caddyfile", "https://calendar.example.com", origin, "calendar.example.com {", origin+" {", "localhost:5232", "127.0.0.1:"+port),
		"127.0.0.1:"+gatePort)
	b := exampletest.NewBrowser(t, origin)

	forged := []string{"X-Remote-User: grace@example.com", "x_remote_user: grace@example.com", "Depth: 0"}
	if res, _ := b.Do("PROPFIND", "/", nil, forged...); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("anonymous: %d", res.StatusCode)
	}
	b.SignUp(g, "ada@example.com")
	res, body := b.Do("PROPFIND", "/", nil, forged...)
	if res.StatusCode != http.StatusMultiStatus || !strings.Contains(body, "<current-user-principal><href>/ada%40example.com/</href>") {
		t.Errorf("who am I: %d\n%s", res.StatusCode, body)
	}
	if res, body := b.Do("MKCALENDAR", "/ada@example.com/diary/", nil, forged...); res.StatusCode != http.StatusCreated {
		t.Errorf("a calendar of one's own: %d\n%s", res.StatusCode, body)
	}
	if res, _ := b.Do("PROPFIND", "/ada@example.com/diary/", nil, forged...); res.StatusCode != http.StatusMultiStatus {
		t.Errorf("reading it: %d", res.StatusCode)
	}
	if res, _ := b.Do("MKCALENDAR", "/grace@example.com/diary/", nil, forged...); res.StatusCode < 400 {
		t.Errorf("a calendar of somebody else's: %d", res.StatusCode)
	}
	if res, body := b.Visit("/.web/"); res.StatusCode != http.StatusOK || !strings.Contains(body, "Radicale") {
		t.Errorf("its pages: %d\n%.200s", res.StatusCode, body)
	}
	calendarPrograms(t, g, origin)
}

// calendarPrograms asks by curl as a calendar program does: with a token as the password.
func calendarPrograms(t *testing.T, g *exampletest.Gate, origin string) {
	t.Helper()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is not installed: apt-get install curl")
	}
	ask := func(path, user string, more ...string) (status, body string) {
		t.Helper()
		args := append([]string{"-sS", "-u", user, "-X", "PROPFIND", "-H", "Depth: 0", "-H", "X-Remote-User: grace@example.com", "-w", "\n%{http_code}"}, more...)
		out, err := exec.CommandContext(t.Context(), curl, append(args, origin+path)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl: %v\n%s", err, out)
		}
		i := strings.LastIndex(string(out), "\n")
		return string(out[i+1:]), string(out[:i])
	}
	token, _, _ := strings.Cut(g.Command(t, "tokens", "create", "ada@example.com", "--scope", "calendar", "--name", "phone"), "\n")
	// Right away, and as programs do that send a password only where they are asked for one.
	for _, how := range []string{"--basic", "--anyauth"} {
		status, body := ask("/", "ada@example.com:"+token, how)
		if status != "207" || !strings.Contains(body, "<current-user-principal><href>/ada%40example.com/</href>") {
			t.Errorf("%s: %s\n%s", how, status, body)
		}
		if status, body := ask("/ada@example.com/diary/", "phone:"+token, how); status != "207" {
			t.Errorf("%s: her calendar: %s\n%s", how, status, body)
		}
		if status, _ := ask("/", "ada@example.com:"+token+"x", how); status != "401" {
			t.Errorf("%s: a token that is none: %s", how, status)
		}
	}
	if status, _ := ask("/grace@example.com/diary/", "grace@example.com:"+token); status == "207" {
		t.Error("the user name moves a token to another account")
	}
	g.Command(t, "accounts", "disable", "ada@example.com")
	if status, _ := ask("/", "ada@example.com:"+token); status != "401" {
		t.Errorf("of a disabled account: %s", status)
	}
	g.Command(t, "accounts", "enable", "ada@example.com")
}
