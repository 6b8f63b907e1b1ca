//go:build e2e

// Package e2e uses the gate as people do: a real Caddy, a real Chromium, forms typed into and buttons pressed, and no
// JavaScript unless it says otherwise; and lynx and w3m. Its tests need the build tag e2e, Debian's packages chromium, lynx, w3m and
// bsdutils, and axe-core from npm (scripts/tools).
package e2e

import (
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

func TestMain(m *testing.M) { gatetest.Main(m, caddycmd.Main) }
