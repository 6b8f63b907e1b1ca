package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds what a request to the endpoint may carry.
const maxBody = 64 << 10

// Serve answers one request to the endpoint with what b does. It returns an error instead of writing one, an [*Error] where
// the operator is to read it: Caddy's admin API has its own form for errors.
func Serve(b Backend, w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), Prefix), "/")
	for i, p := range parts {
		text, err := url.PathUnescape(p)
		if err != nil {
			return badRequest("malformed path")
		}
		parts[i] = text
	}
	rest := ""
	if len(parts) > 1 {
		rest = strings.Join(parts[1:], "/")
	}
	switch r.Method + " " + parts[0] {
	case "GET accounts":
		return listOrShow(ctx, b, w, rest)
	case "POST accounts":
		return withInput(r, func(in AccountInput) error { return answer(w)(b.AddAccount(ctx, in)) })
	case "PATCH accounts":
		return withInput(r, func(in AccountChange) error { return answer(w)(b.ChangeAccount(ctx, rest, in)) })
	case "DELETE accounts":
		return b.DeleteAccount(ctx, rest)
	case "DELETE sessions":
		return b.EndSessions(ctx, rest)
	case "POST link":
		return withInput(r, func(in LinkInput) error { return answer(w)(b.MakeLink(ctx, in)) })
	case "GET keys":
		return answer(w)(b.AudienceKey(ctx, rest, r.URL.Query().Get("use") == "sign_key"))
	case "GET backup_info":
		return answer(w)(b.BackupInfo(ctx))
	case "GET master_keys":
		return answer(w)(b.MasterKeys(ctx))
	case "GET backup":
		w.Header().Set("Content-Type", "application/octet-stream")
		return b.Backup(ctx, w)
	}
	return notFound("nothing here answers %s %s", r.Method, parts[0])
}

func listOrShow(ctx context.Context, b Backend, w http.ResponseWriter, who string) error {
	if who != "" {
		return answer(w)(b.Account(ctx, who))
	}
	w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(w)
	return b.Accounts(ctx, func(a Account) error { return enc.Encode(a) })
}

func withInput[T any](r *http.Request, do func(T) error) error {
	var in T
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return badRequest("reading the request: %v", err)
	}
	if len(body) > maxBody {
		return &Error{http.StatusRequestEntityTooLarge, "the request is too large"}
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return badRequest("the request is not what was expected: %v", err)
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

// Status returns the HTTP status for an error of [Serve].
func Status(err error) int {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Status
	case errors.Is(err, ErrNotRunning):
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}
