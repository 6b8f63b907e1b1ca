// Package exampletest runs the examples as they would be run, for their tests: real processes, real connections, and a browser that
// signs up by the mail it gets.
package exampletest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what every Caddy has

	_ "github.com/caddy-email-link/caddy-email-link" // the gate
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// Main is what TestMain of an example's tests calls.
func Main(m *testing.M) { gatetest.Main(m, caddycmd.Main) }

// Read returns a file of the example with pairs of texts replaced. A text that is not there fails the test: it would test
// something else than what it shows.
func Read(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s has no %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// Port returns a free port of this machine.
func Port(t *testing.T) string {
	t.Helper()
	return gatetest.Port(t)
}

// mailLine is the mailer of the examples. Tests write mails to a folder.
const mailLine = "mailer smtp mail.example.com:587 mailer {env.SMTP_PASSWORD}"

// Gate is a Caddy with the gate and its mails.
type Gate struct {
	mails, admin string
	caddy        func(args ...string) *exec.Cmd
}

// StartGate starts Caddy with a Caddyfile that has the global option: mails go to a folder and anybody may sign up.
func StartGate(t *testing.T, caddyfile, ready string) *Gate {
	t.Helper()
	dir := t.TempDir()
	g := &Gate{mails: filepath.Join(dir, "mails"), admin: "unix/" + filepath.Join(dir, "admin")}
	if !strings.Contains(caddyfile, mailLine) {
		t.Fatalf("the Caddyfile has no %q", mailLine)
	}
	g.caddy = startCaddy(t, os.Args[0], strings.Replace(caddyfile, mailLine, fmt.Sprintf("mailer file %s\n\t\tsign_up open\n\t\tstorage bbolt %s", g.mails, filepath.Join(dir, "gate.db")), 1), ready, g.admin)
	return g
}

// Command runs `caddy email-link` for the gate and returns what it prints.
func (g *Gate) Command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := g.caddy(append([]string{"email-link", "--address", g.admin}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// StartCaddy starts Caddy as a process and waits until the address answers.
func StartCaddy(t *testing.T, caddyfile, ready string) {
	t.Helper()
	startCaddy(t, cmp.Or(os.Getenv(OtherCaddy), os.Args[0]), caddyfile, ready, "off")
}

// OtherCaddy is the variable that names another Caddy for StartCaddy to run, such as the one of a distribution.
const OtherCaddy = "EXAMPLE_CADDY"

// startCaddy returns how other commands of the same Caddy are run.
func startCaddy(t *testing.T, program, caddyfile, ready, admin string) (caddy func(args ...string) *exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "Caddyfile")
	if strings.HasPrefix(caddyfile, "{\n") {
		caddyfile = "{\n\tadmin " + admin + "\n" + strings.TrimPrefix(caddyfile, "{\n")
	} else {
		caddyfile = "{\n\tadmin " + admin + "\n}\n" + caddyfile
	}
	if err := os.WriteFile(path, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	caddy = func(args ...string) *exec.Cmd {
		cmd := gatetest.Command(context.WithoutCancel(t.Context()), dir, args...)
		cmd.Path, cmd.Dir = program, "" // the directory of the example
		return cmd
	}
	Start(t, caddy("run", "--config", path, "--adapter", "caddyfile"), ready)
	return caddy
}

// Start starts a process, waits until an address answers anything, and ends it with the test.
func Start(t *testing.T, cmd *exec.Cmd, ready string) {
	t.Helper()
	p, err := gatetest.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), p.Output)
		}
	})
	err = p.Await(10*time.Millisecond, func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ready)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.Output)
	}
}

// NewApp starts an app that answers "hello" and remembers what it got.
func NewApp(t *testing.T) *gatetest.Backend {
	t.Helper()
	return gatetest.NewBackend(t)
}

// Browser is a browser without JavaScript at one origin.
type Browser struct {
	*gatetest.Browser
	t *testing.T
}

// NewBrowser returns a browser without cookies.
func NewBrowser(t *testing.T, origin string) *Browser {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &Browser{gatetest.NewBrowser(origin, tr), t}
}

// Do sends a request with header lines and returns the answer with its body.
func (b *Browser) Do(method, path string, form url.Values, lines ...string) (*http.Response, string) {
	b.t.Helper()
	return b.send(method, path, form, headerOf(lines))
}

// Visit goes to a page as somebody does who follows a link.
func (b *Browser) Visit(path string, lines ...string) (*http.Response, string) {
	b.t.Helper()
	return b.send(http.MethodGet, path, nil, gatetest.Navigation, headerOf(lines))
}

func headerOf(lines []string) http.Header {
	header := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		header.Add(name, value)
	}
	return header
}

func (b *Browser) send(method, path string, form url.Values, headers ...http.Header) (*http.Response, string) {
	b.t.Helper()
	res, body, err := b.Send(b.t.Context(), method, path, form, headers...)
	if err != nil {
		b.t.Fatal(err)
	}
	return res, body
}

// SignUp makes an account and signs it in by the link in the mail.
func (b *Browser) SignUp(g *Gate, email string) {
	b.t.Helper()
	if err := b.Browser.SignUp(b.t.Context(), email, func() string { return g.link(b.t) }); err != nil {
		b.t.Fatal(err)
	}
}

// link waits for a mail and returns its link.
func (g *Gate) link(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(gatetest.Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) { // polling another process
		files, _ := filepath.Glob(filepath.Join(g.mails, "*.txt"))
		link := ""
		for _, file := range files {
			text, _ := os.ReadFile(file) //nolint:gosec // a mail of this test
			link = gatetest.LinkIn.FindString(string(text))
		}
		if link != "" {
			return link
		}
	}
	t.Fatal("no mail came")
	return ""
}

// Cookies returns the cookies of the browser as one line.
func (b *Browser) Cookies() string {
	u, err := url.Parse(b.Origin)
	if err != nil {
		b.t.Fatal(err)
	}
	var pairs []string
	for _, c := range b.Jar.Cookies(u) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}
