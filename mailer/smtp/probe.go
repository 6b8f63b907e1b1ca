package smtp

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"time"
)

// The steps of a dialogue, as [Probed] names them.
const (
	StepConnect  = "connect"
	StepTLS      = "tls"
	StepBanner   = "banner"
	StepEHLO     = "ehlo"
	StepSTARTTLS = "starttls"
	StepAuth     = "auth"
	StepMail     = "MAIL"
	StepRcpt     = "RCPT"
)

// Probed is how far a mail would get.
type Probed struct {
	// Addr is the server, Mode the TLS mode that was used.
	Addr, Mode string
	// Step is where it ended, one of the Step constants; empty when the server would have taken the message.
	Step string
	// Err returns why, Fix what to write instead where the failure is a known one. Neither names a recipient.
	Err error
	Fix string
	// Greylisted is set when the server defers mail from senders that it does not know yet, and would take the next attempt.
	Greylisted bool
	// TLS is the version that was spoken, such as "TLS 1.3"; empty without TLS.
	TLS string
	// CertificateEnds is when the server's certificate ends; zero without TLS.
	CertificateEnds time.Time
	// SignedIn is set when user and password were asked for and taken.
	SignedIn bool
}

// maxProbeTimeout bounds each step of a probe: an operator waits at a terminal.
const maxProbeTimeout = 10 * time.Second

// Probe goes through the dialogue of a mail up to the answer to RCPT and ends it there: nothing is sent. from and to are bare
// addresses. Each step is bounded by the configured timeout, and by ten seconds.
func (m *Mailer) Probe(ctx context.Context, from, to string) Probed {
	cfg := m.cfg
	cfg.Timeout = min(cfg.Timeout, maxProbeTimeout)
	p := &Mailer{cfg: cfg, host: m.host, tls: m.tls} // a Mailer of its own: the spare connection stays where it is
	return p.probe(ctx, from, to)
}

func (m *Mailer) probe(ctx context.Context, from, to string) Probed {
	out := Probed{Addr: m.cfg.Addr, Mode: m.cfg.TLS}
	nc, err := m.dial(ctx)
	if err != nil {
		return m.stopped(ctx, out, StepConnect, err)
	}
	c := &conn{Conn: nc, timeout: m.cfg.Timeout}
	client, step, err := m.greet(ctx, c, from)
	if err != nil {
		c.kill(err)
		return m.stopped(ctx, out, step, err)
	}
	s := &session{conn: c, client: client}
	defer s.quit()
	if state, ok := client.TLSConnectionState(); ok {
		out.TLS = tls.VersionName(state.Version)
		if len(state.PeerCertificates) > 0 {
			out.CertificateEnds = state.PeerCertificates[0].NotAfter
		}
	}
	out.SignedIn = m.cfg.User != ""
	for _, one := range []struct {
		step, address string
		say           func(string) error
	}{{StepMail, from, client.Mail}, {StepRcpt, to, client.Rcpt}} {
		if err := c.during(ctx, 1, func() error { return one.say("<" + one.address + ">") }); err != nil {
			out.Step, out.Err = one.step, s.refusal(ctx, one.step, envelope{from: from, to: to}, err)
			out.Fix, out.Greylisted = m.envelopeHint(one.step, err), refusedBy(err, greylists)
			return out
		}
	}
	return out
}

// refusedBy reports whether an error is a refusal of a kind.
func refusedBy(err error, kind func(*textproto.Error) bool) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && kind(reply)
}

func (m *Mailer) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{Timeout: m.cfg.Timeout}).DialContext(ctx, "tcp", m.cfg.Addr)
}

// stopped describes a dialogue that did not come to MAIL.
func (m *Mailer) stopped(ctx context.Context, out Probed, step string, err error) Probed {
	out.Step = step
	var reply *textproto.Error
	if errors.As(err, &reply) {
		out.Err = m.greetingRefusal(step, reply)
		if out.Fix = m.greetingHint(step, reply); out.Fix == "" && reply.Code/100 == 4 {
			out.Fix = temporaryHint
		}
		return out
	}
	out.Err = plainError(ctx, &conn{timeout: m.cfg.Timeout}, step, err)
	if ended(ctx) != nil {
		return out
	}
	// Servers with implicit TLS wait for our first word as we wait for theirs: what looks like silence is a matter of mode.
	if (step == StepBanner || step == StepEHLO) && m.cfg.TLS != ImplicitTLS && m.speaksTLS(ctx) {
		out.Fix = fmt.Sprintf("port %s speaks implicit TLS: write `tls implicit`", m.port())
		return out
	}
	out.Fix = m.hint(step, err)
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		out.Fix = "no certificate authority known here signed the certificate: name the one that did, or the certificate itself if it " +
			"is self-signed, with `ca <file>`"
	}
	return out
}

// authHint says what a final refusal of AUTH asks for.
func (m *Mailer) authHint(reply *textproto.Error) string {
	if credentialsRefused(reply) {
		return "the server refuses the user name or the password: check both in `mailer smtp " + m.cfg.Addr + " <user> <password>`; " +
			"many providers require an app password"
	}
	if strings.Contains(strings.ToLower(reply.Msg), "application-specific password") {
		return "create an app password at the provider, and write it as the password in `mailer smtp " + m.cfg.Addr + " <user> <password>`"
	}
	return "the password is not the cause: change what the server's answer names at the mail provider"
}

// speaksTLS reports whether the server answers a TLS handshake at once. It asks for nothing but the mode: the certificate is not
// looked at, and nothing is said over the connection.
func (m *Mailer) speaksTLS(ctx context.Context) bool {
	nc, err := m.dial(ctx)
	if err != nil {
		return false
	}
	c := &conn{Conn: nc, timeout: m.cfg.Timeout}
	defer c.kill(net.ErrClosed)
	tc := tls.Client(c, &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) //nolint:gosec // see above
	return c.during(ctx, 1, func() error { return tc.HandshakeContext(ctx) }) == nil
}

// envelopeHint says what a refusal of the sender or the recipient asks for.
func (m *Mailer) envelopeHint(step string, err error) string {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return ""
	}
	f := classify(step, reply)
	switch {
	case greylists(reply):
		return "mails are tried again and arrive a few minutes late; ask the server's administrator to exempt this machine"
	case f == faultServer:
		return temporaryHint
	case f == faultRecipient:
		return ""
	case listedWords.MatchString(reply.Msg):
		return "the server refuses this machine's address: give it a reverse DNS name that leads back to it, ask the block list that is named " +
			"to remove it, or send through a provider with a user name and password"
	case m.cfg.User == "" && (reply.Code == 530 || wantsAuth.MatchString(reply.Msg)): // RFC 4954 section 6
		return "the server may require a sign-in: write `mailer smtp " + m.cfg.Addr + " <user> {env.SMTP_PASSWORD}`"
	case step == StepMail:
		return "the server does not let you send as this address: write one in `from` that your account there may use"
	default:
		return "the server refuses the sender or the account, not this recipient, because of a quota, relaying or a policy: " +
			"change it at the mail provider, or write another `from`"
	}
}

const temporaryHint = "the refusal is temporary: mails wait and are tried again; check again in a few minutes"

// wantsAuth matches what servers say to clients that have not signed in.
var wantsAuth = regexp.MustCompile(`(?i)\brelay|rcpthosts|authenticat|\bauth\b|\blog ?in\b|^5\.7\.[01] `)

// Published is a DKIM record as the DNS has to hold it.
type Published struct {
	// Name is where the record belongs, Value what it has to say (RFC 6376 section 3.6.1).
	Name, Value string
}

// Published returns the records of the keys that sign.
func (m *Mailer) Published() []Published {
	var list []Published
	for _, s := range m.signers {
		kind, key := "rsa", []byte(nil)
		switch public := s.options.Signer.Public().(type) {
		case ed25519.PublicKey:
			kind, key = "ed25519", public // RFC 8463 section 3: the bare key
		case *rsa.PublicKey:
			der, err := x509.MarshalPKIXPublicKey(public)
			if err != nil {
				continue // readKey has made sure that there is one
			}
			key = der
		}
		list = append(list, Published{
			Name:  strings.ToLower(s.options.Selector + "._domainkey." + s.options.Domain),
			Value: "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(key),
		})
	}
	return list
}
