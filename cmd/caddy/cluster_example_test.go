//go:build postgres

package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// example returns a file of examples/cluster with parts of it replaced, each of which it must have.
func example(t *testing.T, name string, changes ...[2]string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "examples", "cluster", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, change := range changes {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("%s of the example has no %q", name, change[0])
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	return text
}

// startBalancer runs the balancer of the example at an origin in front of nodes.
func startBalancer(t *testing.T, origin string, nodes ...string) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir(), site: strings.TrimPrefix(origin, "http://")}
	p.write("Caddyfile", example(t, "balancer.Caddyfile", [2]string{"http://localhost:9180", origin},
		[2]string{"localhost:9181 localhost:9182 localhost:9183", strings.Join(nodes, " ")}))
	p.start()
	return p
}

// TestNODE1_TheClusterExample runs the example as it is written, with ports of the test's own: one browser is known at every node, also when
// one of them has gone.
func TestNODE1_TheClusterExample(t *testing.T) {
	t.Parallel()
	server := pgtest.StartFor(t)
	origin, mails := "http://localhost:"+gatetest.Port(t), t.TempDir()
	var nodes []*place
	var sites []string
	var stop func()
	for i := range 3 {
		p := &place{t: t, dir: t.TempDir(), admin: gatetest.Address(t), site: gatetest.Address(t)}
		_, port, _ := net.SplitHostPort(p.site)
		p.write("Caddyfile", example(t, "Caddyfile", [2]string{"localhost:919{$NODE}", p.admin}, [2]string{"localhost:918{$NODE}", "localhost:" + port},
			[2]string{"{$NODE}", strconv.Itoa(i + 1)}, [2]string{"{$CLUSTER_DATABASE}", server.DSN()}, [2]string{"http://localhost:9180", origin},
			[2]string{"build/cluster/mails", mails}, [2]string{"{env.CLUSTER_SECRET}", "{env.GATE_SECRET}"}, [2]string{"shutdown_delay 3s", "shutdown_delay 10ms"}))
		stop = p.start()
		nodes, sites = append(nodes, p), append(sites, p.site)
	}
	startBalancer(t, origin, sites...)

	nodes[0].must("accounts", "add", "ada@example.com")
	b := newBrowser(t)
	if status, page := b.open(firstLine(nodes[1].must("link", "ada@example.com"))); status != http.StatusOK || !strings.HasPrefix(page, "Hello ada@example.com") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	says := regexp.MustCompile(`^Hello ada@example\.com, this is node (\d)\.\n$`)
	by := func(n int) map[string]bool {
		t.Helper()
		seen := map[string]bool{}
		for range n {
			status, page := b.do(http.MethodGet, origin+"/", "")
			m := says.FindStringSubmatch(page)
			if status != http.StatusOK || m == nil {
				t.Fatalf("%d %q", status, page)
			}
			seen[m[1]] = true
		}
		return seen
	}
	eventually(t, "each node answers", func() bool { return len(by(9)) == 3 })
	stop()
	if seen := by(9); seen["3"] {
		t.Error("a node that was stopped has answered")
	}
}
