package gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/flow"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/internal/web"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

const (
	testOrigin = "https://app.example.com"
	testPrefix = "/email-link"
)

// handlerFunc is a Handler.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

func (f handlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) error { return f(w, r) }

// testHost is a server around the gate that knows no more than net/http.
type testHost struct {
	// trusted reports whether requests come from a trusted proxy.
	trusted bool
	// redacted are the requests that are kept out of the log.
	redacted []Redaction
}

type testKey int

const (
	varsKey testKey = iota
	sentKey
	placeholderKey
)

// arrive makes a request as the host hands it to sites.
func arrive(r *http.Request) *http.Request {
	ctx := context.WithValue(r.Context(), varsKey, map[string]any{})
	return r.WithContext(context.WithValue(ctx, placeholderKey, new(func(string) (any, bool))))
}

// rewritten makes a request that had another address when it was sent.
func rewritten(r *http.Request, sent string) *http.Request {
	u, err := url.Parse(sent)
	if err != nil {
		panic(err)
	}
	return r.WithContext(context.WithValue(r.Context(), sentKey, u))
}

// placeholder returns the value that a request has for a placeholder.
func placeholder(r *http.Request, name string) any {
	of, _ := r.Context().Value(placeholderKey).(*func(string) (any, bool))
	if of == nil || *of == nil {
		return nil
	}
	value, _ := (*of)(name)
	return value
}

func (h *testHost) Vars(r *http.Request) map[string]any {
	vars, _ := r.Context().Value(varsKey).(map[string]any)
	return vars
}

func (h *testHost) TrustedProxy(map[string]any) bool { return h.trusted }

func (h *testHost) Client(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") }

func (h *testHost) Original(r *http.Request) (*url.URL, string) {
	if u, ok := r.Context().Value(sentKey).(*url.URL); ok {
		return u, u.RequestURI()
	}
	return nil, r.RequestURI
}

func (h *testHost) See(r *http.Request, path string) *http.Request { return see(r, path) }

func (h *testHost) Describe(_ http.ResponseWriter, asked, _ *http.Request) *http.Request {
	return arrive(asked)
}

func (h *testHost) OwnAnswer(w http.ResponseWriter) http.ResponseWriter { return w }

func (h *testHost) Placeholders(r *http.Request, value func(name string) (any, bool)) {
	if into, ok := r.Context().Value(placeholderKey).(*func(string) (any, bool)); ok {
		*into = value
	}
}

func (h *testHost) LogsReferer(*http.Request) bool { return true }

func (h *testHost) Redact(w http.ResponseWriter, _ *http.Request, next Handler, what Redaction) (http.ResponseWriter, Handler, func()) {
	h.redacted = append(h.redacted, what)
	return w, next, func() {}
}

func (h *testHost) Status(error) int { return http.StatusInternalServerError }

// fixture is a started gate with one site, and an account that is signed in there.
type fixture struct {
	*Site
	t       testing.TB
	rt      *Runtime
	host    *testHost
	time    *clock.Fake
	log     *bytes.Buffer
	account accounts.Account
	cookie  string
}

// newFixture returns a gate at a frozen time. change may change the site before it is prepared.
func newFixture(t testing.TB, change ...func(s *Site)) *fixture {
	t.Helper()
	f := &fixture{t: t, host: &testHost{}, log: new(bytes.Buffer), time: clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	f.Site = &Site{
		Prefix: testPrefix, Assertions: AssertionConfig{Header: identity.Header, Format: identity.FormatJWE, TTL: identity.DefaultTTL},
		Template: web.Site{Site: flow.Site{Prefix: testPrefix, Limits: limit.Defaults()}},
	}
	f.Origins = []Origin{f.origin(testOrigin)}
	for _, one := range change {
		one(f.Site)
	}
	f.Stripper = boundary.NewStripper(boundary.Rules{Own: []string{f.Assertions.Header, "Remote-User"}})
	f.InnerStripper = boundary.NewStripper(boundary.Rules{Own: []string{f.Assertions.Header}})
	f.Answered = []string{f.Assertions.Header}
	f.rt = f.open()
	g := New(f.host, slog.New(slog.NewTextHandler(f.log, nil)), func() {})
	g.AddSite(f.Site)
	g.Start(f.rt)
	return f
}

func (f *fixture) origin(text string) Origin {
	f.t.Helper()
	o, err := ParseOrigin(text)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// open opens a database with the account and its session.
func (f *fixture) open() *Runtime {
	f.t.Helper()
	ctx := context.Background()
	store := enginetest.Open(f.t, f.t.TempDir())
	v, err := vault.Open(ctx, vault.Config{Store: store, Clock: f.time.Clock(), Masters: func([]byte) ([][]byte, error) {
		return [][]byte{[]byte("a master key of thirty-two bytes")}, nil
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = v.Close() })
	addr, err := address.Parse("ada.lovelace@example.com")
	if err != nil {
		f.t.Fatal(err)
	}
	err = store.Update(ctx, func(tx storage.Tx) (err error) {
		f.account, err = v.Accounts.Create(tx, accounts.NewAccount{Address: addr, Name: "Ada Lovelace", Roles: []string{"admin"}})
		if err != nil {
			return err
		}
		f.cookie, _, err = v.Sessions.Open(tx, f.account, session.OpenInput{
			Site: testOrigin, Mailbox: addr.Mailbox(v.Ring), Methods: []string{"link"}, Device: "Firefox on Linux",
			Idle: 7 * 24 * time.Hour, Absolute: 30 * 24 * time.Hour,
		})
		return err
	})
	set, err2 := templates.Load(templates.Options{Location: time.UTC})
	if err := errors.Join(err, err2); err != nil {
		f.t.Fatal(err)
	}
	flows := &flow.Service{
		Store: v.Store, Ring: v.Ring, Clock: v.Clock, Limiter: &limit.Limiter{Ring: v.Ring}, Sessions: v.Sessions, Accounts: v.Accounts,
		Wake: func() {}, Log: slog.New(slog.DiscardHandler),
	}
	return &Runtime{Vault: v, Flows: flows, Pages: &web.Pages{Flows: flows, Sessions: v.Sessions, Self: v.SelfService(flows, nil), Templates: set, Clock: v.Clock}}
}

// token makes a machine token for the account.
func (f *fixture) token(scopes ...string) string {
	f.t.Helper()
	f.rt.Machines.SetScopes(scopes)
	text, _, err := f.rt.Machines.Create(context.Background(), machinetoken.Input{
		Account: f.account.ID, Site: testOrigin, Scopes: scopes, TTL: 24 * time.Hour, Name: "test",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// trial is what became of one request.
type trial struct {
	code   int
	header http.Header
	body   string
	// arrived is what the backend got, nil where it got nothing.
	arrived *http.Request
}

// backend is a Handler that notes what it gets and answers.
func (got *trial) backend(w http.ResponseWriter, r *http.Request) error {
	got.arrived = r.Clone(r.Context())
	w.Header().Set("X-Backend", "yes")
	_, err := io.WriteString(w, "secret of the backend")
	return err
}

// try sends a request through sites, the outer one first.
func try(t testing.TB, r *http.Request, sites ...*Site) (got trial) {
	t.Helper()
	next := Handler(handlerFunc(got.backend))
	for i := len(sites) - 1; i >= 0; i-- {
		site, inner := sites[i], next
		next = handlerFunc(func(w http.ResponseWriter, r *http.Request) error { return site.ServeHTTP(w, r, inner) })
	}
	w := httptest.NewRecorder()
	if err := next.ServeHTTP(w, arrive(r)); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	got.code, got.header, got.body = w.Code, w.Header(), w.Body.String()
	return got
}

// request is a script's request with a session cookie, if there is one, and headers in pairs.
func request(method, target, cookie string, pairs ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", "*/*")
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: boundary.CookieName("", true), Value: cookie})
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Set(pairs[i], pairs[i+1])
	}
	return r
}

// described is how a proxy asks about a request.
func described(r *http.Request) *http.Request {
	asked := r.Clone(r.Context())
	asked.Method, asked.Host, asked.RemoteAddr = http.MethodGet, "gate.internal", "127.0.0.1:1234"
	asked.URL = &url.URL{Path: testPrefix + "/verify"}
	asked.RequestURI = asked.URL.Path
	for name, value := range map[string]string{"Method": r.Method, "Proto": "https", "Host": r.Host, "Uri": r.URL.RequestURI()} {
		asked.Header.Set("X-Forwarded-"+name, value)
	}
	return asked
}

// loopback are peers that may ask at /verify.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
