package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"time"

	gosmtp "github.com/wneessen/go-mail/smtp"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// quitTimeout bounds the good-bye; only its own goroutine waits for it.
const quitTimeout = 2 * time.Second

// session is one connection that is ready for MAIL. It belongs to one goroutine at a time.
//
// It uses go-mail's SMTP dialogue rather than its Client, which reports a mail as failed when only the RSET after it fails
// (so it would be sent twice), names recipients in its errors, and has one deadline for all steps.
type session struct {
	conn   *conn
	client *gosmtp.Client
}

// envelope is one mail in both forms; the server's extensions decide which one goes out. text is the text part, for what the server
// repeats of it.
type envelope struct {
	from, to, text string
	raw, raw7      []byte
}

// connect dials, secures, greets and signs in. from is the bare address of the sender.
func (m *Mailer) connect(ctx context.Context, from string) (*session, error) {
	nc, err := (&net.Dialer{Timeout: m.cfg.Timeout}).DialContext(ctx, "tcp", m.cfg.Addr)
	if err != nil {
		return nil, m.explain(ctx, "connect", err)
	}
	c := &conn{Conn: nc, timeout: m.cfg.Timeout}
	client, phase, err := m.greet(ctx, c, from)
	if err != nil {
		c.kill(err)
		return nil, m.explain(ctx, phase, err)
	}
	return &session{conn: c, client: client}, nil
}

// greet brings a fresh connection to the point where MAIL may be said; on an error phase says how far it came.
func (m *Mailer) greet(ctx context.Context, c *conn, from string) (client *gosmtp.Client, phase string, err error) {
	var nc net.Conn = c
	if m.cfg.TLS == ImplicitTLS {
		tc := tls.Client(c, m.tls)
		if err := c.during(ctx, 1, func() error { return tc.HandshakeContext(ctx) }); err != nil {
			return nil, "tls", err
		}
		nc = tc
	}
	if err := c.during(ctx, 1, func() (err error) { client, err = gosmtp.NewClient(nc, m.host); return err }); err != nil {
		return nil, "banner", err
	}
	client.SkipSMTPUTF8(true) // all addresses are ASCII, and a relay that cannot pass SMTPUTF8 on would bounce the mail
	helo := m.cfg.HELO
	if helo == "" {
		helo = from[strings.LastIndexByte(from, '@')+1:]
	}
	if err := c.during(ctx, 1, func() error { return client.Hello(helo) }); err != nil {
		return nil, "ehlo", err
	}
	if m.cfg.TLS == StartTLS {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return nil, "starttls", errNoStartTLS
		}
		if err := c.during(ctx, 1, func() error { return client.StartTLS(m.tls) }); err != nil {
			return nil, "starttls", err
		}
	}
	if m.cfg.User != "" {
		if m.cfg.TLS == NoTLS && !loopback(c.RemoteAddr()) {
			return nil, "auth", errPlainAuth
		}
		auth, err := m.chooseAuth(client)
		if err != nil {
			return nil, "auth", err
		}
		if err := c.during(ctx, 2, func() error { return client.Auth(auth) }); err != nil {
			return nil, "auth", err
		}
	}
	return client, "", nil
}

// during runs one step.
func (c *conn) during(ctx context.Context, factor int, f func() error) error {
	stop := c.step(ctx, factor)
	defer stop()
	return f()
}

// deliver sends one mail. Once the server has taken the message nothing that happens afterwards is an error: the mail would
// be sent again.
func (s *session) deliver(ctx context.Context, e envelope) error {
	if err := s.conn.during(ctx, 1, func() error { return s.client.Mail("<" + e.from + ">") }); err != nil {
		return s.refusal(ctx, StepMail, e, err)
	}
	if err := s.conn.during(ctx, 1, func() error { return s.client.Rcpt("<" + e.to + ">") }); err != nil {
		return s.refusal(ctx, StepRcpt, e, err)
	}
	raw := e.raw
	if ok, _ := s.client.Extension("8BITMIME"); !ok {
		raw = e.raw7
	}
	var w io.WriteCloser
	err := s.conn.during(ctx, 1, func() (err error) {
		if w, err = s.client.Data(); err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	})
	if err != nil {
		return s.refusal(ctx, "DATA", e, err)
	}
	if err := s.conn.during(ctx, finalFactor, w.Close); err != nil {
		var reply *textproto.Error
		if errors.As(err, &reply) && reply.Code/100 == 2 {
			return nil // the first digit decides (RFC 5321 section 4.2.1); go-mail wants exactly 250
		}
		failed := s.refusal(ctx, "the message", e, err)
		if !isReply(failed) {
			return mailer.Unanswered(failed)
		}
		return failed
	}
	return nil
}

// alive clears whatever transaction was left and learns whether the server still listens.
func (s *session) alive(ctx context.Context) bool {
	return s.conn.during(ctx, 1, s.client.Reset) == nil
}

// quit says good-bye as RFC 5321 asks, for a short while.
func (s *session) quit() {
	ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
	defer cancel()
	_ = s.conn.during(ctx, 1, s.client.Quit) // the mails are delivered; what remains is a courtesy
	s.abort()
}

// abort closes the connection; go-mail's own Close would wait for a lock that a dialogue still holds.
func (s *session) abort() { s.conn.kill(net.ErrClosed) }

func loopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// heloName accepts a domain name or an address literal (RFC 5321 section 4.1.3).
func heloName(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		inner = strings.TrimPrefix(inner, "IPv6:")
		_, err := netip.ParseAddr(inner)
		return ok && err == nil
	}
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

var (
	errNoStartTLS = errors.New("the server does not offer STARTTLS")
	errPlainAuth  = errors.New("the server is not on this machine, and `tls none` would send it the password in clear text")
)
