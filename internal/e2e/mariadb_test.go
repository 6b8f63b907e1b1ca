//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mariadb is a MariaDB of Debian's package in a directory of its own, reachable by a Unix socket alone.
type mariadb struct {
	t      *testing.T
	client string
	socket string
}

// program finds a program of Debian's, and says what to install when it is missing.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: apt-get install %s", name, pkg)
	return ""
}

// newMariaDB runs an empty database until the test ends, as an unprivileged user.
func newMariaDB(t *testing.T) *mariadb {
	t.Helper()
	install, server := program(t, "mariadb-install-db", "mariadb-server"), program(t, "mariadbd", "mariadb-server")
	dir, err := os.MkdirTemp("", "maria") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &mariadb{t: t, client: program(t, "mariadb", "mariadb-client"), socket: filepath.Join(dir, "sql.sock")}
	// Each server deletes what looks like a temporary table of a former one: those of a neighbour too, where they share a directory.
	temporary := filepath.Join(dir, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	var as []string
	if os.Getuid() == 0 {
		mysql, err := user.Lookup("mysql")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(mysql.Uid)
		gid, _ := strconv.Atoi(mysql.Gid)
		for _, path := range []string{dir, temporary} {
			if err := os.Chown(path, uid, gid); err != nil {
				t.Fatal(err)
			}
		}
		as = []string{"--user=mysql"}
	}
	where := []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--tmpdir=" + temporary}
	args := slices.Concat(where, []string{"--auth-root-authentication-method=normal", "--skip-test-db"}, as)
	if out, err := exec.CommandContext(t.Context(), install, args...).CombinedOutput(); err != nil { //nolint:gosec // found above
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	var log bytes.Buffer
	args = slices.Concat(where, []string{"--socket=" + m.socket, "--skip-networking", "--innodb-buffer-pool-size=16M"}, as)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), server, args...) //nolint:gosec // found above
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Process.Signal(os.Kill) // nothing in it is of worth
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("MariaDB:\n%s", log.String())
		}
	})
	(&gate{t: t}).await("an answer of MariaDB", func() bool {
		_, err := m.command("SELECT 1").Output()
		return err == nil
	})
	m.query("CREATE DATABASE app")
	return m
}

func (m *mariadb) command(statement string) *exec.Cmd {
	args := []string{"--no-defaults", "--socket=" + m.socket, "--user=root", "--batch", "--skip-column-names", "--unbuffered"}
	if statement != "" {
		args = append(args, "--execute="+statement)
	}
	return exec.CommandContext(m.t.Context(), m.client, args...) //nolint:gosec // found above
}

// query returns the rows of a statement, their columns with blanks between them.
func (m *mariadb) query(statement string) string {
	m.t.Helper()
	out, err := m.command(statement).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\t", " ")
}

// hold keeps what a statement locks, as a long transaction does, until release is called.
func (m *mariadb) hold(statement string) (release func()) {
	m.t.Helper()
	cmd := m.command("")
	in, err := cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	_, _ = io.WriteString(in, statement+"; SELECT 'held';\n")
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != "held" {
		m.t.Fatalf("%s: %q %v", statement, line, err)
	}
	return func() {
		_ = in.Close() // ends the client, and with it the transaction
		_ = cmd.Wait()
	}
}
