//go:build apps

// Package systemd holds the test of the example beside it.
package systemd

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
)

const unit = "caddy-email-link.service"

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUnit lets systemd read the unit, with a program that is there.
func TestUnit(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is not installed: apt-get install systemd")
	}
	here, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), unit)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(read(t, unit), "/usr/local/bin/caddy", here)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "verify", "--man=no", path).CombinedOutput(); err != nil || strings.Contains(string(out), unit) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), program, "security", "--offline=yes", "--threshold=20", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestCaddyfile makes sure that the Caddyfile reads the credential that the unit loads, when it runs and not before.
func TestCaddyfile(t *testing.T) {
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(read(t, "Caddyfile")), map[string]any{"filename": "Caddyfile"})
	if err != nil || len(warnings) > 0 || !json.Valid(config) {
		t.Fatalf("%v, %v", err, warnings)
	}
	if credential := "{file./run/credentials/" + unit + "/smtp_password}"; !strings.Contains(string(config), credential) || !strings.Contains(read(t, unit), "LoadCredential=smtp_password:") {
		t.Errorf("the configuration does not hold %s", credential)
	}
}
