package smtp

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// at is a connection whose other end has an address of our choice, as a local name that a resolver sends elsewhere has.
type at struct {
	net.Conn
	remote net.Addr
}

func (a at) RemoteAddr() net.Addr { return a.remote }

// TestMAIL6_NoPasswordInPlainTextToAnotherMachine connects to a name that is this machine's, at an address that is not: with
// `tls none` the password must not go out.
func TestMAIL6_NoPasswordInPlainTextToAnotherMachine(t *testing.T) {
	for address, local := range map[string]bool{
		"127.0.0.1": true, "::1": true, "192.0.2.1": false, "2001:db8::1": false, "10.0.0.1": false, "0.0.0.0": false,
	} {
		m, err := New(Config{Addr: "localhost:2525", TLS: NoTLS, User: "mailer", Password: "secret", Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		said := make(chan []string)
		go func() {
			var lines []string
			defer func() { said <- lines }()
			write := func(text string) { _, _ = there.Write([]byte(text)) }
			write("220 ready\r\n")
			for in := bufio.NewScanner(there); in.Scan(); {
				lines = append(lines, in.Text())
				switch word, _, _ := strings.Cut(in.Text(), " "); word {
				case "EHLO":
					write("250-ready\r\n250 AUTH PLAIN\r\n")
				case "AUTH":
					write("235 good\r\n")
				default:
					write("221 bye\r\n")
				}
			}
		}()
		c := &conn{Conn: at{here, &net.TCPAddr{IP: net.ParseIP(address), Port: 2525}}, timeout: 5 * time.Second}
		_, phase, err := m.greet(t.Context(), c, "no-reply@example.com")
		_ = here.Close()
		authenticated := false
		for _, line := range <-said {
			authenticated = authenticated || strings.HasPrefix(line, "AUTH")
		}
		if authenticated != local || local != (err == nil) || !local && (!errors.Is(err, errPlainAuth) || phase != "auth") {
			t.Errorf("%s: authenticated %v, %s: %v", address, authenticated, phase, err)
		}
	}
}

// TestMAIL6_NoPasswordIsConfiguredForPlainText: only a name that is this machine's may go with `tls none` and a password.
func TestMAIL6_NoPasswordIsConfiguredForPlainText(t *testing.T) {
	for addr, fine := range map[string]bool{
		"localhost:25": true, "127.0.0.1:25": true, "[::1]:25": true, "mail.localhost:25": false,
		"mail.example.com:25": false, "localhost.example.com:25": false, "192.0.2.1:25": false, "mail:25": false,
	} {
		if _, err := New(Config{Addr: addr, TLS: NoTLS, User: "u", Password: "p"}); (err == nil) != fine {
			t.Errorf("%s: %v", addr, err)
		}
		if _, err := New(Config{Addr: addr, TLS: NoTLS}); err != nil {
			t.Errorf("%s without a password: %v", addr, err)
		}
	}
}

// sentMessage is the text of a message with links and a code.
const sentMessage = "Open https://app.example.com/email-link/link?t=AZaz09_-AZaz09_-AZaz09_-AZaz09_-AZaz09\n\n" +
	"    1234\u00a05678\n\nhttps://app.example.com/email-link/cancel?t=BZaz09_-BZaz09_-BZaz09_-BZaz09_-BZaz09\n"

// TestLOG1_ErrorsRepeatNoSecrets redacts, one at a time, what servers quote back.
func TestLOG1_ErrorsRepeatNoSecrets(t *testing.T) {
	for text, secret := range map[string]string{
		"no such user bob@example.org":                             "bob",
		"<Ada.Lovelace@example.com> unknown":                       "lovelace",
		"mailbox ada.lovelace is full":                             "lovelace",
		"spam: AZaz09_-AZaz09_-AZaz09_-":                           "az09_-azaz",
		"spam: 3DAZaz09_-AZaz09_-AZaz09_-AZaz0":                    "az09_-azaz",
		"spam: BZaz09_-BZaz09_-BZaz09_-BZaz":                       "az09_-bzaz",
		"code 1234 5678 listed":                                    "5678",
		"code 12345678 listed":                                     "5678",
		"a link /email-link/link?t=AZaz09_-AZaz09_- in it":         "az09_-azaz",
		"see HTTPS://APP.EXAMPLE.COM/x?t=AZAZ09_-AZAZ09_-AZAZ09_-": "az09_-azaz",
	} {
		if got := redact(text, "ada.lovelace@example.com", sentMessage); strings.Contains(strings.ToLower(got), strings.ToLower(secret)) {
			t.Errorf("%q is told as %q", text, got)
		}
	}
}

// TestLOG1_ErrorsKeepTheReason: long words, links of the server and numbers that are not of the message stay, and so does a word of the
// answer that is the recipient's local part.
func TestLOG1_ErrorsKeepTheReason(t *testing.T) {
	for _, text := range []string{
		"5.7.60 SMTP; Client does not have permissions to send as this sender, see https://aka.ms/SmtpClientAuthenticationIsDisabledForTheTenant",
		"5.7.26 unauthenticated: https://support.google.com/mail/?p=UnauthedMail d9443c01a7336-2b0f1aa0d3bsi12345678pld.101 - gsmtp",
		"SenderNotAuthenticatedForMailbox: reverse_name_does_not_match_the_client, ticket 20261129 0001",
	} {
		for _, to := range []string{"ada@example.com", "a@example.com", "the@example.com", "mail@example.com", "support@example.com", "client@example.com"} {
			if got := redact(text, to, sentMessage); got != text {
				t.Errorf("%s: %q is told as %q", to, text, got)
			}
		}
	}
	if got, want := redact("cannot reach ann", "ann@example.com", ""), "cannot reach <address>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
