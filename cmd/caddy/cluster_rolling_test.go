//go:build postgres

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// balancer starts the example's balancer in front of the cluster, which a browser reaches like a node.
func (c *cluster) balancer() *node {
	c.t.Helper()
	var sites []string
	for _, n := range c.nodes {
		sites = append(sites, n.site)
	}
	lb := &node{place: startBalancer(c.t, c.origin, sites...)}
	lb.transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", lb.site)
	}}
	c.t.Cleanup(lb.transport.CloseIdleConnections)
	return lb
}

// asks asks for a mail by the balancer again and again, each for another account, until stop, which returns for how many.
func (c *cluster) asks(lb *node) (stop func() int) {
	client := c.nodes[0].client()
	const most = 500
	for i := range most {
		if _, err := client.AddAccount(c.t.Context(), operator.AccountInput{Email: fmt.Sprintf("user%d@example.com", i)}); err != nil {
			c.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		for n < most && ctx.Err() == nil {
			form := url.Values{"email": {fmt.Sprintf("user%d@example.com", n)}}.Encode()
			if status, page := lb.browser(nil).do(http.MethodPost, c.origin+"/email-link/sign-in", form); status != http.StatusOK {
				c.t.Errorf("asking: %d %.200q", status, page)
			}
			n++
			time.Sleep(100 * time.Millisecond) // ten a second
		}
	})
	return func() int {
		cancel()
		wg.Wait()
		return n
	}
}

// eachOnce waits until the mails of asks have left, and returns how many there were. None may come twice.
func (c *cluster) eachOnce(box *mailertest.Server, mails int) int {
	c.t.Helper()
	counts := map[string]int{}
	eventually(c.t, "each mail has left", func() bool {
		clear(counts)
		for _, m := range box.Mails() {
			if strings.HasPrefix(m.EnvelopeTo, "user") { // others get notices
				counts[m.EnvelopeTo]++
			}
		}
		return len(counts) == mails
	})
	for to, n := range counts {
		if n != 1 {
			c.t.Errorf("%d mails to %s", n, to)
		}
	}
	return mails
}

// roll gives one node after the other another configuration.
func (c *cluster) roll(old, with string) {
	c.t.Helper()
	for _, n := range c.nodes {
		n.stop()
		if old != "" {
			n.edit(old, with)
		}
		n.stop = n.start()
	}
}

// TestNODE3_RollingRestartsLoseNothing restarts one node after the other behind a balancer, under load, and then changes their key: no request
// is lost, no mail comes twice or not at all, and every session lives on.
func TestNODE3_RollingRestartsLoseNothing(t *testing.T) {
	onlyLong(t)
	box := mailertest.NewServer(t, mailertest.Options{})
	server := pgtest.StartFor(t)
	c := newClusterOn(t, server, "smtp "+box.Addr+" {\n\t\t\ttls none\n\t\t}", server.DSN(), server.DSN(), server.DSN())
	c.roll("{\n\tadmin", "{\n\tshutdown_delay 3s\n\tadmin")
	lb := c.balancer()
	b := c.enter("load@example.com")
	stopLoad, stopAsks := load(t, []*node{lb}, c.origin, b), c.asks(lb)

	c.roll("", "")
	t.Log("restarted")
	c.roll("secret {env.GATE_SECRET}", "secret {env.GATE_SECRET} {env.OTHER_SECRET}")
	if _, errs, code := c.nodes[0].run("reseal"); code != 0 || strings.Contains(errs, "lacks") {
		t.Errorf("reseal by the key that seals already: exit %d, %s", code, errs)
	}
	c.roll("secret {env.GATE_SECRET} {env.OTHER_SECRET}", "secret {env.OTHER_SECRET} {env.GATE_SECRET}")
	if out := c.nodes[0].must("reseal"); !strings.HasPrefix(out, "sealed the database") {
		t.Errorf("reseal printed %q", out)
	}
	c.roll("secret {env.OTHER_SECRET} {env.GATE_SECRET}", "secret {env.OTHER_SECRET}")
	t.Log("the key is changed")

	sent, bad := stopLoad()
	mails := stopAsks()
	if len(bad) > 0 {
		t.Errorf("%d of %d requests were lost: %v", len(bad), sent, bad[:min(len(bad), 5)])
	}
	c.welcome(b, "hello load@example.com")
	t.Logf("%d requests, %d mails", sent, c.eachOnce(box, mails))

	// A node with the key of before is refused, by the name of the key that it lacks, and obeys.
	n := c.nodes[2]
	n.stop()
	n.edit("secret {env.OTHER_SECRET}", "secret {env.GATE_SECRET}")
	_, errs, code := n.run("accounts", "list", "--address", "localhost:1")
	t.Logf("with the key of before: exit %d, %s", code, errs)
	cmd := n.command("run")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "key") {
		t.Errorf("a node without the key of the database: %v\n%s", err, out)
	}
	t.Logf("it says: %.900s", out[max(0, len(out)-900):])
	n.edit("secret {env.GATE_SECRET}", "secret {env.OTHER_SECRET}")
	n.stop = n.start()
	c.welcome(b, "hello load@example.com")
}

// TestNODE2_ADatabaseThatIsAwayForAll takes the database away from all nodes: a balancer keeps them, who was there is served, and everything
// else waits.
func TestNODE2_ADatabaseThatIsAwayForAll(t *testing.T) {
	onlyLong(t)
	server := pgtest.StartFor(t)
	c := newClusterOn(t, server, "none", server.DSN(), server.DSN(), server.DSN())
	lb := c.balancer()
	b := c.enter("ada@example.com")
	if err := server.Kill(); err != nil {
		t.Log(err)
	}
	for _, n := range c.nodes {
		eventually(t, "the node says that it serves from memory", func() bool {
			status, page := n.browser(nil).do(http.MethodGet, c.origin+"/email-link/health", "")
			return status == http.StatusOK && strings.Contains(page, `"serving_cached":true`)
		})
	}
	for range 9 {
		if status, page, err := lb.get(t.Context(), c.origin, b.cookies, ""); err != nil || status != http.StatusOK || !strings.HasPrefix(page, "hello") {
			t.Errorf("by the balancer: %d %q, %v", status, page, err)
		}
	}
	if status, _ := lb.browser(b.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", ""); status != http.StatusServiceUnavailable {
		t.Errorf("a sign-out that cannot be written: %d", status)
	}
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		eventually(t, "the node is well", func() bool {
			_, page := n.browser(nil).do(http.MethodGet, c.origin+"/email-link/health", "")
			return page == "ok\n"
		})
	}
	c.welcome(b, "hello ada@example.com")
	if status, _ := lb.browser(b.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", ""); status != http.StatusOK {
		t.Errorf("a sign-out afterwards: %d", status)
	}
	c.refused("a sign-out afterwards", b)
}

// TestRL4_ACapHoldsOverThreeNodes asks 300 times at once for one mailbox, a third on each node.
func TestRL4_ACapHoldsOverThreeNodes(t *testing.T) {
	onlyLong(t)
	box := mailertest.NewServer(t, mailertest.Options{})
	server := pgtest.StartFor(t)
	c := newClusterOn(t, server, "smtp "+box.Addr+" {\n\t\t\ttls none\n\t\t}", server.DSN(), server.DSN(), server.DSN())
	client := c.nodes[0].client()
	for _, email := range []string{"ada@example.com", "last@example.com"} {
		if _, err := client.AddAccount(t.Context(), operator.AccountInput{Email: email}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 300 {
		n := c.nodes[i%3]
		wg.Go(func() {
			n.browser(nil).do(http.MethodPost, c.origin+"/email-link/sign-in", url.Values{"email": {"ada@example.com"}}.Encode())
		})
	}
	wg.Wait()
	c.nodes[1].browser(nil).do(http.MethodPost, c.origin+"/email-link/sign-in", url.Values{"email": {"last@example.com"}}.Encode())
	eventually(t, "the queue is empty", func() bool {
		list, err := client.Mails(t.Context())
		return err == nil && len(list) == 0 && len(box.Mails()) > 0
	})
	n := 0
	for _, m := range box.Mails() {
		if m.EnvelopeTo == "ada@example.com" {
			n++
		}
	}
	if n != 5 { // mail_address
		t.Errorf("%d mails to one address, want 5", n)
	}
}
