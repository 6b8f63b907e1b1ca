package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// record is one request as the backend has received it.
type record struct {
	method, uri string
	header      http.Header
	trailer     http.Header
	body        string
}

// backend is an app that upgrades and streams where it is asked to, and else answers "hello".
type backend struct {
	*gatetest.Backend
	addr string
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	b := &backend{Backend: gatetest.NewBackend(t)}
	b.addr = b.Addr
	b.answers(nil)
	return b
}

func usualAnswer(w http.ResponseWriter, r *http.Request) {
	switch {
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
func (b *backend) taken() (all []record) {
	for _, r := range b.Taken() {
		all = append(all, record{r.Method, r.URI, r.Header, r.Trailer, r.Body})
	}
	return all
}

// answers has requests answered by f instead, or as usual again by nil.
func (b *backend) answers(f http.HandlerFunc) {
	if f == nil {
		f = usualAnswer
	}
	b.Answer(f)
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
