package main

import (
	"bytes"
	"context"
	"errors"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

// ports returns the first of three free ports in a row.
func ports(t *testing.T) int {
	t.Helper()
	for range 50 {
		text, err := freeport.Next()
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if free(t.Context(), port) == nil && free(t.Context(), port+1) == nil && free(t.Context(), port+2) == nil {
			return port
		}
	}
	t.Fatal("no three free ports in a row")
	return 0
}

// output is a buffer that says when something was written.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	written chan struct{}
	once    sync.Once
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.once.Do(func() { close(o.written) })
	return o.buf.Write(p)
}

// browser keeps cookies and asks as a browser does when somebody follows a link or sends a form.
type browser struct {
	t      *testing.T
	client *http.Client
}

func (b browser) do(method, address string, form url.Values) (status int, body string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, html.UnescapeString(string(text))
}

func TestQuickstart(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"EMAIL_LINK_KEY", "XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, "") // run sets them; this puts them back
	}
	port := ports(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &output{written: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, port, out) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the quickstart does not end")
		}
	})
	select {
	case <-out.written:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}

	if err := run(ctx, port, io.Discard); err == nil || !strings.Contains(err.Error(), "is taken by ") {
		t.Errorf("a second one: %v, want words about the port", err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := browser{t, &http.Client{Jar: jar}}
	origin := "http://localhost:" + strconv.Itoa(port)
	if status, _ := b.do(http.MethodGet, "http://localhost:"+strconv.Itoa(port+1)+"/", nil); status != http.StatusUnauthorized {
		t.Errorf("the backend without the gate: %d, want 401", status)
	}
	if status, body := b.do(http.MethodGet, origin+"/", nil); status != http.StatusOK || strings.Contains(body, "demo backend") {
		t.Fatalf("the gate, signed out: %d\n%s", status, body)
	}
	if status, body := b.do(http.MethodPost, origin+"/email-link/sign-up", url.Values{"email": {"you@example.com"}}); status != http.StatusOK {
		t.Fatalf("sign-up: %d\n%s", status, body)
	}
	found := mailLink(t, b, port+2)
	status, body := b.do(http.MethodGet, found, nil)
	if status != http.StatusOK {
		t.Fatalf("the link: %d\n%s", status, body)
	}
	_, body = b.do(http.MethodGet, origin+"/", nil)
	for _, want := range []string{"Hello, you@example.com", "refused: unknown_key", "refused: expired", "refused: audience"} {
		if !strings.Contains(body, want) {
			t.Errorf("the backend's page lacks %q", want)
		}
	}
	if strings.Contains(body, "ACCEPTED") || t.Failed() {
		t.Errorf("the backend's page:\n%s", body)
	}
	if files, err := filepath.Glob("mails/*.eml"); err != nil || len(files) != 1 {
		t.Errorf("%d mails as files, %v; want 1", len(files), err)
	}
}

var link = regexp.MustCompile(`https?://[^"<\s]+/link\?t=[^"<\s]+`)

// mailLink waits for the mail on the page and returns its link.
func mailLink(t *testing.T, b browser, port int) string {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		_, body := b.do(http.MethodGet, "http://localhost:"+strconv.Itoa(port)+"/", nil)
		if found := link.FindString(body); found != "" {
			return found
		}
	}
	t.Fatal("no mail on the page in twenty seconds")
	return ""
}

func TestOwnerOfATakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	err = free(t.Context(), port)
	if err == nil || !strings.Contains(err.Error(), "port "+strconv.Itoa(port)+" is taken by ") || errors.Unwrap(err) != nil {
		t.Errorf("%v", err)
	}
}
