//go:build interop

package verify

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/examples/internal/exampletest"
	"github.com/caddy-email-link/caddy-email-link/identity"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// TestJWT1_Programs signs up at a gate before each app, and then asks the app past the gate.
func TestJWT1_Programs(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, origin, port string) *exec.Cmd{
		"Go": func(t *testing.T, origin, port string) *exec.Cmd {
			program := filepath.Join(t.TempDir(), "app")
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./go").CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			return exec.CommandContext(context.WithoutCancel(t.Context()), program, "-origin", origin, "-listen", "127.0.0.1:"+port)
		},
		"Node": func(t *testing.T, _, _ string) *exec.Cmd {
			inNode.here(t)
			return exec.CommandContext(context.WithoutCancel(t.Context()), "node", "node/app.mjs")
		},
		"Python": func(t *testing.T, _, _ string) *exec.Cmd {
			inPython.here(t)
			return exec.CommandContext(context.WithoutCancel(t.Context()), python, "python/app.py")
		},
	} {
		t.Run(name, func(t *testing.T) {
			port, gatePort := exampletest.Port(t), exampletest.Port(t)
			origin := "http://localhost:" + gatePort
			m, _ := newMint(t)
			seen := new(seen)
			t.Setenv("EMAIL_LINK_KEY", base64.StdEncoding.EncodeToString(m.key))
			g := exampletest.StartGate(t, exampletest.Read(t, "Caddyfile", "https://app.example.com", origin, "\napp.example.com {", "\n"+origin+" {",
				"localhost:3000", seen.before(t, "127.0.0.1:"+port)), "127.0.0.1:"+gatePort)
			cmd := start(t, origin, port)
			cmd.Env = append(os.Environ(), "ORIGIN="+origin, "PORT="+port)
			exampletest.Start(t, cmd, "127.0.0.1:"+port)

			b := exampletest.NewBrowser(t, origin)
			b.SignUp(g, "ada@example.com")
			for range 3 { // the same assertion comes again
				if res, body := b.Visit("/"); res.StatusCode != http.StatusOK || body != "Hello ada@example.com\n" {
					t.Errorf("through the gate: %d %q", res.StatusCode, body)
				}
			}
			good := seen.last.Load().(string)
			past := exampletest.NewBrowser(t, "http://127.0.0.1:"+port)
			if res, body := past.Visit("/", identity.Header+": "+good); res.StatusCode != http.StatusOK || body != "Hello ada@example.com\n" {
				t.Errorf("what the gate had sent, once more: %d %q", res.StatusCode, body)
			}
			m.said.Issuer, m.said.Audience = origin, strings.TrimPrefix(origin, "http://")
			forged := m.token("abc", identity.MinterConfig{Key: m.key})
			for what, lines := range map[string][]string{
				"nothing":            nil,
				"an empty assertion": {identity.Header + ": "},
				"an address":         {identity.Header + ": ada@example.com"},
				"a plain header":     {"Remote-User: ada@example.com"},
				"one made with this app's key, by whoever is not the gate": {identity.Header + ": " + forged},
				"two of them":      {identity.Header + ": " + good, identity.Header + ": " + good},
				"another spelling": {"Email.Link.Assertion: " + good},
				"in a cookie":      {"Cookie: " + identity.Header + "=" + good},
			} {
				if res, body := past.Visit("/", lines...); res.StatusCode != http.StatusUnauthorized || strings.Contains(body, "ada") {
					t.Errorf("%s: %d %q", what, res.StatusCode, body)
				}
			}
		})
	}
}

// seen stands between gate and app and keeps the last assertion.
type seen struct{ last atomic.Value }

// before hands requests on to an app, and returns its own address.
func (s *seen) before(t *testing.T, app string) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: app})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.last.Store(r.Header.Get(identity.Header))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
