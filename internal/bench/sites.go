package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

// Names of the sites, each on a port of its own in one Caddy.
const (
	siteBare   = "bare"   // reverse_proxy alone
	siteStatic = "static" // and a request header of the assertion's size
	siteAnswer = "answer" // the gate's own 401, byte for byte, as a fixed text
	siteSigned = "signed" // the gate as it comes
	siteToken  = "token"  // machine tokens pass, and people
)

// siteBlocks are the sites, with $ADDR, $BACKEND, $STATIC and $ANSWER.
var siteBlocks = []struct{ name, text string }{
	{siteBare, "reverse_proxy $BACKEND"},
	{siteStatic, "request_header Email-Link-Assertion \"$STATIC\"\n\treverse_proxy $BACKEND"},
	{siteAnswer, "$ANSWER"},
	{siteSigned, "email_link {\n\t\tbase_url $ADDR\n\t\tportal off\n\t}\n\treverse_proxy $BACKEND"},
	{siteLed, "email_link {\n\t\tbase_url $ADDR\n\t}\n\treverse_proxy $BACKEND"},
	{siteToken, "email_link {\n\t\tbase_url $ADDR\n\t\tportal off\n\t\trequire scope " + scope + " session\n\t}\n\treverse_proxy $BACKEND"},
}

// sites is one Caddy with all variants, and its backend.
type sites struct {
	caddy, backend *child
	admin          string
	// addr is host and port of each site, cookie the value of its session.
	addr, cookie map[string]string
	// portal is the origin where people sign in for siteLed.
	portal string
	// token is a machine token of siteToken.
	token string
	// assertion is one as the backend has got it.
	assertion string
}

// sites starts Caddy and the backend once.
func (b *bench) sites() (*sites, error) {
	if b.site != nil {
		return b.site, nil
	}
	free, err := ports(len(siteBlocks) + 3)
	if err != nil {
		return nil, err
	}
	s := &sites{admin: "127.0.0.1:" + free[0], addr: map[string]string{}, cookie: map[string]string{}}
	backend := "127.0.0.1:" + free[1]
	for i, block := range siteBlocks {
		s.addr[block.name] = "127.0.0.1:" + free[i+2]
	}
	s.portal = "http://localhost:" + free[len(siteBlocks)+2]
	program := self("backend")
	program.env = append(program.env, "EMAIL_LINK_BENCH_ADDR="+backend)
	if s.backend, err = b.start(program, nil); err != nil {
		return nil, err
	}
	if err := s.backend.await("http://" + backend); err != nil {
		return nil, err
	}
	database := b.path("requests.db")
	if err := s.signIn(database); err != nil {
		return nil, err
	}
	static, answer := "x", "respond 401"
	for range 2 {
		// Twice: what an assertion and a refusal are like is known only when they have been made.
		config := b.path("Caddyfile")
		if err := os.WriteFile(config, []byte(s.caddyfile(database, backend, static, answer)), 0o600); err != nil {
			return nil, err
		}
		if s.caddy, err = b.start(self("caddy", "run", "--config", config, "--adapter", "caddyfile"), func(c *exec.Cmd) { c.Stdout = nil }); err != nil {
			return nil, err
		}
		if err := s.caddy.await("http://" + s.addr[siteBare] + "/"); err != nil {
			return nil, err
		}
		if s.assertion, err = s.get(siteSigned, "/assertion"); err != nil {
			return nil, s.caddy.fate(err)
		}
		if len(static) == len(s.assertion) {
			break
		}
		static = strings.Repeat("x", len(s.assertion))
		if answer, err = s.refusal(); err != nil {
			return nil, s.caddy.fate(err)
		}
		s.caddy.Stop()
	}
	b.site = s
	return s, nil
}

// caddyfile is the configuration.
func (s *sites) caddyfile(database, backend, static, answer string) string {
	c := gateConfig(s.admin, database)
	c.Options += "\n\tservers {\n\t\tprotocols h1 h2c\n\t}"
	c.Gate = benchGate + "\n\t\tportal " + s.portal
	c.Sites = strings.ReplaceAll(portalBlock, "$PORTAL", s.portal)
	for _, block := range siteBlocks {
		text := strings.NewReplacer("$ADDR", "http://"+s.addr[block.name], "$BACKEND", backend, "$STATIC", static, "$ANSWER", answer).Replace(block.text)
		c.Sites += fmt.Sprintf("http://%s {\n\tbind 127.0.0.1\n\t%s\n}\n", s.addr[block.name], text)
	}
	return c.String()
}

// benchGate are the gate's lines for all sites.
const benchGate = "site_name Bench\n\t\tscopes " + scope

// signIn opens the sessions in the database that Caddy will open. Their last use is in an hour, so that no row is about
// recording it, which happens once a minute.
func (s *sites) signIn(database string) error {
	ctx := context.Background()
	store, err := bolt.Open(ctx, bolt.Options{Path: database})
	if err != nil {
		return err
	}
	st, err := openState(ctx, store, nil)
	if err != nil {
		return err
	}
	later := clock.New(func() time.Time { return time.Now().Add(time.Hour) })
	manager := session.NewManager(store, st.Ring, later, st.Accounts)
	addr, err := address.Parse("ada.lovelace@example.com")
	if err != nil {
		return err
	}
	open := func(tx storage.Tx, a accounts.Account, site string) (string, error) {
		if site == siteLed {
			return s.openLed(tx, st, manager, a, addr)
		}
		cookie, _, err := manager.Open(tx, a, signedInput(addr.Mailbox(st.Ring), "http://"+s.addr[site]))
		return cookie, err
	}
	var id string
	err = store.Update(ctx, func(tx storage.Tx) error {
		a, err := st.Accounts.Create(tx, accounts.NewAccount{Address: addr})
		if err != nil {
			return err
		}
		id = a.ID
		for _, block := range siteBlocks {
			if s.cookie[block.name], err = open(tx, a, block.name); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.makeToken(ctx, st.Machines, id)
	}
	return errors.Join(err, st.Close())
}

// signedInput is what each session of the rows about requests is opened with.
func signedInput(mailbox storage.Digest, site string) session.OpenInput {
	return session.OpenInput{
		Site: site, Mailbox: mailbox, Methods: []string{"link"}, Device: "Firefox on Linux", Idle: 7 * 24 * time.Hour, Absolute: 30 * 24 * time.Hour,
	}
}

// openState opens a database with the benchmark's key.
func openState(ctx context.Context, store storage.Store, clk *clock.Clock) (*vault.Vault, error) {
	return vault.Open(ctx, vault.Config{
		Store: store, Clock: clk, Masters: func([]byte) ([][]byte, error) { return [][]byte{[]byte(master)}, nil },
	})
}

// get asks once, signed in, and wants 200.
func (s *sites) get(site, path string) (string, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+s.addr[site]+path, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Cookie", boundary.CookieName("", false)+"="+s.cookie[site])
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s", site, path, res.Status)
	}
	return string(text), err
}

// refusal returns directives that answer as the gate answers a script that is not signed in.
func (s *sites) refusal() (string, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+s.addr[siteSigned]+"/x", nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for name, values := range res.Header {
		if name != "Date" && name != "Content-Length" && name != "Server" {
			fmt.Fprintf(&b, "header %s `%s`\n\t", name, values[0])
		}
	}
	fmt.Fprintf(&b, "respond `%s` %d", strings.TrimSpace(string(body)), res.StatusCode)
	return b.String(), nil
}

// browser is what a browser sends with each request for something on a page.
func browser(cookie string) []string {
	line := "theme=dark; _ga=GA1.1.1234567890.1700000000"
	if cookie != "" {
		line += "; " + boundary.CookieName("", false) + "=" + cookie
	}
	return []string{
		"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept", "*/*",
		"Accept-Language", "en-US,en;q=0.5",
		"Sec-Fetch-Dest", "empty",
		"Sec-Fetch-Mode", "cors",
		"Sec-Fetch-Site", "same-origin",
		"Cookie", line,
	}
}

// profile fetches the CPU profile of Caddy for a while.
func (s *sites) profile(path string, length time.Duration) error {
	seconds := max(1, int(length.Seconds()))
	res, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, seconds)) //nolint:noctx,gosec // it ends by itself
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, res.Body); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
