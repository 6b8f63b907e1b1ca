package module

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// errEnded stops whoever still writes a response after its session has ended.
var errEnded = errors.New("email_link: the session has ended")

// respWriter stands between the backend's response and the client. It removes our headers and our cookies on every way back:
// informational responses, the final one, 101 and both kinds of trailers. A response whose session has ended before it began
// becomes a 401; one that has begun is cut at its next write.
//
// It has methods of its own for flushing, copying and taking over the connection, because a writer without them is passed by.
type respWriter struct {
	caddyhttp.ResponseWriterWrapper
	strip *boundary.Stripper
	// held knows whether the session of this request has ended, and writes the response that takes the place of the backend's;
	// nil for an anonymous one.
	held interface {
		Ended() bool
		Use() (alive bool)
		refuse(w http.ResponseWriter)
	}
	// pass is the request. hears says that a backend may speak to the gate in its answer: start a flow, or be done with one.
	// outer says that no wrapper of ours is between this one and the client.
	pass         *pass
	hears, outer bool
	state        wrapState
}

// held is an answer that is to end with the session or the token of its request.
type held struct {
	subject
	h *Handler
	p *pass
	r *http.Request
}

// refuse answers in the place of a response whose session has ended.
func (x *held) refuse(w http.ResponseWriter) {
	why := web.SignIn
	if x.p.token.Presented {
		why = web.InvalidToken
	}
	w = ownAnswer(w)
	x.h.challenge(w, x.r, x.p, why)
	x.p.live.pages.Refuse(w, asFetch(x.r), anonymous(x.p, x.r), why)
}

type wrapState uint8

const (
	fresh wrapState = iota
	passing
	replaced
)

// keep are headers of the server itself; all others are gone when a response is replaced.
var keep = map[string]bool{"Server": true, "Alt-Svc": true, "Strict-Transport-Security": true}

// WriteHeader implements http.ResponseWriter. An informational response comes on a goroutine of the transport, so it changes
// no state here.
func (w *respWriter) WriteHeader(code int) {
	if w.state != fresh {
		return
	}
	header := w.ResponseWriter.Header()
	final := code >= 200
	if w.hears && final {
		w.pass.hear(header)
	}
	if name := w.strip.Response(header); name != "" && w.pass != nil {
		w.pass.unheard(name, code)
	}
	if final || code == http.StatusSwitchingProtocols {
		w.state = passing
		if final && w.over() {
			w.replace(w.held.refuse)
			return
		}
	}
	if w.hears && final && w.outer && w.pass.obey(w, code) {
		return
	}
	w.ResponseWriter.WriteHeader(code)
}

// over says whether the session of this request has ended.
func (w *respWriter) over() bool { return w.held != nil && w.held.Ended() }

// replace answers in the backend's place. Of its headers those remain that are kept, and others by name.
func (w *respWriter) replace(answer func(http.ResponseWriter), others ...string) {
	w.state = replaced
	header := w.ResponseWriter.Header()
	for name := range header {
		if !keep[name] && !slices.Contains(others, name) {
			delete(header, name)
		}
	}
	answer(w.ResponseWriter)
}

// begin makes sure that a header has been written, and says whether the body may be.
func (w *respWriter) begin() error {
	if w.state == fresh {
		w.WriteHeader(http.StatusOK)
	}
	if w.state == replaced || w.held != nil && !w.held.Use() {
		return errEnded
	}
	return nil
}

// Write implements http.ResponseWriter.
func (w *respWriter) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		if w.state == replaced && w.hears && w.pass.app.discards(int64(len(p))) {
			return len(p), nil
		}
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// copyChunk is how much is copied before the session is looked at again.
const copyChunk = 1 << 20

// ReadFrom implements io.ReaderFrom in pieces. A limited reader is taken apart, so that a file below it can still go out by
// sendfile.
func (w *respWriter) ReadFrom(src io.Reader) (n int64, err error) {
	outer, limited := src.(*io.LimitedReader)
	for {
		if err := w.begin(); err != nil {
			if w.state == replaced && w.hears {
				m, err := io.Copy(writerOnly{w}, src) // as far as Write discards
				return n + m, err
			}
			return n, err
		}
		piece := &io.LimitedReader{R: src, N: copyChunk}
		if limited {
			piece.R, piece.N = outer.R, min(copyChunk, outer.N)
		}
		want := piece.N
		if want == 0 {
			return n, nil
		}
		m, err := w.ResponseWriterWrapper.ReadFrom(piece)
		n += m
		if limited {
			outer.N -= want - piece.N
		}
		if err != nil || piece.N > 0 {
			return n, err
		}
	}
}

// FlushError is what http.ResponseController calls.
func (w *respWriter) FlushError() error {
	if w.state == fresh {
		w.WriteHeader(http.StatusOK)
	}
	if w.state == replaced {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is what http.ResponseController calls.
func (w *respWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.state == replaced {
		return nil, nil, errEnded
	}
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.held != nil {
		conn = &heldConn{conn, w.held}
	}
	return conn, buffered, err
}

// finish runs after the backend's handler: trailers are sent when the handler returns, under plain names where they were
// announced, and with a prefix where not.
func (w *respWriter) finish() {
	if w.state == replaced || w.hears && w.pass.app.cleared {
		w.strip.Names(w.ResponseWriter.Header())
		return
	}
	if name := w.strip.Response(w.ResponseWriter.Header()); name != "" && w.pass != nil {
		w.pass.unheard(name, 0)
	}
}

// writerOnly hides the other methods of a writer from io.
type writerOnly struct{ io.Writer }

var (
	_ io.ReaderFrom = (*respWriter)(nil)
	_ http.Hijacker = (*respWriter)(nil)
)
