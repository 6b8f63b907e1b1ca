// Package integration runs the whole gate: a real Caddy in this process, a real SMTP server, a backend that records what
// reaches it, and clients that behave like browsers, or do not.
package integration

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
)

// asCaddy in the environment makes this program be `caddy`.
const asCaddy = "EMAIL_LINK_INTEGRATION_CADDY"

// beforeCaddy is run before it is.
var beforeCaddy = func() {}

// TestMain gives Caddy directories of its own: it reads where they are before any test runs, so the tests run in a second
// process.
func TestMain(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		beforeCaddy()
		caddycmd.Main()
		return
	}
	const mark = "EMAIL_LINK_INTEGRATION_HOME"
	if os.Getenv(mark) != "" {
		os.Exit(m.Run())
	}
	home, err := os.MkdirTemp("", "email-link-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), mark+"="+home, "HOME="+home, "XDG_DATA_HOME="+home+"/data", "XDG_CONFIG_HOME="+home+"/config",
		"EMAIL_LINK_TEST_SECRET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	_ = os.RemoveAll(home)
	if err != nil {
		os.Exit(1)
	}
}
