package gate

import (
	"net/http"
	"slices"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

const hsts = "Strict-Transport-Security"

// ownHeaders are the headers that the gate's own answers decide: what keeps them from being framed, kept, sniffed and scripted,
// and what makes a browser follow them. Those that depend on how the body is coded (Content-Length, Content-Encoding, Vary) are
// left to the writer that codes it.
var ownHeaders = [...]string{
	"Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Cache-Control", "Referrer-Policy",
	"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "X-Robots-Tag", hsts,
	"Content-Type", "Content-Language", "Location", "Set-Cookie", "Www-Authenticate", "Retry-After", "Allow",
}

// OwnAnswer keeps the headers of one of the gate's own answers against writers between the gate and the client that change
// headers when an answer begins, as that of Caddy's directive `header` does for `defer`, `>` and any deletion. It has two ends:
// the gate writes to Writer, and the answer passes OwnAnswer itself below those writers, where the headers that the answer had
// above them are put back. Other headers stay as those writers have made them, and so does a Strict-Transport-Security that
// lasts longer.
type OwnAnswer struct {
	// ResponseWriter is the next writer on the way to the client.
	http.ResponseWriter
	values [len(ownHeaders)][]string
	begun  bool
}

// Writer returns the writer for the answer, above is the uppermost of the writers in between.
func (a *OwnAnswer) Writer(above http.ResponseWriter) http.ResponseWriter {
	return &ownWriter{above, a}
}

// WriteHeader implements http.ResponseWriter below the writers in between.
func (a *OwnAnswer) WriteHeader(code int) {
	if a.begun {
		header := a.ResponseWriter.Header()
		for i, name := range ownHeaders {
			values := a.values[i]
			if values == nil || name == hsts && boundary.KeepHSTS(header[name], values[0]) {
				continue
			}
			header[name] = values
		}
	}
	a.ResponseWriter.WriteHeader(code)
}

// Unwrap is what http.ResponseController calls.
func (a *OwnAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// begin remembers the headers of the answer. They are copied: the directive `header` edits values in place.
func (a *OwnAnswer) begin(header http.Header) {
	if a.begun {
		return
	}
	a.begun = true
	for i, name := range ownHeaders {
		if values := header[name]; len(values) > 0 {
			a.values[i] = slices.Clone(values)
		}
	}
}

// ownWriter is the end of an OwnAnswer that the gate writes to.
type ownWriter struct {
	http.ResponseWriter
	answer *OwnAnswer
}

// WriteHeader implements http.ResponseWriter.
func (w *ownWriter) WriteHeader(code int) {
	w.answer.begin(w.Header())
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *ownWriter) Write(p []byte) (int, error) {
	w.answer.begin(w.Header())
	return w.ResponseWriter.Write(p)
}

// Unwrap is what http.ResponseController calls.
func (w *ownWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
