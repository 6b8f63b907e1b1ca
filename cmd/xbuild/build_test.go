//go:build xbuild

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuild compiles Caddy, which takes minutes the first time.
func TestBuild(t *testing.T) {
	out := filepath.Join(t.TempDir(), "caddy")
	var log bytes.Buffer
	if err := run(t.Context(), []string{"-dev", "-f", filepath.Join(root, "xcaddy.json"), "-o", out}, &log, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	modules, err := exec.CommandContext(t.Context(), out, "list-modules").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"email_link", "http.handlers.email_link", "email_link.mailers.smtp", "email_link.storage.bbolt"} {
		if !strings.Contains("\n"+string(modules), "\n"+want+"\n") {
			t.Errorf("the binary has no module %s", want)
		}
	}
	if help, err := exec.CommandContext(t.Context(), out, "email-link", "--help").CombinedOutput(); err != nil {
		t.Errorf("caddy email-link --help: %v\n%s", err, help)
	}
}
