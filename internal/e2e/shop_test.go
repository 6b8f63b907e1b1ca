//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
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
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

const expressDir = "../../examples/express"

// shop is the example in examples/express: an app with users of its own, a gate with the example's Caddyfile before it, and between
// the two a wire that can fail.
type shop struct {
	*gate
	port    string
	appEnv  []string
	process *exec.Cmd
	// lost are answers of the app to POSTs that are still to be lost on their way, refused requests that do not get there.
	lost, refused atomic.Int64
}

// openShop starts everything but the database, which the app's environment names. Further lines stand beside those of the
// example's Caddyfile, in the global option and in the site's directive.
func openShop(t *testing.T, global, site string, appEnv ...string) *shop {
	t.Helper()
	if _, err := os.Stat(filepath.Join(expressDir, "node_modules", "express")); err != nil {
		t.Fatal("the packages of the example are missing: npm ci in examples/express")
	}
	keys := []string{"EMAIL_LINK_KEY=" + strings.Repeat("0123456789abcdef", 4), "EMAIL_LINK_SIGN_KEY=" + strings.Repeat("fedcba9876543210", 4)}
	s := &shop{
		gate:   &gate{t: t, dir: t.TempDir(), client: &http.Client{Timeout: 5 * time.Second}, env: keys, read: map[string]bool{}},
		appEnv: append(keys, appEnv...),
	}
	port := gatetest.Port(t)
	s.port = gatetest.Port(t)
	s.origin = "http://localhost:" + port
	text, err := os.ReadFile(filepath.Join(expressDir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, pair := range [][2]string{
		{"{\n\temail_link {\n", "{\n\tadmin " + gatetest.Address(t) + "\n\tgrace_period 1s\n\temail_link {\n"},
		{"base_url https://app.example.com", "base_url " + s.origin + "\n\t\tresend 5 1s\n\t\tstorage bbolt gate.db\n\t\t" + unlimited + "\n\t\t" + global},
		{"mailer smtp mail.example.com:587 mailer {env.SMTP_PASSWORD}", "mailer file ./mails"},
		{"\napp.example.com {", "\n" + s.origin + " {\n\tbind 127.0.0.1"},
		{"\t\toptional\n", "\t\toptional\n\t\t" + site + "\n"},
		{"localhost:3000", s.wire()},
	} {
		if !strings.Contains(config, pair[0]) {
			t.Fatalf("the example's Caddyfile has no %q", pair[0])
		}
		config = strings.Replace(config, pair[0], pair[1], 1)
	}
	s.write("Caddyfile", config)
	s.gate.run()
	s.awaitHealth()
	s.startApp()
	t.Cleanup(s.killApp)
	return s
}

// wire stands between gate and app, and returns its address.
func (s *shop) wire() string {
	s.t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:" + s.port})
	bad := func(w http.ResponseWriter) { http.Error(w, "Bad Gateway", http.StatusBadGateway) }
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { bad(w) }
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodPost && s.lost.Add(-1) >= 0 {
			return errors.New("lost")
		}
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.refused.Add(-1) >= 0 {
			bad(w)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (s *shop) startApp() {
	s.t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), "node", "app.js")
	cmd.Dir = expressDir
	cmd.Env = append(os.Environ(), append(s.appEnv, "ORIGIN="+s.origin, "PORT="+s.port, "SESSION_SECRET=of this test")...)
	cmd.Stdout, cmd.Stderr = s.t.Output(), s.t.Output()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.process = cmd
	s.await("an answer of the app", func() bool {
		conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", "127.0.0.1:"+s.port)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// killApp ends the app where it stands.
func (s *shop) killApp() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// later restarts the gate when a time has passed, by its own clock.
func (s *shop) later(d time.Duration) {
	s.t.Helper()
	s.stop()
	db, err := bolt.Open(s.t.Context(), bolt.Options{Path: filepath.Join(s.dir, "gate.db")})
	if err != nil {
		s.t.Fatal(err)
	}
	err = db.Update(s.t.Context(), func(tx storage.Tx) error {
		seen := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(d).Unix())) //nolint:gosec // of this century
		return tx.Meta().Put(storage.MetaClock, seen)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.gate.run()
	s.awaitHealth()
}

const (
	firstWords = "five wooden boats at dawn"
	otherWords = "a ladder of salt and copper"
)

// signsUp goes to the app's form, and returns the mail.
func (s *shop) signsUp(b *browser, email string) mail {
	s.t.Helper()
	b.open(s.origin+"/").at("/sign-in", 200).presses("Sign up").at("/sign-up", 200)
	b.types("Email address", email).presses("Send me a link").at("/email-link/resend", 200).says("Check your email", email)
	return s.mail(email)
}

// forgets goes to the app's other form.
func (s *shop) forgets(b *browser, email string) mail {
	s.t.Helper()
	b.open(s.origin+"/sign-in").presses("Forgot your password?").at("/reset", 200)
	b.types("Email address", email).presses("Send me a link").at("/email-link/resend", 200).says("Check your email", email)
	return s.mail(email)
}

// opens follows a link to the app's page, by way of a button where the gate asks for one.
func (s *shop) opens(b *browser, link, email string) {
	s.t.Helper()
	b.open(link)
	if strings.HasPrefix(b.path(), "/email-link/confirm") {
		b.goes(chromedp.Click("main form button"))
	}
	b.at("/password", 200)
	if got := b.element("email-seen"); got != email {
		s.t.Fatalf("the app sees %q", got)
	}
}

// saves fills in the app's form.
func (b *browser) saves(name, words string) *browser {
	b.t.Helper()
	if name != "" {
		b.types("Your name", name)
	}
	return b.types("New password", words).presses("Save")
}

func (s *shop) signsIn(b *browser, email, words string) *browser {
	s.t.Helper()
	b.open(s.origin + "/sign-in")
	return b.types("Email address", email).types("Password", words).presses("Sign in")
}

// pastTheGate asks the app itself for the page with the new password.
func (s *shop) pastTheGate(assertion string) (status int, text string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://127.0.0.1:"+s.port+"/password", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Email-Link-Assertion", assertion)
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// member makes an account, and signs it in.
func (s *shop) member(b *browser, email string) {
	s.t.Helper()
	s.opens(b, s.signsUp(b, email).link(), email)
	b.saves("Ada", firstWords).at("/password", 200).says("Your password is set.")
	s.signsIn(b, email, firstWords).at("/", 200).says("Hello Ada", email)
}
