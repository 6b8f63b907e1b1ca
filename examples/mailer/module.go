package webhook

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() { caddy.RegisterModule(new(Webhook)) }

// CaddyModule makes it a guest of email_link.
func (*Webhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "email_link.mailers.webhook", New: func() caddy.Module { return new(Webhook) }}
}

// UnmarshalCaddyfile reads `webhook <url> <token>`.
func (w *Webhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&w.Endpoint, &w.Token) || d.NextArg() {
		return d.Err("mailer webhook: write 'mailer webhook https://mail.example.com/send {env.MAIL_TOKEN}'")
	}
	return nil
}

// Provision resolves the secret into a field that cannot be read back; it does not touch the network.
func (w *Webhook) Provision(caddy.Context) (err error) {
	w.secret, err = caddy.NewReplacer().ReplaceOrErr(w.Token, true, true)
	if err != nil || w.secret == "" || !strings.HasPrefix(w.Endpoint, "https://") {
		return errors.Join(errors.New("mailer webhook: the endpoint must begin with https:// and the token must not be empty"), err)
	}
	w.http.Timeout = 20 * time.Second
	w.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token goes nowhere else
	return nil
}

// OpenMailer returns the mailer.
func (w *Webhook) OpenMailer() (mailer.Mailer, error) { return w, nil }
