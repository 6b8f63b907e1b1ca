//go:build postgres

package pgtest

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

// StartFor starts a server that ends with the test.
func StartFor(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Start(append([]string{"fsync=off"}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() }) // the test may have ended it
	return s
}

// PublicDir returns a directory of the test that the server's user may use as well.
func PublicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgd")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // another user's server writes into it
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Network are the settings of a server that listens on the loopback interface, with TLS and with rules for who may connect. caFile is the
// certificate that it is known by, which names example.com and 127.0.0.1.
func Network(t testing.TB, rules ...string) (settings []string, caFile string) {
	t.Helper()
	dir := PublicDir(t)
	port, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewTLSServer(http.NotFoundHandler())
	defer site.Close()
	pair := site.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
		"hba":      nil,
	} {
		path, text := filepath.Join(dir, name), []byte("local all gate trust\n"+strings.Join(rules, "\n")+"\n")
		if block != nil {
			text = pem.EncodeToMemory(block)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		give(t, path)
	}
	return []string{
		"listen_addresses=127.0.0.1", "port=" + port, "hba_file=" + filepath.Join(dir, "hba"), "ssl=on",
		"ssl_cert_file=" + filepath.Join(dir, "cert.pem"), "ssl_key_file=" + filepath.Join(dir, "key.pem"),
	}, filepath.Join(dir, "cert.pem")
}

// serverUser is the user that scripts/postgres runs the server as where it is started by root.
const serverUser, serverGroup = 65534, 65534

func give(t testing.TB, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(path, serverUser, serverGroup); err != nil {
		t.Fatal(err)
	}
}

// Copy makes a copy of a running server, with its time line, which is not started. Args are further ones of pg_basebackup.
func (s *Server) Copy(t testing.TB, args ...string) *Server {
	t.Helper()
	dir := PublicDir(t)
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_basebackup")
	if err != nil || len(found) == 0 {
		t.Fatal("pg_basebackup is missing: scripts/tools installs it (apt-get install postgresql)")
	}
	cmd := exec.CommandContext(t.Context(), found[len(found)-1], append([]string{ //nolint:gosec // a program of the server
		"-h", s.Dir, "-p", s.Port(), "-U", "gate", "-D", filepath.Join(dir, "data"), "--checkpoint=fast", "--no-sync",
	}, args...)...)
	cmd.Dir = dir
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: serverUser, Gid: serverGroup}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	return &Server{Dir: dir, settings: []string{"fsync=off"}}
}

// Await runs a query until it answers true.
func (s *Server) Await(t testing.TB, sql string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for ok := false; !ok; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.DSN())
		if err == nil {
			err = errors.Join(conn.QueryRow(context.Background(), sql).Scan(&ok), conn.Close(context.Background()))
		}
		if !ok && time.Now().After(deadline) {
			t.Fatalf("%s: not in time, %v", sql, err)
		}
	}
}

// CatchUp waits until a standby has all that the server has written.
func (s *Server) CatchUp(t testing.TB, standby *Server) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	var at string
	if err := errors.Join(conn.QueryRow(context.Background(), "select pg_current_wal_lsn()::text").Scan(&at), conn.Close(context.Background())); err != nil {
		t.Fatal(err)
	}
	standby.Await(t, "select pg_last_wal_replay_lsn() >= '"+at+"'::pg_lsn")
}

// Signal puts a file into the data directory that says as what the server starts: standby.signal or recovery.signal.
func (s *Server) Signal(t testing.TB, name string) {
	t.Helper()
	path := filepath.Join(s.Dir, "data", name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	give(t, path)
}

// RunFor starts a copy with further settings, until the test ends.
func (s *Server) RunFor(t testing.TB, settings ...string) {
	t.Helper()
	s.settings = append(s.settings, settings...)
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() }) // the test may have ended it
}
