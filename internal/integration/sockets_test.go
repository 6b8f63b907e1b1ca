package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// TestSES4_EverySocket opens a WebSocket over HTTP/1.1, one over HTTP/2 (extended CONNECT, which Go offers by an environment
// variable) and event streams over both, in two sessions of one account, and ends them by a sign-out everywhere from a third
// one, and by disabling the account: each is closed within five seconds.
func TestSES4_EverySocket(t *testing.T) {
	t.Parallel()
	p := startProcess(t, setup{tls: true, global: "sign_up open"}, "GODEBUG=http2xconnect=1")
	first := p.client()
	p.signUp(first, "ada@example.com")
	for _, end := range []string{"sign-out everywhere", "disable"} {
		t.Run(end, func(t *testing.T) {
			one, two, third := p.another(), p.another(), p.another()
			sockets := map[string]func() error{
				"a WebSocket, HTTP/1.1":    p.socketH1(t, one),
				"a WebSocket, HTTP/2":      p.socketH2(t, two),
				"an event stream, HTTP/2":  p.events(t, one, true),
				"an event stream HTTP/1.1": p.events(t, two, false),
			}
			type closing struct {
				name string
				err  error
			}
			closed := make(chan closing, len(sockets))
			for name, wait := range sockets {
				go func() { closed <- closing{name, wait()} }()
			}
			if end == "disable" {
				p.must("accounts", "disable", "ada@example.com")
			} else if status, _, _ := third.post("/email-link/sign-out", url.Values{"everywhere": {"1"}}); status >= 400 {
				t.Fatalf("signing out: %d", status)
			}
			limit := time.After(5 * time.Second) // what is promised
			for range sockets {
				select {
				case c := <-closed:
					if c.err != nil {
						t.Errorf("%s: %v", c.name, c.err)
					}
				case <-limit:
					t.Fatal("a socket is still open five seconds after the end of its session")
				}
			}
			if one.session() != nil || two.session() != nil || third.session() != nil {
				t.Error("a session is alive")
			}
		})
	}
}

// another signs ada in at another browser.
func (p *process) another() *client {
	p.t.Helper()
	c := p.client()
	link := p.must("link", "ada@example.com")
	if c.press(linkIn.FindString(link)) != http.StatusSeeOther {
		p.t.Fatal("the link does not sign in")
	}
	return c
}

// socketH1 opens a WebSocket over HTTP/1.1 and returns what waits for its end.
func (p *process) socketH1(t *testing.T, c *client) func() error {
	t.Helper()
	conn, err := tls.Dial("tcp", "127.0.0.1:"+p.port, &tls.Config{InsecureSkipVerify: true, ServerName: p.host, NextProtos: []string{"http/1.1"}}) //nolint:gosec // Caddy's own authority, in a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: %s\r\nCookie: %s\r\n\r\nping",
		p.host, p.port, p.origin(), c.cookie())
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrading: %+v, %v", res, err)
	}
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if n, err := r.Read(make([]byte, 1)); err == nil {
			return fmt.Errorf("it said %d bytes more", n)
		}
		return nil
	}
}

// socketH2 does the same over HTTP/2, after it was refused to others.
func (p *process) socketH2(t *testing.T, c *client) func() error {
	t.Helper()
	h2 := p.rawH2()
	if !h2.extended {
		t.Fatal("the server does not offer extended CONNECT")
	}
	open := func(fields ...string) (uint32, h2Answer) {
		id := h2.headers(0, false, append([]string{
			":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", p.host + ":" + p.port, ":path", "/ws", "sec-websocket-version", "13",
		}, fields...)...)
		return id, h2.answer(id)
	}
	p.backend.taken()
	for _, bad := range []struct {
		want   string
		fields []string
	}{
		{"401", []string{"origin", p.origin()}},
		{"403", []string{"cookie", c.cookie()}},
		{"403", []string{"cookie", c.cookie(), "origin", "https://evil.example"}},
	} {
		if _, answer := open(bad.fields...); answer.status != bad.want {
			t.Errorf("CONNECT with %d fields: %+v, want %s", len(bad.fields), answer, bad.want)
		}
	}
	if n := len(p.backend.taken()); n != 0 {
		t.Errorf("%d refused upgrades arrived", n)
	}
	id, answer := open("cookie", c.cookie(), "origin", p.origin(), "email-link-assertion", "forged")
	if answer.status != "200" {
		t.Fatalf("CONNECT: %+v", answer)
	}
	for _, r := range p.backend.taken() {
		if a := r.header["Email-Link-Assertion"]; len(a) != 1 || a[0] == "forged" {
			t.Errorf("the assertion is %q", a)
		}
	}
	h2.data(id, false, "ping")
	if text, ok, err := h2.read(id); text != "ping" || !ok {
		t.Fatalf("echo: %q, %v, %v", text, ok, err)
	}
	return func() error {
		text, ok, err := h2.read(id)
		if ok {
			return fmt.Errorf("it said %q", text)
		}
		return err
	}
}

// events opens an event stream and returns what waits for its end.
func (p *process) events(t *testing.T, c *client, h2 bool) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.origin()+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cookie", c.cookie())
	fresh := p.client()
	if tr := fresh.Transport.(*http.Transport); !h2 {
		tr.ForceAttemptHTTP2 = false
		tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	res, err := fresh.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if (res.ProtoMajor == 2) != h2 {
		t.Fatalf("it speaks %s", res.Proto)
	}
	if _, err := io.ReadFull(res.Body, make([]byte, len("data: one\n\n"))); err != nil {
		t.Fatalf("the first event: %v", err)
	}
	return func() error {
		if n, err := res.Body.Read(make([]byte, 1)); err == nil {
			return fmt.Errorf("it said %d bytes more", n)
		}
		return nil
	}
}
