//go:build postgres

package main

import (
	"errors"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/identity"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// awkward is a password whose characters mean something in URLs, in connection strings and in Caddyfiles.
const awkward = `p@ss:w/rd?#[1]&=%41'\ "+`

// served is a trial that `serve` runs on a PostgreSQL server over the network, with TLS and a password.
type served struct {
	*place
	server  *pgtest.Server
	backend *gatetest.Backend
	at, dsn string
}

func newServed(t *testing.T) *served {
	t.Helper()
	settings, caFile := pgtest.Network(t, "hostssl all all 127.0.0.1/32 scram-sha-256")
	server := pgtest.StartFor(t, append(settings, "log_statement=all", "log_parameter_max_length=-1", "log_parameter_max_length_on_error=-1")...)
	t.Setenv("PGOPTIONS", "-c log_statement=none") // of the one statement that holds it
	server.Exec(t, "create role app login password '"+strings.ReplaceAll(awkward, "'", "''")+"'")
	t.Setenv("PGOPTIONS", "")
	server.Exec(t, "create database app owner app")
	s := &served{place: newPlace(t), server: server, backend: gatetest.NewBackend(t), at: "http://localhost:" + gatetest.Port(t)}
	if err := os.Remove(filepath.Join(s.dir, "Caddyfile")); err != nil { // serve needs none
		t.Fatal(err)
	}
	s.dsn = "postgres://app:{env.GATE_DB_PASSWORD}@127.0.0.1:" + server.Port() + "/app?sslmode=verify-full&sslrootcert=" + url.QueryEscape(caFile)
	return s
}

func (s *served) args() []string {
	return []string{"serve", "--to", s.backend.Addr, "--from", s.at, "--admin", s.admin, "--storage", s.dsn}
}

// serve runs the trial and returns the address of the page with its mails.
func (s *served) serve() (mails string, stop func()) {
	s.t.Helper()
	caddy, err := gatetest.Start(s.command(append([]string{"email-link"}, s.args()...)...))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(caddy.Stop)
	s.log = caddy.Output
	err = caddy.Await(20*time.Millisecond, func() error {
		m := regexp.MustCompile(`Mails     (http://localhost:\d+)\n`).FindStringSubmatch(caddy.Output.String())
		if m == nil || !strings.Contains(caddy.Output.String(), "Stop      Ctrl-C") {
			return errors.New("it has not said what to open")
		}
		mails = m[1]
		return nil
	})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.log)
	}
	return mails, caddy.Stop
}

// read returns what an address answers.
func read(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // of this test
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSTO2_TheMainJobOnPostgreSQL is what the quickstart does, by `serve --storage postgres://…`: a sign-up with the page of mails,
// the app learns who it is, and after a restart it still does. The password is nowhere.
func TestSTO2_TheMainJobOnPostgreSQL(t *testing.T) {
	s := newServed(t)
	t.Setenv("GATE_DB_PASSWORD", awkward)
	_, errs, code := s.run(s.args()...)
	if code != 1 || !strings.Contains(errs, "the environment variable EMAIL_LINK_SECRET is not set") || !strings.Contains(errs, "openssl rand -base64 32") {
		t.Errorf("without a key: exit %d, %s", code, errs)
	}
	t.Setenv("EMAIL_LINK_SECRET", "sV3o1Xq7oSMpRH1A3Jm0ahzUWlbHxn1+0gSPyC6gKBE=") // as it says
	mails, stop := s.serve()
	b := newBrowser(t)
	if status, page := b.do(http.MethodPost, s.at+"/email-link/sign-up", "email=anna%40example.com"); status != http.StatusOK {
		t.Fatalf("sign-up: %d\n%s", status, page)
	}
	link := ""
	for limit := time.Now().Add(gatetest.Patience); link == "" && time.Now().Before(limit); {
		link = html.UnescapeString(regexp.MustCompile(`http://[^"<\s]+/link\?t=[^"<\s]+`).FindString(read(t, mails+"/")))
	}
	if status, page := b.open(link); status != http.StatusOK || page != "hello" {
		t.Fatalf("the link %q led to %d\n%s", link, status, page)
	}
	audience := strings.TrimPrefix(s.at, "http://")
	key := firstLine(s.must("keys", "audience", audience, "--address", s.admin))
	verifier, err := identity.NewVerifier(identity.Config{
		Issuers: []string{s.at}, Audience: audience, Type: identity.TypeAssertion, Key: key, JWKSURL: s.at + "/email-link/jwks.json",
	})
	if err != nil {
		t.Fatal(err)
	}
	who := func() string {
		t.Helper()
		s.backend.Taken()
		if status, page := b.do(http.MethodGet, s.at+"/", ""); status != http.StatusOK || page != "hello" {
			t.Fatalf("signed in: %d\n%s", status, page)
		}
		id, err := verifier.Verify(t.Context(), s.backend.Taken()[0].Header.Get(identity.Header))
		if err != nil {
			t.Fatal(err)
		}
		return id.Email
	}
	if email := who(); email != "anna@example.com" {
		t.Errorf("the app was told of %q", email)
	}
	places := map[string]string{
		"/config": read(t, "http://"+s.admin+"/config/"), "the metrics": read(t, "http://"+s.admin+"/metrics"), "the log of Caddy": s.log.String(),
	}
	stop()
	_, stop = s.serve()
	if email := who(); email != "anna@example.com" {
		t.Errorf("after a restart the app was told of %q", email)
	}
	stop()
	t.Setenv("GATE_DB_PASSWORD", awkward+"x")
	_, wrong, code := s.run(s.args()...)
	if code != 1 || !strings.Contains(wrong, `refuses the user "app"`) {
		t.Errorf("with a wrong password: exit %d, %s", code, wrong)
	}
	places["an error"], places["the second log of Caddy"] = wrong, s.log.String()
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	places["the server's log"] = s.server.Log()
	err = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		places[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(places["/config"], "{env.GATE_DB_PASSWORD}") || !strings.Contains(places["the server's log"], "insert into email_link.sessions") {
		t.Error("nothing of the database is where the password is looked for")
	}
	for place, text := range places {
		for _, form := range []string{awkward, url.QueryEscape(awkward), url.PathEscape(awkward), strings.ReplaceAll(url.QueryEscape(awkward), "+", "%20"), `p@ss:w/rd`, "p%40ss"} {
			if strings.Contains(text, form) {
				t.Errorf("the password is in %s, as %s", place, form)
			}
		}
	}
}
