//go:build postgres

package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Pooler runs PgBouncer in front of the server until the test ends, and returns the connection string of the server's database by way of it.
// mode is a pool_mode, such as transaction.
func (s *Server) Pooler(t testing.TB, mode string) (dsn string) {
	t.Helper()
	dsn, stop, err := s.startPooler(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

func (s *Server) startPooler(mode string) (dsn string, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "pgb")
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // another user's pooler works in it
		return "", nil, err
	}
	_, file, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(file), "..", "..", "scripts", "pgbouncer")
	cmd := exec.Command(script, dir, s.Dir, s.Port(), mode) //nolint:gosec // a script of this repository
	log := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it ends by a signal
		close(exited)
	}()
	stop = func() error {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-exited:
		case <-time.After(10 * time.Second): // it waits for clients
			_ = cmd.Process.Kill()
			<-exited
		}
		return os.RemoveAll(dir)
	}
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("unix", filepath.Join(dir, ".s.PGSQL.5432")) //nolint:noctx // a socket of this machine
		if err == nil {
			return "host=" + dir + " user=gate dbname=postgres", stop, conn.Close()
		}
		select {
		case <-exited:
			return "", nil, fmt.Errorf("the pooler has ended: %s", log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return "", nil, errors.Join(err, stop())
		}
	}
}
