// Package smtp sends mails through an SMTP server: a provider's submission port or a relay nearby.
//
// It never guesses about security: a server that does not offer what the TLS mode demands gets neither the password nor
// the mail, and its certificate is always verified. A mail that the server refused for good (5xx to the envelope or the
// message) is [mailer.Permanent]; everything else, a refused password included, is tried again, because the operator can
// mend it while the mail waits. No error names a recipient or repeats a link or a code that the server quotes back.
package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/mime"
)

// The TLS modes of [Config].
const (
	// StartTLS upgrades a plain connection before anything of worth is said. It is the default, except on port 465.
	StartTLS = "starttls"
	// ImplicitTLS begins with the TLS handshake (RFC 8314). It is the default on port 465.
	ImplicitTLS = "implicit"
	// NoTLS sends mails that any host on the way can read. It has to be spelled out.
	NoTLS = "none"
)

const (
	// DefaultTimeout bounds each step of the dialogue.
	DefaultTimeout = 30 * time.Second
	// finalFactor stretches the wait for the answer to the message itself: servers scan it then, and giving up too early is
	// how a mail arrives twice (RFC 5321 section 4.5.3.2.6).
	finalFactor = 4
	// idle is how long a connection waits for the next mail. Servers close theirs after minutes.
	idle = 15 * time.Second
)

// ErrClosed is what Send returns after Close.
var ErrClosed = errors.New("smtp: mailer is closed")

// Config says which server takes the mails, and how.
type Config struct {
	// Addr is host:port. The certificate must be valid for host.
	Addr string
	// User and Password sign in with the strongest mechanism that the server and this package share; empty: no sign-in.
	User, Password string
	// TLS is StartTLS, ImplicitTLS or NoTLS; empty: ImplicitTLS on port 465, else StartTLS.
	TLS string
	// HELO is the name this client gives itself; empty: the domain of the mail's From, which says nothing about this machine.
	HELO string
	// Timeout bounds each step, from dialling to the answer to RCPT; the answer to the message has four times as long.
	// Zero: DefaultTimeout.
	Timeout time.Duration
	// CAFile is a PEM file of the certificate authorities to trust instead of the system's; empty: the system's.
	CAFile string
	// DKIM signs each mail once for each entry (RFC 6376).
	DKIM []DKIM
}

// Mailer sends mails through one server and keeps one connection for the next mail. New makes it.
type Mailer struct {
	cfg     Config
	host    string
	tls     *tls.Config
	signers []signer

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	spare   *session
	timer   *time.Timer // closes spare
}

var _ mailer.Mailer = (*Mailer)(nil)

// New checks cfg, reads the files it names, and does not touch the network. Its errors say what to write instead.
func New(cfg Config) (*Mailer, error) {
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("smtp: %q is not host:port: write it like mail.example.com:587", cfg.Addr)
	}
	if cfg.TLS == "" {
		cfg.TLS = StartTLS
		if port == "465" || strings.EqualFold(port, "smtps") || strings.EqualFold(port, "submissions") {
			cfg.TLS = ImplicitTLS
		}
	}
	switch cfg.TLS {
	case StartTLS, ImplicitTLS:
	case NoTLS:
		if cfg.User != "" && !loopbackName(host) {
			return nil, errors.New("smtp: `tls none` would send the password in clear text: write " +
				"`tls starttls` or `tls implicit`, or leave user and password out")
		}
	default:
		return nil, fmt.Errorf("smtp: unknown TLS mode %q: write `tls starttls`, `tls implicit` or `tls none`", cfg.TLS)
	}
	if (cfg.User == "") != (cfg.Password == "") {
		return nil, errors.New("smtp: user and password belong together: write both or neither (an empty password often means " +
			"that its environment variable or file is missing)")
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("smtp: timeout %s is negative: write one like 30s", cfg.Timeout)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.HELO != "" && !heloName(cfg.HELO) {
		return nil, fmt.Errorf("smtp: helo %q is neither a host name nor an address like [192.0.2.1]", cfg.HELO)
	}
	roots, err := readRoots(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	signers, err := readSigners(cfg.DKIM)
	if err != nil {
		return nil, err
	}
	return &Mailer{
		cfg: cfg, host: host, signers: signers,
		tls: &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}, nil
}

// Send implements [mailer.Mailer]. It returns as soon as ctx ends, whatever the server does.
func (m *Mailer) Send(ctx context.Context, msg mailer.Message) error {
	if err := m.begin(); err != nil {
		return err
	}
	defer m.running.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	from, err := mime.Mailbox(msg.From)
	if err != nil {
		return mailer.Permanent(fmt.Errorf("smtp: from: %w", err))
	}
	// Both forms are built before the server is asked for anything: a message that cannot be written causes no connection.
	raw, err := m.render(msg, mime.Options{})
	if err != nil {
		return err
	}
	raw7, err := m.render(msg, mime.Options{SevenBit: true})
	if err != nil {
		return err
	}
	s, err := m.session(ctx, from.Address)
	if err != nil {
		return err
	}
	err = s.deliver(ctx, envelope{from: from.Address, to: msg.To, text: msg.Text, raw: raw, raw7: raw7})
	switch {
	case err == nil:
		m.put(s)
	case isReply(err):
		s.quit()
	default:
		s.abort()
	}
	return err
}

func (m *Mailer) render(msg mailer.Message, o mime.Options) ([]byte, error) {
	raw, err := mime.Build(msg, o)
	if err != nil {
		return nil, err
	}
	return m.sign(raw)
}

// Close implements [mailer.Mailer]: Sends that run may end, new ones get ErrClosed.
func (m *Mailer) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	done := make(chan struct{})
	go func() {
		m.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("smtp: a mail is still being sent: %w", ctx.Err())
	}
	if s := m.acquire(); s != nil {
		s.quit()
	}
	return err
}

func (m *Mailer) begin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.running.Add(1)
	return nil
}

// session returns the spare connection if the server still answers on it, else a new one.
func (m *Mailer) session(ctx context.Context, from string) (*session, error) {
	if s := m.acquire(); s != nil {
		if s.alive(ctx) {
			return s, nil
		}
		s.abort()
	}
	return m.connect(ctx, from)
}

func (m *Mailer) acquire() *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.spare
	m.spare = nil
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
	return s
}

// put keeps s for the next mail. One is enough: the rest of a burst ends with QUIT.
func (m *Mailer) put(s *session) {
	m.mu.Lock()
	if m.closed || m.spare != nil {
		m.mu.Unlock()
		s.quit()
		return
	}
	m.spare = s
	m.timer = time.AfterFunc(idle, func() { m.drop(s) })
	m.mu.Unlock()
}

// drop closes s if it is still the spare one: the timer may fire while it is being acquired.
func (m *Mailer) drop(s *session) {
	m.mu.Lock()
	if m.spare != s {
		m.mu.Unlock()
		return
	}
	m.spare, m.timer = nil, nil
	m.mu.Unlock()
	s.quit()
}
