package module

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-email-link/caddy-email-link/internal/nearest"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/file"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
)

func init() {
	caddy.RegisterModule(MailerSMTP{})
	caddy.RegisterModule(MailerFile{})
	caddy.RegisterModule(MailerNone{})
}

// MailerGuest is what a module in the namespace `email_link.mailers` is.
type MailerGuest interface {
	// OpenMailer returns the mailer. It is called when the configuration starts, never while it is only being validated;
	// the caller closes it.
	OpenMailer() (mailer.Mailer, error)
}

// closeTimeout is how long a mailer of a configuration that ended may finish the mails it is sending.
const closeTimeout = 20 * time.Second

// DKIM signs mails with one key.
type DKIM struct {
	// Domain is the signing domain, as a rule that of `from`.
	Domain string `json:"domain"`
	// Selector names the DNS record `<selector>._domainkey.<domain>`.
	Selector string `json:"selector"`
	// KeyFile is the path of the private key, in PEM.
	KeyFile string `json:"key_file"`
}

// MailerSMTP sends mails through an SMTP server.
type MailerSMTP struct {
	// Address is host:port of the server. Port 465 means implicit TLS, every other one STARTTLS, unless tls says otherwise.
	Address string `json:"address"`
	// User and Password sign in; without them the client does not sign in. Write the password as `{env.X}` or `{file.X}`.
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// TLS is `starttls`, `implicit` or `none`. Certificates are always verified. Default: by the port.
	TLS string `json:"tls,omitempty"`
	// HELO is the name this client gives itself. Default: the domain of `from`.
	HELO string `json:"helo,omitempty"`
	// Timeout bounds each step of the dialogue. Default: 30 seconds.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// CA is a PEM file of the certificate authorities to trust instead of the system's. Default: the system's.
	CA string `json:"ca,omitempty"`
	// DKIM signs each mail once for each entry. Default: none; most providers sign themselves.
	DKIM []DKIM `json:"dkim,omitempty"`

	config smtp.Config
}

// CaddyModule returns the Caddy module information.
func (MailerSMTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "email_link.mailers.smtp", New: func() caddy.Module { return new(MailerSMTP) }}
}

// Provision resolves placeholders, into fields that are not serialized, and tries the configuration without the network.
func (m *MailerSMTP) Provision(caddy.Context) error {
	c := smtp.Config{TLS: m.TLS, Timeout: time.Duration(m.Timeout)}
	for _, one := range []struct {
		name, from string
		into       *string
	}{{"address", m.Address, &c.Addr}, {"user", m.User, &c.User}, {"password", m.Password, &c.Password}, {"helo", m.HELO, &c.HELO}, {"ca", m.CA, &c.CAFile}} {
		text, err := expand(one.from)
		if err != nil {
			return fmt.Errorf("mailer smtp: %s: %w", one.name, err)
		}
		*one.into = text
	}
	for _, k := range m.DKIM {
		path, err := expand(k.KeyFile)
		if err != nil {
			return fmt.Errorf("mailer smtp: dkim: %w", err)
		}
		c.DKIM = append(c.DKIM, smtp.DKIM{Domain: k.Domain, Selector: k.Selector, KeyFile: path})
	}
	if _, err := smtp.New(c); err != nil {
		return fmt.Errorf("mailer %w", err)
	}
	m.config = c
	return nil
}

// OpenMailer implements MailerGuest.
func (m *MailerSMTP) OpenMailer() (mailer.Mailer, error) { return smtp.New(m.config) }

// UnmarshalCaddyfile reads
//
//	smtp <host:port> [<user> <password>] {
//		tls     starttls|implicit|none
//		helo    <name>
//		timeout <duration>
//		ca      <file>
//		dkim    <domain> <selector> <key file>
//	}
func (m *MailerSMTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.NextArg() {
		return d.Err("mailer smtp: the server is missing; write it like 'mailer smtp mail.example.com:587 <user> {env.SMTP_PASSWORD}'")
	}
	m.Address = d.Val()
	switch rest := d.RemainingArgs(); len(rest) {
	case 0:
	case 2:
		m.User, m.Password = rest[0], rest[1]
	default:
		return d.Err("mailer smtp: write <user> and <password> after <host:port>, or neither")
	}
	if !strings.Contains(m.Address, "{") && !hostPort(m.Address) {
		return d.Errf("mailer smtp: %q is not host:port; write it like mail.example.com:587", m.Address)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := m.option(d); err != nil {
			return err
		}
	}
	return nil
}

func (m *MailerSMTP) option(d *caddyfile.Dispenser) error {
	name, args := d.Val(), d.RemainingArgs()
	want := map[string]int{"tls": 1, "helo": 1, "timeout": 1, "ca": 1, "dkim": 3}
	n, known := want[name]
	if !known {
		return d.Errf("unrecognized mailer smtp option %q; %s", name, nearest.Expected(name, slices.Sorted(maps.Keys(want))))
	}
	if len(args) != n {
		return d.Errf("mailer smtp: %s takes %d, found %d", name, n, len(args))
	}
	switch name {
	case "tls":
		if m.TLS = args[0]; m.TLS != smtp.StartTLS && m.TLS != smtp.ImplicitTLS && m.TLS != smtp.NoTLS {
			return d.Errf("unrecognized tls value %q; %s", m.TLS, nearest.Expected(m.TLS, []string{smtp.ImplicitTLS, smtp.NoTLS, smtp.StartTLS}))
		}
	case "helo":
		m.HELO = args[0]
	case "timeout":
		t, err := caddy.ParseDuration(args[0])
		if err != nil || t <= 0 {
			return d.Errf("mailer smtp: timeout %q is not a duration; write one like 30s", args[0])
		}
		m.Timeout = caddy.Duration(t)
	case "ca":
		m.CA = args[0]
	case "dkim":
		m.DKIM = append(m.DKIM, DKIM{Domain: args[0], Selector: args[1], KeyFile: args[2]})
	}
	return nil
}

// MailerFile writes each mail into a directory, for development.
type MailerFile struct {
	// Dir is the directory; it is created when the configuration starts.
	Dir string `json:"dir"`

	dir string
}

// CaddyModule returns the Caddy module information.
func (MailerFile) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "email_link.mailers.file", New: func() caddy.Module { return new(MailerFile) }}
}

// Provision resolves the directory; it does not create it.
func (m *MailerFile) Provision(caddy.Context) error {
	dir, err := expand(m.Dir)
	if err != nil {
		return fmt.Errorf("mailer file: %w", err)
	}
	if dir == "" {
		return errors.New("mailer file: the directory is missing; write 'mailer file ./mails'")
	}
	m.dir, err = filepath.Abs(dir)
	return err
}

// OpenMailer implements MailerGuest.
func (m *MailerFile) OpenMailer() (mailer.Mailer, error) { return file.New(m.dir) }

// UnmarshalCaddyfile reads `file <dir>`.
func (m *MailerFile) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args := d.RemainingArgs()
	if len(args) != 1 || args[0] == "" {
		return d.Err("mailer file: expected one directory; write 'mailer file ./mails'")
	}
	m.Dir = args[0]
	return refuseBlock(d, "mailer file")
}

// MailerNone sends nothing: links come from the command line.
type MailerNone struct{}

// CaddyModule returns the Caddy module information.
func (MailerNone) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "email_link.mailers.none", New: func() caddy.Module { return new(MailerNone) }}
}

// OpenMailer implements MailerGuest.
func (*MailerNone) OpenMailer() (mailer.Mailer, error) { return refusing{}, nil }

// UnmarshalCaddyfile reads `none`.
func (*MailerNone) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Errf("mailer none takes no value, found %q", d.Val())
	}
	return refuseBlock(d, "mailer none")
}

// refusing gives every mail up: what was queued under another configuration becomes a dead letter that an operator can see.
type refusing struct{}

func (refusing) Send(context.Context, mailer.Message) error {
	return mailer.Permanent(errors.New("this gate sends no mail (mailer none)"))
}
func (refusing) Close(context.Context) error { return nil }

func refuseBlock(d *caddyfile.Dispenser, name string) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		return d.Errf("%s takes no block, found %q in it", name, d.Val())
	}
	return nil
}

var (
	_ MailerGuest           = (*MailerSMTP)(nil)
	_ MailerGuest           = (*MailerFile)(nil)
	_ MailerGuest           = (*MailerNone)(nil)
	_ caddy.Provisioner     = (*MailerSMTP)(nil)
	_ caddy.Provisioner     = (*MailerFile)(nil)
	_ caddyfile.Unmarshaler = (*MailerSMTP)(nil)
	_ caddyfile.Unmarshaler = (*MailerFile)(nil)
	_ caddyfile.Unmarshaler = (*MailerNone)(nil)
)
