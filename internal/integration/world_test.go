package integration

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
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

// origin is where the gate is.
func (w *world) origin() string {
	if w.tls {
		return "https://" + w.host + ":" + w.port
	}
	return "http://" + w.host + ":" + w.port
}

// standardOptions are global options of all worlds.
const standardOptions = `persist_config off
	skip_install_trust
	local_certs
	auto_https disable_redirects
	grace_period 1s
	`

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
	text := gatetest.Config{
		Admin: w.admin, Options: standardOptions + s.top, BaseURL: cmp.Or(s.baseURL, w.origin()), Storage: "bbolt " + w.db,
		Secret: cmp.Or(s.secret, "{env.EMAIL_LINK_TEST_SECRET}"), Mailer: "smtp " + w.mails.Addr + " {\n\t\t\ttls none\n\t\t}",
		Gate: "contact \"the owner\"\n\t\t" + s.global, Sites: site,
	}.String()
	return strings.NewReplacer("$ADDR", w.origin(), "$PORT", w.port, "$BACKEND", w.backend.addr).Replace(text)
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
	out, err := gatetest.Adapt(w.caddyfile(s))
	if err != nil {
		return err
	}
	return w.replace(out)
}

// replace loads a configuration that has been adapted.
func (w *world) replace(config []byte) error {
	w.t.Helper()
	return gatetest.Load(w.t, config, w.port)
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

func freePort(t testing.TB) string { t.Helper(); return gatetest.Port(t) }

// client is one browser.
type client struct {
	w *world
	*gatetest.Browser
	// header is sent with each request.
	header http.Header
}

func (w *world) client() *client {
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
	return &client{w: w, Browser: gatetest.NewBrowser(w.origin(), tr)}
}

// moved sends the browser to where the world is now: some tests change its host while browsers are open.
func (c *client) moved() {
	if origin := c.w.origin(); c.Origin != origin {
		c.Origin = origin
	}
}

// do sends a request and returns the status, the header and the body.
func (c *client) do(method, path string, form url.Values, header http.Header) (int, http.Header, string) {
	c.w.t.Helper()
	c.moved()
	res, body, err := c.Send(context.Background(), method, path, form, c.header, header)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

var navigation = gatetest.Navigation

// get is a script's request, visit a person's.
func (c *client) get(path string) (int, string) {
	status, _, body := c.do(http.MethodGet, path, nil, nil)
	return status, body
}

func (c *client) visit(path string) (int, http.Header, string) {
	return c.do(http.MethodGet, path, nil, navigation)
}

func (c *client) post(path string, form url.Values) (int, http.Header, string) {
	return c.do(http.MethodPost, path, form, gatetest.Submission)
}

var linkIn = gatetest.LinkIn

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
	c.moved()
	err := c.SignUp(context.Background(), email, func() string {
		_, link := w.mail()
		return link
	})
	if err != nil {
		w.t.Fatal(err)
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
