// Package module is the Caddy side of email_link: the app, the handler, the guests for storage, mailers and accounts, and
// what they share. It translates between Caddy and the packages that know nothing of it, and decides nothing else.
//
// What happens when: Provision reads and checks and touches nothing, so that `caddy validate` may run beside a live server.
// Handlers register with the registry; the app binds them and judges the configuration as a whole, once the http app is whole.
// App.Start opens the store, or shares the one that is open. Requests that come before that wait for a moment. App.Stop does
// nothing, because requests outlive it; Cleanup gives the store back.
package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

func init() { caddy.RegisterModule(new(App)) }

// App holds what all sites share: who may sign in, where it is kept, how mail leaves. In a Caddyfile it is the global option
// `email_link`:
//
//	{
//		email_link {
//			base_url https://app.example.com
//			from "Example <no-reply@example.com>"
//			mailer smtp mail.example.com:587 mailer {env.SMTP_PASSWORD}
//		}
//	}
type App struct {
	// BaseURL is the closed list of origins we answer for, such as `https://app.example.com`. `https://*.example.com` covers
	// one label, and of the names below it those that the site names, unless the site takes each of them. Links, redirects, site
	// and audience take the entry that equals the request's Host; any other Host gets a page that names the right address.
	// Plain http is for this machine only. Default: none; each site then needs its own.
	BaseURL []string `json:"base_url,omitempty"`
	// StorageRaw is where sessions, links and accounts are kept. Default: bbolt, in Caddy's data directory.
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=email_link.storage inline_key=engine"`
	// Secret holds the master keys, 32 random bytes or more each, as `{env.X}` or `{file.X}`. The first seals, all open.
	// Default: a key file in Caddy's data directory, made at the very first start.
	Secret []string `json:"secret,omitempty"`
	// MailerRaw is how mail leaves. Required.
	MailerRaw json.RawMessage `json:"mailer,omitempty" caddy:"namespace=email_link.mailers inline_key=transport"`
	// From is the sender of all mails. Required, unless the mailer is `none`.
	From string `json:"from,omitempty"`
	// ReplyTo is where answers to the mails go. Default: to the sender.
	ReplyTo string `json:"reply_to,omitempty"`
	// Contact is whom people ask when they cannot get in, as pages and mails name it. Default: none is named.
	Contact string `json:"contact,omitempty"`
	// SiteName is what pages and mails call the site. Default: its host.
	SiteName string `json:"site_name,omitempty"`
	// Logo is the image above each page. Default: none.
	Logo Logo `json:"logo,omitzero"`
	// Accent is the colour of buttons and links, of three or six hexadecimal digits such as `1f5fbf` or `#1f5fbf`, with a contrast of 4.5:1
	// or more with white. The tone of the dark theme is derived from it. Default: a blue.
	Accent string `json:"accent,omitempty"`
	// Favicon is the path of the icon in the browser's tab, an image like the logo's or an ICO. Default: the logo where it is no wordmark,
	// else an envelope.
	Favicon string `json:"favicon,omitempty"`
	// Timezone is the zone of the times in mails, and in pages where no script runs, by its name in the IANA database, such as
	// `Europe/Berlin`. Default: UTC.
	Timezone string `json:"timezone,omitempty"`
	// Portal is one sign-in for all sites. Default: none, and each site has its own pages.
	Portal *Portal `json:"portal,omitempty"`
	// RemovedAccounts is refused, see [ErrAccountsGone]: earlier builds had an option of this name.
	RemovedAccounts json.RawMessage `json:"accounts,omitempty"`
	// SignUp is who may create an account. Default: only operators.
	SignUp *SignUp `json:"sign_up,omitempty"`
	// SignIn lists the methods offered: `link`, `code`, `password`. Default: link and code.
	SignIn []string `json:"sign_in,omitempty"`
	// Invite says who may invite whom from the page of the own account. Default: only operators invite.
	Invite []Invite `json:"invite,omitempty"`
	// Account lists what people may do on the page of their own account: `name`, `password` (change it, where SignIn offers passwords),
	// `sessions` and `tokens` (see them and end them). Default: all of them.
	Account []string `json:"account,omitempty"`
	// Links says where a flow is until something about it has to be counted: `stored`, in the database, or `stateless`, in the
	// mailed links and in a cookie, so that an unfinished sign-up leaves nothing behind. Links of both kinds work
	// until they end, whatever it says. Default: `stored`.
	Links string `json:"links,omitempty"`
	// Lifetime says how long links and codes work.
	Lifetime Lifetime `json:"lifetime,omitzero"`
	// Resend says how often a mail may be asked for again.
	Resend Resend `json:"resend,omitzero"`
	// Limit holds rates such as `5-H`, by the name of the limit: `mail_ip` (60-H 300-D), `mail_address` (5-H),
	// `mail_mailbox` (20-D), `mail_known` (5-D), `mail_work` (5-D), `mail_unknown` (500-H 2000-D), `mail_network` (50-H 200-D), `mail_proof` (10-H 30-D),
	// `mail_invite` (20-D),
	// `redeem_ip` (60-H), `password_ip` (30-H), `password_mailbox` (10-H), `password_work` (5-H), `work_ip` (10-H 30-D).
	Limit map[string][]string `json:"limit,omitempty"`
	// Session says how long a sign-in lasts.
	Session Session `json:"session,omitzero"`
	// Scopes lists what machine tokens can be made for, such as `calendar`. A token loses at once what is not in the list.
	// Default: none, and no token can be made.
	Scopes []string `json:"scopes,omitempty"`
	// SelfScopes lists those of Scopes that people make tokens for by themselves, on the page of their own account. Default: none.
	SelfScopes []string `json:"self_scopes,omitempty"`
	// Password says which passwords are good, where SignIn offers them.
	Password Password `json:"password,omitzero"`
	// Templates is a directory whose files override the embedded pages and mails by name; they are read anew when changed.
	// Default: none.
	Templates string `json:"templates,omitempty"`
	// Alerts says who is alerted when something looks wrong. Default: nobody.
	Alerts *Alerts `json:"alerts,omitempty"`
	// LogClient is how lines of the log about denials and failures name the client: `prefix` for its network, or `full` for its whole
	// address. Default: `prefix`.
	LogClient string `json:"log_client,omitempty"`
	// Source is where the option and its lines are written, for errors and warnings. Default: unknown.
	Source *Source `json:"source,omitempty"`

	log *slog.Logger
	// output is where log writes what the limiter permits, verbose that it writes at DEBUG. access returns the
	// logger of an access log.
	output  slog.Handler
	limiter gate.LogLimiter
	alerts  alertSink
	verbose bool
	access  func(name string) accessWriter
	// stopReports ends the reports of how many log lines were left out; it is nil until Start.
	stopReports func()
	origins     []gate.Origin
	policy      policy
	portal      *portal
	secrets     secrets
	storage     StorageGuest
	mailer      MailerGuest
	emitter     *emitter
	pages       *templates.Set
	// untrusted makes the line about forwarding headers of untrusted peers come once for each load.
	untrusted sync.Once

	// handlers are those of the configuration, in the order of its routes, and configuration is what they come to together.
	handlers      []*Handler
	configuration *configuration

	gate     *gate.Gate
	live     atomic.Pointer[live]
	coreKey  string
	core     *core
	delivery *delivery
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "email_link", New: func() caddy.Module { return new(App) }}
}

// CheckRequired returns an error that names a required option which is missing, and what to write.
func (a *App) CheckRequired() error {
	if len(a.MailerRaw) == 0 {
		return errors.New("the mailer is missing; write one of\n" +
			"\tmailer smtp <your provider's host>:587 <user> {env.SMTP_PASSWORD}\n" +
			"\tmailer file <dir>   (for development: mails become files)\n" +
			"\tmailer none         (no mail leaves; 'caddy email-link link <email>' prints links)")
	}
	var m struct {
		Transport string `json:"transport"`
	}
	if err := json.Unmarshal(a.MailerRaw, &m); err == nil && m.Transport != "none" && a.From == "" {
		return errors.New("the sender of the mails is missing; write `from \"Example <no-reply@example.com>\"`")
	}
	return nil
}

// Provision reads and checks the configuration, its sites and the routes around them included. It opens nothing, writes
// nothing and starts nothing.
func (a *App) Provision(ctx caddy.Context) error {
	if err := a.CheckRequired(); err != nil {
		return a.Source.wrap("", err)
	}
	if err := a.loadGuests(ctx); err != nil {
		return err
	}
	var err error
	if a.origins, err = parseOrigins(a.BaseURL); err != nil {
		return a.Source.wrap("base_url", err)
	}
	if err := a.readPolicy(); err != nil {
		return err
	}
	if err := a.readSecrets(); err != nil {
		return a.Source.wrap("secret", err)
	}
	registerMetrics(ctx.GetMetricsRegistry())
	a.emitter, err = newEmitter(ctx)
	if err != nil {
		return err
	}
	a.output = ctx.Slogger().Handler()
	a.log = slog.New(&alertHandler{Handler: a.emitter.handler(a.limiter.Handler(a.output)), sink: &a.alerts})
	a.verbose = a.log.Enabled(ctx, slog.LevelDebug)
	a.access = newAccessLog(ctx)
	a.gate = gate.New(host{a}, a.log, metrics.issued.Inc)
	a.pages, err = templates.Load(templates.Options{
		Dir: a.policy.templates, Location: a.policy.location,
		Report: func(err error) { a.log.Error("changed templates cannot be used", "event", "template", "error", err) },
	})
	if err != nil {
		return a.Source.wrap("templates", err)
	}
	return a.configure(ctx)
}

// ErrAccountsGone refuses the option `accounts` of earlier builds, of which `embedded` was the only value.
var ErrAccountsGone = errors.New("accounts is gone: remove the line; the gate keeps its own accounts, or an app its own by app-started flows")

func (a *App) loadGuests(ctx caddy.Context) error {
	if len(a.StorageRaw) == 0 {
		a.StorageRaw = json.RawMessage(`{"engine":"bbolt"}`)
	}
	if len(a.RemovedAccounts) > 0 {
		return a.Source.wrap("accounts", ErrAccountsGone)
	}
	for _, g := range []struct {
		field, option string
		use           func(any) bool
	}{
		{"StorageRaw", "storage", func(v any) (ok bool) { a.storage, ok = v.(StorageGuest); return ok }},
		{"MailerRaw", "mailer", func(v any) (ok bool) { a.mailer, ok = v.(MailerGuest); return ok }},
	} {
		v, err := ctx.LoadModule(a, g.field)
		if err != nil {
			return a.Source.wrap(g.option, fmt.Errorf("%s: %w", g.option, err))
		}
		if !g.use(v) {
			return a.Source.wrap(g.option, fmt.Errorf("%s: module %T cannot be used for it", g.option, v))
		}
	}
	return nil
}

// openWait bounds the opening of the store.
const openWait = 30 * time.Second

// Start opens the store, or shares the open one, and lets requests in.
func (a *App) Start() error {
	err := a.start()
	if err != nil {
		a.gate.Fail()
		return fmt.Errorf("email_link: %w", err)
	}
	return nil
}

func (a *App) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), openWait)
	defer cancel()
	key := a.storage.StorageKey()
	value, shared, err := cores.LoadOrNew(key, func() (caddy.Destructor, error) {
		c, err := openCore(ctx, a.storage.OpenStorage, a.secrets, newSwappableHandler(a.log.Handler()))
		if err != nil {
			return nil, err
		}
		c.run()
		return c, nil
	})
	if err != nil {
		return err
	}
	c := value.(*core)
	a.coreKey, a.core = key, c
	if shared {
		if err := c.rekey(ctx, a.secrets); err != nil {
			return err
		}
	}
	c.announce(ctx, a.nodeInfo())
	if a.offersPasswords() {
		c.measure(ctx)
	}
	if err := a.deliver(c, a.pages); err != nil {
		return err
	}
	a.emitter.start()
	if a.policy.alerts != nil {
		a.alerts.start(c)
	}
	a.stopReports = a.reportOmitted(c.Clock.Wall)
	a.open(c, a.pages)
	running.add(a)
	if a.portal != nil {
		a.log.Info("people sign in at "+a.portal.origin.String()+" for all sites; sessions that were opened at the sites themselves, before, have ended", "event", "config")
	}
	a.hint(ctx, c)
	if !shared {
		// What the program's start leaves behind goes back to the system at once: an idle gate has no reason to collect garbage.
		c.wg.Go(debug.FreeOSMemory)
	}
	return nil
}

// Stop ends the events of this configuration. The store stays: requests outlive Stop, on reload and at exit.
func (a *App) Stop() error {
	running.remove(a)
	a.emitter.stop()
	if a.stopReports != nil {
		a.stopReports()
	}
	return nil
}

// Cleanup takes this configuration out of force and gives the store back. It runs once, also after a failed Provision or
// Start.
func (a *App) Cleanup() error {
	running.remove(a)
	a.gate.Fail()
	if a.emitter != nil {
		a.emitter.stop()
	}
	if a.stopReports != nil {
		a.stopReports()
	}
	if a.core == nil {
		return nil
	}
	if a.delivery != nil {
		a.core.drop(a.delivery)
	}
	_, err := cores.Delete(a.coreKey)
	a.core = nil
	return err
}

// policy is what the options say, resolved.
type policy struct {
	from, replyTo, contact, siteName, templates string

	brand    web.Brand
	location *time.Location
	limits   limit.Table
	noMail   bool
	alerts   *alertSettings
}

// readPolicy resolves and checks the options that are the app's alone.
func (a *App) readPolicy() error {
	p := &a.policy
	p.limits = limit.Defaults()
	_, p.noMail = a.mailer.(*MailerNone)
	for _, one := range []struct {
		option string
		check  func() error
	}{
		{"scopes", func() error { return errors.Join(CheckScopes(a.Scopes), checkSelfScopes(a.SelfScopes, a.Scopes)) }},
		{"from", func() error { return readMailbox("from", a.From, &p.from) }},
		{"reply_to", func() error { return readMailbox("reply_to", a.ReplyTo, &p.replyTo) }},
		{"contact", func() error { return readText("contact", a.Contact, &p.contact) }},
		{"site_name", func() error { return readText("site_name", a.SiteName, &p.siteName) }},
		{"templates", func() error { return readText("templates", a.Templates, &p.templates) }},
		{"timezone", a.readTimezone},
		{"sign_up", a.SignUp.Check},
		{"invite", a.CheckInvite},
		{"password", a.CheckPassword},
		{"limit", a.readLimits},
		{"links", func() error { return checkLinks(a.Links) }},
		{"lifetime", a.checkTimes},
		{"log_client", func() error { return checkLogClient(a.LogClient) }},
		{"alerts", a.readAlerts},
	} {
		if err := one.check(); err != nil {
			return a.Source.wrap(one.option, err)
		}
	}
	if err := a.readBrand(); err != nil {
		return err
	}
	return a.Source.wrap("portal", a.readPortal())
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
