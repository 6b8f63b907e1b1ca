package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// process is a world whose Caddy is a process of its own, so that it can be killed, watched and put under limits.
type process struct {
	*world
	env []string
	cmd *exec.Cmd
	out *output
	// ended is closed when the process has ended; err is why.
	ended chan struct{}
	err   error
}

// output is what a process has printed so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
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
	cmd := exec.Command(os.Args[0], "run", "--config", filepath.Join(p.dir, "Caddyfile"), "--adapter", "caddyfile") //nolint:gosec // this program
	cmd.Env = append(append(os.Environ(), asCaddy+"=1",
		"XDG_DATA_HOME="+filepath.Join(p.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(p.dir, "config")), p.env...)
	p.out, p.ended, p.cmd = &output{}, make(chan struct{}), cmd
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := p.ended
	go func() {
		p.err = cmd.Wait()
		close(ended)
	}()
}

// start runs the process until it answers.
func (p *process) start() {
	p.t.Helper()
	p.run()
	c := p.client()
	for deadline := time.Now().Add(30 * time.Second); ; {
		res, err := c.Get(p.origin() + "/email-link/health")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.ended:
			p.t.Fatalf("Caddy ended: %v\n%s", p.err, p.out)
		case <-time.After(10 * time.Millisecond): // polling another process
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("Caddy does not answer:\n%s", p.out)
		}
	}
}

// kill ends the process as a power cut would, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
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
	config, err := adapt(text)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+p.admin+"/load", bytes.NewReader(config))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Cache-Control", "must-revalidate")
	res, err := (&http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	said, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d: %s", res.StatusCode, said)
	}
	return err
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
	if !errors.As(p.err, &failed) {
		p.t.Fatalf("Caddy ended with %v\n%s", p.err, p.out)
	}
	return p.out.String()
}

// command runs `caddy email-link` beside the process.
func (p *process) command(args ...string) (string, error) {
	cmd := exec.Command(os.Args[0], append([]string{"email-link"}, args...)...) //nolint:gosec // this program
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), asCaddy+"=1",
		"XDG_DATA_HOME="+filepath.Join(p.dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(p.dir, "config"))
	out, err := cmd.CombinedOutput()
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
