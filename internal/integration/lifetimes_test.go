package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// protocols are what requests can come by.
var protocols = []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

// by returns a browser's transport that speaks one protocol.
func (w *world) by(protocol string) http.RoundTripper {
	w.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, ServerName: w.host} //nolint:gosec // Caddy's own authority, in a test
	if protocol == "HTTP/3.0" {
		tr := &http3.Transport{TLSClientConfig: config, Dial: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, "127.0.0.1:"+w.port, t, q)
		}}
		w.t.Cleanup(func() { _ = tr.Close() })
		return tr
	}
	tr := &http.Transport{
		TLSClientConfig: config, Protocols: new(http.Protocols), MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+w.port)
		},
	}
	tr.Protocols.SetHTTP1(protocol == "HTTP/1.1")
	tr.Protocols.SetHTTP2(protocol == "HTTP/2.0")
	w.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// endless is a backend whose requests do not end by themselves.
type endless struct {
	*httptest.Server
	mu    sync.Mutex
	calls map[string]*call
}

// call is one request at the backend.
type call struct {
	started, ended chan struct{}
	once           sync.Once
}

func newEndless(t testing.TB) *endless {
	t.Helper()
	b := &endless{calls: map[string]*call{}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

// call returns the request with this id, which may be still to come.
func (b *endless) call(id string) *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.calls[id]
	if c == nil {
		c = &call{started: make(chan struct{}), ended: make(chan struct{})}
		b.calls[id] = c
	}
	return c
}

func (b *endless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := b.call(r.URL.Query().Get("id"))
	defer close(c.ended)
	control := http.NewResponseController(w)
	switch r.URL.Path {
	case "/upload":
		c.read(r.Body)
	case "/duplex":
		_ = control.EnableFullDuplex()
		_, _ = io.WriteString(w, "hello")
		_ = control.Flush()
		c.read(r.Body)
	case "/events":
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = control.Flush()
		close(c.started)
		<-r.Context().Done()
	case "/poll":
		close(c.started)
		<-r.Context().Done()
	case "/ws":
		conn, buffered, err := control.Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		c.read(buffered)
	}
}

// read reads to the end, which for a cut body is an error.
func (c *call) read(r io.Reader) {
	buf := make([]byte, 1024)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			c.once.Do(func() { close(c.started) })
		}
		if err != nil {
			return
		}
	}
}

// open is a request that goes on.
type open struct {
	name string
	call *call
	// cut is what the client sees at the end: nil for an answer that was cut or a 401.
	cut chan error
}

// requester makes requests that go on, with one identity.
type requester struct {
	w       *world
	backend *endless
	proto   string
	tr      http.RoundTripper
	header  http.Header
	seq     *atomic.Int64
}

// start sends a request and returns once the backend has it. The client reads its answer to the end.
func (q *requester) start(name, method, path string, body io.Reader) *open {
	q.w.t.Helper()
	id := strconv.FormatInt(q.seq.Add(1), 10)
	o := &open{name: q.proto + " " + name, call: q.backend.call(id), cut: make(chan error, 1)}
	r, err := http.NewRequestWithContext(q.w.t.Context(), method, q.w.origin()+path+"?id="+id, body)
	if err != nil {
		q.w.t.Fatal(err)
	}
	for key, values := range q.header {
		r.Header[key] = values
	}
	r.Header.Set("Accept", "*/*")
	if method == http.MethodPut {
		r.ContentLength = 1 << 20
	}
	go func() {
		res, err := q.tr.RoundTrip(r)
		if err != nil {
			o.cut <- nil // reset
			return
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		switch {
		case res.Proto != q.proto:
			o.cut <- fmt.Errorf("answered over %s", res.Proto)
		case err == nil && res.StatusCode != http.StatusUnauthorized:
			o.cut <- fmt.Errorf("a whole answer, %d %.100q", res.StatusCode, text)
		default:
			o.cut <- nil
		}
	}()
	select {
	case <-o.call.started:
	case err := <-o.cut:
		q.w.t.Fatalf("%s ended before it began: %v", o.name, err)
	case <-time.After(patience):
		q.w.t.Fatalf("%s does not begin", o.name)
	}
	return o
}

// patience bounds what a test waits for. It is no promise: a busy machine is given time.
const patience = 30 * time.Second

// upload sends a body of unknown length whose first bytes arrive: then nothing, or ever more.
func (q *requester) upload(path string, silent bool) *open {
	q.w.t.Helper()
	r, w := io.Pipe()
	q.w.t.Cleanup(func() { _ = w.Close() })
	go func() {
		for _, err := w.Write([]byte("first")); err == nil && !silent; _, err = w.Write([]byte("more")) {
			time.Sleep(time.Millisecond) // how fast it sends, nothing is waited for
		}
	}()
	name := "body that moves at " + path
	if silent {
		name = "silent body at " + path
	}
	return q.start(name, http.MethodPost, path, r)
}

// known sends the first bytes of a body whose length is known.
func (q *requester) known() *open {
	q.w.t.Helper()
	r, w := io.Pipe()
	q.w.t.Cleanup(func() { _ = w.Close() })
	go func() { _, _ = w.Write([]byte("first")) }()
	return q.start("body of a known length", http.MethodPut, "/upload", r)
}

// socket opens a WebSocket over HTTP/1.1.
func (q *requester) socket() *open {
	q.w.t.Helper()
	id := strconv.FormatInt(q.seq.Add(1), 10)
	o := &open{name: q.proto + " WebSocket", call: q.backend.call(id), cut: make(chan error, 1)}
	conn, err := tls.Dial("tcp", "127.0.0.1:"+q.w.port, &tls.Config{InsecureSkipVerify: true, ServerName: q.w.host, NextProtos: []string{"http/1.1"}}) //nolint:gosec // Caddy's own authority, in a test
	if err != nil {
		q.w.t.Fatal(err)
	}
	q.w.t.Cleanup(func() { _ = conn.Close() })
	_, _ = fmt.Fprintf(conn, "GET /ws?id=%s HTTP/1.1\r\nHost: %s:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: %s\r\n", id, q.w.host, q.w.port, q.w.origin())
	_ = q.header.Write(conn)
	_, _ = io.WriteString(conn, "\r\nping")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		q.w.t.Fatalf("upgrading: %+v, %v", res, err)
	}
	<-o.call.started
	go func() {
		n, err := in.Read(make([]byte, 1))
		if err == nil {
			o.cut <- fmt.Errorf("the socket said %d bytes", n)
		} else {
			o.cut <- nil
		}
	}()
	return o
}

// all opens one request of each kind.
func (q *requester) all() []*open {
	q.w.t.Helper()
	list := []*open{
		q.upload("/upload", true), q.upload("/upload", false), q.known(),
		q.start("event stream", http.MethodGet, "/events", nil), q.start("pending answer", http.MethodGet, "/poll", nil),
	}
	if q.proto == "HTTP/1.1" {
		return append(list, q.socket())
	}
	return append(list, q.upload("/duplex", true), q.upload("/duplex", false))
}

// mustEnd waits until each request has ended on both sides.
func mustEnd(t *testing.T, list []*open) {
	t.Helper()
	limit := time.After(patience)
	for _, o := range list {
		select {
		case err := <-o.cut:
			if err != nil {
				t.Errorf("%s: %v", o.name, err)
			}
		case <-limit:
			t.Fatalf("%s goes on for its client", o.name)
		}
		select {
		case <-o.call.ended:
		case <-limit:
			t.Fatalf("%s goes on at the backend", o.name)
		}
	}
}

// mustGoOn makes sure that no request has ended.
func mustGoOn(t *testing.T, list []*open) {
	t.Helper()
	for _, o := range list {
		select {
		case err := <-o.cut:
			t.Errorf("%s was cut: %v", o.name, err)
		case <-o.call.ended:
			t.Errorf("%s was cut at the backend", o.name)
		default:
		}
	}
}

// TestSES7_RequestsEndWithTheirSession opens bodies, streams, pending answers and sockets over each protocol, none of which says
// of itself that it is long, and ends the session in each of the ways in which one ends: all of them end on both sides, and those of
// another account go on. One of the ways comes after a reload.
func TestSES7_RequestsEndWithTheirSession(t *testing.T) {
	b := newEndless(t)
	s := setup{tls: true, global: "sign_up open", after: "reverse_proxy " + b.Listener.Addr().String()}
	w := start(t, s)
	other := w.client()
	w.signUp(other, "grace@example.com")
	var seq atomic.Int64
	by := func(proto string, header http.Header) *requester {
		return &requester{w: w, backend: b, proto: proto, tr: w.by(proto), header: header, seq: &seq}
	}
	var bystanders []*open
	for _, proto := range protocols {
		q := by(proto, http.Header{"Cookie": {other.cookie()}})
		bystanders = append(bystanders, q.upload("/upload", true), q.upload("/upload", false), q.start("event stream", http.MethodGet, "/events", nil))
	}
	for n, end := range []struct {
		name string
		end  func(c *client, p *module.Parts, account string) error
	}{
		{"sign-out", func(c *client, _ *module.Parts, _ string) error { return c.signOut(url.Values{}) }},
		{"sign-out everywhere", func(c *client, _ *module.Parts, _ string) error { return c.signOut(url.Values{"everywhere": {"1"}}) }},
		{"disabled", func(_ *client, p *module.Parts, account string) error {
			return change(p, account, func(tx storage.Tx) error { return p.Accounts.SetStatus(tx, account, storage.StatusDisabled) })
		}},
		{"deleted", func(_ *client, p *module.Parts, account string) error {
			return change(p, account, func(tx storage.Tx) error { return p.Accounts.Delete(tx, account) })
		}},
		{"revoked by an operator", func(c *client, p *module.Parts, account string) error {
			sid, _ := c.session()["sid"].(string)
			list, err := p.Sessions.List(context.Background(), account)
			if err == nil && sid == "" && len(list) == 1 {
				sid = list[0].ID
			}
			ended, e := p.Sessions.EndByID(context.Background(), account, sid)
			if !ended {
				err = errors.Join(err, errors.New("there was no such session"))
			}
			return errors.Join(err, e)
		}},
		{"after a reload", func(c *client, _ *module.Parts, _ string) error { return c.signOut(url.Values{}) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			c, email := w.client(), fmt.Sprintf("ada%d@example.com", n)
			w.signUp(c, email)
			parts, _ := module.Running()
			a, found, err := parts.Accounts.Lookup(t.Context(), email)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			var list []*open
			for _, proto := range protocols {
				list = append(list, by(proto, http.Header{"Cookie": {c.cookie()}}).all()...)
			}
			if strings.Contains(end.name, "reload") {
				list, bystanders = keptAtReload(list), keptAtReload(bystanders)
				w.load(s)
			}
			mustGoOn(t, list)
			if err := end.end(c, parts, a.ID); err != nil {
				t.Fatal(err)
			}
			mustEnd(t, list)
			mustGoOn(t, bystanders)
		})
	}
}

// keptAtReload leaves out what Caddy itself ends when its old configuration goes: sockets, and all of HTTP/3.
func keptAtReload(list []*open) (kept []*open) {
	for _, o := range list {
		if !strings.Contains(o.name, "WebSocket") && !strings.HasPrefix(o.name, "HTTP/3.0") {
			kept = append(kept, o)
		}
	}
	return kept
}

// TestSES7_EndsByTime lets sessions end by their idle and their absolute end, which an operator has shortened: what is under way
// ends with them.
func TestSES7_EndsByTime(t *testing.T) {
	b := newEndless(t)
	w := start(t, setup{tls: true, global: "sign_up open", after: "reverse_proxy " + b.Listener.Addr().String()})
	var seq atomic.Int64
	for n, end := range []session.Lifetimes{{Idle: time.Nanosecond, Absolute: time.Hour}, {Idle: time.Hour, Absolute: time.Nanosecond}} {
		parts, _ := module.Running()
		parts.Sessions.SetLifetimes(session.Lifetimes{Idle: time.Hour, Absolute: time.Hour})
		c := w.client()
		w.signUp(c, fmt.Sprintf("ada%d@example.com", n))
		var list []*open
		for _, proto := range protocols {
			q := &requester{w: w, backend: b, proto: proto, tr: w.by(proto), header: http.Header{"Cookie": {c.cookie()}}, seq: &seq}
			list = append(list, q.all()...)
		}
		parts.Sessions.SetLifetimes(end)
		mustEnd(t, list)
	}
}

// TestSES7_MachineTokens ends tokens in the middle of their requests.
func TestSES7_MachineTokens(t *testing.T) {
	b := newEndless(t)
	w := start(t, setup{
		tls: true, global: "sign_up open\nscopes calendar", site: scoped, after: "reverse_proxy " + b.Listener.Addr().String(),
	})
	var seq atomic.Int64
	for name, end := range map[string]func(p *module.Parts, account, token string) error{
		"revoked": func(p *module.Parts, _, token string) error {
			_, _, err := p.Machines.Revoke(context.Background(), token, storage.Operator{})
			return err
		},
		"disabled": func(p *module.Parts, account, _ string) error {
			return change(p, account, func(tx storage.Tx) error { return p.Accounts.SetStatus(tx, account, storage.StatusDisabled) })
		},
		"everything of everybody": func(p *module.Parts, _, _ string) error { return p.Sessions.EndAll(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			email := strings.ReplaceAll(name, " ", ".") + "@example.com"
			text, id := w.token(w.client(), email, "calendar")
			parts, _ := module.Running()
			a, found, err := parts.Accounts.Lookup(t.Context(), email)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			var list []*open
			for _, proto := range protocols {
				q := &requester{w: w, backend: b, proto: proto, tr: w.by(proto), header: http.Header{"Authorization": {"Bearer " + text}}, seq: &seq}
				list = append(list, q.all()...)
			}
			mustGoOn(t, list)
			if err := end(parts, a.ID, id); err != nil {
				t.Fatal(err)
			}
			mustEnd(t, list)
		})
	}
}

// signOut posts the form.
func (c *client) signOut(form url.Values) error {
	if status, _, _ := c.post("/email-link/sign-out", form); status >= http.StatusBadRequest {
		return fmt.Errorf("signing out: %d", status)
	}
	return nil
}
