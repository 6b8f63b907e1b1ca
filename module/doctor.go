package module

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// facts returns what the doctor looks at. c is nil while nothing is open: then the accounts are not looked at.
func (a *App) facts(ctx context.Context, c *core) doctor.Facts {
	s := a.configuration
	f := doctor.Facts{Secrets: a.Secret, Servers: s.servers, KeyFile: a.secrets.file(), NoMail: a.policy.noMail}
	if from, err := mime.Mailbox(a.policy.from); err == nil {
		f.From = from.Address
	}
	if b, ok := a.storage.(*StorageBbolt); ok {
		f.Database = b.path
	}
	if m, ok := a.mailer.(*MailerFile); ok {
		f.MailFolder = m.dir
	}
	for _, p := range s.positions {
		site := doctor.Site{
			Hosts: p.hosts, Nested: p.outer != nil, Path: p.handler.site.Prefix, OpenToAll: p.handler.openToAll(), Portal: p.handler.site.Portal, OpenedByPath: s.openBy(p),
			ClientHeaders: p.handler.ClientHeaders, OpenSuffixes: p.handler.openSuffixes,
			Listens: s.listens[p.server], Forwarded: s.forwarded[p.server],
			VerifyFrom: p.handler.site.Peers, TokenScopes: p.handler.Require.scopes(), InheritedScopes: p.inheritedScopes, InsideHandle: strings.Join(p.paths, " "),
		}
		for _, o := range p.handler.origins {
			site.Origins = append(site.Origins, doctor.Origin{Text: o.String(), Host: o.Host(), Wildcard: o.Wildcard()})
		}
		f.Sites = append(f.Sites, site)
	}
	f.Routes = s.warnings
	if c != nil {
		any := true
		err := c.Store.View(ctx, func(tx storage.Tx) (err error) {
			any, err = tx.Accounts().Any()
			return err
		})
		f.NoAccount = err == nil && !any && !s.optional()
		f.Unreadable = err
	}
	return f
}

// optional reports whether no site stops a request: apps with users of their own need no accounts here.
func (c *configuration) optional() bool {
	return len(c.positions) > 0 && !slices.ContainsFunc(c.positions, func(p *position) bool { return !p.handler.Optional })
}

// openToAll reports whether a mailbox is all that is needed to come in.
func (h *Handler) openToAll() bool {
	policy := h.site.Template.SignUp
	return policy.Mode == flow.SignUpOpen && len(policy.Domains) == 0 && h.Require.Empty() && !h.Optional
}

// openBy names a place where people can sign up who cannot at p, and who then get in at p all the same: an account is good at
// every site that requires nothing.
func (c *configuration) openBy(p *position) string {
	own := p.handler.site.Template.SignUp
	if p.outer != nil || !p.handler.Require.Empty() || p.handler.Optional {
		return ""
	}
	for _, other := range c.positions {
		policy := other.handler.site.Template.SignUp
		if other.outer != nil || policy.Mode != flow.SignUpOpen {
			continue
		}
		more := own.Mode != flow.SignUpOpen || len(own.Domains) > 0 && len(policy.Domains) == 0
		for _, domain := range policy.Domains {
			more = more || len(own.Domains) > 0 && !slices.Contains(own.Domains, domain)
		}
		if more {
			return other.title()
		}
	}
	return ""
}

// diagnose makes all checks of the doctor. c is nil while nothing is open; to is whom the mail server is asked for, empty for
// the sender itself.
func (a *App) diagnose(ctx context.Context, c *core, to string) ([]doctor.Finding, error) {
	n := doctor.Network{}
	if to != "" {
		addr, err := recipient(to)
		if err != nil {
			return nil, err
		}
		n.Recipient = addr.Typed()
	}
	if m, ok := a.mailer.(*MailerSMTP); ok {
		var err error
		if n.SMTP, err = smtp.New(m.config); err != nil {
			return nil, err
		}
	}
	f := a.facts(ctx, c)
	if c != nil {
		n.AnswerNonce = c.AnswerNonce
		if f.Unreadable == nil { // each further try may take as long as the first one
			f.Unreadable = errors.Join(a.tokenFacts(ctx, c, &f), a.nodeFacts(ctx, c, &f))
		}
	}
	return append(doctor.Offline(f), n.Check(ctx, f)...), nil
}

// tokenFacts returns the machine tokens for the doctor.
func (a *App) tokenFacts(ctx context.Context, c *core, f *doctor.Facts) error {
	list, err := c.Machines.List(ctx, "")
	if err != nil {
		return err
	}
	f.Granted, f.Now = a.Scopes, c.Clock.Now()
	for _, t := range list {
		if t.Revoked.IsZero() {
			f.Tokens = append(f.Tokens, doctor.Token{ID: t.ID, Ends: time.Unix(t.Key.End, 0), Site: t.Site, Scopes: t.Scopes, Ended: t.Ended})
		}
	}
	return nil
}

// nodeFacts returns the nodes that share the database for the doctor.
func (a *App) nodeFacts(ctx context.Context, c *core, f *doctor.Facts) error {
	if !c.isShared() {
		return nil
	}
	list, err := (&operator.Service{Vault: c.Vault, Self: a.nodeInfo()}).Nodes(ctx)
	for _, n := range list {
		f.Nodes = append(f.Nodes, doctor.Node{Host: n.Host, Process: n.Process, Differs: n.Differs})
	}
	return err
}

func recipient(text string) (address.Address, error) {
	to, err := address.Parse(text)
	if err != nil {
		return to, &operator.Error{Kind: operator.Invalid, Message: "the address cannot be used: " + err.Error()}
	}
	return to, nil
}

// testTimeout bounds a test mail.
const testTimeout = time.Minute

// sendTest sends a mail without a link through a mailer of its own, so that what is tried is the configuration and not a
// connection that was open already.
func (a *App) sendTest(ctx context.Context, text string) (sent operator.TestSent, err error) {
	to, err := recipient(text)
	if err != nil {
		return sent, err
	}
	if a.policy.noMail {
		return sent, &operator.Error{Kind: operator.Conflict, Message: "this gate sends no mail (mailer none): 'caddy email-link link <email>' prints links"}
	}
	m, err := a.mailer.OpenMailer()
	if err != nil {
		return sent, err
	}
	defer func() { err = errors.Join(err, m.Close(context.WithoutCancel(ctx))) }()
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	if err := m.Send(ctx, a.testMail(to.Typed(), clock.New(nil).Wall())); err != nil {
		return sent, &operator.Error{Kind: operator.MailRefused, Message: "the test mail was not sent: " + err.Error()}
	}
	return operator.TestSent{To: to.Display(), Via: a.mailerName(), From: a.policy.from}, nil
}

// testMail is for the operator, so it is in the language of the commands.
func (a *App) testMail(to string, now time.Time) mailer.Message {
	name := a.siteName()
	said := "This is a test of the mail that " + name + " sends. It was asked for on the command line.\n"
	advice := "If you can read it in your inbox, sign-in mails get there too. If it went to the spam folder, look at what\n" +
		"the command 'caddy email-link doctor' says about SPF, DKIM and DMARC.\n"
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	bare := ""
	if from, err := mime.Mailbox(a.policy.from); err == nil { // Provision has made sure of that
		bare = from.Address
	}
	return mailer.Message{
		From: a.policy.from, ReplyTo: a.policy.replyTo, To: to, Subject: "Test mail from " + name, Language: "en", Date: now,
		Text: said + "\n" + advice,
		HTML: "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Test mail</title></head><body>\n<p>" +
			html.EscapeString(said) + "</p>\n<p>" + html.EscapeString(advice) + "</p>\n</body></html>\n",
		MessageID: hex.EncodeToString(id) + "@" + bare[strings.LastIndexByte(bare, '@')+1:],
	}
}

// mailerName says in a few words where mails go.
func (a *App) mailerName() string {
	switch m := a.mailer.(type) {
	case *MailerSMTP:
		return m.config.Addr
	case *MailerFile:
		return "the folder " + m.dir
	default:
		return "the mailer"
	}
}

// siteName is what a mail of no certain site calls the place.
func (a *App) siteName() string {
	if a.policy.siteName != "" {
		return a.policy.siteName
	}
	for _, h := range a.handlers {
		for _, o := range h.site.Origins {
			return strings.TrimPrefix(o.Host(), ".")
		}
	}
	return "email_link"
}
