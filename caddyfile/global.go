package caddyfile

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-email-link/caddy-email-link/module"
)

func timeOf(d caddy.Duration) time.Duration { return time.Duration(d) }

func short(d caddy.Duration) string {
	switch t := timeOf(d); {
	case t%time.Hour == 0:
		return strconv.Itoa(int(t/time.Hour)) + "h"
	case t%time.Minute == 0:
		return strconv.Itoa(int(t/time.Minute)) + "m"
	default:
		return t.String()
	}
}

// globalOption parses the global option:
//
//	email_link {
//		base_url  <origin...>
//		storage   bbolt [<path>]
//		secret    <value> [<older>...]
//		mailer    smtp|file|none ...
//		from      <mailbox>
//		reply_to  <mailbox>
//		contact   <text>
//		site_name <text>
//		logo      <file> [dark <file>] [wordmark]
//		accent    <colour>
//		favicon   <file>
//		timezone  <zone>
//		sign_up   closed | invite | open [<domain>...]
//		invite    by role <role> gives <role>...
//		sign_in   link code password
//		account   name password sessions tokens
//		links     stored | stateless
//		lifetime  activation|sign_in|reset|invite <duration>
//		resend    <n> [<wait>]
//		limit     <name> <rate>...
//		session   idle|absolute <duration>
//		scopes    [self] <name>...
//		password  min_length|history <n> | sign_in_after_reset
//		templates <dir>
//		log_client prefix|full
//		alerts {
//			to     contact | <address>
//			post   [insecure] <url> [<header> <value>]
//			format text|json
//			off    <kind>...
//		}
//		portal    <origin> {
//			name <text>
//			logo <file> [dark <file>] [wordmark]
//			app  <origin> <name> [<logo>]
//		}
//	}
func globalOption(d *caddyfile.Dispenser, prev any) (any, error) {
	d.Next()
	if prev != nil {
		return nil, d.Err("email_link is configured twice: the global option stands once, move everything into one block")
	}
	if d.NextArg() {
		return nil, d.Errf("the global option email_link takes a block only, found %q", d.Val())
	}
	app := &module.App{Source: &module.Source{At: line(d)}}
	at := *d
	if err := globalBlock(app).parse(d, d.Nesting()); err != nil {
		return nil, err
	}
	if err := errors.Join(app.CheckRequired(), app.CheckPassword()); err != nil {
		return nil, at.WrapErr(fmt.Errorf("email_link: %w", err))
	}
	return httpcaddyfile.App{Name: "email_link", Value: caddyconfig.JSON(app, nil)}, nil
}

func globalBlock(app *module.App) block {
	lifetimes := map[string]*caddy.Duration{"activation": &app.Lifetime.Activation, "sign_in": &app.Lifetime.SignIn, "reset": &app.Lifetime.Reset, "invite": &app.Lifetime.Invite}
	sessions := map[string]*caddy.Duration{"idle": &app.Session.Idle, "absolute": &app.Session.Absolute}
	return block{
		what:      "email_link",
		source:    app.Source,
		elsewhere: func() []string { return siteBlock(httpcaddyfile.Helper{}, new(module.Handler), nil, nil).names() },
		belongs:   "a site's email_link, not in the global option",
		other: func(d *caddyfile.Dispenser) (bool, error) {
			if d.Val() == "accounts" {
				return false, d.WrapErr(module.ErrAccountsGone)
			}
			return false, nil
		},
		repeat: []string{"base_url", "invite", "lifetime", "limit", "password", "scopes", "session"},
		options: map[string]func(*caddyfile.Dispenser) error{
			"base_url": func(d *caddyfile.Dispenser) error { return origins(d, &app.BaseURL) },
			"storage": func(d *caddyfile.Dispenser) (err error) {
				app.StorageRaw, err = guest(d, "storage", "email_link.storage", "engine")
				return
			},
			"mailer": func(d *caddyfile.Dispenser) (err error) {
				app.MailerRaw, err = guest(d, "mailer", "email_link.mailers", "transport")
				return
			},
			"secret":    func(d *caddyfile.Dispenser) error { return words(d, &app.Secret) },
			"from":      func(d *caddyfile.Dispenser) error { return mailbox(d, &app.From) },
			"reply_to":  func(d *caddyfile.Dispenser) error { return mailbox(d, &app.ReplyTo) },
			"contact":   func(d *caddyfile.Dispenser) error { return word(d, &app.Contact) },
			"site_name": func(d *caddyfile.Dispenser) error { return word(d, &app.SiteName) },
			"logo":      func(d *caddyfile.Dispenser) error { return logo(d, &app.Logo) },
			"accent":    func(d *caddyfile.Dispenser) error { return accent(d, &app.Accent) },
			"favicon":   func(d *caddyfile.Dispenser) error { return word(d, &app.Favicon) },
			"timezone":  func(d *caddyfile.Dispenser) error { return timezone(d, &app.Timezone) },
			"alerts":    func(d *caddyfile.Dispenser) error { return alerts(d, app) },
			"log_client": func(d *caddyfile.Dispenser) (err error) {
				if app.LogClient, err = choice(d, "log_client", module.LogClients, nil); err != nil {
					return err
				}
				return end(d, "log_client")
			},
			"portal":    func(d *caddyfile.Dispenser) error { return portal(d, app) },
			"templates": func(d *caddyfile.Dispenser) error { return word(d, &app.Templates) },
			"sign_up":   func(d *caddyfile.Dispenser) error { return signUp(d, &app.SignUp) },
			"invite":    func(d *caddyfile.Dispenser) error { return invite(d, app) },
			"sign_in":   func(d *caddyfile.Dispenser) error { return signIn(d, &app.SignIn) },
			"account":   func(d *caddyfile.Dispenser) error { return account(d, &app.Account) },
			"password":  func(d *caddyfile.Dispenser) error { return password(d, &app.Password) },
			"links":     func(d *caddyfile.Dispenser) error { return links(d, &app.Links) },
			"scopes":    func(d *caddyfile.Dispenser) error { return scopes(d, app) },
			"lifetime":  func(d *caddyfile.Dispenser) error { return named(d, lifetimes, module.LifetimeBound) },
			"session": func(d *caddyfile.Dispenser) error {
				return named(d, sessions, func(string) caddy.Duration { return 0 })
			},
			"resend": func(d *caddyfile.Dispenser) error { return resend(d, &app.Resend) },
			"limit":  func(d *caddyfile.Dispenser) error { return limit(d, app) },
		},
	}
}
