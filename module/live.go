package module

import (
	"context"
	"errors"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/selfservice"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// live is what operators work with, once the configuration has started.
type live struct {
	core  *core
	parts *Parts
}

// readSite resolves what the pages of a handler need.
func (h *Handler) readSite() error {
	a := h.app
	methods, err := flow.ParseMethods(orDefault(a.SignIn, "link", "code")...)
	if err != nil {
		return err
	}
	signUp := a.SignUp
	if h.SignUp != nil {
		signUp = h.SignUp
	}
	policy := flow.SignUp{}
	if signUp != nil && signUp.Policy != "" {
		if policy, err = flow.ParseSignUp(append([]string{signUp.Policy}, signUp.Domains...)...); err != nil {
			return err
		}
	}
	acts, err := selfservice.ParseActs(a.Account)
	if err != nil {
		return a.Source.wrap("account", err)
	}
	h.site.Template = web.Site{
		Site: flow.Site{
			Prefix: h.site.Prefix, SignUp: policy, Methods: methods,
			Lifetimes: flow.Lifetimes{Activation: time.Duration(a.Lifetime.Activation), SignIn: time.Duration(a.Lifetime.SignIn), Reset: time.Duration(a.Lifetime.Reset), Invite: time.Duration(a.Lifetime.Invite)},
			Resends:   a.Resend.Count, ResendWait: time.Duration(a.Resend.Wait),
			Limits:      a.policy.limits,
			SessionIdle: time.Duration(a.Session.Idle), SessionAbsolute: time.Duration(a.Session.Absolute),
			NoMail: a.policy.noMail, KeepAddresses: !slices.Contains(acts, selfservice.Address),
			Stateless: a.Links == linksStateless,
			Passwords: a.Password.policy(), SignInAfterReset: a.Password.SignInAfterReset,
		},
		Name: a.policy.siteName, Contact: a.policy.contact, Brand: a.policy.brand, Acts: acts, SelfScopes: a.SelfScopes,
	}
	a.portal.template(h)
	if a.policy.siteName != "" {
		h.site.Template.PasswordWords = []string{a.policy.siteName}
	}
	return nil
}

func orDefault(list []string, words ...string) []string {
	if len(list) == 0 {
		return words
	}
	return list
}

// open makes what requests work with, and lets them in.
func (a *App) open(c *core, set *templates.Set) {
	p := a.newParts(c)
	a.live.Store(&live{core: c, parts: p})
	a.gate.Start(&gate.Runtime{
		Vault: c.Vault, Flows: p.Flows,
		Pages: &web.Pages{
			Flows: p.Flows, Sessions: c.Sessions, Self: c.SelfService(p.Flows, a.log), RequiredRoles: a.requiredRoles(), Templates: set, Clock: c.Clock, Log: a.log,
			JWKS:        func() []byte { return jwks(c) },
			Health:      func() (time.Time, error) { return healthy(c.Vault) },
			AnswerNonce: c.AnswerNonce,
		},
	})
}

// requiredRoles returns the roles that a handler requires.
func (a *App) requiredRoles() (list []string) {
	for _, h := range a.handlers {
		for _, group := range h.Require.Role {
			list = append(list, group...)
		}
	}
	return list
}

// inviteRules returns who may invite whom.
func (a *App) inviteRules() (rules []flow.InviteRule) {
	for _, rule := range a.Invite {
		rules = append(rules, flow.InviteRule{By: rule.By, Gives: rule.Gives})
	}
	return rules
}

// newParts makes what operators work with: in the running gate, and on a database that no Caddy holds.
func (a *App) newParts(c *core) *Parts {
	flows := &flow.Service{
		Store: c.Store, Ring: c.Ring, Clock: c.Clock, Limiter: c.limiter, Sessions: c.Sessions, Accounts: c.Accounts,
		Passwords: c.passwords, Wake: c.worker.Wake, Observer: observer{&a.alerts}, Log: a.log,
		FullClients: a.LogClient == "full", Invites: a.inviteRules(),
	}
	p := &Parts{
		Vault: c.Vault, Limiter: c.limiter, Worker: c.worker, Flows: flows, KeyFile: a.secrets.file(), Alert: c.alert,
		Site: func(origin string) (flow.Site, bool) {
			s, ok := a.gate.Site(origin)
			if !ok {
				return flow.Site{}, false
			}
			return s.Site, true
		},
	}
	p.Led = func(origin string) bool {
		s, ok := a.gate.Site(origin)
		return ok && s.Led
	}
	if a.portal != nil {
		p.Portal = a.portal.origin.String()
	}
	for _, s := range a.gate.Sites() {
		p.Sites = append(p.Sites, s.Site)
	}
	return p
}

// deliver opens the mailer and puts this configuration in force for what outlives it.
func (a *App) deliver(c *core, set *templates.Set) error {
	inner, err := a.mailer.OpenMailer()
	if err != nil {
		return err
	}
	m := &reloadSafeMailer{core: c, from: a.From, inner: inner}
	a.delivery = &delivery{
		mailer: m,
		outbox: outbox.Delivery{
			Mailer: m, Accounts: c.Accounts, Sessions: c.Sessions, Limits: a.policy.limits,
			Invitations: &flow.Service{Store: c.Store, Ring: c.Ring, Clock: c.Clock, Accounts: c.Accounts, Invites: a.inviteRules()},
			Render:      func(l outbox.Message) (mailer.Message, error) { return a.render(set, l) },
		},
		lifetimes: session.Lifetimes{
			Idle:     orElse(time.Duration(a.Session.Idle), flow.DefaultIdle),
			Absolute: orElse(time.Duration(a.Session.Absolute), flow.DefaultAbsolute),
		},
		scopes: a.Scopes, alerts: a.policy.alerts,
		log: a.log.Handler(),
	}
	c.use(a.delivery)
	return nil
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// alertMail is for the operator, so it is in the language of the commands.
func (a *App) alertMail(l outbox.Message) mailer.Message {
	return mailer.Message{
		From: a.policy.from, ReplyTo: a.policy.replyTo, Subject: l.Subject, Text: l.Text, Language: "en",
		HTML: "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + html.EscapeString(l.Subject) + "</title></head><body>\n<pre>" +
			html.EscapeString(l.Text) + "</pre>\n</body></html>\n",
	}
}

// render writes a letter. A mail of a site that the configuration no longer has is written with what is known.
func (a *App) render(set *templates.Set, l outbox.Message) (mailer.Message, error) {
	if l.Purpose == outbox.Alert {
		return a.alertMail(l), nil
	}
	site, ok := a.gate.Site(l.Site)
	if !ok {
		site = &web.Site{
			Site: flow.Site{Origin: l.Site, Prefix: strings.TrimPrefix(l.Base, l.Site)},
			Name: a.policy.siteName, Contact: a.policy.contact,
		}
	}
	out, err := set.Mail(web.Mail(site, l), l.Locale)
	if err != nil {
		return mailer.Message{}, err
	}
	return mailer.Message{
		From: a.policy.from, ReplyTo: a.policy.replyTo, Subject: out.Subject, Text: out.Text, HTML: out.HTML, Language: out.Language,
	}, nil
}

// healthWait bounds how long /health waits for the store.
const healthWait = 2 * time.Second

var errStopping = errors.New("Caddy is stopping")

// healthy returns an error if the store cannot be read or written, and from the moment that Caddy begins to stop, so that whatever
// balances the load sends no new requests while shutdown_delay lasts. A reload is no stop: Caddy's event "stopping" tells of both. While a
// database is away that several nodes share, it returns until when this one serves what it has read before.
func healthy(v *vault.Vault) (servingUntil time.Time, err error) {
	if caddy.Exiting() {
		return time.Time{}, errStopping
	}
	if until, serving := v.ServingCached(); serving {
		return until, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthWait)
	defer cancel()
	err = v.Health(ctx)
	if err != nil {
		if until, serving := v.ServingCached(); serving { // it was found out meanwhile
			return until, nil
		}
	}
	return time.Time{}, err
}

// jwks lists the public signing keys.
func jwks(c *core) []byte {
	var keys []identity.PublicKey
	for _, k := range c.Signing.Listed(c.Clock.Now()) {
		keys = append(keys, identity.PublicKey{ID: k.ID, Key: k.Public})
	}
	if len(keys) == 0 {
		return nil
	}
	return identity.JWKS(keys)
}
