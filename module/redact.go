package module

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

// redactedRequest is a request whose address or headers, or whose answer, hold what belongs in no log. Caddy copies a request for its
// logs before any handler runs and hides those headers alone that it knows, so such a request is kept out of Caddy's access log, and an
// error ends here and not in `http.log.error`. In the access log, where there is one, the gate writes a line of its own.
type redactedRequest struct {
	caddyhttp.ResponseRecorder
	gate.Redaction
	app *App
	// names are the loggers of the access log, where there is one.
	names  []string
	access bool
	next   gate.Handler
	err    error
}

// Redact implements gate.Host.
func (h host) Redact(w http.ResponseWriter, r *http.Request, next gate.Handler, what gate.Redaction) (http.ResponseWriter, gate.Handler, func()) {
	q := &redactedRequest{Redaction: what, app: h.app, next: next, ResponseRecorder: caddyhttp.NewResponseRecorder(w, nil, nil)}
	q.names, q.access = accessLog(r)
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	return q, q, q.log
}

// Unwrap is what http.ResponseController calls: the recorder's interface hides its methods for flushing and taking over.
func (q *redactedRequest) Unwrap() http.ResponseWriter { return q.ResponseRecorder }

// ServeHTTP implements gate.Handler for the next handler.
func (q *redactedRequest) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	if q.err = q.next.ServeHTTP(w, r); q.err != nil && q.Status() < http.StatusOK {
		w.WriteHeader(statusOf(q.err))
	}
	return nil
}

// log writes the line in the access log. Where there is none, an error has a line, and so has an opened link.
func (q *redactedRequest) log() {
	status := q.Status()
	failed := q.err != nil && statusOf(q.err) >= http.StatusInternalServerError
	if q.access {
		fields := []any{"size", q.Size(), "event", q.Event}
		if failed {
			fields = append(fields, "error", gate.LoggedError(q.err, q.app.gate.Now))
		}
		q.app.logAccess(q.names, q.Logged, status, fields...)
		return
	}
	fields := []any{
		"event", q.Event, "method", q.Logged.Method, "path", q.Path, "status", status, "client", gate.NetworkOf(q.app.client(q.Logged)),
	}
	switch {
	case failed:
		q.app.log.Error(gate.FailedRedacted, append(fields, "error", gate.LoggedError(q.err, q.app.gate.Now))...)
	case q.OwnPage && q.Event == gate.EventOpened:
		q.app.log.Info("opened", fields...)
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
