package integration

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-email-link/caddy-email-link/internal/freeport"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/module"
)

// world is a gate before a backend, with a mail server.
type world struct {
	t       testing.TB
	host    string
	port    string
	tls     bool
	dir     string
	db      string
	mails   *mailertest.Server
	backend *backend
	// admin is the address of the admin endpoint; empty switches it off.
	admin string
	// seen is the number of mails that were read.
	seen int
	// transports are those of all browsers.
	transports []*http.Transport
	mu         sync.Mutex // guards transports
}

// setup changes a world before it starts.
type setup struct {
	// tls serves https with a certificate of Caddy's own authority, and HTTP/2.
	tls bool
	// global, site and before are lines of the Caddyfile: in the global option, in the directive, in the site before it.
	global, site, before, after string
	// replace is the whole site block instead, with $ADDR and $BACKEND.
	sites string
	// top are further global options.
	top string
	// baseURL is written instead of the origin, secret instead of the usual one.
	baseURL, secret string
}

// bothModes runs a test over flows of both kinds; links is the line that says which.
func bothModes(t *testing.T, test func(t *testing.T, links string)) {
	t.Helper()
	for _, links := range []string{"links stored", "links stateless"} {
		t.Run(links, func(t *testing.T) { test(t, links) })
	}
}

func start(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{t: t, host: "localhost", port: freePort(t), tls: s.tls, dir: t.TempDir(), backend: newBackend(t)}
	if s.tls {
		w.host = "app.example.com"
	}
	w.db = filepath.Join(w.dir, "db", "email_link.db")
	w.mails = mailertest.NewServer(t, mailertest.Options{})
	w.load(s)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	w.up()
	return w
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// origin is where the gate is.
func (w *world) origin() string {
	if w.tls {
		return "https://" + w.host + ":" + w.port
	}
	return "http://" + w.host + ":" + w.port
}

// caddyfile is the configuration.
func (w *world) caddyfile(s setup) string {
	site := s.sites
	if site == "" {
		site = "$ADDR {\n" + s.before + "\n\temail_link {\n" + s.site + "\n\t}\n" + s.after + "\n\treverse_proxy $BACKEND\n}\n"
		if strings.Contains(s.site, "verify from") {
			scheme, _, _ := strings.Cut(w.origin(), "://")
			site += "\n" + scheme + "://:$PORT {\n\trespond 404\n}\n" // no proxy is to take Caddy's empty 200 for yes
		}
	}
	text := fmt.Sprintf(`{
	admin %s
	persist_config off
	skip_install_trust
	local_certs
	auto_https disable_redirects
	grace_period 1s
	%s
	email_link {
		base_url %s
		storage bbolt %s
		secret %s
		from "Example <no-reply@example.com>"
		contact "the owner"
		mailer smtp %s {
			tls none
		}
		%s
	}
}
`, orElse(w.admin, "off"), s.top, orElse(s.baseURL, w.origin()), w.db, orElse(s.secret, "{env.EMAIL_LINK_TEST_SECRET}"), w.mails.Addr, s.global)
	return strings.NewReplacer("$ADDR", w.origin(), "$PORT", w.port, "$BACKEND", w.backend.addr).Replace(text + site)
}

// load adapts and loads the configuration, as `caddy reload` does.
func (w *world) load(s setup) {
	w.t.Helper()
	if err := w.tryLoad(s); err != nil {
		w.t.Fatalf("loading: %v", err)
	}
	// Caddy resets idle connections of the old configuration, with or without a gate; a POST is not sent again by itself.
	w.idle()
}

// idle closes the connections that no request uses.
func (w *world) idle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, tr := range w.transports {
		tr.CloseIdleConnections()
	}
}

func (w *world) tryLoad(s setup) error {
	w.t.Helper()
	out, err := adapt(w.caddyfile(s))
	if err != nil {
		return err
	}
	return w.replace(out)
}

func adapt(text string) ([]byte, error) {
	out, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return out, err
}

// up makes sure that Caddy really serves: a test against nothing would prove nothing.
func (w *world) up() {
	w.t.Helper()
	c := w.client()
	// Caddy's own authority issues the certificate in the background; nothing tells when it is there.
	for end := time.Now().Add(20 * time.Second); w.tls && time.Now().Before(end); {
		res, err := c.Get(w.origin() + "/email-link/health")
		if err == nil {
			_ = res.Body.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	status, _ := c.get("/email-link/health")
	if status != http.StatusOK {
		w.t.Fatalf("the gate is not up: %d", status)
	}
	if _, ok := module.Running(); !ok {
		w.t.Fatal("no gate runs in this process")
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Next()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// client is one browser.
type client struct {
	w *world
	*http.Client
	header http.Header
}

func (w *world) client() *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+w.port)
	}
	tr := &http.Transport{
		DialContext: dial, ForceAttemptHTTP2: w.tls,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // Caddy's own authority, in a test
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	w.mu.Lock()
	w.transports = append(w.transports, tr)
	w.mu.Unlock()
	return &client{w: w, header: http.Header{}, Client: &http.Client{
		Jar: jar, Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do sends a request and returns the status, the header and the body.
func (c *client) do(method, path string, form url.Values, header http.Header) (int, http.Header, string) {
	c.w.t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = c.w.origin() + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, target, body)
	if err != nil {
		c.w.t.Fatal(err)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", c.w.origin())
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := c.Do(r)
	if err != nil {
		c.w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.w.t.Fatalf("%s %s: reading: %v", method, path, err)
	}
	return res.StatusCode, res.Header, string(text)
}

var navigation = http.Header{
	"Accept": {"text/html,application/xhtml+xml"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"},
	"Sec-Fetch-Site": {"cross-site"},
}

// get is a script's request, visit a person's.
func (c *client) get(path string) (int, string) {
	status, _, body := c.do(http.MethodGet, path, nil, nil)
	return status, body
}

func (c *client) visit(path string) (int, http.Header, string) {
	return c.do(http.MethodGet, path, nil, navigation)
}

func (c *client) post(path string, form url.Values) (int, http.Header, string) {
	return c.do(http.MethodPost, path, form, http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}})
}

var linkIn = regexp.MustCompile(`https?://\S+/link\?t=[A-Za-z0-9_.-]+`)

// mail waits for the next mail and returns its link.
func (w *world) mail() (mailertest.Mail, string) {
	w.t.Helper()
	w.seen++
	m := w.mails.Wait(w.t, w.seen)[w.seen-1]
	return m, linkIn.FindString(m.Text)
}

// signUp makes an account and signs it in, all in one browser.
func (w *world) signUp(c *client, email string) {
	w.t.Helper()
	status, header, body := c.post("/email-link/sign-up", url.Values{"email": {email}})
	if status != http.StatusSeeOther || header.Get("Location") != "/email-link/resend" {
		w.t.Fatalf("sign-up: %d, Location %q\n%s", status, header.Get("Location"), body)
	}
	_, link := w.mail()
	if link == "" {
		w.t.Fatal("no link in the mail")
	}
	status, header, body = c.visit(link)
	if status != http.StatusSeeOther || strings.HasSuffix(header.Get("Location"), "/confirm") {
		w.t.Fatalf("the link: %d, Location %q\n%s", status, header.Get("Location"), body)
	}
}

// session is what /session says, nil when nobody is signed in.
func (c *client) session() map[string]any {
	c.w.t.Helper()
	status, body := c.get("/email-link/session")
	if status == http.StatusUnauthorized {
		return nil
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusOK {
		c.w.t.Fatalf("/session: %d %q", status, body)
	}
	return v
}

func readAll(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
