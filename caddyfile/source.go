package caddyfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/module"
)

// line returns where the current token is written, in the form of [module.Source].
func line(d *caddyfile.Dispenser) string {
	at := fmt.Sprintf("%s:%d", d.File(), d.Line())
	// Caddy names the imports that a token came by in errors only.
	if _, chain, found := strings.Cut(d.WrapErr(errors.New("")).Error(), " import chain ['"); found {
		at += " (from " + strings.ReplaceAll(strings.TrimSuffix(chain, "']"), "','", ", ") + ")"
	}
	return at
}

// record notes the line of an option. A line of `require` is noted by its kind as well.
func record(s *module.Source, d *caddyfile.Dispenser, option string) {
	if option == "require" {
		next := *d
		if next.NextArg() {
			option += " " + next.Val()
		}
	}
	if s.Options == nil {
		s.Options = map[string][]string{}
	}
	s.Options[option] = append(s.Options[option], line(d))
}
