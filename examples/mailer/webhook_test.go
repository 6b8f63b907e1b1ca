package webhook

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-email-link/caddy-email-link"
)

const token = "a secret of the endpoint"

// endpoint takes mails as a provider does: with the right token, each Idempotency-Key once.
type endpoint struct {
	status int // answered instead, where it is not 0
	drop   bool

	mu    sync.Mutex
	mails []mailertest.Mail
	keys  map[string]bool
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		From, To, Subject, Text, HTML string
		ReplyTo                       string `json:"reply_to"`
		MessageID                     string `json:"message_id"`
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	from, err := decode(r, &m, func() string { return m.From })
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if e.drop {
		panic(http.ErrAbortHandler)
	}
	if e.status != 0 {
		w.WriteHeader(e.status)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if key := r.Header.Get("Idempotency-Key"); !e.keys[key] {
		e.keys[key] = true
		e.mails = append(e.mails, mailertest.Mail{
			From: from.Address, FromName: from.Name, To: m.To, ReplyTo: m.ReplyTo, Subject: m.Subject,
			Text: strings.TrimRight(m.Text, "\n"), HTML: strings.TrimRight(m.HTML, "\n"), MessageID: m.MessageID,
		})
	}
}

func decode(r *http.Request, into any, from func() string) (*mail.Address, error) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return nil, err
	}
	return mail.ParseAddress(from())
}

func start(t *testing.T, e *endpoint) *Webhook {
	t.Helper()
	t.Setenv("MAIL_TOKEN", token)
	e.keys = map[string]bool{}
	s := httptest.NewTLSServer(e)
	t.Cleanup(s.Close)
	w := &Webhook{Endpoint: s.URL, Token: "{env.MAIL_TOKEN}"}
	if err := w.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	w.http.Transport = s.Client().Transport // which trusts the test's certificate
	return w
}

func TestSuite(t *testing.T) {
	mailertest.Run(t, func(t *testing.T) mailertest.Subject {
		e := &endpoint{}
		return mailertest.Subject{Mailer: start(t, e), Idempotent: true, Delivered: func(*testing.T) []mailertest.Mail {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.mails
		}}
	})
}

func TestRetryOrGiveUp(t *testing.T) {
	for status, permanent := range map[int]bool{400: true, 413: true, 422: true, 301: false, 401: false, 403: false, 404: false, 429: false, 500: false, 503: false} {
		err := start(t, &endpoint{status: status}).Send(t.Context(), mailertest.Sample(1))
		if err == nil || mailer.IsPermanent(err) != permanent || mailer.IsUnanswered(err) {
			t.Errorf("%d: %v, permanent %v", status, err, mailer.IsPermanent(err))
		}
	}
	if err := start(t, &endpoint{drop: true}).Send(t.Context(), mailertest.Sample(1)); !mailer.IsUnanswered(err) {
		t.Errorf("a lost answer: %v", err)
	}
	c := start(t, &endpoint{})
	c.http.Transport = nil // the system's authorities
	if err := c.Send(t.Context(), mailertest.Sample(1)); err == nil || mailer.IsPermanent(err) || mailer.IsUnanswered(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestProvision(t *testing.T) {
	for _, w := range []*Webhook{{Endpoint: "http://mail.example.com/", Token: "x"}, {Endpoint: "https://mail.example.com/", Token: "{env.NOT_SET_ANYWHERE}"}, {Endpoint: "https://mail.example.com/"}} {
		if err := w.Provision(caddy.Context{}); err == nil {
			t.Errorf("%s with %q is taken", w.Endpoint, w.Token)
		}
	}
}

// TestCaddyfile validates the Caddyfile beside this file with the whole module.
func TestCaddyfile(t *testing.T) {
	t.Setenv("MAIL_TOKEN", token)
	text, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": "Caddyfile"})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	var cfg caddy.Config
	if err := json.Unmarshal(out, &cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&cfg); err != nil {
		t.Fatal(err)
	}
}
