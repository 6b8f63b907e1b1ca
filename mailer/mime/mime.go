// Package mime writes a [mailer.Message] as the RFC 5322 text that an SMTP server takes or a file holds.
//
// The same message gives the same bytes, boundary included, however often and on whatever machine: a mail that is sent
// again after a lost answer is recognisable as the same one. No header names the program or the host.
package mime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

const (
	// maxLine is the longest line without its line end that SMTP has to carry, in octets (RFC 5321 section 4.5.3.1.6).
	maxLine = 998
	// maxHeader bounds each header text, in octets: far above any real subject and far below a folded word of maxLine.
	maxHeader = 600
)

// Options say what the next hop can carry.
type Options struct {
	// SevenBit encodes parts with characters outside ASCII as quoted-printable, for servers without 8BITMIME (RFC 6152). Without it
	// both parts are in the source as they are, so that their URLs are whole there.
	SevenBit bool
}

// Build returns the message with CRLF line ends: multipart/alternative of text and HTML. Every error is [mailer.Permanent]:
// the same message would fail again. No error quotes an address or a text of the message.
func Build(m mailer.Message, o Options) ([]byte, error) {
	raw, err := build(m, o)
	if err != nil {
		return nil, mailer.Permanent(fmt.Errorf("message: %w", err))
	}
	return raw, nil
}

func build(m mailer.Message, o Options) ([]byte, error) {
	if err := checkHeaders(m); err != nil {
		return nil, err
	}
	from, err := Mailbox(m.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	to, err := recipient(m.To)
	if err != nil {
		return nil, err
	}
	text, err := body("text", m.Text)
	if err != nil {
		return nil, err
	}
	html, err := body("html", m.HTML)
	if err != nil {
		return nil, err
	}

	h := header{}
	h.add("Date", m.Date.Format(time.RFC1123Z))
	h.mailbox("From", from)
	if m.ReplyTo != "" {
		reply, err := Mailbox(m.ReplyTo)
		if err != nil {
			return nil, fmt.Errorf("reply_to: %w", err)
		}
		h.mailbox("Reply-To", reply)
	}
	h.mailbox("To", &mail.Address{Address: to})
	h.text("Subject", m.Subject)
	h.add("Message-ID", "<"+m.MessageID+">")
	if m.Language != "" {
		h.add("Content-Language", m.Language)
	}
	h.add("Auto-Submitted", "auto-generated") // RFC 3834: no vacation notice answers it
	h.add("X-Auto-Response-Suppress", "All")  // the same for Exchange
	h.add("MIME-Version", "1.0")
	h.add("Content-Type", "multipart/alternative;\r\n boundary="+boundary(m))
	h.WriteString("\r\n")
	err = writeParts(&h.Buffer, boundary(m), o, part{"text/plain", text}, part{"text/html", html})
	return h.Bytes(), err
}

// part is one of the alternatives, with CRLF line ends.
type part struct{ contentType, body string }

func writeParts(to io.Writer, boundary string, o Options, parts ...part) error {
	w := multipart.NewWriter(to)
	if err := w.SetBoundary(boundary); err != nil {
		return err
	}
	for _, p := range parts {
		encoding := transferEncoding(p.body, o)
		out, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Type": {p.contentType + "; charset=UTF-8"}, "Content-Transfer-Encoding": {encoding},
		})
		if err != nil {
			return err
		}
		if encoding == encodingQP {
			qp := quotedprintable.NewWriter(out)
			_, err = io.WriteString(qp, p.body)
			err = errors.Join(err, qp.Close())
		} else {
			_, err = io.WriteString(out, p.body)
		}
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// Mailbox parses an operator's mailbox, such as `"Example" <no-reply@example.com>`, and writes its domain in ASCII (RFC 5891).
// Its local part has to be ASCII: not every server on the way speaks SMTPUTF8.
func Mailbox(s string) (*mail.Address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || strings.HasSuffix(strings.TrimSpace(s), ";") { // net/mail takes a group of one as well
		return nil, errors.New("not a mailbox: write it as name@example.com or \"Name <name@example.com>\", and with a comma or a parenthesis in the " +
			"name as `\"Name, Inc.\" <name@example.com>`")
	}
	if hasComment(s) {
		return nil, errors.New("parentheses in a name are a comment, which mail programs do not show: quote the name, as in " +
			"`\"Name (Team)\" <name@example.com>`")
	}
	at := strings.LastIndexByte(a.Address, '@')
	local, domain := a.Address[:at], a.Address[at+1:]
	if !plain(local) {
		return nil, errors.New("the part before the @ has characters that not every mail server accepts")
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || !plain(ascii) {
		return nil, errors.New("the part after the @ is not a domain name")
	}
	return &mail.Address{Name: a.Name, Address: local + "@" + ascii}, nil
}

// hasComment reports whether a mailbox has a comment (RFC 5322 section 3.2.2), which is a bracket outside of a quoted string.
func hasComment(s string) bool {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '(' && !quoted:
			return true
		}
	}
	return false
}

// recipient checks the one address that mail goes to. It stays as it is, byte for byte, unless its domain is not ASCII.
func recipient(s string) (string, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || !plain(s[:at]) {
		return "", errors.New("to: not a bare address")
	}
	domain := s[at+1:]
	if !plain(domain) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil || !plain(ascii) {
			return "", errors.New("to: not a domain name")
		}
		domain = ascii
	}
	return s[:at+1] + domain, nil
}

// plain reports whether s, one side of an address, can stand in a header and an SMTP command without quotes.
func plain(s string) bool {
	if s == "" || len(s) > 254 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>[]:;@\,"`, s[i]) >= 0 {
			return false
		}
	}
	return true
}

func checkHeaders(m mailer.Message) error {
	for _, h := range []struct{ name, value string }{
		{"from", m.From},
		{"reply_to", m.ReplyTo},
		{"to", m.To},
		{"subject", m.Subject},
		{"message id", m.MessageID},
		{"language", m.Language},
	} {
		if len(h.value) > maxHeader {
			return fmt.Errorf("%s: longer than %d bytes", h.name, maxHeader)
		}
		if !utf8.ValidString(h.value) {
			return fmt.Errorf("%s: not UTF-8", h.name)
		}
		for _, r := range h.value {
			// Beside CR, LF and NUL the other control characters and Unicode's own line ends go as well: nothing has a use for them.
			if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
				return fmt.Errorf("%s: control character", h.name)
			}
		}
	}
	if left, right, ok := strings.Cut(m.MessageID, "@"); !ok || !plain(left) || !plain(right) {
		return errors.New("message id: not of the form left@right")
	}
	for i := range len(m.Language) {
		if c := m.Language[i] | 0x20; (c < 'a' || c > 'z') && (m.Language[i] < '0' || m.Language[i] > '9') && m.Language[i] != '-' {
			return errors.New("language: not a language tag")
		}
	}
	if m.Date.IsZero() {
		return errors.New("date: missing")
	}
	return nil
}

// body returns the part with CRLF line ends. A lone CR is refused: mail servers disagree about whether it ends a line, and
// that is how a message is smuggled into another.
func body(name, s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%s: not UTF-8", name)
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if strings.ContainsAny(s, "\r\x00") {
		return "", fmt.Errorf("%s: CR or NUL character", name)
	}
	return strings.ReplaceAll(strings.TrimRight(s, "\n")+"\n", "\n", "\r\n"), nil
}

const encodingQP = "quoted-printable"

// transferEncoding returns the encoding (RFC 2045 section 6) that leaves a part as it is where the next hop can carry it, so that no link is
// broken over two lines of the source: some readers show the source of a link.
func transferEncoding(body string, o Options) string {
	encoding := "7bit"
	for line := range strings.SplitSeq(body, "\r\n") {
		if len(line) > maxLine {
			return encodingQP
		}
		if !ascii(line) {
			encoding = "8bit"
		}
	}
	if o.SevenBit && encoding == "8bit" {
		return encodingQP
	}
	return encoding
}

// boundary depends on everything the message says, so that no text can be written that holds its own boundary.
func boundary(m mailer.Message) string {
	h := sha256.New()
	for _, s := range []string{m.MessageID, m.From, m.To, m.Subject, m.Text, m.HTML} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:20])
}
