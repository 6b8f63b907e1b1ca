package caddyfile

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/module"
)

// siteDirective parses the directive of a site:
//
//	email_link [<matcher>] {
//		base_url <origin...>
//		path     <prefix>
//		public   <path or @matcher>...
//		optional
//		require  role|email|scope <word>...
//		audience <name>
//		identity {
//			header <name>
//			key    <value>
//			sign_key <value> [<older>...]
//			ttl    <duration>
//			format jwe|jws|none
//		}
//		headers {
//			<Name> <placeholder>
//		}
//		client_headers <Name>...
//		sign_up  closed | open [<domain>...]
//		max_age  <duration>
//		service_workers end|keep
//		portal   off
//		verify   from <network>...
//		@name    <matcher>
//	}
//
// The matcher says which requests need a session; it never limits the handler. `email_link off` takes no block.
func siteDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	handler := &module.Handler{Source: &module.Source{At: line(h.Dispenser)}}
	if h.Option("email_link") == nil {
		return nil, h.WrapErr(fmt.Errorf("email_link: %w", module.ErrNoGlobalOption))
	}
	if next := *h.Dispenser; next.NextArg() && next.Val() == "off" {
		return off(h, handler)
	}
	protect, given, err := h.MatcherToken()
	if err != nil {
		return nil, h.WrapErr(err)
	}
	if !given && h.Val() != "email_link" {
		return nil, h.Errf("email_link: %q is neither a path nor a @matcher", h.Val())
	}
	if given && protect != nil {
		handler.ProtectRaw = caddyhttp.RawMatcherSets{protect}
	}
	if h.NextArg() {
		return nil, h.Errf("email_link: %q is one value too many; one matcher says what needs a session, and 'public' in the block what does not", h.Val())
	}
	at := *h.Dispenser
	local := map[string]caddy.ModuleMap{}
	var public []caddyfile.Token
	if err := siteBlock(h, handler, &public, local).parse(h.Dispenser, h.Nesting()); err != nil {
		return nil, err
	}
	// Only now, so that a matcher may stand below the line that names it.
	for _, t := range public {
		set, err := resolve(h, t, local)
		if err != nil {
			return nil, err
		}
		handler.PublicRaw = append(handler.PublicRaw, set)
	}
	if err := handler.Check(); err != nil {
		return nil, at.WrapErr(err)
	}
	return h.NewRoute(nil, handler), nil
}

// off parses `email_link off`.
func off(h httpcaddyfile.Helper, handler *module.Handler) ([]httpcaddyfile.ConfigValue, error) {
	h.NextArg()
	if h.NextArg() {
		return nil, h.Errf("email_link off: %q is one value too many: it takes no options and no matcher; write it inside 'handle %s' or 'route %s' for a part of a site", h.Val(), h.Val(), h.Val())
	}
	if err := noBlock(h.Dispenser, "email_link off"); err != nil {
		return nil, err
	}
	handler.Off = true
	return h.NewRoute(nil, handler), nil
}

func siteBlock(h httpcaddyfile.Helper, handler *module.Handler, public *[]caddyfile.Token, local map[string]caddy.ModuleMap) block {
	return block{
		what:      "email_link",
		source:    handler.Source,
		elsewhere: func() []string { return globalBlock(new(module.App)).names() },
		belongs:   "the global option email_link, at the top of the Caddyfile",
		repeat:    []string{"base_url", "client_headers", "public", "require"},
		other:     func(d *caddyfile.Dispenser) (bool, error) { return matcher(h, d, local) },
		options: map[string]func(*caddyfile.Dispenser) error{
			"base_url": func(d *caddyfile.Dispenser) error { return origins(d, &handler.BaseURL) },
			"path":     func(d *caddyfile.Dispenser) error { return prefix(d, &handler.Path) },
			"public": func(d *caddyfile.Dispenser) error {
				before := len(*public)
				for d.NextArg() {
					*public = append(*public, d.Token())
				}
				if len(*public) == before {
					return d.Err("public: a path or a @matcher is missing")
				}
				return noBlock(d, "public")
			},
			"optional": func(d *caddyfile.Dispenser) error { handler.Optional = true; return end(d, "optional") },
			"require":  func(d *caddyfile.Dispenser) error { return require(d, &handler.Require) },
			"audience": func(d *caddyfile.Dispenser) error { return word(d, &handler.Audience) },
			"identity": func(d *caddyfile.Dispenser) error { return identity(d, handler) },
			"client_headers": func(d *caddyfile.Dispenser) error {
				if err := words(d, &handler.ClientHeaders); err != nil {
					return err
				}
				if err := module.CheckClientHeaders(handler.ClientHeaders); err != nil {
					return d.WrapErr(err)
				}
				return nil
			},
			"headers": func(d *caddyfile.Dispenser) error { return headers(d, handler) },
			"portal":  func(d *caddyfile.Dispenser) error { return word(d, &handler.Portal) },
			"sign_up": func(d *caddyfile.Dispenser) error { return signUp(d, &handler.SignUp) },
			"max_age": func(d *caddyfile.Dispenser) error { return duration(d, "max_age", 0, &handler.MaxAge) },
			"service_workers": func(d *caddyfile.Dispenser) (err error) {
				if handler.ServiceWorkers, err = choice(d, "service_workers", module.ServiceWorkers[:], nil); err != nil {
					return err
				}
				return end(d, "service_workers")
			},
			"verify": func(d *caddyfile.Dispenser) error { return verify(d, &handler.Verify) },
		},
	}
}

// matcher reads a matcher that is defined inside our block.
func matcher(h httpcaddyfile.Helper, d *caddyfile.Dispenser, local map[string]caddy.ModuleMap) (bool, error) {
	name := d.Val()
	if !strings.HasPrefix(name, "@") {
		return false, nil
	}
	if _, twice := local[name]; twice {
		return true, d.Errf("matcher %s is defined twice", name)
	}
	inner := h.NewFromNextSegment()
	inner.Next()
	set, err := caddyhttp.ParseCaddyfileNestedMatcherSet(inner)
	if err != nil {
		return true, err
	}
	if len(set) == 0 {
		return true, d.Errf("matcher %s is empty", name)
	}
	local[name] = set
	return true, nil
}

// resolve turns one word behind `public` into matchers.
func resolve(h httpcaddyfile.Helper, t caddyfile.Token, local map[string]caddy.ModuleMap) (caddy.ModuleMap, error) {
	if set, ok := local[t.Text]; ok {
		return set, nil
	}
	name := t.Clone()
	name.Text = "public"
	hh := h.WithDispenser(caddyfile.NewDispenser([]caddyfile.Token{name, t}))
	hh.Next()
	set, ok, err := hh.MatcherToken()
	switch {
	case err != nil:
		return nil, hh.Errf("public: %v", err)
	case !ok:
		return nil, hh.Errf("public: %q is neither a path nor a @matcher", t.Text)
	case len(set) == 0:
		return nil, hh.Errf("public %s would let everybody in everywhere; write 'optional' to let everyone in and still pass the identity on", t.Text)
	}
	return set, nil
}

func prefix(d *caddyfile.Dispenser, into *string) error {
	if err := word(d, into); err != nil {
		return err
	}
	return wrap(d, "path", module.CheckPrefix(*into))
}

func require(d *caddyfile.Dispenser, into *module.Require) error {
	kind, err := choice(d, "require", []string{"email", "role", "scope"}, nil)
	if err != nil {
		return err
	}
	group := d.RemainingArgs()
	if len(group) == 0 {
		return d.Errf("require %s: a value is missing", kind)
	}
	one := module.Require{}
	switch kind {
	case "role":
		one.Role = [][]string{group}
		into.Role = append(into.Role, group)
	case "scope":
		one.Scope = [][]string{group}
		into.Scope = append(into.Scope, group)
	default:
		one.Email = [][]string{group}
		into.Email = append(into.Email, group)
	}
	if err := one.Check(); err != nil {
		return d.WrapErr(err)
	}
	return noBlock(d, "require")
}

func verify(d *caddyfile.Dispenser, into **module.Verify) error {
	if _, err := choice(d, "verify", []string{"from"}, nil); err != nil {
		return err
	}
	v := &module.Verify{From: d.RemainingArgs()}
	if err := v.Check(); err != nil {
		return d.WrapErr(err)
	}
	*into = v
	return noBlock(d, "verify from")
}

func identity(d *caddyfile.Dispenser, handler *module.Handler) error {
	if d.NextArg() {
		return d.Errf("identity takes a block only, found %q", d.Val())
	}
	id := new(module.Identity)
	err := block{
		what:   "identity",
		source: handler.Source,
		prefix: "identity ",
		options: map[string]func(*caddyfile.Dispenser) error{
			"header": func(d *caddyfile.Dispenser) error {
				if err := word(d, &id.Header); err != nil {
					return err
				}
				return wrap(d, "identity header", module.CheckHeaderName(id.Header))
			},
			"key":      func(d *caddyfile.Dispenser) error { return word(d, &id.Key) },
			"sign_key": func(d *caddyfile.Dispenser) error { return words(d, &id.SignKey) },
			"ttl": func(d *caddyfile.Dispenser) error {
				return duration(d, "identity ttl", caddy.Duration(module.MaxAssertionTTL), &id.TTL)
			},
			"format": func(d *caddyfile.Dispenser) (err error) {
				if id.Format, err = choice(d, "identity format", []string{"jwe", "jws", "none"}, nil); err != nil {
					return err
				}
				return end(d, "identity format")
			},
		},
	}.parse(d, d.Nesting())
	handler.Identity = id
	return err
}

func headers(d *caddyfile.Dispenser, handler *module.Handler) error {
	if d.NextArg() {
		return d.Errf("headers takes a block only, found %q", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		header := module.Header{Name: d.Val()}
		record(handler.Source, d, "headers "+header.Name)
		if !d.NextArg() {
			return d.Errf("headers: %s needs a value, such as {http.auth.user.email}", header.Name)
		}
		header.Value = d.Val()
		if err := end(d, "headers: "+header.Name); err != nil {
			return err
		}
		if err := module.CheckHeaders(append(handler.Headers, header)); err != nil {
			return wrap(d, "headers", err)
		}
		handler.Headers = append(handler.Headers, header)
	}
	if len(handler.Headers) == 0 {
		return d.Err("headers: the block is empty; write a line like 'Remote-User {http.auth.user.email}'")
	}
	return nil
}
