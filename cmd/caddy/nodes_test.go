//go:build postgres

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// streams is an app whose requests last until they are ended, but for one that returns its assertion. It says when the body of one begins and
// ends.
type streams struct{ uploads chan string }

func newStreams(t *testing.T) (s streams, addr string) {
	t.Helper()
	s.uploads = make(chan string, 99)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/app/assertion":
			_, _ = io.WriteString(w, r.Header.Get(identity.Header))
		case "/app/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: begun\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/app/upload":
			_, _ = io.ReadFull(r.Body, make([]byte, len("begun\n")))
			s.uploads <- "begun"
			_, _ = io.Copy(io.Discard, r.Body)
			s.uploads <- "ended"
		case "/app/socket":
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbegun\n")
			_ = rw.Flush()
			_, _ = io.Copy(io.Discard, rw)
		}
	}))
	t.Cleanup(app.Close)
	return s, app.Listener.Addr().String()
}

// signIn adds an account by one node and signs a browser in there, which the other nodes then have in their memory too.
func (c *cluster) signIn(email string) *browser {
	c.t.Helper()
	c.nodes[0].must("accounts", "add", email)
	b := c.nodes[0].browser(nil)
	if status, page := b.open(c.link(email)); status != 200 || !strings.HasPrefix(page, "hello "+email) {
		c.t.Fatalf("signing in: %d %q", status, page)
	}
	c.welcome(b, "hello "+email)
	return b
}

// browser is a browser that has the cookies of another, and reaches this node.
func (n *node) browser(cookies map[string]string) *browser {
	b := newBrowser(n.t)
	b.transport = n.transport
	for name, value := range cookies {
		b.cookies[name] = value
	}
	return b
}

// welcome waits until each node lets a browser in with what is said.
func (c *cluster) welcome(b *browser, says string) {
	c.await(says, b, func(page string) bool { return strings.HasPrefix(page, says) })
}

// refused waits until no node lets a browser in.
func (c *cluster) refused(what string, b *browser) {
	c.await(what, b, func(page string) bool { return !strings.HasPrefix(page, "hello") })
}

func (c *cluster) await(what string, b *browser, good func(page string) bool) {
	c.t.Helper()
	begun := time.Now()
	for i, n := range c.nodes {
		for {
			_, page := n.browser(b.cookies).do(http.MethodGet, c.origin+"/", "")
			if good(page) {
				break
			}
			if time.Since(begun) > gatetest.Patience {
				c.t.Fatalf("%s: node %d says %q\n%s", what, i+1, page, n.log)
			}
		}
		c.t.Logf("%s: on node %d after %s", what, i+1, time.Since(begun).Round(time.Millisecond))
	}
}

// inFlight opens an event stream, a WebSocket and a request body on a node. The function that it returns waits until all have ended.
func (c *cluster) inFlight(n *node, b *browser) (ended func(what string)) {
	c.t.Helper()
	var readers []*bufio.Reader
	for _, request := range []string{
		"GET /app/events HTTP/1.1\r\n", "GET /app/socket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"POST /app/upload HTTP/1.1\r\nContent-Length: 1000000\r\nContent-Type: application/octet-stream\r\n",
	} {
		conn, err := net.Dial("tcp", n.site) //nolint:noctx // of this test
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = conn.Close() })
		host := strings.TrimPrefix(c.origin, "http://")
		request += "Host: " + host + "\r\nOrigin: " + c.origin + "\r\nSec-Fetch-Site: same-origin\r\n"
		for name, value := range b.cookies {
			request += "Cookie: " + name + "=" + value + "\r\n"
		}
		upload := strings.HasPrefix(request, "POST")
		request += "\r\n"
		if upload {
			request += "begun\n"
		}
		if _, err := io.WriteString(conn, request); err != nil {
			c.t.Fatal(err)
		}
		if upload {
			c.says("begun")
			continue
		}
		r := bufio.NewReader(conn)
		for line := ""; !strings.Contains(line, "begun"); {
			if line, err = r.ReadString('\n'); err != nil {
				c.t.Fatalf("%s: %v", request, err)
			}
		}
		readers = append(readers, r)
	}
	return func(what string) {
		c.t.Helper()
		begun := time.Now()
		c.says("ended")
		for _, r := range readers {
			done := make(chan struct{})
			go func() {
				_, _ = io.Copy(io.Discard, r)
				close(done)
			}()
			select {
			case <-done:
			case <-time.After(gatetest.Patience):
				c.t.Fatalf("%s: what was in flight goes on\n%s", what, n.log)
			}
		}
		c.t.Logf("%s: what was in flight has ended after %s", what, time.Since(begun).Round(time.Millisecond))
	}
}

// says waits until the app says something of a body.
func (c *cluster) says(want string) {
	c.t.Helper()
	select {
	case got := <-c.app.uploads:
		if got != want {
			c.t.Fatalf("the body of a request has %s, want %s", got, want)
		}
	case <-time.After(gatetest.Patience):
		c.t.Fatalf("the body of a request has not %s", want)
	}
}

// alone is a place whose commands work on the database of the cluster themselves, because no Caddy answers there.
func (c *cluster) alone() *place {
	c.t.Helper()
	first := c.nodes[0]
	text, err := os.ReadFile(filepath.Join(first.dir, "Caddyfile"))
	if err != nil {
		c.t.Fatal(err)
	}
	p := &place{t: c.t, dir: c.t.TempDir(), admin: gatetest.Address(c.t), site: first.site}
	p.write("Caddyfile", strings.ReplaceAll(string(text), first.admin, p.admin))
	return p
}

// TestNODE1_EndsReachEveryNode ends and changes things by one of three Caddys, and by a command on the database where no Caddy answers. The
// other two know of it, and end what is in flight. At last the steps of a portal, each on a node of its own.
func TestNODE1_EndsReachEveryNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, last := c.nodes[0], c.nodes[2]
	alone := c.alone()
	signOut := func(form string) func(email string, b *browser) {
		return func(_ string, b *browser) {
			if status, _ := first.browser(b.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", form); status != http.StatusOK {
				t.Errorf("signing out: %d", status)
			}
		}
	}
	for i, end := range []struct {
		what string
		do   func(email string, b *browser)
	}{
		{"sign-out", signOut("")},
		{"sign-out everywhere", signOut("everywhere=1")},
		{"end", func(email string, _ *browser) { first.must("sessions", "end", email) }},
		{"disable", func(email string, _ *browser) { first.must("accounts", "disable", email) }},
		{"delete", func(email string, _ *browser) { first.must("accounts", "delete", email, "--yes") }},
		{"a command on the database", func(email string, _ *browser) { alone.must("sessions", "end", email) }},
	} {
		email := fmt.Sprintf("user%d@example.com", i)
		b := c.signIn(email)
		ended := c.inFlight(last, b)
		end.do(email, b)
		ended(end.what)
		c.refused(end.what, b)
	}

	if out := first.must("nodes", "--json"); strings.Count(out, `"id"`) != 3 || strings.Count(out, `"self":true`) != 1 || strings.Contains(out, "differs") {
		t.Errorf("nodes printed\n%s", out)
	}
	b := c.signIn("roles@example.com")
	first.must("accounts", "set", "roles@example.com", "--role", "admin")
	c.welcome(b, "hello roles@example.com admin")

	token := firstLine(first.must("tokens", "create", "roles@example.com", "--scope", "calendar", "--site", c.origin))
	id := regexp.MustCompile(`"id":\s*"([^"]+)"`).FindStringSubmatch(first.must("tokens", "list", "--json"))[1]
	c.token("made", token, http.StatusOK)
	c.nodes[1].must("tokens", "revoke", id) // made on another node
	c.token("revoked", token, http.StatusUnauthorized)
	c.handOver("portal@example.com")
}

// token waits until each node answers a token with a status.
func (c *cluster) token(what, token string, want int) {
	c.t.Helper()
	begun := time.Now()
	for i, n := range c.nodes {
		for {
			req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.origin+"/", nil)
			if err != nil {
				c.t.Fatal(err)
			}
			req.SetBasicAuth("whoever", token)
			resp, err := n.transport.RoundTrip(req)
			if err != nil {
				c.t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode == want {
				break
			}
			if time.Since(begun) > gatetest.Patience {
				c.t.Fatalf("%s: node %d answers a token with %d\n%s", what, i+1, resp.StatusCode, n.log)
			}
		}
		c.t.Logf("a token is %s on node %d after %s", what, i+1, time.Since(begun).Round(time.Millisecond))
	}
}

// TestTOK1_OneOfManyOverThreeNodes presses the button of one link in fifty browsers at once, a third of them on each node.
func TestTOK1_OneOfManyOverThreeNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.nodes[0].must("accounts", "add", "ada@example.com")
	for range longRounds(3) {
		link := c.link("ada@example.com")
		var browsers []*browser
		var forms []string
		for i := range 50 {
			b := c.nodes[i%3].browser(nil)
			_, page := b.do(http.MethodGet, link, "")
			h := hidden.FindStringSubmatch(page)
			if h == nil {
				t.Fatalf("no button: %s", page)
			}
			browsers, forms = append(browsers, b), append(forms, "h="+h[1])
		}
		statuses := make([]int, len(browsers))
		pages := make([]string, len(browsers))
		var wg sync.WaitGroup
		for i, b := range browsers {
			wg.Go(func() { statuses[i], pages[i] = b.do(http.MethodPost, c.origin+"/email-link/confirm", forms[i]) })
		}
		wg.Wait()
		in := 0
		for i := range statuses {
			switch {
			case statuses[i] == http.StatusOK && strings.HasPrefix(pages[i], "hello ada@example.com"):
				in++
			case statuses[i] != http.StatusGone:
				t.Errorf("%d %.200q", statuses[i], pages[i])
			}
		}
		if in != 1 {
			t.Errorf("%d browsers got in by one link", in)
		}
	}
}

// TestNODE2_ANodeThatIsCutOff takes the database away from one of three nodes. It serves who was there before, says so, and serves nobody
// else; when it is back, it knows what has ended meanwhile.
func TestNODE2_ANodeThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b, unseen := c.signIn("ada@example.com"), c.nodes[0].browser(nil)
	stays := c.signIn("bob@example.com")
	if status, _ := unseen.open(c.link("bob@example.com")); status != http.StatusOK {
		t.Fatal(status)
	}
	last := c.nodes[2]
	ended := c.inFlight(last, b)
	c.proxy.Silence(true)
	health := func() string {
		_, page := last.browser(nil).do(http.MethodGet, c.origin+"/email-link/health", "")
		return page
	}
	eventually(t, "the health check says that it serves from memory", func() bool { return strings.Contains(health(), `"serving_cached":true`) })
	c.nodes[0].must("sessions", "end", "ada@example.com")
	if _, page := last.browser(b.cookies).do(http.MethodGet, c.origin+"/", ""); !strings.HasPrefix(page, "hello ada@example.com") {
		t.Errorf("who was there before gets %q", page)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.origin+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range unseen.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := last.transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a session that it has never seen: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if status, _ := last.browser(stays.cookies).do(http.MethodPost, c.origin+"/email-link/sign-out", ""); status != http.StatusServiceUnavailable {
		t.Errorf("a sign-out that cannot be written: %d", status)
	}
	c.proxy.Silence(false)
	c.proxy.Cut() // what was swallowed is not answered any more
	ended("the end during the cut")
	c.refused("the end during the cut", b)
	c.welcome(stays, "hello bob@example.com")
	eventually(t, "the health check says that all is well", func() bool { return health() == "ok\n" })
}

func eventually(t *testing.T, what string, good func() bool) {
	t.Helper()
	for begun := time.Now(); !good(); time.Sleep(20 * time.Millisecond) { // polling another process
		if time.Since(begun) > gatetest.Patience {
			t.Fatal("never: " + what)
		}
	}
}
