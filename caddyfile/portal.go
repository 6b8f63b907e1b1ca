package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/module"
)

// portal reads the one sign-in of all sites, with a block or without.
func portal(d *caddyfile.Dispenser, app *module.App) error {
	p := new(module.Portal)
	if !d.NextArg() || d.Val() == "" {
		return d.Err("portal: an origin is missing, such as 'portal https://auth.example.com'")
	}
	p.Origin = d.Val()
	if d.NextArg() {
		return d.Errf("portal: %q is one value too many; there is one portal", d.Val())
	}
	if err := p.Check(); err != nil {
		return d.WrapErr(err)
	}
	app.Portal = p
	return block{
		what:   "portal",
		source: app.Source,
		prefix: "portal ",
		repeat: []string{"app"},
		options: map[string]func(*caddyfile.Dispenser) error{
			"name": func(d *caddyfile.Dispenser) error { return word(d, &p.Name) },
			"logo": func(d *caddyfile.Dispenser) error { return logo(d, &p.Logo) },
			"app": func(d *caddyfile.Dispenser) error {
				args := d.RemainingArgs()
				if len(args) < 2 || len(args) > 3 {
					return d.Err("portal: app takes an origin, a name and perhaps a logo: 'app https://photos.example.org Photos'")
				}
				one := module.PortalApp{Origin: args[0], Name: args[1]}
				if len(args) == 3 {
					one.Logo = args[2]
				}
				p.Apps = append(p.Apps, one)
				if err := p.Check(); err != nil {
					return d.WrapErr(err)
				}
				return noBlock(d, "app")
			},
		},
	}.parse(d, d.Nesting())
}
