package adminapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// maxBody bounds the body of a request to the endpoint, except for the file of an import.
const maxBody = 64 << 10

// commandHeader is set in each request of a command. The endpoint hands out keys and a copy of the database, and its address is
// known: a program on this machine that can be made to fetch an address (a preview, a webhook) must not fetch those. Such a
// program sends what it likes, but rarely a header that another party chooses. Its value is the words of the command, for the audit log.
const commandHeader = "Email-Link-Command"

// The headers that name who runs the command, for the audit log.
const (
	userHeader = "Email-Link-User"
	hostHeader = "Email-Link-Host"
)

// request is a request to the endpoint.
type request struct {
	*http.Request
	w          http.ResponseWriter
	operations operator.Operations
}

// answer writes a value as JSON.
func (r request) answer(v any) error {
	r.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(r.w).Encode(v)
}

// Serve answers one request to the endpoint with what o does. It returns an error instead of writing one, an
// [*operator.Error] where the operator is to read it: Caddy's admin API has its own form for errors.
func Serve(o operator.Operations, w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get(commandHeader) == "" {
		return &operator.Error{
			Kind:    operator.Forbidden,
			Message: "only 'caddy email-link' asks here; a request of your own needs the header " + commandHeader,
		}
	}
	path := strings.TrimPrefix(r.URL.Path, Prefix)
	if serve := handlers[r.Method+" "+path]; serve != nil {
		ctx := operator.WithCaller(r.Context(), operator.Caller{
			Command: header(r, commandHeader), User: header(r, userHeader), Host: header(r, hostHeader),
		})
		return serve(request{r.WithContext(ctx), w, o})
	}
	return &operator.Error{Kind: operator.NotFound, Message: fmt.Sprintf("nothing here answers %s %s", r.Method, path)}
}

// header returns the text of a header that the client has escaped, because names of users need not be ASCII.
func header(r *http.Request, name string) string {
	text, err := url.PathUnescape(r.Header.Get(name))
	if err != nil {
		return r.Header.Get(name)
	}
	return text
}

// statuses are the HTTP statuses of refusals.
var statuses = map[operator.Kind]int{
	operator.Invalid:     http.StatusBadRequest,
	operator.Forbidden:   http.StatusForbidden,
	operator.NotFound:    http.StatusNotFound,
	operator.Conflict:    http.StatusConflict,
	operator.TooLarge:    http.StatusRequestEntityTooLarge,
	operator.MailRefused: http.StatusBadGateway,
	operator.Unavailable: http.StatusServiceUnavailable,
}

// Status returns the HTTP status for an error of [Serve].
func Status(err error) int {
	var e *operator.Error
	switch {
	case errors.As(err, &e):
		return statuses[e.Kind]
	case errors.Is(err, ErrNotRunning):
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

func invalid(format string, args ...any) error {
	return &operator.Error{Kind: operator.Invalid, Message: fmt.Sprintf(format, args...)}
}
