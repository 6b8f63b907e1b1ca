//go:build postgres

// Package pgtest runs a PostgreSQL server for tests, with scripts/postgres.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// patience is how long is waited for what another process has to do. Nothing takes nearly as long, on a busy machine either.
const patience = 5 * time.Minute

// Server is a running server.
type Server struct {
	// Dir holds the socket and the data.
	Dir      string
	settings []string
	cmd      *exec.Cmd
	log      *bytes.Buffer
	// exited is closed when the server has ended, with err.
	exited chan struct{}
	err    error
}

// Start starts a server in a new directory. The caller stops it.
func Start(settings ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "pg") // a socket's path has 107 bytes at most
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // another user's server works in it
		return nil, err
	}
	s := &Server{Dir: dir, settings: settings}
	return s, s.Run()
}

// Run starts the server on the data that it has.
func (s *Server) Run() error {
	_, file, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(file), "..", "..", "scripts", "postgres")
	s.cmd = exec.Command(script, append([]string{s.Dir}, s.settings...)...) //nolint:gosec // a script of this repository
	s.log, s.exited = new(bytes.Buffer), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.WaitDelay = patience // its children have its output: until they have ended, no other server starts on the data
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	deadline := time.Now().Add(patience)
	for {
		conn, err := pgx.Connect(context.Background(), s.DSN())
		if err == nil {
			return conn.Close(context.Background())
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server has ended: %w: %s", s.err, s.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(err, s.Stop())
		}
	}
}

// DSN is the connection string of its database.
func (s *Server) DSN() string {
	return "host=" + s.Dir + " port=" + s.Port() + " user=gate dbname=postgres"
}

// Port is the port of the setting `port`, which is part of the socket's name too.
func (s *Server) Port() string {
	for _, setting := range s.settings {
		if port, ok := strings.CutPrefix(setting, "port="); ok {
			return port
		}
	}
	return "5432"
}

// Kill ends the server as a crash does: kill -9 of all its processes. They have ended when it returns.
func (s *Server) Kill() error {
	err := s.cmd.Process.Signal(syscall.SIGKILL) // its children see that their parent is gone, and end
	<-s.exited
	return err
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited
	return os.RemoveAll(s.Dir)
}

// Log is what the server has written since it was started. Read it after Stop or Kill only.
func (s *Server) Log() string { return s.log.String() }

// Exec runs statements as the superuser.
func (s *Server) Exec(t testing.TB, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Value asks for one text as the superuser.
func (s *Server) Value(t testing.TB, sql string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(context.Background(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

var schemas atomic.Int64

// Schema returns the name of a new schema.
func Schema() string { return fmt.Sprintf("gate_%d_%d", os.Getpid(), schemas.Add(1)) }

// Open returns a new, empty store, in a schema of its own.
func (s *Server) Open(t testing.TB) storage.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Options{DSN: s.DSN(), Schema: Schema()})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// directory is the environment variable that tells a child of a test which server to use.
const directory = "PGTEST_DIRECTORY"

// Main runs the tests of a package with a server.
func Main(m *testing.M, server **Server) {
	if dir := os.Getenv(directory); dir != "" {
		*server = &Server{Dir: dir}
		os.Exit(m.Run())
	}
	s, err := Start("fsync=off") // the machine does not crash, and each test makes a schema
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	*server = s
	if err := os.Setenv(directory, s.Dir); err != nil {
		panic(err) // a name of our own
	}
	code := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Tool runs one of the server's programs on a database, such as pg_dump, and returns what it has printed.
func (s *Server) Tool(t testing.TB, name, database string, input []byte, args ...string) []byte {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s is missing: scripts/tools installs it (apt-get install postgresql)", name)
	}
	cmd := exec.CommandContext(t.Context(), found[len(found)-1], append([]string{"-h", s.Dir, "-p", s.Port(), "-U", "gate", "-d", database}, args...)...) //nolint:gosec // a program of the server
	cmd.Stdin = bytes.NewReader(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, &errs)
	}
	return out
}
