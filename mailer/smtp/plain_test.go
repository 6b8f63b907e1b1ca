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

// TestLOG1_ErrorsRepeatNoSecrets redacts, one at a time, what servers quote back.
func TestLOG1_ErrorsRepeatNoSecrets(t *testing.T) {
	for text, secret := range map[string]string{
		"see https://app.example.com/x":                 "app.example.com",
		"no such user bob@example.org":                  "bob",
		"<Ada.Lovelace@example.com> unknown":            "lovelace",
		"mailbox ada.lovelace is full":                  "lovelace",
		"spam: AZaz09_-AZaz09_-AZaz09_-":                "AZaz09",
		"code 1234 5678 listed":                         "5678",
		"a link /email-link/link?t=AAAA in the message": "?t=",
	} {
		if got := redact(text, "ada.lovelace@example.com"); strings.Contains(strings.ToLower(got), strings.ToLower(secret)) {
			t.Errorf("%q is told as %q", text, got)
		}
	}
}
