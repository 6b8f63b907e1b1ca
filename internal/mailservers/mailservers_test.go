//go:build mailservers

package mailservers

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
)

// wanted are the servers to test: those that MAIL_SERVERS names, else Exim.
func wanted() []string {
	if names := strings.Fields(os.Getenv("MAIL_SERVERS")); len(names) > 0 {
		return names
	}
	return []string{"exim"}
}

// TestServers sends mails by STARTTLS and by implicit TLS, with a user and a password, and reads what the server has put into
// the mailbox with Go's parser and with Python's, which also checks both signatures.
func TestServers(t *testing.T) {
	for _, name := range wanted() {
		t.Run(name, func(t *testing.T) {
			start, ok := servers[name]
			if !ok {
				t.Fatalf("unknown server %q", name)
			}
			r := newRig(t, name)
			start(r)
			keys := newKeys(t)
			modes := map[string]string{smtp.StartTLS: r.starttls, smtp.ImplicitTLS: r.implicit}
			sent := map[string]mailer.Message{}
			for _, mode := range []string{smtp.StartTLS, smtp.ImplicitTLS} {
				m := r.open(modes[mode], mode, keys, nil)
				for range 2 { // the second by the same connection
					msg := mailertest.Sample(len(sent))
					msg.Text += "\n.\n..two dots\nFrom here on\nhttps://app.example.com/" + strings.Repeat("x", 300) + "\n"
					if err := m.Send(t.Context(), msg); err != nil {
						t.Fatalf("%s: %v", mode, err)
					}
					sent[msg.MessageID] = msg
				}
				r.refuses(modes[mode], mode)
			}
			files := r.delivered(len(sent))
			inGo, inPython := readGo(t, files), keys.readPython(t, files)
			for id, msg := range sent {
				want := mailertest.Mail{
					From: "no-reply@example.com", FromName: "Exämple, Inc.", ReplyTo: msg.ReplyTo, To: msg.To, Subject: msg.Subject,
					Text: strings.TrimRight(msg.Text, "\n"), HTML: strings.TrimRight(msg.HTML, "\n"), MessageID: id,
				}
				if diff := cmp.Diff(want, inGo[id]); diff != "" {
					t.Errorf("Go reads something else (-want +got):\n%s", diff)
				}
				got := inPython[id]
				if diff := cmp.Diff(want, got.Mail); diff != "" {
					t.Errorf("Python reads something else (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]bool{true, true}, got.Signatures); diff != "" {
					t.Errorf("dkimpy on the signatures of %s (-want +got):\n%s", id, diff)
				}
				if len(got.Defects) > 0 {
					t.Errorf("Python finds defects: %v", got.Defects)
				}
			}
		})
	}
}

func (r *rig) open(port, mode string, k *keys, change func(*smtp.Config)) *smtp.Mailer {
	r.t.Helper()
	cfg := smtp.Config{Addr: net.JoinHostPort("localhost", port), TLS: mode, User: user, Password: password, CAFile: r.caFile, DKIM: k.config}
	if change != nil {
		change(&cfg)
	}
	m, err := smtp.New(cfg)
	r.must(err)
	r.t.Cleanup(func() { _ = m.Close(r.t.Context()) }) // what the connection says at its end changes nothing
	return m
}

// refuses shows what a wrong password, another authority and the other TLS mode lead to: an error that is tried again, and
// words that help.
func (r *rig) refuses(port, mode string) {
	r.t.Helper()
	other, fix := smtp.ImplicitTLS, "write `tls starttls`"
	if mode == smtp.ImplicitTLS {
		other, fix = smtp.StartTLS, "write `tls implicit`"
	}
	for name, c := range map[string]struct {
		change func(*smtp.Config)
		want   string
	}{
		"wrong password":    {func(c *smtp.Config) { c.Password = "wrong" }, "the server refuses the user name or the password"},
		"unknown authority": {func(c *smtp.Config) { c.CAFile = "" }, "`ca <file>`"},
		"other TLS mode":    {func(c *smtp.Config) { c.TLS, c.Timeout = other, 2*time.Second }, fix},
	} {
		err := r.open(port, mode, new(keys), c.change).Send(r.t.Context(), mailertest.Sample(99))
		if err == nil || mailer.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
			r.t.Errorf("%s, %s: %v, want %q", mode, name, err, c.want)
		}
	}
}

func readGo(t *testing.T, files []string) map[string]mailertest.Mail {
	t.Helper()
	out := map[string]mailertest.Mail{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mailertest.Parse(raw)
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		m.Header, m.Raw = nil, nil
		out[m.MessageID] = m
	}
	return out
}

// keys are what mails are signed with, and where their public halves are published.
type keys struct {
	config []smtp.DKIM
	dns    string // a JSON object: name to TXT record
}

func newKeys(t *testing.T) *keys {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaPublic, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	k := &keys{}
	dns := map[string]string{
		"rsa._domainkey.example.com.": "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaPublic),
		"ed._domainkey.example.com.":  "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public),
	}
	for selector, key := range map[string]crypto.Signer{"rsa": rsaKey, "ed": private} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), selector+".pem")
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		k.config = append(k.config, smtp.DKIM{Domain: "example.com", Selector: selector, KeyFile: name})
	}
	text, err := json.Marshal(dns)
	if err != nil {
		t.Fatal(err)
	}
	k.dns = string(text)
	return k
}

// pythonMail is what check.py says about one file.
type pythonMail struct {
	mailertest.Mail
	Defects    []string
	Signatures []bool
}

func (k *keys) readPython(t *testing.T, files []string) map[string]pythonMail {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", append([]string{"testdata/check.py", k.dns}, files...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("check.py: %v\n%s", err, stderr.String())
	}
	var mails []pythonMail
	if err := json.Unmarshal(text, &mails); err != nil {
		t.Fatal(err)
	}
	out := map[string]pythonMail{}
	for _, m := range mails {
		out[m.MessageID] = m
	}
	return out
}
