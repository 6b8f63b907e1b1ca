// Package caddyfile holds the grammar of the global option and of the site directive `email_link`. It turns them into the
// configuration types of package module; every check that needs no file and no server is made here, so that the error
// names file and line, and is made again when the configuration is loaded, for those who write JSON.
package caddyfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-email-link/caddy-email-link/internal/nearest"
	"github.com/caddy-email-link/caddy-email-link/module"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("email_link", globalOption)
	// Not RegisterHandlerDirective: that puts the matcher on the route, and then the rest of the site would neither be
	// stripped of forged headers nor be served our pages.
	httpcaddyfile.RegisterDirective("email_link", siteDirective)
	// Before rewrite, uri and try_files, which would move our pages away, and before every handle block.
	httpcaddyfile.RegisterDirectiveOrder("email_link", httpcaddyfile.After, "redir")
}

// block reads one block of options: each name leads to its parser, an unknown one is refused with the list of those that
// exist, and a second one of an option that is not in repeat is refused too.
type block struct {
	what    string
	options map[string]func(d *caddyfile.Dispenser) error
	repeat  []string
	// unavailable names options of the contract that this version does not have, with what to say about them.
	unavailable map[string]string
	// elsewhere returns the options of the other block, belongs says which one that is.
	elsewhere func() []string
	belongs   string
	// other is asked about words that are not options, such as matcher definitions.
	other func(d *caddyfile.Dispenser) (bool, error)
	// source takes the line of each option, under its name with prefix before it.
	source *module.Source
	prefix string
}

func (b block) parse(d *caddyfile.Dispenser, nesting int) error {
	seen := map[string]bool{}
	for d.NextBlock(nesting) {
		name := d.Val()
		if b.other != nil {
			if done, err := b.other(d); err != nil {
				return err
			} else if done {
				continue
			}
		}
		if hint, known := b.unavailable[name]; known {
			return d.Errf("%s: %s is not available in this version%s", b.what, name, hint)
		}
		parse, known := b.options[name]
		if !known && b.elsewhere != nil && slices.Contains(b.elsewhere(), name) {
			return d.Errf("%s: %s belongs in %s", b.what, name, b.belongs)
		}
		if !known {
			return d.Errf("unrecognized %s option %q; %s", b.what, name, nearest.Expected(name, b.names()))
		}
		if seen[name] && !slices.Contains(b.repeat, name) {
			return d.Errf("%s: %s is given twice", b.what, name)
		}
		seen[name] = true
		record(b.source, d, b.prefix+name)
		if err := parse(d); err != nil {
			return err
		}
	}
	return nil
}

func (b block) names() []string {
	names := make([]string, 0, len(b.options))
	for name := range b.options {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// word reads exactly one argument.
func word(d *caddyfile.Dispenser, into *string) error {
	name := d.Val()
	if !d.NextArg() {
		return d.Errf("%s: a value is missing", name)
	}
	*into = d.Val()
	if *into == "" {
		return d.Errf("%s: the value is empty", name)
	}
	return end(d, name)
}

// words reads one argument or more.
func words(d *caddyfile.Dispenser, into *[]string) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s: a value is missing", name)
	}
	if slices.Contains(args, "") {
		return d.Errf("%s: a value is empty", name)
	}
	*into = append(*into, args...)
	return noBlock(d, name)
}

// end refuses anything more on the line, and a block.
func end(d *caddyfile.Dispenser, name string) error {
	if d.NextArg() {
		return d.Errf("%s: %q is one value too many", name, d.Val())
	}
	return noBlock(d, name)
}

// noBlock refuses a block behind an option that has none.
func noBlock(d *caddyfile.Dispenser, name string) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		return d.Errf("%s takes no block, found %q in it", name, d.Val())
	}
	return nil
}

// duration reads one duration as the next argument, above zero and at most limit; a limit of zero is none.
func duration(d *caddyfile.Dispenser, name string, limit caddy.Duration, into *caddy.Duration) error {
	if !d.NextArg() {
		return d.Errf("%s: a duration is missing, such as 15m, 24h or 7d", name)
	}
	v, err := caddy.ParseDuration(d.Val())
	if err != nil {
		return d.Errf("%s: %q is not a duration; write one like 60s, 15m, 24h or 7d", name, d.Val())
	}
	switch {
	case v <= 0:
		return d.Errf("%s: %q must be above zero", name, d.Val())
	case limit > 0 && v > timeOf(limit):
		return d.Errf("%s: %q is above the largest value, %s", name, d.Val(), short(limit))
	}
	*into = caddy.Duration(v)
	return end(d, name)
}

// choice reads the next argument, which must be one of the allowed words.
func choice(d *caddyfile.Dispenser, name string, allowed []string, unavailable map[string]string) (string, error) {
	if !d.NextArg() {
		return "", d.Errf("%s: a value is missing; expected one of %s", name, strings.Join(allowed, ", "))
	}
	v := d.Val()
	if hint, known := unavailable[v]; known {
		return "", d.Errf("%s %s is not available in this version%s", name, v, hint)
	}
	if !slices.Contains(allowed, v) {
		return "", d.Errf("unrecognized %s value %q; %s", name, v, nearest.Expected(v, allowed))
	}
	return v, nil
}

// wrap puts file and line on an error of a check that knows neither.
func wrap(d *caddyfile.Dispenser, name string, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(fmt.Errorf("%s: %w", name, err))
}
