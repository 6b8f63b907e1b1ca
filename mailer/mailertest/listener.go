package mailertest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
)

// listener counts connections and plays the faults that come before the dialogue.
type listener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.server.mu.Lock()
	l.server.conns++
	l.server.open++
	l.server.mu.Unlock()
	return &watched{Conn: c, server: l.server}, nil
}

// watched is the server's end of one connection, below TLS.
type watched struct {
	net.Conn
	server *Server
	first  sync.Once
	once   sync.Once
	mu     sync.Mutex
	drop   bool
}

// Write implements net.Conn. The first write is the banner, or with implicit TLS the handshake.
func (w *watched) Write(p []byte) (int, error) {
	var err error
	w.first.Do(func() {
		if err = w.server.at(Connect, w.Conn); err != nil {
			var reply *smtp.SMTPError
			if errors.As(err, &reply) {
				_, err = fmt.Fprintf(w.Conn, "%d %s\r\n", reply.Code, reply.Message)
				_ = w.Close()
			}
		}
	})
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	drop := w.drop
	w.mu.Unlock()
	if w.server.opts.SevenBit {
		if q := strings.ReplaceAll(string(p), "250-8BITMIME\r\n", ""); q != string(p) {
			_, err := io.WriteString(w.Conn, q)
			return len(p), err
		}
	}
	n, err := w.Conn.Write(p)
	if drop {
		_ = w.Close()
	}
	return n, err
}

func (w *watched) dropAfterWrite() {
	w.mu.Lock()
	w.drop = true
	w.mu.Unlock()
}

// Close implements net.Conn.
func (w *watched) Close() error {
	w.once.Do(func() {
		w.server.mu.Lock()
		w.server.open--
		w.server.mu.Unlock()
	})
	return w.Conn.Close()
}

func netConn(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
