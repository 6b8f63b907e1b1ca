package gate

import (
	"net/http"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/token"
)

// redacted stands for a value that belongs in no log.
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
