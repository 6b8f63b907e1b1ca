//go:build mailservers

package mailservers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
)

const (
	user     = "mailer"
	password = "correct horse battery"
	// box is where each server delivers all mails: a Maildir below its root directory.
	box = "/var/mailbox"
	// nobody owns the mailbox: nobody and nogroup have these numbers on Debian.
	nobody = 65534
)

// rig is one server in a root directory of its own.
type rig struct {
	t    *testing.T
	name string
	root string
	// caFile signed the server's certificate, which lies in /cert.pem and /key.pem of the root.
	caFile string
	// starttls and implicit are the ports that want a user.
	starttls, implicit string
}

// newRig copies nothing: the unpacked tree is reused, and what servers write is removed first.
func newRig(t *testing.T, name string) *rig {
	t.Helper()
	root, err := filepath.Abs("../../build/mail-servers/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root + "/.complete"); err != nil {
		t.Fatalf("%s is not there: run scripts/mail-servers %s as root on Debian", root, name)
	}
	if os.Getuid() != 0 {
		t.Fatal("servers in a root directory of their own need root")
	}
	r := &rig{t: t, name: name, root: root}
	r.starttls, r.implicit = freePort(t), freePort(t)
	for _, dir := range []string{box, "/var/spool", "/run"} {
		r.must(os.RemoveAll(root + dir))
	}
	for _, dir := range []string{"/dev", "/etc", "/tmp", "/run", "/var/spool", "/var/log"} {
		r.must(os.MkdirAll(root+dir, 0o755))
	}
	r.must(os.Chmod(root+"/tmp", 0o777|os.ModeSticky))
	for dev, number := range map[string]int{"null": 1<<8 | 3, "urandom": 1<<8 | 9} {
		_ = os.Remove(root + "/dev/" + dev)
		if err := syscall.Mknod(root+"/dev/"+dev, syscall.S_IFCHR|0o666, number); err != nil {
			r.file("/dev/"+dev, "", 0o666) // where devices are forbidden the servers make do with the system calls
		} else {
			r.must(os.Chmod(root+"/dev/"+dev, 0o666))
		}
	}
	users := []string{"root:x:0:0::/root:/bin/sh", "nobody:x:65534:65534::/:/bin/false"}
	groups := []string{"root:x:0:", "nogroup:x:65534:"}
	for n, one := range []string{"Debian-exim", "postfix", "postdrop"} {
		users = append(users, fmt.Sprintf("%s:x:%d:%d::/:/bin/false", one, 900+n, 900+n))
		groups = append(groups, fmt.Sprintf("%s:x:%d:", one, 900+n))
	}
	r.file("/etc/passwd", strings.Join(users, "\n")+"\n", 0o644)
	r.file("/etc/group", strings.Join(groups, "\n")+"\n", 0o644)
	r.file("/etc/hosts", "127.0.0.1 localhost mx.example.org\n", 0o644)
	r.file("/etc/resolv.conf", "nameserver 127.0.0.1\n", 0o644)
	r.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\n", 0o644)
	r.file("/etc/services", "smtp 25/tcp\nsubmission 587/tcp\nsubmissions 465/tcp\n", 0o644)
	for _, dir := range []string{"", "/new", "/cur", "/tmp"} {
		r.must(os.MkdirAll(root+box+dir, 0o700))
		r.must(os.Chown(root+box+dir, nobody, nobody))
	}
	r.certificate()
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// file writes a file below the root, with the ports in place of $STARTTLS and $IMPLICIT.
func (r *rig) file(path, text string, mode os.FileMode) {
	r.t.Helper()
	text = strings.NewReplacer("$STARTTLS", r.starttls, "$IMPLICIT", r.implicit, "$USER", user, "$PASSWORD", password, "$BOX", box).Replace(text)
	r.must(os.MkdirAll(filepath.Dir(r.root+path), 0o755))
	_ = os.Remove(r.root + path) // it may have another owner
	r.must(os.WriteFile(r.root+path, []byte(text), mode))
	r.must(os.Chmod(r.root+path, mode))
}

// command is a command in the root directory.
func (r *rig) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(r.t.Context(), name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.root, Setsid: true}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	return cmd
}

// serve runs the server in the foreground until the test ends, and returns when both ports answer.
func (r *rig) serve(name string, args ...string) {
	r.t.Helper()
	cmd := r.command(name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	log, err := os.Create(filepath.Join(r.t.TempDir(), "log"))
	r.must(err)
	cmd.Stdout, cmd.Stderr = log, log
	r.must(cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // a server that is told to stop says so with its status
		close(ended)
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its children, if any are left
		<-ended
		if r.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			r.t.Logf("what %s said:\n%s", r.name, text)
		}
		_ = log.Close()
	})
	for _, port := range []string{r.starttls, r.implicit} {
		r.until("port "+port+" answers", func() bool {
			c, err := (&net.Dialer{Timeout: time.Second}).DialContext(r.t.Context(), "tcp", "127.0.0.1:"+port)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
}

// until waits for what another process does.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not within 30 seconds", what)
		}
	}
}

// delivered waits until there are n mails in the mailbox and returns their files, in no order.
func (r *rig) delivered(n int) (files []string) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d mails in the mailbox", n), func() bool {
		files, _ = filepath.Glob(r.root + box + "/new/*")
		return len(files) >= n
	})
	if len(files) > n {
		r.t.Fatalf("%d mails in the mailbox, want %d", len(files), n)
	}
	return files
}

// certificate makes an authority and the server's certificate for localhost.
func (r *rig) certificate() {
	r.t.Helper()
	begin := time.Now().Add(-time.Hour)
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.must(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: begin,
		NotAfter: begin.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	r.must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: begin, NotAfter: begin.Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	r.must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	r.must(err)
	r.caFile = filepath.Join(r.t.TempDir(), "ca.pem")
	r.must(os.WriteFile(r.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600))
	r.file("/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	r.file("/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), 0o600)
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
