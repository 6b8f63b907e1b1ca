package caddyfile

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/module"
)

// alerts reads who is alerted of what.
func alerts(d *caddyfile.Dispenser, app *module.App) error {
	if d.NextArg() {
		return d.Err("alerts takes a block only, with a line such as 'to contact' or 'post <url>'")
	}
	at := *d
	a := new(module.Alerts)
	err := block{
		what:   "alerts",
		source: app.Source,
		prefix: "alerts ",
		repeat: []string{"off", "post"},
		options: map[string]func(*caddyfile.Dispenser) error{
			"to":   func(d *caddyfile.Dispenser) error { return word(d, &a.To) },
			"post": func(d *caddyfile.Dispenser) error { return alertPost(d, &a.Post) },
			"format": func(d *caddyfile.Dispenser) (err error) {
				if a.Format, err = choice(d, "alerts format", module.AlertFormats, nil); err != nil {
					return err
				}
				return end(d, "alerts format")
			},
			"off": func(d *caddyfile.Dispenser) error {
				for more := true; more; more = d.CountRemainingArgs() > 0 {
					kind, err := choice(d, "alerts off", module.AlertKinds(), nil)
					if err != nil {
						return err
					}
					a.Off = append(a.Off, kind)
				}
				return noBlock(d, "alerts off")
			},
		},
	}.parse(d, d.Nesting())
	if err != nil {
		return err
	}
	if err := a.Check(); err != nil {
		return at.WrapErr(err)
	}
	app.Alerts = a
	return nil
}

// alertPost reads `post [insecure] <url> [<header> <value>]`. No error holds what is written there: it may be a secret.
func alertPost(d *caddyfile.Dispenser, into *[]module.AlertPost) error {
	args := d.RemainingArgs()
	p := module.AlertPost{Insecure: len(args) > 0 && args[0] == "insecure"}
	if p.Insecure {
		args = args[1:]
	}
	switch len(args) {
	case 1:
		p.URL = args[0]
	case 3:
		p.URL, p.Header, p.Value = args[0], args[1], args[2]
	default:
		return d.Err("alerts: post takes a URL, and perhaps a header and its value: 'post https://ntfy.example.com/topic Authorization {env.NTFY_AUTHORIZATION}'; " +
			"a value with spaces goes in quotes")
	}
	if err := p.Check(); err != nil {
		return wrap(d, "alerts: post", err)
	}
	*into = append(*into, p)
	return noBlock(d, "alerts post")
}
