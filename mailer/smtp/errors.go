package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// replyError is a server's refusal, with everything taken out that a log must not hold.
type replyError struct {
	step string
	code int
	text string
}

func (e *replyError) Error() string {
	text := fmt.Sprintf("smtp: %s refused: %d %s", e.step, e.code, e.text)
	if e.code < 400 || e.code > 599 {
		text = fmt.Sprintf("smtp: %s: an answer that is not SMTP: %d %s", e.step, e.code, e.text)
	}
	return strings.TrimRight(text, " ")
}

func isReply(err error) bool {
	var r *replyError
	return errors.As(err, &r)
}

// refusal turns an error of the mail itself into what the outbox has to know.
func (s *session) refusal(ctx context.Context, step string, e envelope, err error) error {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return plainError(ctx, s.conn, step, err)
	}
	f := classify(step, reply)
	refused := mailer.WithHint(&replyError{step: step, code: reply.Code, text: redact(reply.Msg, e.to, e.text)}, faultHint(f, reply))
	switch f {
	case faultOperator:
		return mailer.OperatorFault(refused)
	case faultRecipient:
		return mailer.Permanent(refused)
	default:
		return refused
	}
}

// plainError describes a broken or silent connection. Network errors name the server's address only.
func plainError(ctx context.Context, c *conn, step string, err error) error {
	if err := ended(ctx); err != nil {
		return fmt.Errorf("smtp: %s: %w", step, err)
	}
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("smtp: %s: no answer within %s: %w", step, c.timeout, os.ErrDeadlineExceeded)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("smtp: %s: the server closed the connection: %w", step, err)
	}
	var malformed textproto.ProtocolError
	if errors.As(err, &malformed) {
		return fmt.Errorf("smtp: %s: the answer is not SMTP", step) // the text may hold anything
	}
	return fmt.Errorf("smtp: %s: %w", step, err)
}

// ended is ctx.Err, and also true in the time between the deadline, which the dialer obeys, and the context's own timer.
func ended(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// explain turns an error of the connection into words with the line to write. It is never permanent.
func (m *Mailer) explain(ctx context.Context, phase string, err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		e := mailer.WithHint(m.greetingRefusal(phase, reply), m.greetingHint(phase, reply))
		if classify(phase, reply) == faultOperator {
			e = mailer.OperatorFault(e)
		}
		return e
	}
	base := plainError(ctx, &conn{timeout: m.cfg.Timeout}, phase, err)
	if ended(ctx) != nil {
		return base
	}
	e := mailer.WithHint(base, m.hint(phase, err))
	if misconfigured(phase, err) {
		e = mailer.OperatorFault(e)
	}
	return e
}

// misconfigured reports whether a connection fails in the same way until the operator acts.
func misconfigured(phase string, err error) bool {
	var (
		name        x509.HostnameError
		unknown     x509.UnknownAuthorityError
		invalid     x509.CertificateInvalidError
		record      tls.RecordHeaderError
		noMechanism *noMechanismError
		dns         *net.DNSError
	)
	return errors.As(err, &name) || errors.As(err, &unknown) || errors.As(err, &invalid) || errors.As(err, &record) && phase == StepTLS ||
		errors.Is(err, errNoStartTLS) || errors.Is(err, errPlainAuth) || errors.As(err, &noMechanism) ||
		errors.As(err, &dns) && dns.IsNotFound
}

// greetingHint says what a refusal before MAIL asks the operator for; it is empty for a temporary one.
func (m *Mailer) greetingHint(phase string, reply *textproto.Error) string {
	unknown := reply.Code == 500 || reply.Code == 502
	switch {
	case classify(phase, reply) != faultOperator:
		return ""
	case phase == StepAuth:
		return m.authHint(reply)
	case phase == StepBanner:
		return "the server accepts no mail from this machine's address: ask its administrator, or send through a provider with a user name and password"
	case phase == StepEHLO && unknown:
		return "a mail server knows this command: is the address in `mailer smtp " + m.cfg.Addr + "` right?"
	case phase == StepEHLO:
		return "the server refuses the name or the address of this machine: write `helo <name>` with the name that its address has in the DNS"
	case phase == StepSTARTTLS && (unknown || reply.Code == 503):
		return "the server does not support STARTTLS on this port: write `tls implicit` with its TLS port, usually 465"
	}
	return "change what the server's answer names, at the server or in `mailer smtp " + m.cfg.Addr + "`"
}

// greetingRefusal describes a refusal before MAIL. The server has seen no address, link or code yet, so its words are kept but for the
// user and the password: they are often the only place that says what to do ("SmtpClientAuthentication is disabled …, visit https://…").
func (m *Mailer) greetingRefusal(step string, reply *textproto.Error) *replyError {
	text := reply.Msg
	if m.cfg.User != "" {
		encode := base64.StdEncoding.EncodeToString
		user, password := m.cfg.User, m.cfg.Password
		for _, secret := range []string{
			encode([]byte("\x00" + user + "\x00" + password)), encode([]byte(password)), encode([]byte(user)), password,
		} {
			if secret != "" {
				text = replaceFold(text, secret, "<removed>")
			}
		}
		if !strings.Contains(user, "@") {
			user += "@" + m.host // only what stands before it is looked for as well
		}
		text = mailer.HideRecipient(text, user, "<removed>", "<removed>")
	}
	return &replyError{step: step, code: reply.Code, text: oneLine(text)}
}

// credentialsRefused reports whether a refusal of AUTH speaks of user and password. A reply of 535 does (RFC 4954 section 6), unless its
// enhanced status code names another cause, such as 5.7.139 where the provider has switched SMTP AUTH off.
func credentialsRefused(reply *textproto.Error) bool {
	if reply.Code != 535 {
		return false
	}
	switch status := enhancedStatus.FindString(reply.Msg); status {
	case "", "5.0.0", "5.7.0", "5.7.1", "5.7.3", "5.7.8":
		return true
	default:
		return false
	}
}

// hint says what to write instead, where the failure is a known one.
func (m *Mailer) hint(phase string, err error) string {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		noMech  *noMechanismError
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &name):
		names := name.Certificate.DNSNames
		for _, ip := range name.Certificate.IPAddresses { // Proton Bridge has one for 127.0.0.1 alone
			names = append(names, ip.String())
		}
		if len(names) > 0 {
			return fmt.Sprintf("the certificate is for %s: write that name instead of %s", strings.Join(first(names, 3), ", "), m.host)
		}
		return "the certificate names no host: it needs one with the name " + m.host
	case errors.As(err, &unknown):
		return "if the server has its own certificate authority, name its certificate with `ca <file>`"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired, or this machine's clock is wrong"
	case errors.As(err, &record) && phase == "tls":
		return fmt.Sprintf("port %s does not speak implicit TLS: write `tls starttls`", m.port())
	case errors.Is(err, errNoStartTLS):
		return "write `tls implicit` with the server's TLS port (465), or `tls none` if nobody on the way can listen"
	case errors.As(err, &noMech):
		return noMech.hint(m.cfg.TLS)
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no host " + m.host + " in the DNS: correct the name in `mailer smtp <host>:<port>`"
	case phase == "banner" && m.cfg.TLS != ImplicitTLS:
		return fmt.Sprintf("if port %s speaks implicit TLS, as 465 does, write `tls implicit`", m.port())
	case phase == "connect":
		return "is the address right, and does a firewall let port " + m.port() + " out? Many hosts block 25: try 587"
	}
	return ""
}

func (m *Mailer) port() string {
	_, port, _ := net.SplitHostPort(m.cfg.Addr) // New has checked it
	return port
}

func first(s []string, n int) []string { return s[:min(len(s), n)] }

// What a server may quote back of a mail: its link, its code, the addresses. A token is 52 characters, a code 8 digits.
var (
	addresses = regexp.MustCompile(`[^\s<>"'(),:;\[\]]+@[^\s<>"'(),:;]+`)
	runs      = regexp.MustCompile(`[A-Za-z0-9_-]{16,}`)
	digits    = regexp.MustCompile(`\b\d[\d -]{6,}\d\b`)
	codes     = regexp.MustCompile(`\b\d{4}[ -]?\d{4}\b`)
)

const (
	maxText = 200
	// window is how many characters of the message in a row are taken for a part of its token: long words of servers are no part of it.
	window = 16
)

// redact makes a server's text safe for a log: one line of printable ASCII without recipients, and without what it repeats of the links and
// codes of the message. Its other words stay, however long, and so do links of its own: they say what to do.
func redact(text, to, message string) string {
	text = mailer.HideRecipient(printable(text), to, "<address>", "<address>")
	text = addresses.ReplaceAllString(text, "<address>")
	sent := strings.ToLower(strings.ReplaceAll(message, "\u00a0", " "))
	text = runs.ReplaceAllStringFunc(text, func(run string) string {
		for i := 0; i+window <= len(run); i++ {
			if strings.Contains(sent, strings.ToLower(run[i:i+window])) {
				return "<removed>"
			}
		}
		return run
	})
	numbers := strings.NewReplacer(" ", "", "-", "")
	text = digits.ReplaceAllStringFunc(text, func(run string) string {
		for _, code := range codes.FindAllString(sent, -1) {
			if strings.Contains(numbers.Replace(run), numbers.Replace(code)) {
				return "<removed>"
			}
		}
		return run
	})
	return oneLine(text)
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, text)
}

// oneLine returns text as one line of printable ASCII, cut at maxText bytes.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(printable(text)), " ")
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return text
}

// replaceFold is strings.ReplaceAll for ASCII without regard to case.
func replaceFold(s, old, with string) string {
	return regexp.MustCompile(`(?i)`+regexp.QuoteMeta(old)).ReplaceAllLiteralString(s, with)
}
