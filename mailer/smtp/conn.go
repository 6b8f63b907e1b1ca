package smtp

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// maxReply bounds what a server may say in one step, its TLS handshake included.
const maxReply = 256 << 10

var errTalkative = errors.New("the server sends too much")

// conn is a network connection whose owner says when a step begins: the step's end and the amount the server may say are
// counted from there. It lies below TLS, so that the handshake is bounded as well.
type conn struct {
	net.Conn
	timeout time.Duration
	mu      sync.Mutex
	budget  int
	dead    error
}

// step begins a step of factor times the timeout, and ends it when ctx ends. The caller calls stop after the step.
func (c *conn) step(ctx context.Context, factor int) (stop func()) {
	c.mu.Lock()
	c.budget = maxReply
	c.mu.Unlock()
	// A failure to set a deadline means that the connection is gone, and the step's first read or write says so.
	_ = c.SetDeadline(time.Now().Add(time.Duration(factor) * c.timeout))
	// Closing, not a deadline: it cannot be undone by the deadline of a step that begins at the same moment.
	cancel := context.AfterFunc(ctx, func() { c.kill(ctx.Err()) })
	return func() { cancel() }
}

func (c *conn) kill(err error) {
	c.mu.Lock()
	if c.dead == nil {
		c.dead = err
	}
	c.mu.Unlock()
	_ = c.Close() // nothing is owed to the server any more
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	budget, dead := c.budget, c.dead
	c.mu.Unlock()
	if dead != nil {
		return 0, dead
	}
	if budget <= 0 {
		return 0, errTalkative
	}
	n, err := c.Conn.Read(p[:min(len(p), budget)])
	c.mu.Lock()
	c.budget -= n
	if c.dead != nil {
		err = c.dead
	}
	c.mu.Unlock()
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.dead != nil {
		err = c.dead
	}
	return n, err
}
