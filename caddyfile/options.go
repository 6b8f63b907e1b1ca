package caddyfile

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// origins reads origins and checks each as the module will.
func origins(d *caddyfile.Dispenser, into *[]string) error {
	from := len(*into)
	if err := words(d, into); err != nil {
		return err
	}
	for _, o := range (*into)[from:] {
		if strings.Contains(o, "{") {
			continue // a placeholder, resolved and checked when the configuration is loaded
		}
		if _, err := gate.ParseOrigin(o); err != nil {
			return wrap(d, "base_url", err)
		}
	}
	return nil
}

// guest reads `<option> <name> ...` and hands the rest to the guest module of that name.
func guest(d *caddyfile.Dispenser, option, namespace, key string) (json.RawMessage, error) {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	slices.Sort(names)
	name, err := choice(d, option, names, elsewhere(namespace, names))
	if err != nil {
		return nil, err
	}
	unm, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(unm, key, name, nil), nil
}

// elsewhere names the guests that are packages of their own, with what adds them to a build.
func elsewhere(namespace string, names []string) map[string]string {
	if namespace != "email_link.storage" || slices.Contains(names, "postgres") {
		return nil
	}
	return map[string]string{"postgres": ": this build does not contain it; add " +
		"--with github.com/caddy-email-link/caddy-email-link/storage/postgres to 'xcaddy build'"}
}

func mailbox(d *caddyfile.Dispenser, into *string) error {
	name := d.Val()
	if err := word(d, into); err != nil {
		return err
	}
	if strings.Contains(*into, "{") {
		return nil
	}
	return wrap(d, name, module.CheckMailbox(*into))
}

func signUp(d *caddyfile.Dispenser, into **module.SignUp) error {
	policy, err := choice(d, "sign_up", []string{"closed", "invite", "open"}, nil)
	if err != nil {
		return err
	}
	s := &module.SignUp{Policy: policy}
	if args := d.RemainingArgs(); len(args) > 0 {
		if policy != "open" {
			return d.Errf("sign_up %s takes no domains; write 'sign_up open %s'", policy, strings.Join(args, " "))
		}
		s.Domains = args
	}
	if err := s.Check(); err != nil {
		return wrap(d, "sign_up", err)
	}
	*into = s
	return noBlock(d, "sign_up")
}

func signIn(d *caddyfile.Dispenser, into *[]string) error {
	for d.CountRemainingArgs() > 0 {
		method, err := choice(d, "sign_in", []string{"link", "code", "password"}, nil)
		if err != nil {
			return err
		}
		if slices.Contains(*into, method) {
			return d.Errf("sign_in: %s is given twice", method)
		}
		*into = append(*into, method)
	}
	if len(*into) == 0 {
		return d.Err("sign_in: a value is missing; expected one or more of link, code, password")
	}
	return noBlock(d, "sign_in")
}

// account reads what people may do with their accounts.
func account(d *caddyfile.Dispenser, into *[]string) error {
	for d.CountRemainingArgs() > 0 {
		act, err := choice(d, "account", selfservice.Names(), nil)
		if err != nil {
			return err
		}
		*into = append(*into, act)
	}
	if len(*into) == 0 {
		return d.Errf("account: a value is missing; expected one or more of %s", strings.Join(selfservice.Names(), ", "))
	}
	if _, err := selfservice.ParseActs(*into); err != nil {
		return d.Errf("account: %v", err)
	}
	return noBlock(d, "account")
}

func links(d *caddyfile.Dispenser, into *string) (err error) {
	if *into, err = choice(d, "links", []string{"stored", "stateless"}, nil); err != nil {
		return err
	}
	return end(d, "links")
}

// scopes reads what machine tokens can be made for, and by `scopes self …` those of them that people make tokens for by themselves. What stands in
// the second line alone is in the first as well.
func scopes(d *caddyfile.Dispenser, app *module.App) error {
	var list []string
	if err := words(d, &list); err != nil {
		return err
	}
	self := list[0] == module.SelfScopes
	if self {
		list = list[1:]
	}
	if len(list) == 0 {
		return d.Err("scopes self: a scope is missing; write those that people make tokens for by themselves")
	}
	if err := module.CheckScopes(list); err != nil {
		return d.WrapErr(err)
	}
	if self {
		if len(app.SelfScopes) > 0 {
			return d.Err("scopes self is given twice")
		}
		app.SelfScopes = list
	} else {
		if slices.ContainsFunc(app.Scopes, func(s string) bool { return !slices.Contains(app.SelfScopes, s) }) {
			return d.Err("scopes is given twice")
		}
		app.Scopes = list
	}
	for _, s := range app.SelfScopes {
		if !slices.Contains(app.Scopes, s) {
			app.Scopes = append(app.Scopes, s)
		}
	}
	return nil
}

// named reads `<option> <name> <duration>` for options that hold a few named durations.
func named(d *caddyfile.Dispenser, into map[string]*caddy.Duration, limit func(name string) caddy.Duration) error {
	option := d.Val()
	names := make([]string, 0, len(into))
	for name := range into {
		names = append(names, name)
	}
	slices.Sort(names)
	name, err := choice(d, option, names, nil)
	if err != nil {
		return err
	}
	if *into[name] != 0 {
		return d.Errf("%s %s is given twice", option, name)
	}
	return duration(d, option+" "+name, limit(name), into[name])
}

// invite reads `invite by role <role> gives <role>…`.
func invite(d *caddyfile.Dispenser, app *module.App) error {
	const example = "write 'invite by role family gives guest'"
	for _, want := range []string{"by", "role"} {
		if !d.NextArg() || d.Val() != want {
			return d.Errf("invite: %q is missing; %s", want, example)
		}
	}
	if !d.NextArg() || d.Val() == "gives" {
		return d.Errf("invite by role: a role is missing; %s", example)
	}
	rule := module.Invite{By: d.Val()}
	if !d.NextArg() || d.Val() != "gives" {
		return d.Errf("invite by role %s: %q is missing; write 'invite by role %s gives <role>'", rule.By, "gives", rule.By)
	}
	rule.Gives = d.RemainingArgs()
	app.Invite = append(app.Invite, rule)
	if err := app.CheckInvite(); err != nil {
		return d.WrapErr(err)
	}
	return noBlock(d, "invite")
}

// password reads `password min_length <n>`, `password history <n>` and `password sign_in_after_reset`.
func password(d *caddyfile.Dispenser, into *module.Password) error {
	name, err := choice(d, "password", []string{"min_length", "history", "sign_in_after_reset"}, nil)
	if err != nil {
		return err
	}
	option := "password " + name
	number := &into.MinLength
	switch name {
	case "sign_in_after_reset":
		if into.SignInAfterReset {
			return d.Errf("%s is given twice", option)
		}
		into.SignInAfterReset = true
		return end(d, option)
	case "history":
		number = &into.History
	}
	if *number != 0 {
		return d.Errf("%s is given twice", option)
	}
	if !d.NextArg() {
		return d.Errf("%s: a number is missing", option)
	}
	lowest, highest := module.PasswordBounds(name)
	n, err := strconv.Atoi(d.Val())
	if err != nil || n < lowest || n > highest {
		return d.Errf("%s: %q is not a number from %d to %d", option, d.Val(), lowest, highest)
	}
	*number = n
	return end(d, option)
}

func resend(d *caddyfile.Dispenser, into *module.Resend) error {
	if !d.NextArg() {
		return d.Err("resend: a number is missing, such as 'resend 5 60s'")
	}
	n, err := strconv.Atoi(d.Val())
	if err != nil || n < 0 || n > module.MaxResends {
		return d.Errf("resend: %q is not a number from 0 to %d", d.Val(), module.MaxResends)
	}
	into.Count = &n
	if d.CountRemainingArgs() == 0 {
		return noBlock(d, "resend")
	}
	return duration(d, "resend", caddy.Duration(module.MaxLifetime), &into.Wait)
}

func limit(d *caddyfile.Dispenser, app *module.App) error {
	if !d.NextArg() {
		return d.Errf("limit: a name is missing; expected one of %s", strings.Join(module.LimitNames(), ", "))
	}
	name := d.Val()
	if err := module.CheckLimitName(name); err != nil {
		return d.WrapErr(err)
	}
	if _, twice := app.Limit[name]; twice {
		return d.Errf("limit %s is given twice", name)
	}
	rates := d.RemainingArgs()
	if len(rates) == 0 {
		return d.Errf("limit %s: a rate is missing, such as 5-H, 20-D or 5/h", name)
	}
	if err := module.CheckRates(rates); err != nil {
		return wrap(d, "limit "+name, err)
	}
	if app.Limit == nil {
		app.Limit = map[string][]string{}
	}
	app.Limit[name] = rates
	return noBlock(d, "limit")
}

// logo reads `logo <file> [dark <file>] [wordmark]`. The files are read when the configuration is loaded.
func logo(d *caddyfile.Dispenser, into *module.Logo) error {
	if !d.NextArg() || d.Val() == "" {
		return d.Err("logo: a file is missing, such as 'logo /etc/caddy/logo.svg'")
	}
	into.File = d.Val()
	for d.CountRemainingArgs() > 0 {
		name, err := choice(d, "logo", []string{"dark", "wordmark"}, nil)
		switch {
		case err != nil:
			return err
		case name == "wordmark" && into.Wordmark, name == "dark" && into.Dark != "":
			return d.Errf("logo: %s is given twice", name)
		case name == "wordmark":
			into.Wordmark = true
		case !d.NextArg() || d.Val() == "":
			return d.Err("logo dark: a file is missing, such as 'logo logo.svg dark logo-dark.svg'")
		default:
			into.Dark = d.Val()
		}
	}
	return noBlock(d, "logo")
}

// accent reads the colour of the pages.
func accent(d *caddyfile.Dispenser, into *string) error {
	if d.CountRemainingArgs() == 0 {
		return d.WrapErr(templates.ErrAccentMissing)
	}
	if err := word(d, into); err != nil {
		return err
	}
	if strings.Contains(*into, "{") {
		return nil
	}
	if _, err := templates.ParseAccent(*into); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// timezone reads the zone of written times.
func timezone(d *caddyfile.Dispenser, into *string) error {
	if err := word(d, into); err != nil {
		return err
	}
	if strings.Contains(*into, "{") {
		return nil
	}
	if _, err := module.CheckTimezone(*into); err != nil {
		return d.WrapErr(err)
	}
	return nil
}
