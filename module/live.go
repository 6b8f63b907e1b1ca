package module

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

// live is what requests of one configuration work with, once it has started.
type live struct {
	core  *core
	pages *web.Pages
	parts *Parts
}

// audienceOf returns the host of an origin, with its port when that is not the scheme's own.
func audienceOf(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	return host
}

// sites builds the sites of one handler.
func (h *Handler) buildSites() error {
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
	h.template = web.Site{
		Site: flow.Site{
			Prefix: h.prefix, SignUp: policy, Methods: methods,
			Lifetimes: flow.Lifetimes{Activation: time.Duration(a.Lifetime.Activation), SignIn: time.Duration(a.Lifetime.SignIn), Reset: time.Duration(a.Lifetime.Reset)},
			Resends:   a.Resend.Count, ResendWait: time.Duration(a.Resend.Wait),
			Limits:      a.policy.limits,
			SessionIdle: time.Duration(a.Session.Idle), SessionAbsolute: time.Duration(a.Session.Absolute),
			NoMail:    a.policy.noMail,
			Stateless: a.Links == linksStateless,
			Passwords: a.Password.policy(), SignInAfterReset: a.Password.SignInAfterReset,
		},
		Name: a.policy.siteName, Contact: a.policy.contact, Logo: a.policy.logo, LogoType: a.policy.logoType,
	}
	if a.policy.siteName != "" {
		h.template.PasswordWords = []string{a.policy.siteName}
	}
	h.sites = map[string]*web.Site{}
	for _, o := range h.origins {
		if o.wildcard {
			continue
		}
		h.sites[o.text] = h.makeSite(o.text)
		if h.fallback == nil {
			h.fallback = h.sites[o.text]
		}
	}
	h.hosts = map[string]*web.Site{}
	for _, s := range h.sites {
		if origin, ok := resolve(h.origins, audienceOf(s.Origin)); ok && origin == s.Origin {
			h.hosts[audienceOf(origin)] = s
		}
	}
	return nil
}

// siteFor returns the site of a request's Host and its origin; where it is none of ours, the fallback.
func (h *Handler) siteFor(host string) (s *web.Site, origin string, known bool) {
	if s := h.hosts[host]; s != nil {
		return s, s.Origin, true
	}
	if origin, known = resolve(h.origins, host); known {
		return h.site(origin), origin, true
	}
	return h.fallback, "", false
}

// makeSite fills in what depends on the origin.
func (h *Handler) makeSite(origin string) *web.Site {
	s := h.template
	s.Origin = origin
	s.Secure = strings.HasPrefix(origin, "https://")
	if s.Audience = h.Audience; s.Audience == "" {
		s.Audience = audienceOf(origin)
	}
	for _, o := range h.origins {
		if o.text != origin && !o.wildcard {
			s.FormActions = append(s.FormActions, o.text)
		}
	}
	return &s
}

// site returns the site of an origin that resolve has found. Those below a star are made for each request: nobody can fill
// our memory with hosts.
func (h *Handler) site(origin string) *web.Site {
	if s := h.sites[origin]; s != nil {
		return s
	}
	return h.makeSite(origin)
}

func orDefault(list []string, words ...string) []string {
	if len(list) == 0 {
		return words
	}
	return list
}

// siteOf finds the site of an origin among all handlers: for mails, which know nothing but the origin, and for operators.
func (a *App) siteOf(origin string) (*web.Site, bool) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, false
	}
	for _, h := range a.handlers {
		if found, ok := resolve(h.origins, u.Host); ok && found == origin {
			return h.site(origin), true
		}
	}
	return nil, false
}

// open makes what requests work with, and lets them in.
func (a *App) open(c *core, set *templates.Set) {
	l := &live{core: c, parts: a.newParts(c)}
	l.pages = &web.Pages{
		Flows: l.parts.Flows, Sessions: c.Sessions, Templates: set, Clock: c.Clock, Log: a.log,
		JWKS:   func() []byte { return jwks(c) },
		Health: func() error { return healthy(c.Store) },
	}
	for _, h := range a.handlers {
		h.minters = &minters{config: h.identity, core: c}
	}
	a.gate.open(l)
}

// newParts makes what operators work with: in the running gate, and on a database that no Caddy holds.
func (a *App) newParts(c *core) *Parts {
	flows := &flow.Service{
		Store: c.Store, Ring: c.Ring, Clock: c.Clock, Limiter: c.limiter, Sessions: c.Sessions, Accounts: c.Accounts,
		Passwords: c.passwords, Wake: c.worker.Wake, Observer: observer{}, Log: a.log,
	}
	p := &Parts{
		Vault: c.Vault, Limiter: c.limiter, Worker: c.worker, Flows: flows, KeyFile: a.secrets.file(),
		Site: func(origin string) (flow.Site, bool) {
			s, ok := a.siteOf(origin)
			if !ok {
				return flow.Site{}, false
			}
			return s.Site, true
		},
	}
	for _, h := range a.handlers {
		for _, o := range h.origins {
			if s := h.sites[o.text]; s != nil && !slices.ContainsFunc(p.Sites, func(f flow.Site) bool { return f.Origin == s.Origin }) {
				p.Sites = append(p.Sites, s.Site)
			}
		}
	}
	return p
}

// deliver opens the mailer and puts this configuration in force for what outlives it.
func (a *App) deliver(c *core, set *templates.Set) error {
	inner, err := a.mailer.OpenMailer()
	if err != nil {
		return err
	}
	m := &relay{core: c, from: a.From, inner: inner}
	a.delivery = &delivery{
		mailer: m,
		outbox: outbox.Delivery{
			Mailer: m, Accounts: c.Accounts, UnknownAddresses: a.policy.limits[limit.MailUnknown],
			Render: func(l outbox.Message) (mailer.Message, error) { return a.render(set, l) },
		},
		lifetimes: session.Lifetimes{
			Idle:     orElse(time.Duration(a.Session.Idle), flow.DefaultIdle),
			Absolute: orElse(time.Duration(a.Session.Absolute), flow.DefaultAbsolute),
		},
		scopes: a.Scopes,
		log:    a.log.Handler(),
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

// render writes a letter. A mail of a site that the configuration no longer has is written with what is known.
func (a *App) render(set *templates.Set, l outbox.Message) (mailer.Message, error) {
	site, ok := a.siteOf(l.Site)
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

// healthy says whether the store can be read.
func healthy(store storage.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), healthWait)
	defer cancel()
	return store.View(ctx, func(tx storage.Tx) error {
		_, _, err := tx.Meta().Get(storage.MetaDataKey)
		return err
	})
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

// logoTypes are the images that pages may show, by their file's ending.
var logoTypes = map[string]string{".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}

// maxLogo is the largest logo, in bytes.
const maxLogo = 256 << 10

// readLogo reads the image.
func readLogo(path string) (content []byte, mediaType string, err error) {
	if path == "" {
		return nil, "", nil
	}
	mediaType, ok := logoTypes[strings.ToLower(filepath.Ext(path))]
	if !ok {
		return nil, "", fmt.Errorf("logo: %q is not a file of one of the kinds .svg, .png, .webp, .jpg", path)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("logo: %w", err)
	}
	if len(content) > maxLogo || len(bytes.TrimSpace(content)) == 0 {
		return nil, "", errors.New("logo: the file is empty or above 256 KiB")
	}
	return content, mediaType, nil
}
