package mailertest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

// FaultScenario is one way in which a mail server fails those who bring it mails. [FaultScenarios] lists them.
type FaultScenario struct {
	// Name says what the server does, as a part of a test's name.
	Name string
	// TLS is the mode in which the server is asked: "none", "starttls" or "implicit".
	TLS string
	// SignIn says that the server wants a user and a password.
	SignIn bool
	// Final says that the server gives a final no: what is sent meanwhile never arrives.
	Final bool
	// Arrives says that mails arrive during the trouble.
	Arrives bool
	// Twice says that the client cannot know that its mail has arrived.
	Twice bool
	// Stalls says that only the client's patience ends a dialogue.
	Stalls bool

	refuse  bool                                           // no server listens
	faults  map[Step]Fault                                 // of the server itself
	instead *Options                                       // another server answers
	trusted bool                                           // the client trusts that one's authority
	play    func(context.Context, *FaultyServer, net.Conn) // a script instead of the server, ended by closing the connection
}

// The user and the password of a server that wants some.
const (
	FaultyUser     = "mailer"
	FaultyPassword = "correct horse"
)

// FaultyServer is a server at a fixed address that is well until Break, and again after Heal. Its methods are safe for
// concurrent use.
type FaultyServer struct {
	// Addr is host:port with the host localhost.
	Addr string
	// CAFile is the PEM file of the authorities the client shall trust; empty without TLS.
	CAFile string
	// Behind is the server that answers when all is well.
	Behind *Server

	trouble FaultScenario
	impasse *Server // answers instead
	address string

	mu       sync.Mutex
	listener net.Listener
	broken   bool
	now      context.Context // ends when the trouble begins or ends, and all connections with it
	end      context.CancelFunc
	conns    map[net.Conn]bool
	met      int
	dropped  map[string]bool // recipients whose mail has met the trouble
	running  sync.WaitGroup
}

// NewFaultyServer starts a server, all well, that ends with the test.
func NewFaultyServer(t testing.TB, trouble FaultScenario) *FaultyServer {
	t.Helper()
	o := Options{TLS: trouble.TLS}
	if trouble.SignIn {
		o.User, o.Password = FaultyUser, FaultyPassword
	}
	s := &FaultyServer{trouble: trouble, Behind: NewServer(t, o), dropped: map[string]bool{}, conns: map[net.Conn]bool{}}
	authorities := []string{s.Behind.CAFile}
	if trouble.instead != nil {
		s.impasse = NewServer(t, *trouble.instead)
		if trouble.trusted {
			authorities = append(authorities, s.impasse.CAFile)
		}
	}
	if s.Behind.CAFile != "" {
		s.CAFile = bundle(t, authorities)
	}
	s.now, s.end = context.WithCancel(context.Background())
	s.address = "127.0.0.1:0"
	if trouble.refuse { // while no server listens, no connection to elsewhere may take the port
		port, err := freeport.Next()
		if err != nil {
			t.Fatal(err)
		}
		s.address = net.JoinHostPort("127.0.0.1", port)
	}
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Heal()
		s.mu.Lock()
		s.end()
		_ = s.listener.Close()
		s.mu.Unlock()
		s.Behind.Close()
		s.running.Wait()
	})
	return s
}

// Break begins the trouble. Connections that a client has kept are lost.
func (s *FaultyServer) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(true)
	for step, f := range s.trouble.faults {
		s.Behind.Fault(step, f)
	}
	if s.trouble.refuse {
		_ = s.listener.Close()
	}
}

// Heal ends the trouble, and the connections that are in it unless mails arrive by them: those may come to their end.
func (s *FaultyServer) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.broken {
		return
	}
	if s.trouble.Arrives {
		s.broken = false
	} else {
		s.turn(false)
	}
	s.Behind.Heal()
	if s.trouble.refuse {
		if err := s.listen(); err != nil {
			panic(err) // the port was ours a moment ago, and nothing can be tested without it
		}
	}
}

// turn begins another time. The caller holds mu.
func (s *FaultyServer) turn(broken bool) {
	s.end()
	for c := range s.conns {
		_ = c.Close() // now, not soon: nothing that follows may go through
	}
	s.broken = broken
	s.now, s.end = context.WithCancel(context.Background())
}

// Met returns how many connections have met the trouble so far. A port without a server counts none.
func (s *FaultyServer) Met() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met
}

// listen opens the address, the same each time. The caller holds mu, or is the only one that knows s yet.
func (s *FaultyServer) listen() error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.address)
	if err != nil {
		return err
	}
	s.listener, s.address = l, l.Addr().String()
	_, port, _ := net.SplitHostPort(s.address)
	s.Addr = net.JoinHostPort("localhost", port)
	s.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { s.serve(c) })
		}
	})
	return nil
}

func (s *FaultyServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	s.mu.Lock()
	broken, now := s.broken, s.now
	if broken {
		s.met++
	}
	s.conns[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}()
	defer context.AfterFunc(now, func() { _ = c.Close() })()
	switch {
	case broken && s.trouble.play != nil:
		s.trouble.play(now, s, c)
	case broken && s.impasse != nil:
		s.relay(c, s.impasse)
	default:
		s.relay(c, s.Behind)
	}
}

// relay hands a connection on to a server until one of both has gone.
func (s *FaultyServer) relay(c net.Conn, to *Server) {
	up, err := to.dial()
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, up)
		_ = c.Close()
	})
	_, _ = io.Copy(up, c)
	_ = up.Close()
	back.Wait()
}

func (s *Server) dial() (net.Conn, error) {
	return new(net.Dialer).DialContext(context.Background(), "tcp", s.listener.Addr().String())
}

// first reports whether the mail to a recipient meets the trouble for the first time.
func (s *FaultyServer) first(to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.dropped[to]
	s.dropped[to] = true
	return !was
}

func bundle(t testing.TB, files []string) string {
	t.Helper()
	var all bytes.Buffer
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	name := filepath.Join(t.TempDir(), "authorities.pem")
	if err := os.WriteFile(name, all.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// FaultScenarios returns every trouble there is, by name.
func FaultScenarios() []FaultScenario {
	var all []FaultScenario
	for _, name := range slices.Sorted(maps.Keys(faultScenarios)) {
		trouble := faultScenarios[name]
		trouble.Name = name
		if trouble.TLS == "" {
			trouble.TLS = "none"
		}
		all = append(all, trouble)
	}
	return all
}
