package identity

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
)

type contextKey struct{}

// FromContext returns the identity that [Verifier.Handler] has verified for this request.
func FromContext(ctx context.Context) (*Identity, bool) {
	id, ok := ctx.Value(contextKey{}).(*Identity)
	return id, ok
}

// NewContext returns a context that carries id, for tests of apps.
func NewContext(ctx context.Context, id *Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// Handler lets only requests through that carry exactly one valid assertion; next finds it by [FromContext]. Any other request
// is answered with 401, or with 503 when the signing keys cannot be read.
func (v *Verifier) Handler(next http.Handler) http.Handler { return v.handler(next, false) }

// OptionalHandler is like [Verifier.Handler], but lets requests without an assertion through, without an identity. One that is
// not valid is answered with 401 all the same: it is never treated as an anonymous request.
func (v *Verifier) OptionalHandler(next http.Handler) http.Handler { return v.handler(next, true) }

func (v *Verifier) handler(next http.Handler, optional bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := r.Header.Values(Header)
		// A proxy that asks /verify sends an empty value where there is no session.
		if optional && (len(values) == 0 || (len(values) == 1 && values[0] == "")) {
			next.ServeHTTP(w, r)
			return
		}
		id, err := v.request(r.Context(), values)
		if err != nil {
			v.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), id)))
	})
}

func (v *Verifier) request(ctx context.Context, values []string) (*Identity, error) {
	if len(values) != 1 || values[0] == "" {
		return nil, RefusedMissing
	}
	return v.Verify(ctx, values[0])
}

// refuse answers without a word about the reason.
func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if v.config.Log != nil {
		v.config.Log.LogAttrs(r.Context(), slog.LevelWarn, "request refused", slog.String("reason", err.Error()))
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	status, body := http.StatusUnauthorized, `{"status":401,"title":"Unauthorized","code":"unauthorized"}`
	if errors.Is(err, ErrKeysUnavailable) {
		status, body = http.StatusServiceUnavailable, `{"status":503,"title":"Service Unavailable","code":"unavailable"}`
	} else {
		h.Set("WWW-Authenticate", "Email-Link")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body + "\n"))
	}
}
