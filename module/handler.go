package module

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
)

func init() { caddy.RegisterModule(Handler{}) }

// DefaultPath is where our pages live where no path is configured.
const DefaultPath = "/email-link"

// ServiceWorkers are the values of Handler.ServiceWorkers, the default first.
var ServiceWorkers = [...]string{"end", "keep"}

// Handler is the gate of one site: it serves the pages, strips forged identity headers and our cookies from every request,
// lets requests with a session through, and passes the identity on. In a Caddyfile it is the directive `email_link`:
//
//	app.example.com {
//		email_link
//		reverse_proxy localhost:3000
//	}
type Handler struct {
	// Off says that what follows is open on purpose: forged identity headers and the gate's cookies are removed on the way in
	// and back, and nothing else happens. It is for a route that reaches a gate's backend past it, and has no other options.
	// Default: false.
	Off bool `json:"off,omitempty"`
	// BaseURL is the closed list of origins of this site. Default: the one of the app.
	BaseURL []string `json:"base_url,omitempty"`
	// Path is where our pages live. Default: `/email-link`.
	Path string `json:"path,omitempty"`
	// ProtectRaw says which requests need a session: those of which any view of the path matches. Default: all.
	ProtectRaw caddyhttp.RawMatcherSets `json:"protect,omitempty" caddy:"namespace=http.matchers"`
	// PublicRaw says which requests need none: those of which every view of the path matches. An ambiguous spelling of a path
	// is never public. Default: none.
	PublicRaw caddyhttp.RawMatcherSets `json:"public,omitempty" caddy:"namespace=http.matchers"`
	// Optional lets anonymous requests through and passes the identity on where there is one. Default: false.
	Optional bool `json:"optional,omitempty"`
	// Require says which accounts pass; on a path that needs no session others pass without their identity. Default: all.
	Require Require `json:"require,omitzero"`
	// Audience names the app in assertions. Default: the origin's host.
	Audience string `json:"audience,omitempty"`
	// Identity says in which form the identity is passed on.
	Identity *Identity `json:"identity,omitempty"`
	// Headers are plain headers with parts of the identity. Default: none.
	Headers []Header `json:"headers,omitempty"`
	// ClientHeaders are known headers that clients may send to the app, such as `X-Access-Token`, or families such as
	// `X-Hasura-*`; never one that a handler of the configuration sets. Default: none.
	ClientHeaders []string `json:"client_headers,omitempty"`
	// SignUp says who may make an account at this site. Default: as the app says.
	SignUp *SignUp `json:"sign_up,omitempty"`
	// MaxAge asks for a new proof when the last one is older. Default: none.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
	// ServiceWorkers is what happens to an app's service worker once its session has ended: `end` has the browser remove it, so that
	// people reach the sign-in page, `keep` leaves it alone. Default: `end`.
	ServiceWorkers string `json:"service_workers,omitempty"`
	// Portal is `off` for a site that keeps its own sign-in beside a portal. Default: people sign in at the portal, where there is one.
	Portal string `json:"portal,omitempty"`
	// Verify switches the forward-auth endpoint on, `/verify` below Path. Default: off, and the endpoint is 404.
	Verify *Verify `json:"verify,omitempty"`
	// Source is where the directive and its options are written, for errors and warnings. Default: unknown.
	Source *Source `json:"source,omitempty"`

	app *App
	// origins are those of base_url as they are written, with their stars.
	origins []gate.Origin
	// site is the handler without Caddy.
	site *gate.Site
	// protectsCapitals reports whether the matchers of protect name capital letters, methodDecides whether a matcher looks at the
	// method. openSuffixes are the patterns of public that begin with a star.
	protectsCapitals, methodDecides bool
	openSuffixes                    []string
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.email_link", New: func() caddy.Module { return new(Handler) }}
}

// Check returns an error if the options are not usable, as far as that is known without the app, files and the environment.
func (h *Handler) Check() error {
	if h.Off && !reflect.DeepEqual(*h, Handler{Off: true, Source: h.Source}) {
		return errors.New("off takes no options and no matcher: it strips and does nothing else")
	}
	if h.Optional && !h.Require.Empty() {
		return errors.New("optional never stops a request and require does: keep one of them")
	}
	if h.Optional && h.MaxAge > 0 {
		return errors.New("optional never stops a request and max_age does: keep one of them")
	}
	if h.Optional && (len(h.PublicRaw) > 0 || len(h.ProtectRaw) > 0) {
		return errors.New("optional lets everybody through everywhere: remove the matcher and public, or optional")
	}
	if h.MaxAge < 0 {
		return errors.New("max_age must be above zero")
	}
	if !slices.Contains(ServiceWorkers[:], cmp.Or(h.ServiceWorkers, ServiceWorkers[0])) {
		return fmt.Errorf("service_workers: %q is neither end nor keep", h.ServiceWorkers)
	}
	if h.Portal != "" && h.Portal != "off" {
		return fmt.Errorf("portal: %q is not off; the portal itself is written in the global option email_link", h.Portal)
	}
	if h.Path != "" {
		if err := CheckPrefix(h.Path); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	if err := h.SignUp.Check(); err != nil {
		return err
	}
	if err := h.Verify.Check(); err != nil {
		return err
	}
	if err := h.Require.Check(); err != nil {
		return err
	}
	if err := CheckHeaders(h.Headers); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	if err := CheckClientHeaders(h.ClientHeaders); err != nil {
		return err
	}
	return checkIdentity(h.Identity, h.Headers)
}

// Provision reads what concerns the handler alone. The app reads the rest in bind, once it has all handlers of the
// configuration.
func (h *Handler) Provision(ctx caddy.Context) error {
	return h.Source.wrap("", h.provision(ctx))
}

func (h *Handler) provision(ctx caddy.Context) error {
	if err := h.Check(); err != nil {
		return err
	}
	h.site = &gate.Site{Line: h.Source.nth}
	if err := h.loadMatchers(ctx); err != nil {
		return err
	}
	app, err := ctx.App(registryID)
	if err != nil {
		return err
	}
	return app.(*registry).add(ctx, h)
}

// bind makes a handler one of the app's and reads what depends on the app's options.
func (h *Handler) bind(a *App) (err error) {
	h.app = a
	if h.Off {
		return nil
	}
	if h.origins, err = parseOrigins(h.BaseURL); err != nil {
		return h.Source.wrap("base_url", err)
	}
	if len(h.origins) == 0 {
		h.origins = a.origins
	}
	if len(h.origins) == 0 {
		return h.Source.wrap("", errors.New("base_url is missing; write `base_url https://app.example.com` in the global option email_link, or in this site's email_link"))
	}
	if h.site.Origins, err = a.portal.bind(h, a.configuration.admitted(h)); err != nil {
		return err
	}
	if h.site.Prefix = h.Path; h.site.Prefix == "" {
		h.site.Prefix = DefaultPath
	}
	for _, step := range []struct {
		option string
		read   func() error
	}{
		{"verify", h.readVerify},
		{"require email", h.readRequire},
		{"require scope", func() error { return h.Require.checkGranted(a.Scopes) }},
		{"identity", h.readIdentity},
		{"headers", h.readHeaders},
		{"", h.readSite},
	} {
		if err := step.read(); err != nil {
			return h.Source.wrap(step.option, err)
		}
	}
	return nil
}

// readRequire reads who passes, and compiles the address patterns of `require email`.
func (h *Handler) readRequire() error {
	for _, group := range h.Require.Email {
		var patterns []address.Pattern
		for _, text := range group {
			p, err := address.CompilePattern(text)
			if err != nil {
				return fmt.Errorf("require email: %q: %w", text, err)
			}
			patterns = append(patterns, p)
		}
		h.site.Require.Emails = append(h.site.Require.Emails, patterns)
	}
	h.site.Require.Roles, h.site.Require.Scopes = h.Require.Role, h.Require.Scope
	h.site.MaxAge, h.site.Audience = time.Duration(h.MaxAge), h.Audience
	h.site.KeepServiceWorkers = h.ServiceWorkers == "keep"
	return nil
}

// readHeaders resolves the plain headers.
func (h *Handler) readHeaders() error {
	for _, one := range h.Headers {
		v, err := gate.ParseHeaderValue(one.Value)
		if err != nil {
			return fmt.Errorf("headers: %s: %w", one.Name, err)
		}
		h.site.Headers = append(h.site.Headers, gate.PlainHeader{Name: canonical(one.Name), Value: v})
	}
	return nil
}

// loadMatchers loads the matchers of the handler and makes them readable as what opens and as what protects.
func (h *Handler) loadMatchers(ctx caddy.Context) error {
	h.site.Access = gate.Access{Optional: h.Optional}
	for _, m := range []struct {
		field string
		raw   caddyhttp.RawMatcherSets // Caddy drops it from the handler once it is loaded
		into  *gate.Sets
	}{{"ProtectRaw", h.ProtectRaw, &h.site.Access.Protect}, {"PublicRaw", h.PublicRaw, &h.site.Access.Public}} {
		for _, set := range m.raw {
			if len(set) == 0 {
				return errors.New("an empty matcher set would match everything; write 'optional' to let everyone in")
			}
		}
		if len(m.raw) == 0 {
			continue
		}
		loaded, err := ctx.LoadModule(h, m.field)
		if err != nil {
			return fmt.Errorf("loading matchers: %w", err)
		}
		var sets caddyhttp.MatcherSets
		if err := sets.FromInterface(loaded); err != nil {
			return err
		}
		if *m.into, err = matcherSets(ctx, sets, m.raw); err != nil {
			return err
		}
		h.methodDecides = h.methodDecides || namesMethod(sets)
		if m.field == "ProtectRaw" {
			h.protectsCapitals = namesCapitals(sets)
		} else {
			h.openSuffixes = suffixesOf(sets)
		}
	}
	return nil
}

func parseOrigins(list []string) ([]gate.Origin, error) {
	var origins []gate.Origin
	for _, s := range list {
		text, err := expand(s)
		if err != nil {
			return nil, fmt.Errorf("base_url: %w", err)
		}
		o, err := gate.ParseOrigin(text)
		if err != nil {
			return nil, fmt.Errorf("base_url: %w", err)
		}
		origins = append(origins, o)
	}
	return origins, nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if h.Off {
		return h.site.PassOpen(w, r, next, host{}.TrustedProxy(host{}.Vars(r)))
	}
	return h.site.ServeHTTP(w, r, next)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
