//go:build e2e

// Package e2e uses the gate as people do: a real Caddy, a real Chromium, forms typed into and buttons pressed, and no
// JavaScript. Its tests need the build tag e2e and Debian's package chromium.
package e2e

import (
	"os"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
)

// asCaddy makes this test binary behave as the program it tests.
const asCaddy = "EMAIL_LINK_E2E_AS_CADDY"

func TestMain(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}
