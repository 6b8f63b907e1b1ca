package module

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// Events of requests that are kept out of Caddy's logs.
const (
	eventOpened       = "opened"
	eventTokenRequest = "token_request"
	eventVerify       = "verify"
)

// failedQuietly is the line about an error that Caddy's log of errors is not to show.
const failedQuietly = "a request that is kept out of Caddy's logs failed"

// redactedRequest is a request whose address or headers, or whose answer, hold what belongs in no log. Caddy copies a request for its
// logs before any handler runs and hides those headers alone that it knows, so such a request is kept out of Caddy's access log, and an
// error ends here and not in `http.log.error`. In the access log, where there is one, the gate writes a line of its own.
type redactedRequest struct {
	caddyhttp.ResponseRecorder
	h     *Handler
	event string
	// logged is the request as a log may show it, names the loggers of the access log, where there is one.
	logged *http.Request
	names  []string
	access bool
	next   caddyhttp.Handler
	err    error
}

// redact keeps a request out of Caddy's logs. What the next handlers see of it goes on byte for byte, but for RequestURI, which
// `reverse_proxy` and others log at DEBUG, and a mailed token in the Referer.
func (h *Handler) redact(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, event string) *redactedRequest {
	uri := r.RequestURI
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		uri = original.RequestURI
	}
	q := &redactedRequest{h: h, event: event, next: next, ResponseRecorder: caddyhttp.NewResponseRecorder(w, nil, nil), logged: gate.LoggedRequest(r, uri, h.now)}
	q.names, q.access = accessLog(r)
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	if token.Holds(r.RequestURI, h.now) {
		r.RequestURI = token.Redact(r.RequestURI, h.now)
	}
	gate.RedactReferer(r.Header, h.now)
	return q
}

// redaction returns the event of a request that is to be kept out of Caddy's logs, empty for all others.
func (h *Handler) redaction(r *http.Request, presented boundary.Token) string {
	switch {
	case presented.Header:
		return eventTokenRequest
	case r.URL.RawQuery != "" && web.TokenRoute(r.URL.Path, h.prefix):
		return eventOpened // also what is no token: it may be all but the last character of one
	case h.verifyPath == r.URL.Path && h.answersTo(r.RemoteAddr):
		return eventVerify // the answer has the assertion
	case h.sentToken(r), h.logsReferer(r) && gate.RefererHoldsToken(r.Header, h.now):
		return eventOpened
	}
	return ""
}

// sentToken reports whether the address of a request holds a mailed token, as the client sent it or after a rewrite.
func (h *Handler) sentToken(r *http.Request) bool {
	if token.Holds(r.RequestURI, h.now) {
		return true
	}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.RequestURI != r.RequestURI {
		return token.Holds(original.RequestURI, h.now)
	}
	return false
}

// logsReferer reports whether a log shows the Referer of a request that does not fail: the access log does, and `reverse_proxy` at DEBUG.
func (h *Handler) logsReferer(r *http.Request) bool {
	if len(r.Header["Referer"]) == 0 {
		return false
	}
	if h.app.verbose {
		return true
	}
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && server.Logs != nil
}

// Unwrap is what http.ResponseController calls: the recorder's interface hides its methods for flushing and taking over.
func (q *redactedRequest) Unwrap() http.ResponseWriter { return q.ResponseRecorder }

// ServeHTTP implements caddyhttp.Handler for the next handler.
func (q *redactedRequest) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	if q.err = q.next.ServeHTTP(w, r); q.err != nil && q.Status() < http.StatusOK {
		w.WriteHeader(statusOf(q.err))
	}
	return nil
}

// log writes the line in the access log. Where there is none, an error has a line, and so has one of our own pages.
func (q *redactedRequest) log() {
	status := q.Status()
	failed := q.err != nil && statusOf(q.err) >= http.StatusInternalServerError
	if q.access {
		fields := []any{"size", q.Size(), "event", q.event}
		if failed {
			fields = append(fields, "error", gate.LoggedError(q.err, q.h.now))
		}
		q.h.app.logAccess(q.names, q.logged, status, fields...)
		return
	}
	fields := []any{
		"event", q.event, "method", q.logged.Method, "path", pathOf(q.logged.RequestURI), "status", status, "client", network(q.h.app.client(q.logged)),
	}
	_, own := q.h.below(q.logged.URL.Path)
	switch {
	case failed:
		q.h.log.Error(failedQuietly, append(fields, "error", gate.LoggedError(q.err, q.h.now))...)
	case own && q.event == eventOpened:
		q.h.log.Info("opened", fields...)
	}
}

// statusOf returns the status of an answer to an error of a handler, as Caddy reads it.
func statusOf(err error) int {
	var known caddyhttp.HandlerError
	if errors.As(err, &known) && known.StatusCode >= http.StatusBadRequest {
		return known.StatusCode
	}
	return http.StatusInternalServerError
}

// quietError ends an error of a request whose Referer holds a mailed token: Caddy's log of errors would show it.
func (h *Handler) quietError(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil || !gate.RefererHoldsToken(r.Header, h.now) {
		return err
	}
	w.WriteHeader(statusOf(err))
	h.log.Error(failedQuietly, "event", eventOpened, "method", r.Method, "path", pathOf(token.Redact(r.RequestURI, h.now)),
		"status", statusOf(err), "client", network(h.app.client(r)), "error", gate.LoggedError(err, h.now))
	return nil
}
