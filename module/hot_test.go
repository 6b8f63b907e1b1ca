package module

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/gate"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
	"github.com/caddy-email-link/caddy-email-link/templates"
)

const hotOrigin = "https://app.example.com"

// started returns a handler whose configuration has started, and the cookie of somebody who is signed in.
func started(t testing.TB) (h *Handler, cookie string) {
	t.Helper()
	return startedAt(t, nil)
}

// startedAt is started with another clock than the system's.
func startedAt(t testing.TB, clk *clock.Clock) (h *Handler, cookie string) {
	t.Helper()
	ctx := context.Background()
	store, err := bolt.Open(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "hot.db")})
	if err != nil {
		t.Fatal(err)
	}
	st, err := vault.Open(ctx, vault.Config{Store: store, Clock: clk, Masters: func([]byte) ([][]byte, error) {
		return [][]byte{[]byte("a master key of thirty-two bytes")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	addr, err := address.Parse("ada.lovelace@example.com")
	if err != nil {
		t.Fatal(err)
	}
	err = store.Update(ctx, func(tx storage.Tx) error {
		a, err := st.Accounts.Create(tx, accounts.NewAccount{Address: addr, Name: "Ada Lovelace", Roles: []string{"admin"}})
		if err != nil {
			return err
		}
		cookie, _, err = st.Sessions.Open(tx, a, session.OpenInput{
			Site: hotOrigin, Mailbox: addr.Mailbox(st.Ring), Methods: []string{"link"}, Device: "Firefox on Linux",
			Idle: 7 * 24 * time.Hour, Absolute: 30 * 24 * time.Hour,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := templates.Load(templates.Options{Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	app := &App{log: slog.New(slog.DiscardHandler)}
	app.gate = gate.New(host{app}, app.log, metrics.issued.Inc)
	app.policy.limits = limit.Defaults()
	h = &Handler{app: app, site: &gate.Site{Prefix: DefaultPath}}
	if h.site.Origins, err = parseOrigins([]string{hotOrigin}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.readIdentity(), h.readSite()); err != nil {
		t.Fatal(err)
	}
	new(configuration).prepareNames([]*Handler{h})
	app.gate.AddSite(h.site)
	app.handlers = []*Handler{h}
	app.open(&core{Vault: st, limiter: &limit.Limiter{Ring: st.Ring}}, set)
	return h, cookie
}

// hotRequest is what a browser asks for something on a page, as Caddy's server hands it to handlers. Each run gets a request of
// its own, because the gate takes its cookie out and puts an identity in.
type hotRequest struct {
	server caddyhttp.Server
	header http.Header
	writer discard
}

func newHotRequest(cookie string) *hotRequest {
	q := &hotRequest{writer: discard{header: http.Header{}}}
	line := "theme=dark"
	if cookie != "" {
		line += "; " + boundary.CookieName("", true) + "=" + cookie
	}
	q.header = http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}, "Accept": {"*/*"},
		"Accept-Language": {"en-US,en;q=0.5"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"}, "Cookie": {line},
	}
	return q
}

func (q *hotRequest) prepare() *http.Request {
	r := httptest.NewRequest(http.MethodGet, hotOrigin+"/reports/2026", nil)
	r.Header = q.header.Clone()
	clear(q.writer.header)
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), &q.writer, &q.server)
}

// allocs counts what serve allocates for one request, without what the request takes by itself.
func (q *hotRequest) allocs(serve func(r *http.Request)) float64 {
	const runs = 300
	without := testing.AllocsPerRun(runs, func() { q.prepare() })
	return testing.AllocsPerRun(runs, func() { serve(q.prepare()) }) - without
}

// discard is a ResponseWriter that allocates nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(code int)        { d.status = code }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// nextFunc is the handler behind the gate.
type nextFunc func(w http.ResponseWriter, r *http.Request) error

func (f nextFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) error { return f(w, r) }

// TestHotPath_Allocations counts the allocations of a whole request through the gate. A count that changes is a decision: say
// here what it buys.
func TestHotPath_Allocations(t *testing.T) {
	h, cookie := started(t)
	assertions := 0
	next := nextFunc(func(_ http.ResponseWriter, r *http.Request) error {
		assertions += len(r.Header[identity.Header])
		return nil
	})
	for _, c := range []struct {
		name, cookie, mode string
		status             int
		want               float64
	}{
		// The pass with what the gate has found out, the writer in front of the client, the request that goes on and the value of the
		// assertion's header; the function of the placeholders; the context that ends with the session, and its function.
		{"signed in", cookie, "cors", 0, 4},
		// The pass; the exchange with the values of all headers; where to go afterwards, escaped, and the address of the form that ends
		// with it; the answer.
		{"nobody, a script", "", "cors", http.StatusUnauthorized, 5},
		// The same without an answer, and the value of the address's header.
		{"nobody, a page", "", "navigate", http.StatusSeeOther, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := newHotRequest(c.cookie)
			q.header["Sec-Fetch-Mode"] = []string{c.mode}
			assertions = 0
			requests := 0
			got := q.allocs(func(r *http.Request) {
				requests++
				if err := h.ServeHTTP(&q.writer, r, next); err != nil {
					t.Error(err)
				}
			})
			if q.writer.status != c.status || (assertions == requests) != (c.status == 0) {
				t.Fatalf("status %d, %d assertions in %d requests", q.writer.status, assertions, requests)
			}
			if got != c.want {
				t.Errorf("%v allocations, want %v", got, c.want)
			}
		})
	}
}

// answering is a backend whose answer reverse_proxy hands on: an ordinary page's headers and a short body.
var answering = nextFunc(func(w http.ResponseWriter, _ *http.Request) error {
	header := w.Header()
	header["Content-Type"], header["Content-Length"] = []string{"text/html; charset=utf-8"}, []string{"2"}
	header["Cache-Control"], header["Date"] = []string{"private"}, []string{"Sun, 22 Nov 2026 00:00:00 GMT"}
	header["Server"], header["Via"] = []string{"Caddy"}, []string{"1.1 Caddy"}
	w.WriteHeader(http.StatusOK)
	_, err := w.Write([]byte("ok"))
	return err
})

// BenchmarkHotPath takes its requests from a heap that is filled outside of the measured time.
func BenchmarkHotPath(b *testing.B) {
	h, cookie := started(b)
	for _, c := range []struct {
		name, cookie, mode string
	}{{"signed", cookie, "cors"}, {"401", "", "cors"}, {"303", "", "navigate"}} {
		b.Run(c.name, func(b *testing.B) {
			q := newHotRequest(c.cookie)
			q.header["Sec-Fetch-Mode"] = []string{c.mode}
			var heap [64]*http.Request
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				i := n % len(heap)
				if i == 0 {
					b.StopTimer()
					for j := range heap {
						heap[j] = q.prepare()
					}
					b.StartTimer()
				}
				clear(q.writer.header)
				_ = h.ServeHTTP(&q.writer, heap[i], answering)
			}
		})
	}
}
