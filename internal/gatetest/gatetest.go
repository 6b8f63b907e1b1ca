// Package gatetest starts gates: in this process or as a process of their own, behind a Caddyfile made of parts, before a backend that
// records what reaches it, with a browser that signs up by the mail it gets. The tests of the whole and the benchmark use it; each keeps
// to itself what only it needs. Nothing of it is in the binary.
package gatetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

// AsCaddy in the environment makes a test's program be `caddy`; Command puts it there.
const AsCaddy = "EMAIL_LINK_TEST_AS_CADDY=1"

// isolated in the environment marks the process in which Isolated runs the tests.
const isolated = "EMAIL_LINK_TEST_ISOLATED=1"

// is reports whether an assignment is in the environment.
func is(assignment string) bool {
	name, value, _ := strings.Cut(assignment, "=")
	return os.Getenv(name) == value
}

// Main is what TestMain calls: it runs the tests, or caddy where Command has started this program.
func Main(m *testing.M, caddy func()) {
	if is(AsCaddy) {
		caddy()
		return
	}
	os.Exit(m.Run())
}

// Isolated is Main for tests that load configurations in their own process. Caddy reads where its directories are before any test runs, so
// the tests run in a second process, which has a home of its own and the variables env.
func Isolated(m *testing.M, caddy func(), env ...string) {
	if is(AsCaddy) || is(isolated) {
		Main(m, caddy)
		return
	}
	home, err := os.MkdirTemp("", "email-link-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cmd := exec.CommandContext(context.Background(), os.Args[0], os.Args[1:]...) //nolint:gosec // this program
	cmd.Env = append(append(append(os.Environ(), isolated), Homes(home)...), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	_ = os.RemoveAll(home)
	if err != nil {
		os.Exit(1)
	}
}

// Homes returns the variables that give Caddy its directories below dir.
func Homes(dir string) []string {
	return []string{"HOME=" + dir, "XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config")}
}

// Command returns this program as `caddy` with arguments, in dir and with its directories there. The program's TestMain calls Main or
// Isolated.
func Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...) //nolint:gosec // this program
	if path, err := os.Executable(); err == nil {        // os.Args[0] may be relative to another directory
		cmd.Path = path
	}
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), AsCaddy), Homes(dir)...)
	return cmd
}

// Port returns a loopback port that nothing listens on.
func Port(t testing.TB) string {
	t.Helper()
	port, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Address returns a loopback address that nothing listens on.
func Address(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + Port(t)
}
