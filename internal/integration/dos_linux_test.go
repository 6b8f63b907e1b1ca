package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// peak returns the most memory that a process has held, in MiB.
func (p *process) peak() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		p.t.Fatal("no VmHWM")
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	return kib >> 10
}

// send sends a head and then what body writes, for as long as the server takes it, and returns the status and how much was
// sent; status 0 is a connection that was closed without an answer.
func (w *world) send(head string, body func(io.Writer) error) (status int, sent int64) {
	w.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+w.port)
	if err != nil {
		w.t.Error(err)
		return 0, 0
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	counted := &counter{w: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.WriteString(conn, strings.ReplaceAll(strings.ReplaceAll(head, "$HOST", w.host+":"+w.port), "\n", "\r\n"))
		if err == nil && body != nil {
			_ = body(counted) // it ends when the server no longer reads
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		status = res.StatusCode
		_ = res.Body.Close()
	}
	_ = conn.Close()
	<-done
	return status, counted.n
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// TestDOS1_Floods sends endless, huge and many-part bodies and huge headers to every page that takes a body, and slow bodies
// on many connections, while a person goes on working: each is refused early, and the process needs little more memory than
// before.
func TestDOS1_Floods(t *testing.T) {
	t.Parallel()
	p := startProcess(t, setup{global: "sign_up open\n" + unlimited})
	ada := p.client()
	p.signUp(ada, "ada@example.com")
	works := func() {
		t.Helper()
		if status, _ := ada.get("/x"); status != http.StatusOK {
			t.Errorf("signed in: %d", status)
		}
		if status, _, _ := p.client().post("/email-link/sign-up", url.Values{"email": {"bob@example.com"}}); status != http.StatusSeeOther {
			t.Errorf("asking: %d", status)
		}
	}
	works()
	before := p.peak()

	// Slow ones first, so that they are open during all the others.
	const slow = 100
	var held []net.Conn
	for n := range slow {
		conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		held = append(held, conn)
		_, _ = fmt.Fprintf(conn, "POST /email-link/sign-in HTTP/1.1\r\nHost: %s:%s\r\nSec-Fetch-Site: same-origin\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10000\r\nX-N: %d\r\n\r\nemail=", p.host, p.port, n)
	}
	works()

	block := []byte(strings.Repeat("a", 32<<10))
	endless := func(w io.Writer) error {
		for range 32 << 20 / len(block) {
			if _, err := fmt.Fprintf(w, "%x\r\n%s\r\n", len(block), block); err != nil {
				return err
			}
		}
		return nil
	}
	parts := func(w io.Writer) error {
		for n := range 200_000 {
			if _, err := fmt.Fprintf(w, "--b\r\nContent-Disposition: form-data; name=\"email%d\"\r\n\r\na@example.com\r\n", n); err != nil {
				return err
			}
		}
		return nil
	}
	pairs := func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("a&", 8<<10))
		return err
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, page := range []string{"sign-in", "sign-up", "resend", "code", "confirm", "sign-out"} {
		head := "POST /email-link/" + page + " HTTP/1.1\nHost: $HOST\nSec-Fetch-Site: same-origin\nCookie: " + ada.cookie() + "\n"
		form := "Content-Type: application/x-www-form-urlencoded\n"
		for name, one := range map[string]struct {
			head string
			body func(io.Writer) error
		}{
			"endless":   {head + form + "Transfer-Encoding: chunked\n\n", endless},
			"json":      {head + "Content-Type: application/json\nTransfer-Encoding: chunked\n\n", endless},
			"announced": {head + form + "Content-Length: 99999999999\n\n", func(w io.Writer) error { _, err := w.Write(block); return err }},
			"parts":     {head + "Content-Type: multipart/form-data; boundary=b\nContent-Length: 99999999\n\n", parts},
			"pairs":     {head + form + "Content-Length: 16384\n\n", pairs},
			"headers":   {head + "X-Big: " + strings.Repeat("a", 8<<20) + "\n\n", nil},
			"many":      {head + strings.Repeat("X-A: b\n", 1<<20) + "\n", nil},
		} {
			for range 3 {
				slots <- struct{}{}
				wg.Go(func() {
					defer func() { <-slots }()
					status, sent := p.send(one.head, one.body)
					if status != 0 && (status < 400 || status >= 500) {
						t.Errorf("%s to %s: %d", name, page, status)
					}
					// What lies in buffers of the system on both sides was sent, and not read.
					if sent > 16<<20 {
						t.Errorf("%s to %s: %d bytes were taken", name, page, sent)
					}
				})
			}
		}
	}
	works()
	wg.Wait()
	works()
	if ada.session() == nil {
		t.Error("signed out by a flood")
	}
	// 16 connections with a megabyte of headers each, which is net/http's own limit, and what the collector leaves.
	if grown := p.peak() - before; grown > 96 {
		t.Errorf("the process has grown by %d MiB", grown)
	} else {
		t.Logf("the process has grown by %d MiB from %d", grown, before)
	}
	for _, conn := range held {
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && res.StatusCode < 400 {
			t.Errorf("a slow body: %d", res.StatusCode)
		}
		if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // as it comes from the connection
			t.Fatal("a slow body is still waited for")
		}
	}
}
