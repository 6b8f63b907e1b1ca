package doctor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
)

const sender = "no-reply@example.com"

// dns is a Resolver of fixed records; what it does not hold does not exist, what is broken does not answer.
type dns struct {
	records map[string][]string
	broken  bool
}

func (d dns) LookupTXT(_ context.Context, name string) ([]string, error) {
	if d.broken {
		return nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
	}
	if found := d.records[name]; found != nil {
		return found, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func open(t *testing.T, c smtp.Config) *smtp.Mailer {
	t.Helper()
	m, err := smtp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func find(list []Finding, check string) Finding {
	i := slices.IndexFunc(list, func(f Finding) bool { return f.Check == check })
	if i < 0 {
		return Finding{}
	}
	return list[i]
}

// short is enough for a step on this machine, and not long for anyone who waits for silence.
const short = 2 * time.Second

func TestSMTPDialogue(t *testing.T) {
	t.Parallel()
	type options = mailertest.Options
	for _, one := range []struct {
		name    string
		server  options
		prepare func(*mailertest.Server)
		config  func(s *mailertest.Server, c *smtp.Config)
		to      string
		want    Result
		text    string
		fix     string
	}{
		{name: "starttls", server: options{TLS: "starttls", User: "u", Password: "p"}, want: OK, text: "would accept a mail, over TLS 1.3 (starttls), signed in"},
		{name: "implicit", server: options{TLS: "implicit"}, want: OK, text: "(implicit)"},
		{name: "implicit spoken to as starttls", server: options{TLS: "implicit"}, config: func(_ *mailertest.Server, c *smtp.Config) {
			c.TLS, c.Timeout = smtp.StartTLS, short
		}, want: Fail, text: "no answer within", fix: "speaks implicit TLS: write `tls implicit`"},
		{name: "starttls spoken to as implicit", server: options{TLS: "starttls"}, config: func(_ *mailertest.Server, c *smtp.Config) {
			c.TLS = smtp.ImplicitTLS
		}, want: Fail, fix: "write `tls starttls`"},
		{name: "no starttls", server: options{}, config: func(_ *mailertest.Server, c *smtp.Config) {
			c.TLS = smtp.StartTLS
		}, want: Fail, text: "does not offer STARTTLS", fix: "write `tls implicit`"},
		{name: "no tls on this machine", server: options{}, want: OK, text: "would accept a mail"},
		{name: "greylisted", server: options{}, prepare: func(s *mailertest.Server) {
			s.Fault(mailertest.To, mailertest.Fault{Code: 451, Text: "greylisted, please try again in 300 seconds"})
		}, to: "you@example.org", want: Warn, text: "greylists: RCPT refused: 451", fix: "a few minutes late"},
		{name: "refused for now", server: options{}, prepare: func(s *mailertest.Server) {
			s.Fault(mailertest.To, mailertest.Fault{Code: 451, Text: "local error"})
		}, to: "you@example.org", want: Fail, text: "RCPT refused: 451", fix: "temporary"},
		{name: "self-signed", server: options{TLS: "starttls"}, config: func(_ *mailertest.Server, c *smtp.Config) {
			c.CAFile = ""
		}, want: Fail, text: "certificate", fix: "`ca <file>`"},
		{name: "wrong name", server: options{TLS: "starttls", Names: []string{"mail.example.net"}}, want: Fail, fix: "the certificate is for mail.example.net: write that name instead of localhost"},
		{name: "expired", server: options{TLS: "starttls", Expired: true}, want: Fail, fix: "expired"},
		{name: "password refused", server: options{TLS: "starttls", User: "u", Password: "other"}, config: func(_ *mailertest.Server, c *smtp.Config) {
			c.User, c.Password = "u", "p"
		}, want: Fail, text: "auth refused: 535", fix: "refuses the user name or the password"},
		{name: "sign-in wanted", server: options{TLS: "starttls", User: "u", Password: "p"}, config: func(_ *mailertest.Server, c *smtp.Config) {
			c.User, c.Password = "", ""
		}, want: Fail, text: "MAIL refused", fix: "{env.SMTP_PASSWORD}"},
		{name: "sender refused", server: options{TLS: "starttls"}, prepare: func(s *mailertest.Server) {
			s.Fault(mailertest.From, mailertest.Fault{Code: 553, Text: "not yours"})
		}, want: Fail, text: "MAIL refused: 553 5.0.0 not yours", fix: "`from`"},
		{name: "recipient refused", server: options{TLS: "starttls"}, prepare: func(s *mailertest.Server) {
			s.Fault(mailertest.To, mailertest.Fault{Code: 550, Text: "no relaying for you@example.org"})
		}, to: "you@example.org", want: Fail, text: "RCPT refused: 550 5.0.0 no relaying for <address>"},
		{name: "relay denied", server: options{TLS: "starttls", User: "u", Password: "p"}, prepare: func(s *mailertest.Server) {
			s.Fault(mailertest.To, mailertest.Fault{Code: 554, Text: "relay access denied"})
		}, to: "you@example.org", want: Fail, text: "RCPT refused: 554 5.0.0 relay access denied", fix: "not this recipient"},
		{name: "own address refused", server: options{TLS: "starttls"}, prepare: func(s *mailertest.Server) {
			s.Fault(mailertest.To, mailertest.Fault{Code: 551, Text: "no such user"})
		}, want: Warn, text: "the sender's own address", fix: "--to"},
		{name: "closed port", server: options{}, prepare: (*mailertest.Server).Close, want: Fail, text: "refused", fix: "firewall"},
		{name: "silent", server: options{}, prepare: func(s *mailertest.Server) {
			s.Fault(mailertest.Connect, mailertest.Fault{Silent: true})
		}, config: func(_ *mailertest.Server, c *smtp.Config) { c.Timeout = short }, want: Fail, text: "banner: no answer within 2s"},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			s := mailertest.NewServer(t, one.server)
			c := smtp.Config{Addr: s.Addr, TLS: one.server.TLS, CAFile: s.CAFile, User: one.server.User, Password: one.server.Password}
			if c.TLS == "" {
				c.TLS = smtp.NoTLS
			}
			if one.config != nil {
				one.config(s, &c)
			}
			if one.prepare != nil {
				one.prepare(s)
			}
			// The certificates of the server end within a day.
			longAgo := func() time.Time { return time.Now().AddDate(0, -1, 0) }
			n := Network{SMTP: open(t, c), Recipient: one.to, Resolver: dns{}, Now: longAgo}
			got := find(n.Check(t.Context(), Facts{From: sender}), "smtp")
			if got.Result != one.want || !strings.Contains(got.Text, one.text) || !strings.Contains(got.Fix, one.fix) {
				t.Errorf("got %+v", got)
			}
			if strings.Contains(got.Text, "you@example.org") {
				t.Errorf("an address is repeated: %+v", got)
			}
			if slices.Contains(s.Steps(), mailertest.Data) || len(s.Mails()) > 0 {
				t.Error("something was sent")
			}
		})
	}
}

// prober is a dialogue that went through.
type prober struct{ smtp.Probed }

func (p prober) Probe(context.Context, string, string) smtp.Probed { return p.Probed }
func (prober) Published() []smtp.Published                         { return nil }

func TestSMTPWithoutTLS(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]Result{
		"mail.example.com:25": Warn, "192.0.2.1:25": Warn, "localhost.example.com:25": Warn, "[2001:db8::1]:25": Warn,
		"localhost:25": OK, "127.0.0.1:25": OK, "[::1]:25": OK,
	} {
		n := Network{SMTP: prober{smtp.Probed{Addr: addr}}, Resolver: dns{}}
		got := find(n.Check(t.Context(), Facts{From: sender}), "smtp")
		if got.Result != want || want == Warn && (!strings.Contains(got.Text, "without TLS") || !strings.Contains(got.Fix, "`tls starttls`")) {
			t.Errorf("%s: %+v", addr, got)
		}
	}
}

func TestCertificateThatEndsSoon(t *testing.T) {
	t.Parallel()
	s := mailertest.NewServer(t, mailertest.Options{TLS: "starttls"}) // its certificate lives for a day
	n := Network{SMTP: open(t, smtp.Config{Addr: s.Addr, CAFile: s.CAFile}), Resolver: dns{}}
	if got := find(n.Check(t.Context(), Facts{From: sender}), "smtp"); got.Result != Warn || !strings.Contains(got.Text, "ends on") {
		t.Errorf("got %+v", got)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	keyFile, value := signingKey(t)
	server := mailertest.NewServer(t, mailertest.Options{})
	const name = "mail._domainkey.example.com"
	good := map[string][]string{
		"example.com":        {"other", "v=spf1 include:_spf.example.net -all"},
		"_dmarc.example.com": {"v=DMARC1; p=none"},
		name:                 {value},
	}
	with := func(key string, values ...string) map[string][]string {
		m := map[string][]string{}
		for k, v := range good {
			m[k] = v
		}
		m[key] = values
		return m
	}
	for _, one := range []struct {
		name        string
		dns         dns
		from        string
		check, text string
		want        Result
	}{
		{"all there", dns{records: good}, sender, "spf", "has an SPF record", OK},
		{"all there", dns{records: good}, sender, "dkim", "publishes the key that signs", OK},
		{"all there", dns{records: good}, sender, "dmarc", "has a policy", OK},
		{"policy above", dns{records: good}, "no-reply@mail.example.com", "dmarc", "_dmarc.example.com has a policy", OK},
		{"nothing", dns{}, sender, "spf", "no SPF record", Warn},
		{"nothing", dns{}, sender, "dkim", "there is no key at " + name, Fail},
		{"nothing", dns{}, sender, "dmarc", "no DMARC record", Warn},
		{"two SPF records", dns{records: with("example.com", "v=spf1 -all", "V=SPF1 ~all")}, sender, "spf", "2 SPF records", Fail},
		{"almost SPF", dns{records: with("example.com", "v=spf10 -all")}, sender, "spf", "no SPF record", Warn},
		{"two policies", dns{records: with("_dmarc.example.com", "v=DMARC1; p=none", "v=DMARC1; p=reject")}, sender, "dmarc", "2 DMARC records", Fail},
		{"another key", dns{records: with(name, "v=DKIM1; k=ed25519; p=AAAA")}, sender, "dkim", "another key", Fail},
		{"key in pieces", dns{records: with(name, strings.Replace(value, "p=", " p = ", 1)+" ; ")}, sender, "dkim", "publishes the key", OK},
		{"no DNS", dns{broken: true}, sender, "spf", "could not be queried", Skip},
		{"no DNS", dns{broken: true}, sender, "dkim", "could not be queried", Skip},
		{"no DNS", dns{broken: true}, sender, "dmarc", "could not be queried", Skip},
	} {
		m := open(t, smtp.Config{Addr: server.Addr, TLS: smtp.NoTLS, DKIM: []smtp.DKIM{{Domain: "example.com", Selector: "mail", KeyFile: keyFile}}})
		n := Network{SMTP: m, Resolver: one.dns}
		list := n.Check(t.Context(), Facts{From: one.from})
		if got := find(list, one.check); got.Result != one.want || !strings.Contains(got.Text, one.text) {
			t.Errorf("%s: %+v", one.name, got)
		}
		if one.dns.broken && Failed(list) {
			t.Errorf("a DNS that does not answer counts as a failure: %+v", list)
		}
	}
}

// signingKey writes a DKIM key and returns the record that belongs to it.
func signingKey(t *testing.T) (file, record string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	m := open(t, smtp.Config{Addr: "localhost:25", DKIM: []smtp.DKIM{{Domain: "example.com", Selector: "mail", KeyFile: file}}})
	return file, m.Published()[0].Value
}

func TestReachAndClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, one := range []struct {
		name  string
		date  time.Time
		code  int
		want  Result
		text  string
		reach Result
	}{
		{"agrees", now.Add(2 * time.Second), 200, OK, "agrees", OK},
		{"behind", now.Add(time.Hour), 200, Fail, "1h0m0s behind", OK},
		{"ahead", now.Add(-time.Hour), 200, Fail, "1h0m0s ahead", OK},
		{"no date", time.Time{}, 200, Skip, "no clock to compare with", OK},
		{"something else answers", now, 404, OK, "agrees", Fail},
		{"something else answers 200", now, 200, OK, "agrees", Fail},
	} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/email-link/health" {
				t.Errorf("asked for %s", r.URL)
			}
			w.Header()["Date"] = nil
			if !one.date.IsZero() {
				w.Header().Set("Date", one.date.Format(http.TimeFormat))
			}
			if one.reach == OK {
				w.Header().Set(boundary.HealthHeader, "ok")
			}
			w.WriteHeader(one.code)
		}))
		defer server.Close()
		n := Network{HTTP: server.Client(), Now: func() time.Time { return now }, Resolver: dns{}}
		list := n.Check(t.Context(), Facts{Sites: []Site{{Path: "/email-link", Origins: []Origin{{Text: server.URL, Host: "127.0.0.1"}}}}})
		if got := find(list, "clock"); got.Result != one.want || !strings.Contains(got.Text, one.text) {
			t.Errorf("%s: %+v", one.name, got)
		}
		if got := find(list, "reachable"); got.Result != one.reach {
			t.Errorf("%s: %+v", one.name, got)
		}
	}
}

// TestReach_ARedirectIsNoAnswer: what leads to the gate of another address is not the gate at this one.
func TestReach_ARedirectIsNoAnswer(t *testing.T) {
	t.Parallel()
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(boundary.HealthHeader, "ok") }))
	defer gate.Close()
	leads := httptest.NewServer(http.RedirectHandler(gate.URL+"/email-link/health", http.StatusFound))
	defer leads.Close()
	for address, want := range map[string]Result{gate.URL: OK, leads.URL: Fail} {
		list := (Network{Resolver: dns{}}).Check(t.Context(), Facts{NoMail: true, Sites: []Site{{Path: "/email-link", Origins: []Origin{{Text: address, Host: "127.0.0.1"}}}}})
		if got := find(list, "reachable"); got.Result != want {
			t.Errorf("%s: %+v", address, got)
		}
	}
}

// TestReach_AGateThatCannotWork says so itself, and what it says is not taken for another program's.
func TestReach_AGateThatCannotWork(t *testing.T) {
	t.Parallel()
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(boundary.HealthHeader, "unavailable")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer gate.Close()
	list := (Network{Resolver: dns{}}).Check(t.Context(), Facts{NoMail: true, Sites: []Site{{Path: "/email-link", Origins: []Origin{{Text: gate.URL, Host: "127.0.0.1"}}}}})
	if got := find(list, "reachable"); got.Result != Fail || !strings.Contains(got.Text, "cannot be read or written") || strings.Contains(got.Fix, "Host") {
		t.Errorf("%+v", got)
	}
}

type noRoute struct{}

func (noRoute) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route to host")}
}

func TestUnreachableIsNoFailure(t *testing.T) {
	t.Parallel()
	n := Network{HTTP: &http.Client{Transport: noRoute{}}}
	list := n.Check(t.Context(), Facts{NoMail: true, Sites: []Site{{Path: "/x", Origins: []Origin{
		{Text: "https://a.example", Host: "a.example"}, {Text: "https://*.b.example", Host: ".b.example", Wildcard: true},
	}}}})
	if got := find(list, "reachable"); got.Result != Warn || got.Text != "https://a.example does not answer from here: no route to host" {
		t.Errorf("%+v", got)
	}
	if got := find(list, "clock"); got.Result != Skip {
		t.Errorf("%+v", got)
	}
	if got := find(list, "smtp"); got.Result != Skip {
		t.Errorf("%+v", got)
	}
	if Failed(list) {
		t.Errorf("%+v", list)
	}
}
