package integration

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// process is a world whose Caddy is a process of its own, so that it can be killed, watched and put under limits.
type process struct {
	*world
	env []string
	cmd *gatetest.Child
	out *gatetest.Output
	// ended is closed when the process has ended.
	ended chan struct{}
}

// newProcess prepares a world for a process and starts nothing.
func newProcess(t *testing.T, s setup, env ...string) *process {
	t.Helper()
	p := &process{env: env, world: &world{
		t: t, host: "localhost", port: freePort(t), admin: "127.0.0.1:" + freePort(t), tls: s.tls, dir: t.TempDir(), backend: newBackend(t),
	}}
	if s.tls {
		p.host = "app.example.com"
	}
	p.db = filepath.Join(p.dir, "db", "email_link.db")
	p.mails = mailertest.NewServer(t, mailertest.Options{})
	p.write(p.caddyfile(s))
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
	})
	return p
}

// startProcess starts Caddy as a process and waits until it serves.
func startProcess(t *testing.T, s setup, env ...string) *process {
	t.Helper()
	p := newProcess(t, s, env...)
	p.start()
	return p
}

func (p *process) write(text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "Caddyfile"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run starts the process without waiting for it to serve.
func (p *process) run() {
	p.t.Helper()
	cmd := gatetest.Command(context.Background(), p.dir, "run", "--config", filepath.Join(p.dir, "Caddyfile"), "--adapter", "caddyfile")
	cmd.Env = append(cmd.Env, p.env...)
	var err error
	if p.cmd, err = gatetest.Start(cmd); err != nil {
		p.t.Fatal(err)
	}
	p.out, p.ended = p.cmd.Output, p.cmd.Ended
}

// start runs the process until it answers.
func (p *process) start() {
	p.t.Helper()
	p.run()
	c := p.client()
	err := p.cmd.Await(10*time.Millisecond, func() error {
		res, err := c.Get(p.origin() + "/email-link/health")
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.out)
	}
}

// kill ends the process as a power cut would, and waits for its end.
func (p *process) kill() {
	p.cmd.Kill()
	p.idle()
}

// stop ends the process as an operator does.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("Caddy does not stop:\n%s", p.out)
	}
}

// reload loads a Caddyfile as `caddy reload --force` does.
func (p *process) reload(text string) error {
	config, err := gatetest.Adapt(text)
	if err != nil {
		return err
	}
	return gatetest.Reload(p.admin, config)
}

// refused runs a process that must not start, and returns what it printed.
func (p *process) refused() string {
	p.t.Helper()
	p.run()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("Caddy goes on:\n%s", p.out)
	}
	var failed *exec.ExitError
	if !errors.As(p.cmd.Err, &failed) {
		p.t.Fatalf("Caddy ended with %v\n%s", p.cmd.Err, p.out)
	}
	return p.out.String()
}

// command runs `caddy email-link` beside the process.
func (p *process) command(args ...string) (string, error) {
	out, err := gatetest.Command(context.Background(), p.dir, append([]string{"email-link"}, args...)...).CombinedOutput()
	return string(out), err
}

// must is command for what has to go well.
func (p *process) must(args ...string) string {
	p.t.Helper()
	out, err := p.command(args...)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
