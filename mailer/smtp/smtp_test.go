package smtp_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
)

const user, password = "mailer", "correct horse"

// open makes a mailer for srv. change may be nil.
func open(t *testing.T, srv *mailertest.Server, change func(*smtp.Config)) *smtp.Mailer {
	t.Helper()
	cfg := smtp.Config{Addr: srv.Addr, CAFile: srv.CAFile, Timeout: 5 * time.Second}
	if change != nil {
		change(&cfg)
	}
	m, err := smtp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

func TestSuite(t *testing.T) {
	for name, c := range map[string]struct {
		server mailertest.Options
		change func(*smtp.Config)
	}{
		"starttls": {mailertest.Options{TLS: "starttls"}, nil},
		"implicit": {mailertest.Options{TLS: "implicit"}, func(c *smtp.Config) { c.TLS = smtp.ImplicitTLS }},
		"none":     {mailertest.Options{}, func(c *smtp.Config) { c.TLS = smtp.NoTLS }},
		"plain": {
			mailertest.Options{TLS: "starttls", User: user, Password: password, Mechanisms: []string{"PLAIN"}},
			func(c *smtp.Config) { c.User, c.Password = user, password },
		},
		"login": {
			mailertest.Options{TLS: "implicit", User: user, Password: password, Mechanisms: []string{"LOGIN"}},
			func(c *smtp.Config) { c.TLS, c.User, c.Password = smtp.ImplicitTLS, user, password },
		},
		"sign-in on loopback": {
			mailertest.Options{User: user, Password: password, PlainAuth: true},
			func(c *smtp.Config) { c.TLS, c.User, c.Password = smtp.NoTLS, user, password },
		},
	} {
		t.Run(name, func(t *testing.T) {
			mailertest.Run(t, func(t *testing.T) mailertest.Subject {
				srv := mailertest.NewServer(t, c.server)
				return mailertest.Subject{
					Mailer:    open(t, srv, c.change),
					Delivered: func(*testing.T) []mailertest.Mail { return srv.Mails() },
				}
			})
		})
	}
}

func TestConfigErrorsSayWhatToWrite(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.pem")
	if err := os.WriteFile(junk, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  smtp.Config
		want string
	}{
		"no port":         {smtp.Config{Addr: "mail.example.com"}, "write it like mail.example.com:587"},
		"unknown mode":    {smtp.Config{Addr: "a.example:587", TLS: "ssl"}, "`tls starttls`, `tls implicit` or `tls none`"},
		"MAIL-6 password": {smtp.Config{Addr: "a.example:25", TLS: "none", User: "u", Password: "p"}, "in clear text"},
		"user alone":      {smtp.Config{Addr: "a.example:25", User: "u"}, "belong together"},
		"helo":            {smtp.Config{Addr: "a.example:25", HELO: "a b\r\nMAIL"}, "helo"},
		"timeout":         {smtp.Config{Addr: "a.example:25", Timeout: -1}, "timeout"},
		"ca":              {smtp.Config{Addr: "a.example:25", CAFile: junk}, "holds no PEM certificate"},
		"dkim key":        {smtp.Config{Addr: "a.example:25", DKIM: []smtp.DKIM{{"example.com", "s", junk}}}, "openssl genpkey"},
		"dkim missing":    {smtp.Config{Addr: "a.example:25", DKIM: []smtp.DKIM{{"example.com", "s", dir + "/none"}}}, "key file"},
		"dkim domain":     {smtp.Config{Addr: "a.example:25", DKIM: []smtp.DKIM{{"", "s", junk}}}, "write `dkim example.com"},
	} {
		if _, err := smtp.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want words with %q", name, err, c.want)
		}
	}
}

func TestMAIL6_NothingWithoutVerifiedTLS(t *testing.T) {
	for name, c := range map[string]struct {
		server mailertest.Options
		change func(*smtp.Config)
		hint   string
	}{
		"no STARTTLS": {mailertest.Options{User: user, Password: password, PlainAuth: true}, func(c *smtp.Config) {
			c.User, c.Password = user, password
		}, "`tls implicit`"},
		"unknown authority": {mailertest.Options{TLS: "starttls"}, func(c *smtp.Config) { c.CAFile = "" }, "`ca <file>`"},
		"wrong name":        {mailertest.Options{TLS: "implicit", Names: []string{"mx.example.net"}}, func(c *smtp.Config) { c.TLS = smtp.ImplicitTLS }, "write that name"},
		"expired":           {mailertest.Options{TLS: "starttls", Expired: true}, nil, "expired"},
		"implicit on a STARTTLS port": {mailertest.Options{TLS: "starttls"}, func(c *smtp.Config) {
			c.TLS = smtp.ImplicitTLS
		}, "`tls starttls`"},
		"STARTTLS on an implicit port": {mailertest.Options{TLS: "implicit"}, func(c *smtp.Config) {
			c.Timeout = 50 * time.Millisecond
		}, "`tls implicit`"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := mailertest.NewServer(t, c.server)
			err := open(t, srv, c.change).Send(t.Context(), mailertest.Sample(1))
			if err == nil || mailer.IsPermanent(err) || !strings.Contains(err.Error(), c.hint) {
				t.Errorf("%v; want an error to try again after, with %q", err, c.hint)
			}
			steps := srv.Steps()
			if slices.Contains(steps, mailertest.Auth) || slices.Contains(steps, mailertest.From) || len(srv.Mails()) > 0 {
				t.Errorf("the server got as far as %v", steps)
			}
		})
	}
}

func TestMAIL4_AnswersOfTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		step      mailertest.Step
		fault     mailertest.Fault
		permanent bool
		want      string
	}{
		"busy banner":     {mailertest.Connect, mailertest.Fault{Code: 421, Text: "too busy"}, false, "421"},
		"barred":          {mailertest.Connect, mailertest.Fault{Code: 554, Text: "go away"}, false, "554"},
		"huge banner":     {mailertest.Connect, mailertest.Fault{Raw: strings.Repeat("220-hello, who are you?\r\n", 40000)}, false, "sends too much"},
		"endless line":    {mailertest.Connect, mailertest.Fault{Raw: strings.Repeat("2", 1<<20)}, false, "sends too much"},
		"not SMTP":        {mailertest.Connect, mailertest.Fault{Raw: "HTTP/1.1 400 Bad Request\r\n\r\n"}, false, "not SMTP"},
		"silent banner":   {mailertest.Connect, mailertest.Fault{Silent: true}, false, "no answer within"},
		"dropped at once": {mailertest.Connect, mailertest.Fault{Drop: true}, false, "closed the connection"},
		"EHLO refused":    {mailertest.Hello, mailertest.Fault{Code: 550, Text: "who?"}, false, "550"},
		"wrong password":  {mailertest.Auth, mailertest.Fault{Code: 535, Text: "no"}, false, "user name or the password"},
		"sender limit":    {mailertest.From, mailertest.Fault{Code: 451, Text: "later"}, false, "451"},
		"wrong sender":    {mailertest.From, mailertest.Fault{Code: 553, Text: "not you"}, false, "553"},
		"sign in first":   {mailertest.From, mailertest.Fault{Code: 530, Text: "sign in first"}, false, "530"},
		"too weak for it": {mailertest.To, mailertest.Fault{Code: 534, Text: "another mechanism"}, false, "534"},
		"signed out":      {mailertest.Data, mailertest.Fault{Code: 535, Text: "no longer"}, false, "535"},
		"TLS first":       {mailertest.From, mailertest.Fault{Code: 538, Text: "TLS first"}, false, "538"},
		"greylisted":      {mailertest.To, mailertest.Fault{Code: 450, Text: "greylisted"}, false, "450"},
		"unknown user": {
			mailertest.To,
			mailertest.Fault{Code: 550, Text: "<Someone.1@example.org>: no mailbox someone.1 here"},
			true,
			"550 5.0.0 <<address>>: no mailbox <address> here",
		},
		"silent RCPT": {mailertest.To, mailertest.Fault{Silent: true}, false, "no answer within"},
		"spam": {
			mailertest.Data,
			mailertest.Fault{Code: 554, Text: "URL https://app.example.com/x?t=abc listed, code 1234 5678"},
			true,
			"554 5.0.0 URL https://app.example.com/x?t=abc listed, code <removed>",
		},
		"full disk":          {mailertest.Data, mailertest.Fault{Code: 452, Text: "no space"}, false, "452"},
		"dropped after DATA": {mailertest.Data, mailertest.Fault{Drop: true}, false, "the message"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := mailertest.NewServer(t, mailertest.Options{TLS: "starttls", User: user, Password: password})
			srv.Fault(c.step, c.fault)
			m := open(t, srv, func(cfg *smtp.Config) {
				cfg.User, cfg.Password = user, password
				if c.fault.Silent {
					cfg.Timeout = 50 * time.Millisecond
				}
			})
			err := m.Send(t.Context(), mailertest.Sample(1))
			if err == nil || mailer.IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (permanent: %t); want %q (permanent: %t)", err, mailer.IsPermanent(err), c.want, c.permanent)
			}
			if mailer.IsUnanswered(err) != (name == "dropped after DATA") {
				t.Errorf("%v: unanswered is %t", err, mailer.IsUnanswered(err))
			}
			if s := strings.ToLower(err.Error()); strings.Contains(s, "someone") || strings.Contains(s, "1234") {
				t.Errorf("the error holds the recipient or the code: %v", err)
			}
			srv.Heal()
			patient := open(t, srv, func(cfg *smtp.Config) { cfg.User, cfg.Password = user, password })
			if err := patient.Send(t.Context(), mailertest.Sample(1)); err != nil {
				t.Errorf("after healing: %v", err)
			}
		})
	}
}

func TestMAIL4_TakenIsTaken(t *testing.T) {
	srv := mailertest.NewServer(t, mailertest.Options{TLS: "starttls"})
	srv.Fault(mailertest.Done, mailertest.Fault{Drop: true})
	m := open(t, srv, nil)
	for n := range 3 { // the next mail finds the connection gone
		if err := m.Send(t.Context(), mailertest.Sample(n)); err != nil {
			t.Errorf("a mail that the server took is reported as failed: %v", err)
		}
	}
	if got := len(srv.Mails()); got != 3 {
		t.Errorf("%d mails, want 3", got)
	}
}

func TestMAIL4_LostAnswerIsTriedAgainWithTheSameBytes(t *testing.T) {
	srv := mailertest.NewServer(t, mailertest.Options{TLS: "starttls"})
	srv.Fault(mailertest.Stored, mailertest.Fault{Drop: true, Times: 1})
	m := open(t, srv, nil)
	if err := m.Send(t.Context(), mailertest.Sample(1)); !mailer.IsUnanswered(err) || mailer.IsPermanent(err) {
		t.Fatalf("%v, want an error of a message that may have arrived", err)
	}
	if err := m.Send(t.Context(), mailertest.Sample(1)); err != nil {
		t.Fatal(err)
	}
	mails := srv.Mails()
	if len(mails) != 2 || string(mails[0].Raw) != string(mails[1].Raw) {
		t.Errorf("%d mails, or they differ", len(mails))
	}
}

func TestMAIL4_EndedContextFreesTheCallerAndTheConnection(t *testing.T) {
	for _, step := range []mailertest.Step{mailertest.Connect, mailertest.Hello, mailertest.From, mailertest.To, mailertest.Data} {
		srv := mailertest.NewServer(t, mailertest.Options{TLS: "starttls"})
		srv.Fault(step, mailertest.Fault{Silent: true})
		m := open(t, srv, func(c *smtp.Config) { c.Timeout = time.Hour })
		before := runtime.NumGoroutine()
		var wg sync.WaitGroup
		for n := range 8 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			wg.Go(func() {
				defer cancel()
				err := m.Send(ctx, mailertest.Sample(n))
				if !errors.Is(err, context.DeadlineExceeded) || mailer.IsPermanent(err) {
					t.Errorf("%s: %v, want the context's error", step, err)
				}
			})
		}
		wg.Wait()
		srv.Close() // the server's goroutines go, ours have to be gone already
		for limit := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(limit) {
				t.Fatalf("%s: %d goroutines more than before", step, runtime.NumGoroutine()-before)
			}
		}
	}
}

func TestReusesOneConnection(t *testing.T) {
	srv := mailertest.NewServer(t, mailertest.Options{TLS: "starttls"})
	m := open(t, srv, nil)
	for n := range 5 {
		if err := m.Send(t.Context(), mailertest.Sample(n)); err != nil {
			t.Fatal(err)
		}
	}
	if all, _ := srv.Connections(); all != 1 {
		t.Errorf("%d connections for five mails in a row, want 1", all)
	}
}

func TestServerRestart(t *testing.T) {
	port, err := freeport.Next() // one that no connection to elsewhere takes meanwhile
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", port)
	srv := mailertest.NewServerAt(t, mailertest.Options{}, address)
	m := open(t, srv, func(c *smtp.Config) { c.TLS = smtp.NoTLS })
	if err := m.Send(t.Context(), mailertest.Sample(1)); err != nil {
		t.Fatal(err)
	}
	srv.Close()
	if err := m.Send(t.Context(), mailertest.Sample(2)); err == nil || mailer.IsPermanent(err) {
		t.Fatalf("with the server down: %v, want an error to try again after", err)
	}
	again := mailertest.NewServerAt(t, mailertest.Options{}, address)
	if err := m.Send(t.Context(), mailertest.Sample(2)); err != nil {
		t.Fatal(err)
	}
	if got := len(again.Mails()); got != 1 {
		t.Errorf("%d mails, want 1", got)
	}
}

func TestServerWithoutEightBitGetsASCII(t *testing.T) {
	srv := mailertest.NewServer(t, mailertest.Options{SevenBit: true})
	m := open(t, srv, func(c *smtp.Config) { c.TLS = smtp.NoTLS })
	if err := m.Send(t.Context(), mailertest.Sample(1)); err != nil {
		t.Fatal(err)
	}
	got := srv.Mails()[0]
	for _, b := range got.Raw {
		if b > 0x7e {
			t.Fatalf("byte %#x went to a server without 8BITMIME", b)
		}
	}
	if !strings.Contains(got.Text, "Grüße") {
		t.Errorf("text: %q", got.Text)
	}
}

func TestDKIM(t *testing.T) {
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPublic, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]string{
		"ed._domainkey.example.com":  "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edPublic),
		"rsa._domainkey.example.com": "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaPublic),
	}
	srv := mailertest.NewServer(t, mailertest.Options{TLS: "starttls"})
	m := open(t, srv, func(c *smtp.Config) {
		c.DKIM = []smtp.DKIM{{"example.com", "ed", keyFile(t, edKey)}, {"example.com", "rsa", keyFile(t, rsaKey)}}
	})
	if err := m.Send(t.Context(), mailertest.Sample(1)); err != nil {
		t.Fatal(err)
	}
	raw := string(srv.Mails()[0].Raw)
	verify := func(raw string) (good int) {
		got, err := dkim.VerifyWithOptions(strings.NewReader(raw), &dkim.VerifyOptions{
			LookupTXT: func(domain string) ([]string, error) { return []string{records[domain]}, nil },
		})
		if err != nil || len(got) != 2 {
			t.Fatalf("%d signatures, %v", len(got), err)
		}
		for _, v := range got {
			if v.Err == nil {
				good++
			}
		}
		return good
	}
	if good := verify(raw); good != 2 {
		t.Errorf("%d good signatures, want 2", good)
	}
	for name, bad := range map[string]string{
		"body":           strings.Replace(raw, "Hello", "Hallo", 1),
		"subject":        strings.Replace(raw, "\r\nSubject:", "\r\nSubject: x", 1),
		"second From":    strings.Replace(raw, "\r\nFrom: ", "\r\nFrom: <x@example.net>\r\nFrom: ", 1),
		"second Subject": strings.Replace(raw, "\r\nSubject:", "\r\nSubject: y\r\nSubject:", 1),
	} {
		if good := verify(bad); good != 0 {
			t.Errorf("%s changed: %d signatures are still good", name, good)
		}
	}
}

func keyFile(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
