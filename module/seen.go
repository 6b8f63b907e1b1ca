package module

import (
	"maps"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	maphandler "github.com/caddyserver/caddy/v2/modules/caddyhttp/map"
)

// asSeen returns the request as a program sees it that reads another path in it. Its placeholders are those of that path, and what a
// matcher captures while it is tried stays with it.
func asSeen(r *http.Request, path string) *http.Request { return seenBy(r, path, nil) }

// seenBy is asSeen behind a handler that sets values, nil for none.
func seenBy(r *http.Request, path string, handler caddyhttp.MiddlewareHandler) *http.Request {
	seen := *r
	u := *r.URL
	u.Path, u.RawPath, u.Opaque = path, "", ""
	seen.URL, seen.RequestURI = &u, u.RequestURI()
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	repl := caddy.NewEmptyReplacer()
	out := caddyhttp.PrepareRequest(&seen, repl, nil, server)
	if before, ok := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		vars, _ := out.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
		maps.Copy(vars, before)
	}
	nothing := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	mapping, isMap := handler.(*maphandler.Handler)
	if isMap { // the first one that knows a placeholder answers it
		_ = mapping.ServeHTTP(nil, out, nothing)
	}
	if before, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(before.Get)
	}
	if handler != nil && !isMap {
		_ = handler.ServeHTTP(nil, out, nothing)
	}
	return out
}
