package module

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
)

// discreet is a request whose headers hold what belongs in no log. Caddy copies them for its logs before any handler runs and hides
// those alone that it knows, so such a request is kept out of them: the line in the log is ours, and an error ends here.
type discreet struct {
	statusWriter
	h    *Handler
	r    *http.Request
	next caddyhttp.Handler
	err  error
}

func (h *Handler) discreetly(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) *discreet {
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	q := &discreet{h: h, r: r, next: next}
	q.ResponseWriterWrapper = caddyhttp.ResponseWriterWrapper{ResponseWriter: w}
	return q
}

// ServeHTTP implements caddyhttp.Handler for the next handler.
func (q *discreet) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	if q.err = q.next.ServeHTTP(w, r); q.err == nil {
		return nil
	}
	status := http.StatusInternalServerError
	var known caddyhttp.HandlerError
	if errors.As(q.err, &known) && known.StatusCode >= 400 {
		status = known.StatusCode
	}
	if q.status < 200 {
		w.WriteHeader(status)
	}
	return nil
}

// tell writes the line in the log.
func (q *discreet) tell() {
	args := []any{
		"event", "token_request", "method", q.r.Method, "path", q.r.URL.Path, "status", q.status,
		"client", network(q.h.app.client(q.r)),
	}
	if q.err != nil {
		q.h.log.Error("a request with a machine token failed", append(args, "error", q.err)...)
		return
	}
	// Where Caddy logs each request, this is that line; elsewhere a flood of requests writes nothing.
	level := slog.LevelDebug
	if server, ok := q.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Logs != nil {
		level = slog.LevelInfo
	}
	q.h.log.Log(q.r.Context(), level, "a request with a machine token", args...)
}

// decideToken is decide for a request with a good token. Unlike a session, a token is an order to be judged by it: what it does
// not open stays shut, on public paths as well, and nobody goes on as anybody instead.
func (h *Handler) decideToken(r *http.Request, p *pass, needed bool) (subject, web.Refusal) {
	switch {
	case p.token.Basic && boundary.FromAnotherSite(r.Header, p.site.Origin):
		return nil, web.CrossOrigin // a browser sends Basic by itself, wherever a request comes from
	case p.withheld || !h.scoped(p):
		return nil, web.TokenNotAllowed
	case !h.meets(user{p.sess.who()}):
		return nil, web.Forbidden
	case needed && h.tooOld(p):
		return nil, web.InvalidToken
	}
	return p.sess, 0
}

// tooOld says whether the last proof is older than this handler asks for.
func (h *Handler) tooOld(p *pass) bool {
	return h.MaxAge > 0 && p.at.Now.Sub(p.sess.since()) > time.Duration(h.MaxAge)
}

// challenge adds what a program has to be asked with before it shows its token. Clients of calendars and files send Basic only
// after a 401 that asks for it. Browsers are not asked: they would put up a window of their own in place of our pages, and
// send what is typed there with every request.
func (h *Handler) challenge(w http.ResponseWriter, r *http.Request, p *pass, why web.Refusal) {
	if why != web.SignIn && why != web.InvalidToken || p.site == nil {
		return
	}
	realm := `realm="` + audienceOf(p.site.Origin) + `"`
	header := w.Header()
	if p.outer.Require.namesScopes() && (len(h.Require.Scope) == 0 || h.Require.namesScopes()) &&
		!boundary.IsBrowser(r.Header) && !boundary.IsNavigation(r) {
		header.Add("WWW-Authenticate", "Basic "+realm+`, charset="UTF-8"`)
	}
	if why == web.InvalidToken && p.token.Bearer {
		header.Add("WWW-Authenticate", "Bearer "+realm+`, error="invalid_token"`)
	}
}
