//go:build postgres

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/adminapi"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// These tests are the long form of those of several nodes, for `make cluster-rounds`: they print figures, which mean something on a quiet
// machine only, and fail by what must never be.

// client does what commands do on a node, without a process for each.
func (n *node) client() *adminapi.Client {
	n.t.Helper()
	c, err := adminapi.Connect(n.t.Context(), "tcp", n.admin)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// get asks a node for a page as a browser, and reports whether it is let in.
func (n *node) get(ctx context.Context, origin string, cookies map[string]string, token string) (status int, page string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/", nil)
	if err != nil {
		return 0, "", err
	}
	for name, value := range cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if token != "" {
		req.SetBasicAuth("x", token)
	}
	resp, err := n.transport.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, string(text), err
}

// load sends 200 requests a second of a signed-in browser to each node by its function, until stop, which returns how many there were, and
// what was not answered as it must be.
func load(t *testing.T, nodes []*node, origin string, b *browser) (stop func() (sent int64, bad []string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	var sent atomic.Int64
	var mu sync.Mutex
	var bad []string
	for _, n := range nodes {
		for range 8 {
			wg.Go(func() {
				for tick := time.NewTicker(40 * time.Millisecond); ; {
					select {
					case <-ctx.Done():
						tick.Stop()
						return
					case <-tick.C:
					}
					status, page, err := n.get(context.WithoutCancel(ctx), origin, b.cookies, "")
					sent.Add(1)
					if err != nil || status != http.StatusOK || !strings.HasPrefix(page, "hello") {
						mu.Lock()
						bad = append(bad, fmt.Sprintf("%d %.80q %v", status, page, err))
						mu.Unlock()
					}
				}
			})
		}
	}
	return func() (int64, []string) {
		cancel()
		wg.Wait()
		return sent.Load(), bad
	}
}

// enter signs a new account in by the first node and lets every node cache the session.
func (c *cluster) enter(email string) *browser {
	c.t.Helper()
	first := c.nodes[0]
	client := first.client()
	if _, err := client.AddAccount(c.t.Context(), operator.AccountInput{Email: email}); err != nil {
		c.t.Fatal(err)
	}
	link, err := client.MakeLink(c.t.Context(), operator.LinkInput{Email: email, Site: c.origin})
	if err != nil {
		c.t.Fatal(err)
	}
	b := first.browser(nil)
	if status, page := b.open(link.URL); status != http.StatusOK || !strings.HasPrefix(page, "hello "+email) {
		c.t.Fatalf("signing in: %d %q", status, page)
	}
	for _, n := range c.nodes {
		for {
			if _, page, err := n.get(c.t.Context(), c.origin, b.cookies, ""); err == nil && strings.HasPrefix(page, "hello") {
				break
			}
		}
	}
	return b
}

// awaitOthers waits until each of the other nodes answers as wanted, and returns how long after now the last request was sent that was
// answered otherwise: however slow the machine is, no such request may reach a node after a second.
func (c *cluster) awaitOthers(b *browser, token string, good func(status int, page string) bool) time.Duration {
	begun := time.Now()
	var last time.Duration
	for _, n := range c.nodes[1:] {
		for {
			sent := time.Since(begun)
			status, page, err := n.get(c.t.Context(), c.origin, b.cookies, token)
			if err == nil && good(status, page) {
				break
			}
			last = sent
			if last > gatetest.Patience {
				c.t.Errorf("never: node %s answers %d %q, %v", n.site, status, page, err)
				break
			}
			time.Sleep(2 * time.Millisecond) // polling another process
		}
	}
	if last > time.Second {
		c.t.Errorf("a request that was sent %s after the end was answered from before", last)
	}
	return last
}

// figures are p50, p99 and the most.
func figures(list []time.Duration) string {
	slices.Sort(list)
	at := func(share int) time.Duration {
		return list[min(len(list)-1, len(list)*share/100)].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d: p50 %s, p99 %s, max %s", len(list), at(50), at(99), list[len(list)-1].Round(time.Millisecond))
}

// end is one way of ending a session.
type end struct {
	what string
	do   func(ctx context.Context, email string, b *browser) error
}

// ends returns all ways but those of roles and tokens, by the first node and by commands that work on the database themselves.
func (c *cluster) ends(client *adminapi.Client) []end {
	c.t.Helper()
	first, alone, disabled := c.nodes[0], c.alone(), "disabled"
	var commands atomic.Int64
	return []end{
		{"sign-out", func(_ context.Context, _ string, b *browser) error {
			first.browser(b.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", "")
			return nil
		}},
		{"sign-out everywhere", func(_ context.Context, _ string, b *browser) error {
			first.browser(b.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", "everywhere=1")
			return nil
		}},
		{"disable", func(ctx context.Context, email string, _ *browser) error {
			_, err := client.ChangeAccount(ctx, email, operator.AccountChange{Status: &disabled})
			return err
		}},
		{"delete", func(ctx context.Context, email string, _ *browser) error {
			_, err := client.DeleteAccount(ctx, email)
			return err
		}},
		{"command on the database", func(_ context.Context, email string, _ *browser) error {
			args := [][]string{{"sessions", "end"}, {"accounts", "disable"}}[commands.Add(1)%2]
			if _, errs, code := alone.run(append(args, email)...); code != 0 {
				return fmt.Errorf("%v: exit %d, %s", args, code, errs)
			}
			return nil
		}},
	}
}

// TestNODE1_RoundsOfEnds ends and changes things on the first of three nodes under load, with notices and by way of a pooler, without.
func TestNODE1_RoundsOfEnds(t *testing.T) {
	rounds := onlyLong(t)
	for _, pooled := range []bool{false, true} {
		server := pgtest.StartFor(t)
		dsn := server.DSN()
		if pooled {
			dsn = server.Pooler(t, "transaction")
		}
		c := newClusterOn(t, server, "none", dsn, dsn, dsn)
		client, begun := c.nodes[0].client(), time.Now()
		stop := load(t, c.nodes, c.origin, c.enter("load@example.com"))
		gone := func(_ int, page string) bool { return !strings.HasPrefix(page, "hello") }
		for _, end := range c.ends(client) {
			t.Logf("pooled %v, %s: %s", pooled, end.what, figures(c.inRounds(rounds, end.what, func(email string, b *browser) time.Duration {
				if err := end.do(t.Context(), email, b); err != nil {
					t.Error(err)
				}
				return c.awaitOthers(b, "", gone)
			})))
		}
		t.Logf("pooled %v, roles: %s", pooled, figures(c.inRounds(rounds, "roles", func(email string, b *browser) time.Duration {
			if _, err := client.ChangeAccount(t.Context(), email, operator.AccountChange{Roles: &[]string{"admin"}}); err != nil {
				t.Error(err)
			}
			return c.awaitOthers(b, "", func(_ int, page string) bool { return strings.HasSuffix(page, " admin") })
		})))
		var revoked []time.Duration
		var mu sync.Mutex
		t.Logf("pooled %v, token made: %s", pooled, figures(c.inRounds(rounds, "token", func(email string, _ *browser) time.Duration {
			token, err := client.CreateToken(t.Context(), operator.MachineTokenInput{Who: email, Scopes: []string{"calendar"}, Site: c.origin, Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			none := newBrowser(t)
			known := c.awaitOthers(none, token.Token, func(status int, _ string) bool { return status == http.StatusOK })
			if _, err := client.RevokeToken(t.Context(), token.ID); err != nil {
				t.Error(err)
			}
			took := c.awaitOthers(none, token.Token, func(status int, _ string) bool { return status == http.StatusUnauthorized })
			mu.Lock()
			defer mu.Unlock()
			revoked = append(revoked, took)
			return known
		})))
		t.Logf("pooled %v, token revoked: %s", pooled, figures(revoked))
		sent, bad := stop()
		t.Logf("pooled %v: %d requests beside it, %.0f a second for each node", pooled, sent, float64(sent)/3/time.Since(begun).Seconds())
		if len(bad) > 0 {
			t.Errorf("%d requests of somebody whose session goes on were refused: %v", len(bad), bad[:min(len(bad), 5)])
		}
		for _, n := range c.nodes {
			n.stop()
		}
	}
}

// inRounds calls do for as many new sessions, four at a time.
func (c *cluster) inRounds(rounds int, what string, do func(email string, b *browser) time.Duration) (took []time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range rounds {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			email := fmt.Sprintf("%s%d@example.com", strings.ReplaceAll(what, " ", "-"), i)
			d := do(email, c.enter(email))
			mu.Lock()
			defer mu.Unlock()
			took = append(took, d)
		})
	}
	wg.Wait()
	return took
}

// TestNODE1_RoundsOfStops stops a node for ten seconds while a session ends elsewhere: no request that reaches it meanwhile or afterwards is
// let in.
func TestNODE1_RoundsOfStops(t *testing.T) {
	rounds := min(onlyLong(t), 5)
	c := newCluster(t)
	last := c.nodes[2]
	for i := range rounds {
		b := c.enter(fmt.Sprintf("user%d@example.com", i))
		ended := c.inFlight(last, b)
		if err := last.caddy.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if status, _ := c.nodes[0].browser(b.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", ""); status != http.StatusOK {
			t.Fatalf("signing out: %d", status)
		}
		var wg sync.WaitGroup
		in := atomic.Int64{}
		ask := func() {
			if _, page, err := last.get(context.WithoutCancel(t.Context()), c.origin, b.cookies, ""); err != nil || strings.HasPrefix(page, "hello") {
				t.Logf("%q, %v", page, err)
				in.Add(1)
			}
		}
		for range 20 { // they wait in the kernel
			wg.Go(ask)
		}
		time.Sleep(10 * time.Second) // how long it is stopped is what is tried here
		if err := last.caddy.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			wg.Go(ask)
			time.Sleep(time.Millisecond) // from the first moment on
		}
		wg.Wait()
		if n := in.Load(); n > 0 {
			t.Errorf("round %d: %d requests were let in after the end", i, n)
		}
		ended("a sign-out while the node was stopped")
	}
}

// TestNODE1_ThreeIdleNodesAskLittle counts the statements that three idle nodes send to the database.
func TestNODE1_ThreeIdleNodesAskLittle(t *testing.T) {
	onlyLong(t)
	const seconds = 40
	server := pgtest.StartFor(t, "log_statement=all")
	newClusterOn(t, server, "none", server.DSN(), server.DSN(), server.DSN())
	server.Exec(t, "select 'begin of idle'")
	time.Sleep(seconds * time.Second) // what is counted is what comes in a time
	server.Exec(t, "select 'end of idle'")
	if err := server.Kill(); err != nil {
		t.Log(err)
	}
	_, log, _ := strings.Cut(server.Log(), "begin of idle")
	log, _, _ = strings.Cut(log, "end of idle")
	n := float64(strings.Count(log, "LOG:  statement: ")+strings.Count(log, "LOG:  execute ")) / seconds
	t.Logf("%.1f statements a second", n)
	if n > 30 {
		t.Errorf("%.1f statements a second, want at most 30", n)
	}
}

// TestNODE1_AKilledNodesMailsLeaveOnce queues mails on three nodes and kills one while they leave.
func TestNODE1_AKilledNodesMailsLeaveOnce(t *testing.T) {
	mails := 5 * onlyLong(t)
	box := mailertest.NewServer(t, mailertest.Options{})
	server := pgtest.StartFor(t)
	c := newClusterOn(t, server, "smtp "+box.Addr+" {\n\t\t\ttls none\n\t\t}", server.DSN(), server.DSN(), server.DSN())
	client := c.nodes[0].client()
	for i := range mails {
		if _, err := client.AddAccount(t.Context(), operator.AccountInput{Email: fmt.Sprintf("user%d@example.com", i)}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range mails {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			b := c.nodes[[2]int{0, 2}[i%2]].browser(nil)
			form := url.Values{"email": {fmt.Sprintf("user%d@example.com", i)}}.Encode()
			if status, page := b.do(http.MethodPost, c.origin+"/email-link/sign-in", form); status != http.StatusOK {
				t.Errorf("asking: %d %.200q", status, page)
			}
		})
		if i == mails/2 {
			c.nodes[1].caddy.Kill()
		}
	}
	wg.Wait()
	counts := map[string]int{}
	eventually(t, "each mail has left", func() bool {
		clear(counts)
		for _, m := range box.Mails() {
			counts[m.EnvelopeTo]++
		}
		return len(counts) == mails
	})
	twice := 0
	for to, n := range counts {
		if twice += n - 1; n > 2 {
			t.Errorf("%d mails to %s", n, to)
		}
	}
	t.Logf("%d mails, %d of them twice", mails, twice)
	if twice > 16+4 { // the attempts that the dead node had not got an answer to
		t.Errorf("%d mails left twice", twice)
	}
}
