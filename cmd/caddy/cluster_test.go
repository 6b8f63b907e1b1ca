//go:build postgres

package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// clusterRounds names the variable that makes the tests of several nodes long: how many times each thing is done. See `make cluster-rounds`.
const clusterRounds = "CLUSTER_ROUNDS"

// longRounds returns how many rounds there are, few unless the variable says more.
func longRounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv(clusterRounds)); err == nil {
		return n
	}
	return few
}

// onlyLong skips a test that takes minutes, and returns how many rounds there are.
func onlyLong(t *testing.T) int {
	t.Helper()
	n := longRounds(0)
	if n == 0 {
		t.Skip("it takes minutes: make cluster-rounds")
	}
	return n
}

// cluster is several Caddys with one database and one site, as behind a balancer.
type cluster struct {
	t      *testing.T
	server *pgtest.Server
	origin string
	nodes  []*node
	proxy  *pgtest.Proxy
	app    streams
}

// node is one of them. A browser reaches it at the origin of the site.
type node struct {
	*place
	transport *http.Transport
	stop      func()
}

// newCluster starts three nodes. The last one reaches the database by a proxy.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	server := pgtest.StartFor(t)
	proxy := server.NewProxy(t)
	c := newClusterOn(t, server, "none", server.DSN(), server.DSN(), proxy.DSN())
	c.proxy = proxy
	return c
}

// newClusterOn starts a node for each connection string, with one mailer.
func newClusterOn(t *testing.T, server *pgtest.Server, mailer string, dsns ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, server: server, origin: "http://localhost:" + gatetest.Port(t)}
	var app string
	c.app, app = newStreams(t)
	for _, dsn := range dsns {
		n := &node{place: &place{t: t, dir: t.TempDir(), admin: gatetest.Address(t), site: gatetest.Address(t)}}
		_, port, _ := net.SplitHostPort(n.site)
		n.write("Caddyfile", gatetest.Config{
			Admin: n.admin, BaseURL: c.at("auth") + " " + c.at("photos"), Mailer: mailer, Storage: "postgres {\n\t\t\tdsn \"" + dsn + "\"\n\t\t\tserve_cached 10m\n\t\t}", Secret: "{env.GATE_SECRET}",
			Gate: "scopes calendar\n\t\tlimit redeem_ip 100000-H\n\t\tlimit mail_ip 100000-H\n\t\tportal " + c.at("auth"),
			Sites: "http://localhost:" + port + " {\n\tbind 127.0.0.1\n\temail_link {\n\t\tbase_url " + c.origin + "\n\t\tportal off\n\t\trequire scope calendar session\n\t}\n" +
				"\thandle /app/* {\n\t\treverse_proxy " + app + " {\n\t\t\tflush_interval -1\n\t\t}\n\t}\n" +
				"\thandle {\n\t\trespond \"hello {http.auth.user.email} {http.auth.user.roles}\"\n\t}\n}\n" + portalSites(port),
		}.String())
		n.transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", n.site)
		}}
		t.Cleanup(n.transport.CloseIdleConnections)
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		n.stop = n.start()
	}
	return c
}
