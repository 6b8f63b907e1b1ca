package module

import (
	"context"
	"strings"

	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// facts tells the doctor what there is to look at. c is nil while nothing is open: then the accounts are not looked at.
func (a *App) facts(ctx context.Context, c *core, s *survey) doctor.Facts {
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
	for _, p := range s.places {
		site := doctor.Site{Hosts: p.hosts, Nested: p.nested, Path: p.handler.prefix, OpenToAll: p.handler.openToAll()}
		for _, o := range p.handler.origins {
			site.Origins = append(site.Origins, doctor.Origin{Text: o.text, Host: o.host, Port: o.port, Wildcard: o.wildcard})
		}
		f.Sites = append(f.Sites, site)
	}
	if c != nil {
		any := true
		err := c.Store.View(ctx, func(tx storage.Tx) (err error) {
			any, err = tx.Accounts().Any()
			return err
		})
		f.NoAccount = err == nil && !any
	}
	return f
}

// openToAll says whether anybody with a mailbox can come in.
func (h *Handler) openToAll() bool {
	policy := h.template.SignUp
	return policy.Mode == flow.SignUpOpen && len(policy.Domains) == 0 && h.Require.Empty() && !h.Optional
}

// examine makes all checks of the doctor. to is whom the mail server is asked for, empty for the sender itself.
func (a *App) examine(ctx context.Context, c *core, to string) ([]doctor.Finding, error) {
	s, err := a.survey()
	if err != nil {
		return nil, err
	}
	n := doctor.Network{To: to}
	if m, ok := a.mailer.(*MailerSMTP); ok {
		if n.SMTP, err = smtp.New(m.config); err != nil {
			return nil, err
		}
	}
	f := a.facts(ctx, c, s)
	return append(doctor.Cheap(f), n.Check(ctx, f)...), nil
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
		for _, o := range h.origins {
			return strings.TrimPrefix(o.host, ".")
		}
	}
	return "email_link"
}
