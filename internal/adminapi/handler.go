package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/operator"
)

// maxBody bounds what a request to the endpoint may carry.
const maxBody = 64 << 10

// commandHeader stands in each request of a command. The endpoint hands out keys and a copy of the database, and its address is
// known: a program on this machine that can be made to fetch an address (a preview, a webhook) must not fetch those. Such a
// program sends what it likes, but rarely a header of somebody else's choice.
const commandHeader = "Email-Link-Command"

// Serve answers one request to the endpoint with what b does. It returns an error instead of writing one, an [*operator.Error] where
// the operator is to read it: Caddy's admin API has its own form for errors.
func Serve(b operator.Operations, w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get(commandHeader) == "" {
		return &operator.Error{Kind: operator.Forbidden, Message: "only 'caddy email-link' asks here; a request of your own needs the header " + commandHeader}
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), Prefix), "/")
	for i, p := range parts {
		text, err := url.PathUnescape(p)
		if err != nil {
			return invalid("malformed path")
		}
		parts[i] = text
	}
	rest := ""
	if len(parts) > 1 {
		rest = strings.Join(parts[1:], "/")
	}
	if do := routes[r.Method+" "+parts[0]]; do != nil {
		return do(call{b, w, r, rest})
	}
	return &operator.Error{Kind: operator.NotFound, Message: fmt.Sprintf("nothing here answers %s %s", r.Method, parts[0])}
}

// call is one request to the endpoint; rest is what follows the first word of its path, which is never an address.
type call struct {
	b    operator.Operations
	w    http.ResponseWriter
	r    *http.Request
	rest string
}

// What commands send in the body, and never in the path, because an address may be among it: Caddy logs the path of each
// request to the admin endpoint.
type (
	whoInput struct {
		Who string `json:"who"`
	}
	changeInput struct {
		Who    string                 `json:"who"`
		Change operator.AccountChange `json:"change"`
	}
	retryInput struct {
		ID string `json:"id"`
	}
	limitsInput struct {
		Who []string `json:"who"`
	}
	doctorInput struct {
		To string `json:"to"`
	}
)

// tokenInput names a token, or whose tokens are meant; an account may be named by its address.
type tokenInput struct {
	ID  string `json:"id,omitempty"`
	Who string `json:"who,omitempty"`
}

var routes = map[string]func(c call) error{
	"GET accounts": func(c call) error { return listAccounts(c.r.Context(), c.b, c.w) },
	"POST accounts": with(func(ctx context.Context, c call, in operator.AccountInput) (any, error) {
		return c.b.AddAccount(ctx, in)
	}),
	"POST import":  receive,
	"GET export":   export,
	"POST account": with(func(ctx context.Context, c call, in whoInput) (any, error) { return c.b.Account(ctx, in.Who) }),
	"PATCH account": with(func(ctx context.Context, c call, in changeInput) (any, error) {
		return c.b.ChangeAccount(ctx, in.Who, in.Change)
	}),
	"DELETE account": with(func(ctx context.Context, c call, in whoInput) (any, error) {
		return nil, c.b.DeleteAccount(ctx, in.Who)
	}),
	"POST sessions": with(func(ctx context.Context, c call, in whoInput) (any, error) { return c.b.Sessions(ctx, in.Who) }),
	"DELETE sessions": with(func(ctx context.Context, c call, in whoInput) (any, error) {
		return nil, c.b.EndSessions(ctx, in.Who)
	}),
	"POST tokens": with(func(ctx context.Context, c call, in operator.MachineTokenInput) (any, error) {
		return c.b.CreateToken(ctx, in)
	}),
	"POST tokens_list": with(func(ctx context.Context, c call, in tokenInput) (any, error) { return c.b.Tokens(ctx, in.Who) }),
	"DELETE tokens":    with(func(ctx context.Context, c call, in tokenInput) (any, error) { return c.b.RevokeToken(ctx, in.ID) }),
	"POST link":        with(func(ctx context.Context, c call, in operator.LinkInput) (any, error) { return c.b.MakeLink(ctx, in) }),
	"GET keys": bare(func(ctx context.Context, c call) (any, error) {
		return c.b.AudienceKey(ctx, c.rest, c.r.URL.Query().Get("use") == "sign_key")
	}),
	"GET signing_keys":  bare(func(ctx context.Context, c call) (any, error) { return c.b.SigningKeys(ctx) }),
	"POST signing_keys": bare(func(ctx context.Context, c call) (any, error) { return c.b.RotateKey(ctx) }),
	"GET mails":         bare(func(ctx context.Context, c call) (any, error) { return c.b.Mails(ctx) }),
	"POST mail_retry":   with(func(ctx context.Context, c call, in retryInput) (any, error) { return c.b.RetryMail(ctx, in.ID) }),
	"POST mail_test":    with(func(ctx context.Context, c call, in operator.TestMail) (any, error) { return c.b.SendTest(ctx, in) }),
	"GET events": bare(func(ctx context.Context, c call) (any, error) {
		n, err := strconv.Atoi(c.r.URL.Query().Get("n"))
		if err != nil {
			return nil, invalid("n is not a number")
		}
		return c.b.Events(ctx, n)
	}),
	"POST limits":     with(func(ctx context.Context, c call, in limitsInput) (any, error) { return c.b.Limits(ctx, in.Who) }),
	"DELETE limits":   with(func(ctx context.Context, c call, in limitsInput) (any, error) { return c.b.ResetLimits(ctx, in.Who) }),
	"POST doctor":     with(func(ctx context.Context, c call, in doctorInput) (any, error) { return c.b.Diagnose(ctx, in.To) }),
	"GET backup_info": bare(func(ctx context.Context, c call) (any, error) { return c.b.BackupInfo(ctx) }),
	"GET master_keys": bare(func(ctx context.Context, c call) (any, error) { return c.b.MasterKeys(ctx) }),
	"GET backup": func(c call) error {
		c.w.Header().Set("Content-Type", "application/octet-stream")
		return c.b.Backup(c.r.Context(), c.w)
	},
}

// bare makes a route of what needs no body, with one of what does. Both answer with a value as JSON.
func bare(do func(ctx context.Context, c call) (any, error)) func(call) error {
	return func(c call) error { return answer(c.w)(do(c.r.Context(), c)) }
}

func with[T any](do func(ctx context.Context, c call, in T) (any, error)) func(call) error {
	return func(c call) error {
		return withInput(c.r, func(in T) error { return answer(c.w)(do(c.r.Context(), c, in)) })
	}
}

func listAccounts(ctx context.Context, b operator.Operations, w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(w)
	return b.Accounts(ctx, func(a operator.Account) error { return enc.Encode(a) })
}

func withInput[T any](r *http.Request, do func(T) error) error {
	var in T
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return invalid("reading the request: %v", err)
	}
	if len(body) > maxBody {
		return &operator.Error{Kind: operator.TooLarge, Message: "the request is too large"}
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return invalid("the request is not what was expected: %v", err)
	}
	return do(in)
}

// answer returns a function that writes a value as JSON, so that a call's two results fit into it.
func answer(w http.ResponseWriter) func(v any, err error) error {
	return func(v any, err error) error {
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(v)
	}
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
