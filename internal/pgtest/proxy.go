//go:build postgres

package pgtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a store and the server. It counts round trips and breaks connections.
type Proxy struct {
	// Delay is how long each answer takes more.
	Delay time.Duration

	dir      string
	server   string
	listener net.Listener
	trips    atomic.Int64
	// loseQuestion closes the connection with the next statement instead of passing it on, loseAnswer with the answer to the next one.
	loseQuestion, loseAnswer atomic.Bool
	// silent swallows everything, the end of a connection too; mute swallows the answers, muteNext those from the next statement on. Statements are
	// those of the pool: what a store says on its other connections, it says at any time.
	silent, mute, muteNext atomic.Bool
	// late is the statement that is to arrive late; nil when none is.
	late atomic.Pointer[late]

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu
	wg    sync.WaitGroup
}

// NewProxy returns a proxy in front of the server.
func (s *Server) NewProxy(t testing.TB) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgx")
	if err != nil {
		t.Fatal(err)
	}
	const name = ".s.PGSQL.5432"
	p := &Proxy{dir: dir, server: filepath.Join(s.Dir, name), conns: map[net.Conn]bool{}}
	if p.listener, err = net.Listen("unix", filepath.Join(dir, name)); err != nil { //nolint:noctx // ends with the test
		t.Fatal(err)
	}
	p.wg.Go(p.serve)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.Cut()
		p.wg.Wait()
		_ = os.RemoveAll(dir)
	})
	return p
}

// DSN is the connection string of the server's database by way of the proxy.
func (p *Proxy) DSN() string { return "host=" + p.dir + " user=gate dbname=postgres" }

// Trips returns how many round trips there were on connections of the pool, without those that begin a connection.
func (p *Proxy) Trips() int64 { return p.trips.Load() }

// LoseQuestion makes the next statement be lost on its way to the server, with its connection.
func (p *Proxy) LoseQuestion() { p.loseQuestion.Store(true) }

// LoseAnswer makes the server's answer to the next statement be lost, with its connection.
func (p *Proxy) LoseAnswer() { p.loseAnswer.Store(true) }

// Silence swallows all messages, until it is called with false. What clients close meanwhile stays open at the server until [Proxy.Cut].
func (p *Proxy) Silence(silent bool) { p.silent.Store(silent) }

// Mute lets the next statement reach the server, and swallows its answer and all later ones, until [Proxy.Unmute].
func (p *Proxy) Mute() { p.muteNext.Store(true) }

// Unmute passes the server's answers on again.
func (p *Proxy) Unmute() {
	p.muteNext.Store(false)
	p.mute.Store(false)
}

// late is a statement on its way to the server.
type late struct{ release, answered chan struct{} }

// Hold keeps the next statement on its way to the server until arrive is called, which returns when the server has answered it, whether or
// not its client is still there.
func (p *Proxy) Hold() (arrive func()) {
	l := &late{make(chan struct{}), make(chan struct{})}
	p.late.Store(l)
	return func() {
		close(l.release)
		<-l.answered
	}
}

// Cut closes all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Connections returns how many connections there are.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.server) //nolint:noctx // ends with the test
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		over := func() {
			_, _ = client.Close(), server.Close()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, client)
			delete(p.conns, server)
		}
		c := &conn{over: make(chan struct{})}
		p.wg.Go(func() { defer over(); p.questions(client, server, c) })
		p.wg.Go(func() { defer over(); p.answers(server, client, c) })
	}
}

// conn is what the two directions of a connection share.
type conn struct {
	// pooled is set when it is one of the pool, lose when its next answer is to be lost.
	pooled, lose atomic.Bool
	// over is closed when the server gives no more answers, or the client takes none.
	over chan struct{}
}

func (p *Proxy) questions(client, server net.Conn, c *conn) {
	buf := make([]byte, 64<<10)
	for first := true; ; first = false {
		n, err := client.Read(buf)
		if first { // the connection that holds the lock of the process has a longer name
			c.pooled.Store(bytes.Contains(buf[:n], []byte("application_name\x00email_link\x00")))
		}
		if err != nil && p.silent.Load() { // the server does not learn that its client has gone, until the proxy is cut
			<-c.over
		}
		statement := c.pooled.Load() && hasBind(buf[:n])
		if err != nil || statement && p.loseQuestion.CompareAndSwap(true, false) {
			return
		}
		if p.silent.Load() {
			continue
		}
		if statement && p.muteNext.CompareAndSwap(true, false) {
			p.mute.Store(true)
		}
		if statement && p.loseAnswer.CompareAndSwap(true, false) {
			c.lose.Store(true)
		}
		if l := p.late.Load(); statement && l != nil && p.late.CompareAndSwap(l, nil) {
			<-l.release
			defer close(l.answered)
			if _, err := server.Write(buf[:n]); err == nil {
				_, _ = io.Copy(server, client) // the rest of it
				<-c.over                       // the client has gone, so the first answer ends it
			}
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// hasBind reports whether messages of a client run a statement, and do not only prepare it.
func hasBind(messages []byte) bool {
	for len(messages) >= 5 {
		if messages[0] == 'B' {
			return true
		}
		messages = messages[min(len(messages), 1+int(binary.BigEndian.Uint32(messages[1:]))):]
	}
	return false
}

// answers passes whole messages on. One of the type Z ends the answer to one round trip.
func (p *Proxy) answers(server, client net.Conn, c *conn) {
	defer close(c.over)
	header := make([]byte, 5)
	var out []byte
	for ready := false; ; {
		if _, err := io.ReadFull(server, header); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		out = append(append(out, header...), body...)
		const waits = "ZRSKEG" // the end of an answer; what a connection begins with, an error, the wish for a copy
		switch {
		case header[0] == 'Z':
			if ready && c.pooled.Load() {
				p.trips.Add(1)
			}
			ready = true // the first ends the greeting
		case !strings.ContainsRune(waits, rune(header[0])):
			continue
		}
		if c.lose.Load() {
			return
		}
		if p.silent.Load() || p.mute.Load() {
			out = nil
			continue
		}
		time.Sleep(p.Delay)
		if _, err := client.Write(out); err != nil {
			return
		}
		out = nil
	}
}
