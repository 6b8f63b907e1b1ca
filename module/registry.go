package module

import (
	"errors"
	"reflect"

	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(new(registry)) }

// registryID is the name of the app that collects the handlers. Operators do not configure it.
const registryID = "email_link_handlers"

// registry collects the handlers of one configuration while Caddy provisions it.
//
// Caddy provisions apps in random order, and a handler is provisioned while the http app around it is half-built. An app that
// a handler asks for must therefore not ask for http. That is why a handler asks for this one, which needs nothing and is made
// for the first handler, while the app email_link, which no handler asks for, gets an http app that is always whole.
type registry struct {
	handlers []*Handler
	// closed is set once the app email_link has taken the handlers.
	closed bool
}

// CaddyModule returns the Caddy module information.
func (*registry) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: registryID, New: func() caddy.Module { return new(registry) }}
}

// Start does nothing.
func (*registry) Start() error { return nil }

// Stop does nothing.
func (*registry) Stop() error { return nil }

// add registers a handler. It fails for one that no start would ever prepare.
func (r *registry) add(ctx caddy.Context, h *Handler) error {
	switch {
	case !configured(ctx, "email_link"):
		return ErrNoGlobalOption
	case r.closed:
		return errors.New("it works in the routes of Caddy's http app only")
	}
	r.handlers = append(r.handlers, h)
	return nil
}

// ErrNoGlobalOption is returned for a site with `email_link` in a configuration without the global option.
var ErrNoGlobalOption = errors.New("the global option email_link is missing; write at the top of the Caddyfile, and set the mailer:\n" +
	"\t{\n\t\temail_link {\n\t\t\tbase_url https://app.example.com\n\t\t\tfrom \"Example <no-reply@example.com>\"\n\t\t\tmailer smtp <your provider's host>:587 <user> {env.SMTP_PASSWORD}\n\t\t}\n\t}")

// configured reports whether the configuration names an app. caddy.Context.AppIfConfigured would provision it, and it is
// provisioned after http. Caddy keeps the map to itself; where it cannot be read the answer is no.
func configured(ctx caddy.Context, app string) bool {
	cfg := reflect.ValueOf(ctx).FieldByName("cfg")
	if !cfg.IsValid() || cfg.Kind() != reflect.Pointer || cfg.IsNil() {
		return false
	}
	apps := cfg.Elem().FieldByName("AppsRaw")
	return apps.IsValid() && apps.Kind() == reflect.Map && apps.MapIndex(reflect.ValueOf(app)).IsValid()
}

var _ caddy.App = (*registry)(nil)
