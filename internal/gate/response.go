package gate

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// errEnded stops a handler that still writes a response after its session has ended.
var errEnded = errors.New("email_link: the session has ended")

// responseWriter is between the backend's response and the client. It removes our headers and our cookies on every way back:
// informational responses, the final one, 101 and both kinds of trailers. A response whose session has ended before it began
// becomes a 401; one that has begun is cut at its next write.
//
// It has methods of its own for flushing, copying and taking over the connection, because a writer without them is passed by.
type responseWriter struct {
	http.ResponseWriter
	strip *boundary.Stripper
	// bound knows whether the session of this request has ended, and writes the response that takes the place of the backend's;
	// nil for an anonymous one.
	bound interface {
		Ended() bool
		Use() (alive bool)
		refuse(w http.ResponseWriter)
	}
	// request is the request. extracts reports whether the app may tell the gate something in its answer: start a flow, or that it has
	// done what one was for. outer reports whether no writer of ours is between this one and the client.
	request         *requestState
	extracts, outer bool
	phase           phase
}

// boundRequest is a request whose answer ends with its session or its token, those of st.principal.
type boundRequest struct {
	s  *Site
	st *requestState
	r  *http.Request
}

// Ended reports whether session or token have ended since they were found.
func (b *boundRequest) Ended() bool { return b.st.principal.Ended() }

// Use records that the request moves bytes, and reports whether session or token are alive.
func (b *boundRequest) Use() (alive bool) { return b.st.principal.Use() }

// refuse answers in the place of a response whose session has ended.
func (b *boundRequest) refuse(w http.ResponseWriter) {
	reason := web.SignIn
	if b.st.token.Presented {
		reason = web.InvalidToken
	}
	w = b.s.host.OwnAnswer(w)
	b.s.challenge(w, b.r, b.st, reason)
	b.st.runtime.Pages.Refuse(w, asFetch(b.r), b.s.anonymous(b.st, b.r), reason)
}

// phase is how far a response has come.
type phase uint8

const (
	fresh phase = iota
	passing
	replaced
)

// serverHeaders are headers of the server itself; all others are removed when a response is replaced.
var serverHeaders = map[string]bool{"Server": true, "Alt-Svc": true, "Strict-Transport-Security": true}

// WriteHeader implements http.ResponseWriter. An informational response comes on a goroutine of the transport, so it changes
// no state here.
func (w *responseWriter) WriteHeader(code int) {
	if w.phase != fresh {
		return
	}
	header := w.ResponseWriter.Header()
	final := code >= 200
	if w.extracts && final {
		w.request.extractHeaders(header)
	}
	if name := w.strip.Response(header); name != "" && w.request != nil {
		w.request.warnIgnored(name, code)
	}
	if final || code == http.StatusSwitchingProtocols {
		w.phase = passing
		if final && w.ended() {
			w.replace(w.bound.refuse)
			return
		}
	}
	if w.extracts && final && w.outer && w.request.handleExchange(w, code) {
		return
	}
	w.ResponseWriter.WriteHeader(code)
}

// ended reports whether the session of this request has ended.
func (w *responseWriter) ended() bool { return w.bound != nil && w.bound.Ended() }

// replace answers in the backend's place. Of its headers those remain that are kept, and others by name.
func (w *responseWriter) replace(answer func(http.ResponseWriter), others ...string) {
	w.phase = replaced
	header := w.ResponseWriter.Header()
	for name := range header {
		if !serverHeaders[name] && !slices.Contains(others, name) {
			delete(header, name)
		}
	}
	answer(w.ResponseWriter)
}

// begin makes sure that a header has been written. It returns an error if the body must not be.
func (w *responseWriter) begin() error {
	if w.phase == fresh {
		w.WriteHeader(http.StatusOK)
	}
	if w.phase == replaced || w.bound != nil && !w.bound.Use() {
		return errEnded
	}
	return nil
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		if w.phase == replaced && w.extracts && w.request.exchange.discards(int64(len(p))) {
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
func (w *responseWriter) ReadFrom(src io.Reader) (n int64, err error) {
	outer, limited := src.(*io.LimitedReader)
	for {
		if err := w.begin(); err != nil {
			if w.phase == replaced && w.extracts {
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
		m, err := w.copy(piece)
		n += m
		if limited {
			outer.N -= want - piece.N
		}
		if err != nil || piece.N > 0 {
			return n, err
		}
	}
}

// copy hands what it reads to the next writer, by the one's own ReadFrom where it has one.
func (w *responseWriter) copy(src io.Reader) (int64, error) {
	if to, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(w.ResponseWriter, src)
}

// Push implements http.Pusher.
func (w *responseWriter) Push(target string, opts *http.PushOptions) error {
	if pusher, ok := w.ResponseWriter.(http.Pusher); ok {
		return pusher.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap is what http.ResponseController calls.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// FlushError is what http.ResponseController calls.
func (w *responseWriter) FlushError() error {
	if w.phase == fresh {
		w.WriteHeader(http.StatusOK)
	}
	if w.phase == replaced {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack is what http.ResponseController calls.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.phase == replaced {
		return nil, nil, errEnded
	}
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.bound != nil {
		conn = &boundConn{conn, w.bound}
	}
	return conn, buffered, err
}

// finish runs after the backend's handler: trailers are sent when the handler returns, under plain names where they were
// announced, and with a prefix where not.
func (w *responseWriter) finish() {
	if w.phase == replaced || w.extracts && w.request.exchange.cleared {
		w.strip.Names(w.ResponseWriter.Header())
		return
	}
	if name := w.strip.Response(w.ResponseWriter.Header()); name != "" && w.request != nil {
		w.request.warnIgnored(name, 0)
	}
}

// writerOnly hides the other methods of a writer from io.
type writerOnly struct{ io.Writer }

var (
	_ io.ReaderFrom = (*responseWriter)(nil)
	_ http.Hijacker = (*responseWriter)(nil)
)
