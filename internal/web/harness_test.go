package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

const (
	origin = "https://app.example.com"
	known  = "jo@example.com"
)

// gate is all of the core behind the pages, on a real database, with a mailer that keeps what it is given.
type gate struct {
	t *testing.T
	// dir holds the database, where that is a file.
	dir   string
	site  *Site
	pages *Pages
	state *vault.Vault
	clock *clock.Fake
	work  *outbox.Worker
	// maxAge is how old the last proof may be; 0: any age.
	maxAge time.Duration
	// refusal is how every request to the backend is refused; 0: as the session demands.
	refusal Refusal
	log     strings.Builder

	mu    sync.Mutex
	mails []mailer.Message
}

// Send implements mailer.Mailer.
func (g *gate) Send(_ context.Context, m mailer.Message) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mails = append(g.mails, m)
	return nil
}

// Close implements mailer.Mailer.
func (g *gate) Close(context.Context) error { return nil }

// bothModes runs a test over stored and over stateless flows.
func bothModes(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("stored", test)
	t.Run("stateless", test)
}

// newGate returns a gate whose flows are those that the test runs over.
func newGate(t *testing.T) *gate {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	store := enginetest.Open(t, dir)
	enginetest.SetDataKey(t, store)
	g := &gate{t: t, dir: dir, clock: clock.NewFake(time.Date(2026, 11, 21, 14, 3, 17, 0, time.UTC))}
	var err error
	g.state, err = vault.Open(ctx, vault.Config{
		Store: store, Clock: g.clock.Clock(),
		Masters: func([]byte) ([][]byte, error) { return [][]byte{[]byte(enginetest.Master)}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.state.Close(); err != nil && !errors.Is(err, storage.ErrClosed) {
			t.Error(err)
		}
	})
	limits := limit.Defaults()
	g.site = &Site{
		Site: flow.Site{Origin: origin, Prefix: "/email-link", SignUp: flow.SignUp{Mode: flow.SignUpOpen}, Limits: limits, Stateless: strings.Contains(t.Name(), "/stateless")},
		Name: "Example", Contact: "help@example.com", Secure: true, FormActions: []string{"https://portal.example.com"},
	}
	set, err := templates.Load(templates.Options{Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	limiter := &limit.Limiter{Ring: g.state.Ring}
	flows := &flow.Service{
		Store: store, Ring: g.state.Ring, Clock: g.state.Clock, Limiter: limiter, Sessions: g.state.Sessions,
		Accounts: g.state.Accounts, Log: log,
	}
	g.pages = &Pages{
		Flows: flows, Sessions: g.state.Sessions, Self: g.state.SelfService(flows, log), Templates: set, Clock: g.state.Clock, Log: log,
		JWKS: func() []byte { return []byte(`{"keys":[]}`) },
	}
	g.work = &outbox.Worker{Store: store, Ring: g.state.Ring, Clock: g.state.Clock, Limiter: limiter, Log: log}
	g.work.Use(g.delivery(set))
	return g
}

// delivery is what the mail worker does with letters.
func (g *gate) delivery(set *templates.Set) outbox.Delivery {
	return outbox.Delivery{
		Mailer: g, Accounts: g.state.Accounts, Sessions: g.state.Sessions, Invitations: g.pages.Flows, Limits: g.site.Limits,
		Render: func(l outbox.Message) (mailer.Message, error) {
			r, err := set.Mail(Mail(g.site, l), l.Locale)
			return mailer.Message{From: "no-reply@example.com", Subject: r.Subject, Text: r.Text, HTML: r.HTML, Language: r.Language}, err
		},
	}
}

// account makes an account.
func (g *gate) account(email string) accounts.Account {
	g.t.Helper()
	addr, err := address.Parse(email)
	if err != nil {
		g.t.Fatal(err)
	}
	var a accounts.Account
	err = g.state.Store.Update(context.Background(), func(tx storage.Tx) (err error) {
		a, err = g.state.Accounts.Create(tx, accounts.NewAccount{Address: addr})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	// An account as old as its first flow would have been made by it.
	g.clock.Advance(time.Second)
	return a
}

func (g *gate) disable(id string) {
	g.t.Helper()
	err := g.state.Store.Update(context.Background(), func(tx storage.Tx) error {
		return g.state.Accounts.SetStatus(tx, id, storage.StatusDisabled)
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// deliver gives each queued mail an attempt and returns what arrived since the last call.
func (g *gate) deliver() []mailer.Message {
	g.t.Helper()
	if err := g.work.Flush(context.Background()); err != nil {
		g.t.Fatal(err)
	}
	mails := g.mails
	g.mails = nil
	return mails
}

var (
	linkPattern   = regexp.MustCompile(`https://app\.example\.com(/email-link/link\?t=[\w.-]+)\n`)
	cancelPattern = regexp.MustCompile(`https://app\.example\.com(/email-link/cancel\?t=[\w.-]+)\n`)
	codePattern   = regexp.MustCompile(`(?m)^ +(\d{4} \d{4})$`)
	hPattern      = regexp.MustCompile(`name="h" value="([^"]+)"`)
)

func (g *gate) find(p *regexp.Regexp, text string) string {
	g.t.Helper()
	m := p.FindStringSubmatch(text)
	if m == nil {
		g.t.Fatalf("nothing matches %v in:\n%s", p, text)
	}
	return m[1]
}

// ServeHTTP does what the module does before a page of ours.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := Visit{Site: g.site, Cookies: boundary.ExtractCookies(r.Header, g.site.Secure)}
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		v.Client = addr.Addr()
	}
	live, err := g.state.Sessions.Find(r.Context(), v.Cookies.Session, g.site.Origin)
	if err != nil {
		g.pages.Refuse(w, r, v, Unavailable)
		return
	}
	v.Live = live
	switch {
	case strings.HasPrefix(r.URL.Path, g.site.Prefix):
		g.pages.Serve(w, r, v)
	case g.refusal != 0:
		g.pages.Refuse(w, r, v, g.refusal)
	case live == nil, g.maxAge > 0 && g.state.Clock.Now().Sub(live.Session.AuthTime) > g.maxAge:
		g.pages.Refuse(w, r, v, SignIn)
	default:
		_, _ = io.WriteString(w, "backend")
	}
}

// browser keeps cookies and sends what a browser sends.
type browser struct {
	g       *gate
	cookies map[string]string
	// client is the address, agent the User-Agent.
	client, agent string
	last          *http.Response
}

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)

func (g *gate) browser() *browser {
	return &browser{g: g, cookies: map[string]string{}, client: "192.0.2.7:1234", agent: firefox}
}

type answer struct {
	status   int
	location string
	body     string
	header   http.Header
}

// do sends a request and keeps the cookies of the answer. change may alter the request.
func (b *browser) do(method, target, contentType, body string, change func(*http.Request)) answer {
	b.g.t.Helper()
	var reader io.Reader
	if body != "" || contentType != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, origin+target, reader)
	r.RemoteAddr = b.client
	r.Header.Set("User-Agent", b.agent)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "none")
	if method == http.MethodPost {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", origin)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	b.g.ServeHTTP(w, r)
	b.last = w.Result()
	for _, c := range b.last.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return answer{status: w.Code, location: w.Header().Get("Location"), body: w.Body.String(), header: w.Header()}
}

func (b *browser) get(target string) answer {
	b.g.t.Helper()
	return b.do(http.MethodGet, target, "", "", nil)
}

func (b *browser) post(target string, pairs ...string) answer {
	b.g.t.Helper()
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, target, "application/x-www-form-urlencoded", values.Encode(), nil)
}

func (b *browser) json(method, target, body string) answer {
	b.g.t.Helper()
	contentType := ""
	if method == http.MethodPost {
		contentType = "application/json"
	}
	return b.do(method, target, contentType, body, func(r *http.Request) {
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Sec-Fetch-Mode", "cors")
		r.Header.Set("Sec-Fetch-Dest", "empty")
	})
}

// wants checks status and, where it leads on, the address.
func (a answer) wants(t *testing.T, status int, location string) answer {
	t.Helper()
	if a.status != status || a.location != location {
		t.Fatalf("%d to %q, want %d to %q\n%s", a.status, a.location, status, location, a.body)
	}
	return a
}

func (a answer) says(t *testing.T, words ...string) answer {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(a.body, w) {
			t.Fatalf("the answer (%d) does not say %q:\n%s", a.status, w, a.body)
		}
	}
	return a
}

func (a answer) lacks(t *testing.T, words ...string) answer {
	t.Helper()
	for _, w := range words {
		if strings.Contains(a.body, w) {
			t.Fatalf("the answer (%d) says %q:\n%s", a.status, w, a.body)
		}
	}
	return a
}

// has says which of our cookies a browser holds.
func (b *browser) has(kinds ...string) bool {
	if len(b.cookies) != len(kinds) {
		return false
	}
	for _, k := range kinds {
		if b.cookies[boundary.CookieName(k, true)] == "" {
			return false
		}
	}
	return true
}

// asks asks for a mail to sign in and returns the only mail that arrives.
func (b *browser) asks(email string) mailer.Message {
	b.g.t.Helper()
	b.g.deliver()
	b.post("/email-link/sign-in", "email", email).wants(b.g.t, 303, "/email-link/resend")
	mails := b.g.deliver()
	if len(mails) != 1 {
		b.g.t.Fatalf("%d mails arrived, want 1", len(mails))
	}
	return mails[0]
}
