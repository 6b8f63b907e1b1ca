package integration

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// panicking is a handler behind the gate that fails in the worst way.
type panicking struct{}

func init() {
	caddy.RegisterModule(panicking{})
	httpcaddyfile.RegisterHandlerDirective("email_link_test_panic", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return panicking{}, nil })
	httpcaddyfile.RegisterDirectiveOrder("email_link_test_panic", httpcaddyfile.Before, "reverse_proxy")
}

func (panicking) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.email_link_test_panic", New: func() caddy.Module { return new(panicking) }}
}

func (panicking) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error {
	panic("a handler behind the gate")
}
