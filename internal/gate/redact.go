package gate

import (
	"net/http"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// redacted replaces a value that belongs in no log.
const redacted = "REDACTED"

// RefererHoldsToken reports whether the Referer of a request holds a mailed token.
func RefererHoldsToken(header http.Header, now func() time.Time) bool {
	for _, value := range header["Referer"] {
		if token.Holds(value, now) {
			return true
		}
	}
	return false
}

// RedactReferer takes a mailed token out of the Referer: neither a log nor a backend has a use for it. What is left names the same page.
func RedactReferer(header http.Header, now func() time.Time) {
	if RefererHoldsToken(header, now) {
		header["Referer"] = []string{token.Redact(header["Referer"][0], now)}
	}
}

// LoggedRequest returns what a log may show of a request whose address or headers hold what belongs in no log: the address without its
// query and without a token in its path, and the headers without addresses that hold one. uri is the address as the client
// sent it. Call it after boundary.ExtractToken and before anything else has changed the headers.
func LoggedRequest(r *http.Request, uri string, now func() time.Time) *http.Request {
	logged := *r
	logged.RequestURI = token.Redact(uri, now)
	logged.Header = make(http.Header, len(r.Header))
	for name, values := range r.Header {
		stored := make([]string, len(values))
		for i, value := range values {
			if stored[i] = value; token.Holds(value, now) {
				stored[i] = token.Redact(value, now)
			}
		}
		logged.Header[name] = stored
	}
	return &logged
}

// LoggedError returns the words of an error for a log, without those that repeat a mailed token, such as the name of a file that a path
// leads to.
func LoggedError(err error, now func() time.Time) string {
	if words := err.Error(); !token.Holds(words, now) {
		return words
	}
	return redacted
}

// Events of requests that are kept out of the server's logs.
const (
	EventOpened       = "opened"
	EventTokenRequest = "token_request"
	EventVerify       = "verify"
)

// Redaction is a request that is kept out of the server's logs.
type Redaction struct {
	// Event is why: one of the events above.
	Event string
	// Logged is the request as a log may show it, Path its path.
	Logged *http.Request
	Path   string
	// OwnPage reports whether it asks for one of the gate's own pages.
	OwnPage bool
}

// FailedRedacted is the line about an error that the server's log of errors is not to show.
const FailedRedacted = "a request that is kept out of Caddy's logs failed"

// redaction returns the event of a request that is to be kept out of the server's logs, empty for all others. uri is the address as the
// client sent it.
func (s *Site) redaction(r *http.Request, uri string, presented boundary.Token) string {
	switch {
	case presented.Header:
		return EventTokenRequest
	case web.TokenRoute(r.URL, s.Prefix):
		return EventOpened // also what is no token: it may be all but the last character of one
	case s.verifyPath == r.URL.Path:
		return EventVerify // the answer has the assertion, and a question from elsewhere has the address that was asked about
	case s.sentToken(r, uri), len(r.Header["Referer"]) > 0 && s.host.LogsReferer(r) && RefererHoldsToken(r.Header, s.now):
		return EventOpened
	}
	return ""
}

// sentToken reports whether the address of a request holds a mailed token, as the client sent it or after a rewrite.
func (s *Site) sentToken(r *http.Request, uri string) bool {
	return token.Holds(r.RequestURI, s.now) || uri != r.RequestURI && token.Holds(uri, s.now)
}

// redact keeps a request out of the server's logs. What the next handlers see of it goes on byte for byte, but for RequestURI, which
// `reverse_proxy` and others log at DEBUG, and a mailed token in the Referer.
func (s *Site) redact(w http.ResponseWriter, r *http.Request, uri string, next Handler, event string) (rw http.ResponseWriter, rnext Handler, finish func()) {
	logged := LoggedRequest(r, uri, s.now)
	_, own := s.Below(r.URL.Path)
	rw, rnext, finish = s.host.Redact(w, r, next, Redaction{event, logged, pathOf(logged.RequestURI), own})
	if token.Holds(r.RequestURI, s.now) {
		r.RequestURI = token.Redact(r.RequestURI, s.now)
	}
	RedactReferer(r.Header, s.now)
	return rw, rnext, finish
}

// redactError ends an error of a request whose Referer holds a mailed token: the server's log of errors would show it.
func (s *Site) redactError(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil || !RefererHoldsToken(r.Header, s.now) {
		return err
	}
	w.WriteHeader(s.host.Status(err))
	s.log.Error(FailedRedacted, "event", EventOpened, "method", r.Method, "path", pathOf(token.Redact(r.RequestURI, s.now)),
		"status", s.host.Status(err), "client", NetworkOf(s.host.Client(r)), "error", LoggedError(err, s.now))
	return nil
}
