package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// delayingProxy is a server at a distance: what the server says comes later.
type delayingProxy struct {
	dir, server string
	listener    net.Listener
	// delay is how much later, in nanoseconds.
	delay atomic.Int64
	once  sync.Once
}

func newDelayingProxy(server string) (*delayingProxy, error) {
	dir, err := os.MkdirTemp("", "pgx")
	if err != nil {
		return nil, err
	}
	p := &delayingProxy{dir: dir, server: server}
	if p.listener, err = net.Listen("unix", filepath.Join(dir, socketName)); err != nil { //nolint:noctx // ended by close
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go p.serve()
	return p, nil
}

// close takes no further connection. Those that there are end with the gate.
func (p *delayingProxy) close() {
	p.once.Do(func() {
		_ = p.listener.Close()
		_ = os.RemoveAll(p.dir)
	})
}

func (p *delayingProxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.server) //nolint:noctx // ends with the client
		if err != nil {
			_ = client.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		}()
		go p.answers(server, client)
	}
}

// delayed is a part of an answer, and when it is passed on.
type delayed struct {
	data []byte
	at   time.Time
}

// answers passes the server's answers on. A part that comes while another one waits is not later for that.
func (p *delayingProxy) answers(server, client net.Conn) {
	line := make(chan delayed, 1024)
	go func() {
		defer client.Close()
		for c := range line {
			time.Sleep(time.Until(c.at))
			if _, err := client.Write(c.data); err != nil {
				_ = server.Close() // ends the reads
			}
		}
	}()
	defer close(line)
	for buf := make([]byte, 64<<10); ; {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		line <- delayed{slices.Clone(buf[:n]), time.Now().Add(time.Duration(p.delay.Load()))}
	}
}
