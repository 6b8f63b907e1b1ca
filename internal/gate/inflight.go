package gate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/credential"
)

// inFlight is a request that ends with the session or the token that has let it in, whatever its headers say. Its context is one
// that can be canceled, which no request brings with it: a handler that waits for a backend returns by nothing else.
type inFlight struct {
	entry  credential.Request
	cancel context.CancelCauseFunc
	// writer is what the gate was given to answer by.
	writer http.ResponseWriter
	body   boundBody
}

// begin registers a request. Call end when its handler has returned.
//
// The request changes in place, because Caddy's placeholders go on reading the one that they were made for. Its new context is not
// canceled at the end, when error routes may need it, but ends with the server's own.
func (f *inFlight) begin(st *requestState, b *boundRequest, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	f.cancel, f.writer = cancel, w
	*r = *r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		f.body = boundBody{r.Body, b}
		r.Body = &f.body
	}
	f.entry = credential.Request{Credential: st.principal, Target: f, Since: st.at.Now}
	st.principal.track(st.runtime, &f.entry)
}

func (f *inFlight) end(st *requestState) { st.principal.untrack(st.runtime, &f.entry) }

// End implements credential.Target. Canceling its context ends most handlers. One that waits for bytes of the client returns when
// the connection's deadline has passed, and so does net/http, which reads on to the end of a body that a handler has left. What
// is still there a second later waits for the client to take bytes.
func (f *inFlight) End(cause error, again bool) {
	f.cancel(cause)
	// The server's own writer: the ones in between keep deadlines of their own, without a lock.
	w := f.writer
	for {
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = inner.Unwrap()
	}
	if d, ok := w.(interface{ SetReadDeadline(time.Time) error }); ok && (again || f.body.ReadCloser != nil) {
		_ = d.SetReadDeadline(past)
	}
	if d, ok := w.(interface{ SetWriteDeadline(time.Time) error }); ok && again {
		_ = d.SetWriteDeadline(past)
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// boundBody is the body of a request. No byte of it that comes after the end of its session is handed on.
type boundBody struct {
	io.ReadCloser
	bound *boundRequest
}

// Read implements io.Reader. What has been read is a use of the session.
func (b *boundBody) Read(p []byte) (int, error) {
	if b.bound.Ended() {
		return 0, errEnded
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 && !b.bound.Use() {
		return 0, errEnded
	}
	return n, err
}

// boundConn is a connection that a handler has taken over, such as a WebSocket's.
type boundConn struct {
	net.Conn
	bound interface{ Use() (alive bool) }
}

// Read implements io.Reader. What has been read is a use of the session.
func (c *boundConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.bound.Use() {
		return 0, errEnded
	}
	return n, err
}

// Write implements io.Writer. What is written is a use of the session.
func (c *boundConn) Write(p []byte) (int, error) {
	if !c.bound.Use() {
		return 0, errEnded
	}
	return c.Conn.Write(p)
}

// CloseWrite ends the one direction, where the connection can.
func (c *boundConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
