package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// upgrade asks for the echo protocol over a connection of its own.
func (w *world) upgrade(cookie, origin string, more ...string) (net.Conn, *bufio.Reader, *http.Response) {
	w.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+w.port)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	lines := "GET /ws HTTP/1.1\r\nHost: localhost:" + w.port + "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
	if cookie != "" {
		lines += "Cookie: " + cookie + "\r\n"
	}
	if origin != "" {
		lines += "Origin: " + origin + "\r\n"
	}
	for _, line := range more {
		lines += line + "\r\n"
	}
	_, _ = io.WriteString(conn, lines+"\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return conn, r, res
}

// TestSES4_Upgrades needs a session and an Origin of the site's own, and ends with the session.
func TestSES4_Upgrades(t *testing.T) {
	w := start(t, setup{global: "sign_up open"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	for _, bad := range []struct {
		cookie, origin string
		want           int
	}{
		{"", w.origin(), 401}, {c.cookie(), "", 403}, {c.cookie(), "https://evil.example", 403}, {c.cookie(), "null", 403},
	} {
		if _, _, res := w.upgrade(bad.cookie, bad.origin); res.StatusCode != bad.want {
			t.Errorf("Origin %q, cookie %v: %d, want %d", bad.origin, bad.cookie != "", res.StatusCode, bad.want)
		}
	}
	conn, r, res := w.upgrade(c.cookie(), w.origin())
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrading: %d", res.StatusCode)
	}
	if text := strings.ToLower(fmt.Sprint(res.Header)); strings.Contains(text, "email-link") || strings.Contains(text, "email_link") {
		t.Errorf("HDR-4: a 101 leaks %v", res.Header)
	}
	_, _ = io.WriteString(conn, "ping")
	buf := make([]byte, 4)
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "ping" {
		t.Fatalf("echo: %q, %v", buf, err)
	}
	if status, _, _ := c.post("/email-link/sign-out", url.Values{}); status != http.StatusSeeOther && status != http.StatusOK {
		t.Fatalf("signing out: %d", status)
	}
	if n, err := r.Read(buf); err == nil {
		t.Errorf("after the end of the session the socket said %q", buf[:n])
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the socket is still open after the end of its session")
	}
}

// TestSES4_Streams ends an event stream with its session, over HTTP/1.1 and HTTP/2.
func TestSES4_Streams(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			w := start(t, setup{tls: secure, global: "sign_up open"})
			c := w.client()
			w.signUp(c, "ada@example.com")
			r, _ := http.NewRequest(http.MethodGet, w.origin()+"/events", nil)
			r.Header.Set("Accept", "text/event-stream")
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			buf := make([]byte, len("data: one\n\n"))
			if _, err := io.ReadFull(res.Body, buf); err != nil {
				t.Fatalf("the first event: %v", err)
			}
			w.load(setup{tls: secure, global: "sign_up open"}) // a stream of the old generation ends too
			if status, _, _ := c.post("/email-link/sign-out", url.Values{}); status >= 400 {
				t.Fatalf("signing out: %d", status)
			}
			done := make(chan error, 1)
			go func() {
				_, err := io.ReadAll(res.Body)
				done <- err
			}()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Error("the stream is still open after the end of its session")
			}
		})
	}
}

// TestSES4_PendingAnswer ends a session while the backend thinks: its answer becomes a 401 without any of its body.
func TestSES4_PendingAnswer(t *testing.T) {
	w := start(t, setup{global: "sign_up open"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	asked, answer := make(chan struct{}), make(chan struct{})
	w.backend.answers(func(rw http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		rw.Header().Set("X-Secret", "secret")
		rw.Header().Set("Set-Cookie", "theirs=1")
		_, _ = io.WriteString(rw, "secret")
	})
	type result struct {
		status int
		header http.Header
		body   string
	}
	got := make(chan result, 1)
	go func() {
		r, _ := http.NewRequest(http.MethodGet, w.origin()+"/slow", nil)
		res, err := c.Do(r)
		if err != nil {
			got <- result{}
			return
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		got <- result{res.StatusCode, res.Header, string(body)}
	}()
	<-asked
	if status, _, _ := c.post("/email-link/sign-out", url.Values{}); status >= 400 {
		t.Fatalf("signing out: %d", status)
	}
	close(answer)
	r := <-got
	if r.status != http.StatusUnauthorized || strings.Contains(r.body, "secret") || r.header.Get("X-Secret") != "" || r.header.Get("Set-Cookie") != "" {
		t.Errorf("the pending answer: %d %v %q", r.status, r.header, r.body)
	}
}

// TestTOK1_ParallelRedemptions opens one link 50 times at once, in as many browsers that press the button.
func TestTOK1_ParallelRedemptions(t *testing.T) { bothModes(t, testParallelRedemptions) }

func testParallelRedemptions(t *testing.T, links string) {
	w := start(t, setup{global: "sign_up open\n" + links})
	asking := w.client()
	if status, _, _ := asking.post("/email-link/sign-up", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
		t.Fatalf("sign-up: %d", status)
	}
	_, link := w.mail()
	const n = 50
	type ready struct {
		c *client
		h string
	}
	var all []ready
	for range n {
		c := w.client()
		if status, header, _ := c.visit(link); status != http.StatusSeeOther || header.Get("Location") != "/email-link/confirm" {
			t.Fatalf("the link elsewhere: %d to %q", status, header.Get("Location"))
		}
		_, _, page := c.visit("/email-link/confirm")
		_, rest, _ := strings.Cut(page, `name="h" value="`)
		h, _, _ := strings.Cut(rest, `"`)
		if h == "" {
			t.Fatalf("no form on the page:\n%s", page)
		}
		all = append(all, ready{c, h})
	}
	var wg sync.WaitGroup
	begin := make(chan struct{})
	statuses := make(chan int, n)
	for _, one := range all {
		wg.Go(func() {
			<-begin
			status, _, _ := one.c.post("/email-link/confirm", url.Values{"h": {one.h}})
			statuses <- status
		})
	}
	close(begin)
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for s := range statuses {
		count[s]++
	}
	if count[http.StatusSeeOther] != 1 || count[http.StatusGone] != n-1 {
		t.Errorf("the answers: %v", count)
	}
	signedIn := 0
	for _, one := range all {
		if one.c.session() != nil {
			signedIn++
		}
	}
	if signedIn != 1 {
		t.Errorf("%d browsers are signed in", signedIn)
	}
}

// TestHDR3_Unreadable closes the store under the gate: a request with a cookie is never taken for an anonymous one, and a
// public path is none either.
func TestHDR3_Unreadable(t *testing.T) {
	w := start(t, setup{global: "sign_up open", site: "public /open/*"})
	c := w.client()
	w.signUp(c, "ada@example.com")
	w.backend.taken()
	parts, _ := module.Running()
	a, found, err := parts.Accounts.Lookup(t.Context(), "ada@example.com")
	if err != nil || !found {
		t.Fatalf("the account: %v, %v", found, err)
	}
	stale := func(tx storage.Tx) error {
		return tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: a.ID})
	}
	if err := errors.Join(parts.Store.Update(t.Context(), stale), parts.Store.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/app", "/open/x"} {
		if status, _ := c.get(path); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", path, status)
		}
	}
	if got := w.backend.taken(); len(got) != 0 {
		t.Errorf("%d requests arrived", len(got))
	}
	if status, _ := w.client().get("/email-link/health"); status != http.StatusServiceUnavailable {
		t.Errorf("/health: %d", status)
	}
	if status, _ := w.client().get("/open/x"); status != http.StatusOK {
		t.Error("a public path without a cookie needs no store")
	}
}
