package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// record is one request as the backend has received it.
type record struct {
	method, uri string
	header      http.Header
	trailer     http.Header
	body        string
}

// backend is an app that trusts what it is told. It records every request.
type backend struct {
	addr string

	mu      sync.Mutex
	records []record
	// answer, where set, answers instead of "hello".
	answer http.HandlerFunc
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	b := &backend{}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	b.addr = s.Listener.Addr().String()
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.records = append(b.records, record{r.Method, r.RequestURI, r.Header.Clone(), r.Trailer.Clone(), string(body)})
	answer := b.answer
	b.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.Header.Get("Upgrade") != "":
		echo(w, r.Header.Get("Upgrade"))
	case r.URL.Path == "/events":
		events(w, r)
	default:
		_, _ = fmt.Fprint(w, "hello")
	}
}

// echo upgrades and sends everything back.
func echo(w http.ResponseWriter, protocol string) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\nEmail-Link-Start: evil\r\nSet-Cookie: email_link=evil\r\n\r\n")
	_ = rw.Flush()
	_, _ = io.Copy(conn, rw)
}

// events streams until the client has gone.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: one\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// taken returns the records so far and forgets them.
func (b *backend) taken() []record {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.records
	b.records = nil
	return all
}

func (b *backend) answers(f http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

// forged returns the names of headers that only the gate may have set, in any spelling.
func (r record) identities() map[string][]string {
	found := map[string][]string{}
	for _, header := range []http.Header{r.header, r.trailer} {
		for name, values := range header {
			fold := strings.Map(func(c rune) rune {
				if c == '-' || c == '_' || c == '.' {
					return -1
				}
				return c
			}, strings.ToLower(name))
			if strings.HasPrefix(fold, "emaillink") || strings.HasPrefix(fold, "remote") || strings.HasPrefix(fold, "xforwardeduser") || strings.HasPrefix(fold, "xauthrequest") {
				found[name] = append(found[name], values...)
			}
		}
	}
	return found
}
