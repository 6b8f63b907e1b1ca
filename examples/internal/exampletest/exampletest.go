// Package exampletest runs the examples as they would be run, for their tests: real processes, real connections, and a browser that
// signs up by the mail it gets.
package exampletest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what every Caddy has

	_ "github.com/caddy-email-link/caddy-email-link"
	"github.com/caddy-email-link/caddy-email-link/internal/freeport" // the gate
)

// asCaddy in the environment makes a test's program be `caddy`.
const asCaddy = "EMAIL_LINK_EXAMPLE_CADDY"

// Main is what TestMain of an example's tests calls.
func Main(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

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
	port, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	return port
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
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...) //nolint:gosec // this program, or one that the tester names
		cmd.Env = append(os.Environ(), asCaddy+"=1", "HOME="+dir, "XDG_DATA_HOME="+dir+"/data", "XDG_CONFIG_HOME="+dir+"/config")
		return cmd
	}
	Start(t, caddy("run", "--config", path, "--adapter", "caddyfile"), ready)
	return caddy
}

// Start starts a process, waits until an address answers anything, and ends it with the test.
func Start(t *testing.T, cmd *exec.Cmd, ready string) {
	t.Helper()
	out := new(output)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it says is in its output
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), out)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ready)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended at once:\n%s", cmd.Path, out)
		case <-time.After(10 * time.Millisecond): // polling another process
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer at %s:\n%s", cmd.Path, ready, out)
		}
	}
}

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

// App is a backend that answers with "hello" and remembers what it got.
type App struct {
	Addr string
	mu   sync.Mutex
	got  []*http.Request
}

// NewApp starts an app.
func NewApp(t *testing.T) *App {
	t.Helper()
	a := new(App)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.got = append(a.got, r.Clone(context.WithoutCancel(r.Context())))
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(s.Close)
	a.Addr = s.Listener.Addr().String()
	return a
}

// Taken returns the requests since the last time.
func (a *App) Taken() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.got
	a.got = nil
	return got
}

// Browser is a browser without JavaScript at one origin.
type Browser struct {
	t      *testing.T
	client *http.Client
	// Origin is where it is.
	Origin string
}

// NewBrowser returns a browser without cookies.
func NewBrowser(t *testing.T, origin string) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &Browser{t, &http.Client{
		Jar: jar, Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, origin}
}

// Do sends a request with header lines and returns the answer with its body.
func (b *Browser) Do(method, path string, form url.Values, lines ...string) (*http.Response, string) {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.Origin + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", b.Origin)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, string(text)
}

// Visit goes to a page as somebody does who follows a link.
func (b *Browser) Visit(path string, lines ...string) (*http.Response, string) {
	b.t.Helper()
	return b.Do(http.MethodGet, path, nil, append([]string{
		"Accept: text/html,application/xhtml+xml", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site",
	}, lines...)...)
}

var linkIn = regexp.MustCompile(`https?://\S+/link\?t=[A-Za-z0-9_.-]+`)

// SignUp makes an account and signs it in by the link in the mail.
func (b *Browser) SignUp(g *Gate, email string) {
	b.t.Helper()
	res, body := b.Do(http.MethodPost, "/email-link/sign-up", url.Values{"email": {email}}, "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document") //nolint:bodyclose // Do has closed it
	if res.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("sign-up: %d\n%s", res.StatusCode, body)
	}
	link := ""
	for deadline := time.Now().Add(20 * time.Second); link == ""; time.Sleep(10 * time.Millisecond) { // polling another process
		if time.Now().After(deadline) {
			b.t.Fatal("no mail came")
		}
		files, _ := filepath.Glob(filepath.Join(g.mails, "*.txt"))
		for _, file := range files {
			text, _ := os.ReadFile(file) //nolint:gosec // a mail of this test
			link = linkIn.FindString(string(text))
		}
	}
	if !strings.HasPrefix(link, b.Origin+"/") {
		b.t.Fatalf("the link in the mail leads elsewhere: %.40s", link)
	}
	if res, body = b.Visit(link); res.StatusCode != http.StatusSeeOther { //nolint:bodyclose // Do has closed it
		b.t.Fatalf("the link: %d\n%s", res.StatusCode, body)
	}
}

// Cookies returns the cookies of the browser as one line.
func (b *Browser) Cookies() string {
	u, err := url.Parse(b.Origin)
	if err != nil {
		b.t.Fatal(err)
	}
	var pairs []string
	for _, c := range b.client.Jar.Cookies(u) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}
