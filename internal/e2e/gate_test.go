//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// patience is how long a test waits for what another process has to do. Nothing takes nearly as long.
const patience = 2 * time.Minute

// setup changes a gate before it starts.
type setup struct {
	// https serves with a certificate of Caddy's own authority.
	https bool
	// anyHost has Caddy hand requests to any host to the gate.
	anyHost bool
	// global and site are further lines of the global option and of the site's directive.
	global, site string
	// app answers behind the gate, nil for the page that shows the assertion.
	app http.HandlerFunc
}

// gate is a running Caddy before a demo backend.
type gate struct {
	t       *testing.T
	dir     string
	origin  string
	client  *http.Client
	backend *backend
	process *gatetest.Child
	env     []string // of Caddy, beside the test's own
	mu      sync.Mutex
	read    map[string]bool // names of mails
}

// newGate runs Caddy in a directory of its own until the test ends.
func newGate(t *testing.T, s setup) *gate {
	t.Helper()
	g := &gate{t: t, dir: t.TempDir(), client: &http.Client{Timeout: 5 * time.Second}, backend: newBackend(t), read: map[string]bool{}}
	g.backend.app = s.app
	port := gatetest.Port(t)
	scheme, certificate := "http", ""
	if s.https {
		scheme, certificate = "https", "tls internal"
	}
	g.origin = scheme + "://localhost:" + port
	address := g.origin
	if s.anyHost {
		address = scheme + "://:" + port
	}
	g.write("Caddyfile", gatetest.Config{
		Admin: gatetest.Address(t), Options: "skip_install_trust\n\tauto_https disable_redirects", BaseURL: g.origin, Mailer: "file ./mails",
		Gate: "contact help@example.com\n\t\tsite_name Example\n\t\tsign_up open\n\t\t" + s.global,
		Sites: fmt.Sprintf(`%s {
	bind 127.0.0.1
	%s
	email_link {
		%s
	}
	reverse_proxy %s
}
`, address, certificate, s.site, g.backend.address),
	}.String())
	g.run()
	if s.https {
		g.trust()
	}
	g.awaitHealth()
	g.backend.verifyFor(t, g)
	return g
}

func (g *gate) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gate) command(args ...string) *exec.Cmd {
	g.t.Helper()
	cmd := gatetest.Command(g.t.Context(), g.dir, args...)
	cmd.Env = append(cmd.Env, g.env...)
	return cmd
}

// run starts Caddy. Its log is shown when the test fails.
func (g *gate) run() {
	g.t.Helper()
	cmd := gatetest.Command(context.WithoutCancel(g.t.Context()), g.dir, "run")
	cmd.Env = append(cmd.Env, g.env...)
	process, err := gatetest.Start(cmd)
	if err != nil {
		g.t.Fatal(err)
	}
	g.process = process
	g.t.Cleanup(func() {
		process.Stop()
		if g.t.Failed() {
			g.t.Logf("the log of Caddy:\n%s", process.Output)
		}
	})
}

// stop ends Caddy in an orderly way; run starts it again.
func (g *gate) stop() { g.process.Stop() }

// trust makes the test's own client trust Caddy's own authority, once that exists.
func (g *gate) trust() {
	g.t.Helper()
	path := filepath.Join(g.dir, "data", "caddy", "pki", "authorities", "local", "root.crt")
	roots := x509.NewCertPool()
	g.await("a certificate authority", func() bool {
		pem, err := os.ReadFile(path)
		return err == nil && roots.AppendCertsFromPEM(pem)
	})
	g.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	g.t.Cleanup(g.client.CloseIdleConnections)
}

func (g *gate) awaitHealth() {
	g.t.Helper()
	g.await("an answer of Caddy", func() bool {
		req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.origin+"/email-link/health", http.NoBody)
		if err != nil {
			g.t.Fatal(err)
		}
		resp, err := g.client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// await polls what another process does until it is done.
func (g *gate) await(what string, done func() bool) {
	g.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); !done(); <-poll.C {
		if time.Now().After(deadline) {
			g.t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// cli runs `caddy email-link` and returns the first line of what it printed.
func (g *gate) cli(args ...string) string {
	g.t.Helper()
	cmd := g.command(append([]string{"email-link"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		g.t.Fatalf("%v: %v\n%s%s", args, err, out.String(), errs.String())
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	return line
}

// account makes an account without a mail.
func (g *gate) account(email string) {
	g.t.Helper()
	g.cli("accounts", "add", email)
}

// isFree reports whether nothing listens on a loopback port.
func isFree(t *testing.T, port int) bool {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
