// Package integration runs the whole gate: a real Caddy in this process, a real SMTP server, a backend that records what
// reaches it, and clients that behave like browsers, or do not.
package integration

import (
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// beforeCaddy is run before this program is `caddy`.
var beforeCaddy = func() {}

func TestMain(m *testing.M) {
	caddy := func() {
		beforeCaddy()
		caddycmd.Main()
	}
	gatetest.Isolated(m, caddy, "EMAIL_LINK_TEST_SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
}
