package mailertest

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Options say what the server speaks. The zero value is a plain server that wants no sign-in.
type Options struct {
	// TLS is "starttls", "implicit" or "none" (the default).
	TLS string
	// User and Password, where set, are demanded, over TLS only.
	User, Password string
	// PlainAuth offers sign-in without TLS as well.
	PlainAuth bool
	// Mechanisms are PLAIN and LOGIN; empty: both.
	Mechanisms []string
	// Names are those of the certificate; empty: localhost and 127.0.0.1.
	Names []string
	// Expired makes a certificate that is no longer valid.
	Expired bool
	// SevenBit hides 8BITMIME.
	SevenBit bool
}

// Step is a moment of the dialogue.
type Step string

// The steps, in their order.
const (
	Connect Step = "connect" // before the banner
	Hello   Step = "hello"   // EHLO
	Auth    Step = "auth"
	From    Step = "from" // MAIL
	To      Step = "to"   // RCPT
	Data    Step = "data" // the message is read and not yet kept
	Stored  Step = "kept" // the message is kept and the answer not yet given
	Done    Step = "done" // right after the answer to the message
)

// Fault is what happens at a step instead of what should.
type Fault struct {
	// Code and Text are answered where Code is not 0. At Done, and for a banner, nothing can be answered but Raw.
	Code int
	Text string
	// Drop closes the connection.
	Drop bool
	// Silent says nothing until the server is closed or healed.
	Silent bool
	// Raw is written at Connect in place of the banner; then the connection is left open.
	Raw string
	// Times is how often it happens; 0: until healed.
	Times int
}

// Server is a real SMTP server on a loopback port. Its methods are safe for concurrent use.
type Server struct {
	// Addr is host:port with the host localhost.
	Addr string
	// CAFile is the PEM file of the authority that signed its certificate; empty without TLS.
	CAFile string

	opts     Options
	smtp     *smtp.Server
	listener net.Listener

	mu     sync.Mutex
	mails  []Mail
	faults map[Step]*Fault
	healed chan struct{}
	closed bool
	conns  int
	open   int
	steps  []Step
	arrive chan struct{}
}

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB, o Options) *Server {
	t.Helper()
	return NewServerAt(t, o, "127.0.0.1:0")
}

// NewServerAt is NewServer at an address, so that a test can bring a server back where one was.
func NewServerAt(t testing.TB, o Options, addr string) *Server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &Server{
		Addr: net.JoinHostPort("localhost", port), opts: o, faults: map[Step]*Fault{},
		healed: make(chan struct{}), arrive: make(chan struct{}), listener: l,
	}
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.session))
	s.smtp.Domain = "mx.example.net"
	s.smtp.AllowInsecureAuth = o.PlainAuth
	s.smtp.MaxLineLength = 1000 // RFC 5321 section 4.5.3.1.6, with the line end
	s.smtp.ErrorLog = log.New(io.Discard, "", 0)
	listener := net.Listener(&listener{Listener: l, server: s})
	if o.TLS == "starttls" || o.TLS == "implicit" {
		config, ca := certificate(t, o)
		s.CAFile = ca
		if o.TLS == "implicit" {
			listener = tls.NewListener(listener, config)
		} else {
			s.smtp.TLSConfig = config
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.smtp.Serve(listener) // ends when closed
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return s
}

// Close ends the server and all its connections.
func (s *Server) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.healed)
	s.mu.Unlock()
	_ = s.listener.Close() // go-smtp knows its listener only once it serves
	_ = s.smtp.Close()
}

// Fault sets what goes wrong at a step from now on.
func (s *Server) Fault(step Step, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[step] = &f
}

// Heal ends all faults; connections kept silent are closed.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
	if !s.closed {
		close(s.healed)
		s.healed = make(chan struct{})
	}
}

// Mails returns what was kept so far, oldest first.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Wait returns the mails once there are n of them, and fails the test after ten seconds.
func (s *Server) Wait(t testing.TB, n int) []Mail {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		mails, arrive := slices.Clone(s.mails), s.arrive
		s.mu.Unlock()
		if len(mails) >= n {
			return mails
		}
		select {
		case <-arrive:
		case <-limit:
			t.Fatalf("%d mails arrived in ten seconds, want %d", len(mails), n)
		}
	}
}

// Connections returns how many were opened so far, and how many are open now.
func (s *Server) Connections() (all, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns, s.open
}

// Steps returns what clients came to, in order.
func (s *Server) Steps() []Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.steps)
}

var errDropped = errors.New("dropped")

// at records a step and plays its fault. A nil result means that all is well.
func (s *Server) at(step Step, c net.Conn) error {
	s.mu.Lock()
	s.steps = append(s.steps, step)
	f, healed := s.faults[step], s.healed
	if f != nil && f.Times > 0 {
		if f.Times--; f.Times == 0 {
			delete(s.faults, step)
		}
	}
	s.mu.Unlock()
	switch {
	case f == nil:
		return nil
	case f.Silent:
		<-healed
		_ = c.Close()
		return errDropped
	case f.Drop:
		_ = c.Close()
		return errDropped
	case f.Raw != "":
		_, _ = io.WriteString(c, f.Raw)
		<-healed
		_ = c.Close()
		return errDropped
	}
	return &smtp.SMTPError{Code: f.Code, EnhancedCode: smtp.EnhancedCode{f.Code / 100, 0, 0}, Message: f.Text}
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	if err := s.at(Hello, c.Conn()); err != nil {
		return nil, err
	}
	return &session{server: s, conn: c}, nil
}

// session is one dialogue.
type session struct {
	server *Server
	conn   *smtp.Conn
	signed bool
	mail   Mail
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.mail = Mail{} }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string {
	if s.server.opts.User == "" {
		return nil
	}
	if len(s.server.opts.Mechanisms) > 0 {
		return s.server.opts.Mechanisms
	}
	return []string{sasl.Plain, sasl.Login}
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(mech string) (sasl.Server, error) {
	check := func(user, password string) error {
		if err := s.server.at(Auth, s.conn.Conn()); err != nil {
			return err
		}
		if user != s.server.opts.User || password != s.server.opts.Password {
			return smtp.ErrAuthFailed
		}
		s.signed = true
		return nil
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case sasl.Login:
		return &loginServer{check: check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.opts.User != "" && !s.signed {
		return smtp.ErrAuthRequired
	}
	s.mail = Mail{EnvelopeFrom: from}
	return s.server.at(From, s.conn.Conn())
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.EnvelopeTo = to
	return s.server.at(To, s.conn.Conn())
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.server.at(Data, s.conn.Conn()); err != nil {
		return err
	}
	m, err := Parse(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "unreadable: " + err.Error()}
	}
	m.EnvelopeFrom, m.EnvelopeTo = s.mail.EnvelopeFrom, s.mail.EnvelopeTo
	s.server.keep(m)
	if err := s.server.at(Stored, s.conn.Conn()); err != nil {
		return err
	}
	s.server.mu.Lock()
	_, drop := s.server.faults[Done]
	s.server.mu.Unlock()
	if drop {
		if c, ok := netConn(s.conn.Conn()).(*watched); ok {
			c.dropAfterWrite()
		}
	}
	return nil
}

func (s *Server) keep(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m)
	close(s.arrive)
	s.arrive = make(chan struct{})
}

// loginServer is the server's side of AUTH LOGIN, which go-sasl no longer has.
type loginServer struct {
	check     func(user, password string) error
	user      string
	requested int
}

// Next implements sasl.Server.
func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.requested++
	switch {
	case l.requested == 1 && response == nil:
		return []byte("Username:"), false, nil
	case l.requested <= 2 && l.user == "":
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}
