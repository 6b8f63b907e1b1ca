package smtp

import (
	"context"
	"crypto/x509"
	"net"
	"net/textproto"
	"strings"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// TestLOG1_TheServersReasonBeforeAnyMailIsKept shows what a server says before it has seen an address, a link or a code: its words stay,
// user and password do not, and the advice fits the cause.
func TestLOG1_TheServersReasonBeforeAnyMailIsKept(t *testing.T) {
	m, err := New(Config{Addr: "smtp.example.com:587", User: "robot@example.com", Password: "pw0rd-of-the-robot"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		step      string
		code      int
		text      string
		want, fix string
	}{
		{
			StepAuth, 535, "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
			"5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
			"the password is not the cause",
		},
		{
			StepAuth, 534, "5.7.9 Application-specific password required.\n5.7.9 https://support.google.com/mail/?p=InvalidSecondFactor",
			"5.7.9 Application-specific password required. 5.7.9 https://support.google.com/mail/?p=InvalidSecondFactor",
			"create an app password",
		},
		{StepAuth, 535, "5.7.8 bad credentials of ROBOT@example.com", "5.7.8 bad credentials of <removed>", "check both"},
		{StepAuth, 535, "Authentication failed", "Authentication failed", "check both"},
		{StepAuth, 535, "said pw0rd-of-the-robot", "said <removed>", "check both"},
		{StepAuth, 535, "said cHcwcmQtb2YtdGhlLXJvYm90", "said <removed>", "check both"},
		{StepAuth, 535, "said cm9ib3RAZXhhbXBsZS5jb20=", "said <removed>", "check both"},
		{StepAuth, 535, "said AHJvYm90QGV4YW1wbGUuY29tAHB3MHJkLW9mLXRoZS1yb2JvdA==", "said <removed>", "check both"},
		{StepBanner, 554, "192.0.2.7 is listed,\r\nsee https://rbl.example/?ip=192.0.2.7", "192.0.2.7 is listed, see https://rbl.example/?ip=192.0.2.7", "accepts no mail from this machine"},
		{StepEHLO, 550, "reverse_name_does_not_match_the_client", "reverse_name_does_not_match_the_client", "write `helo <name>`"},
	} {
		reply := &textproto.Error{Code: c.code, Msg: c.text}
		words, hint := mailer.SplitHint(m.explain(t.Context(), c.step, reply))
		if !strings.HasSuffix(words, c.want) || !strings.Contains(hint, c.fix) {
			t.Errorf("%q is shown as %q, with %q", c.text, words, hint)
		}
		out := m.stopped(context.Background(), Probed{}, c.step, reply)
		if !strings.HasSuffix(out.Err.Error(), c.want) || out.Fix != hint {
			t.Errorf("a probe shows %q as %q, with %q", c.text, out.Err, out.Fix)
		}
	}
}

// TestLOG1_AnEnglishUserNameEatsNoReason signs in with names that servers use as words.
func TestLOG1_AnEnglishUserNameEatsNoReason(t *testing.T) {
	const text = "5.7.8 Error: authentication failed for a mail user"
	for _, user := range []string{"a", "mail", "user", "ail", "mail@example.com"} {
		m, err := New(Config{Addr: "smtp.example.com:587", User: user, Password: "pw0rd-of-the-robot"})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.greetingRefusal(StepAuth, &textproto.Error{Code: 535, Msg: text}).text; got != text {
			t.Errorf("%s: %q", user, got)
		}
	}
}

// TestHint_ACertificateForAnAddress is Proton Bridge's: it names 127.0.0.1 and no host.
func TestHint_ACertificateForAnAddress(t *testing.T) {
	m, err := New(Config{Addr: "localhost:1025"})
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	want := "the certificate is for 127.0.0.1: write that name instead of localhost"
	if got := m.hint(StepTLS, x509.HostnameError{Certificate: cert, Host: "localhost"}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
