package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// TestMain sets the variables of the configurations once, so that the tests can run beside each other. What a test has set for the Caddy that
// it starts, which is this program as well, stays.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"GATE_SECRET": "a master key of thirty-two bytes", "OTHER_SECRET": "another master key of thirty-two bytes", "GATE_DB_PASSWORD": "s3cret-w0rd",
	} {
		if _, ok := os.LookupEnv(name); ok {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	gatetest.Main(m, main)
}

// place is a directory with a Caddyfile, in which the program runs with its own data directory.
type place struct {
	t     *testing.T
	dir   string
	admin string
	site  string
	// program is another build that runs here, empty for this one; see buildCaddy.
	program string
	// env are further variables of what runs here.
	env []string
	// log is what the Caddy that start ran last has printed.
	log *gatetest.Output
	// caddy is that Caddy.
	caddy *gatetest.Child
}

func newPlace(t *testing.T, options ...string) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir(), admin: gatetest.Address(t), site: gatetest.Address(t)}
	_, port, _ := net.SplitHostPort(p.site)
	origin := "http://localhost:" + port
	p.write("Caddyfile", gatetest.Config{
		Admin: p.admin, BaseURL: origin, Mailer: "file ./mails", Gate: strings.Join(options, "\n\t\t"),
		Sites: origin + " {\n\tbind 127.0.0.1\n\temail_link\n\trespond \"hello {http.auth.user.email}\"\n}\n",
	}.String())
	return p
}

func (p *place) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// edit replaces a part of the Caddyfile.
func (p *place) edit(old, with string) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		p.t.Fatalf("no %q in the Caddyfile", old)
	}
	p.write("Caddyfile", strings.ReplaceAll(string(text), old, with))
}

func (p *place) command(args ...string) *exec.Cmd {
	p.t.Helper()
	return p.commandIn(p.t.Context(), args...)
}

func (p *place) commandIn(ctx context.Context, args ...string) *exec.Cmd {
	cmd := gatetest.Command(ctx, p.dir, args...)
	if p.program != "" {
		cmd.Path = p.program
	}
	cmd.Env = append(cmd.Env, p.env...)
	return cmd
}

// run runs `caddy email-link` and returns what it printed and its exit code.
func (p *place) run(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := p.command(append([]string{"email-link"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is run for what has to go well.
func (p *place) must(args ...string) string {
	p.t.Helper()
	out, errs, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// start runs Caddy until stop is called or the test ends.
func (p *place) start() (stop func()) {
	p.t.Helper()
	caddy, err := gatetest.Start(p.commandIn(context.WithoutCancel(p.t.Context()), "run"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.caddy, p.log = caddy, caddy.Output
	p.t.Cleanup(caddy.Stop)
	err = caddy.Await(20*time.Millisecond, func() error {
		resp, err := http.Get(p.origin() + "/email-link/health")
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.log)
	}
	return caddy.Stop
}

func (p *place) origin() string {
	_, port, _ := net.SplitHostPort(p.site)
	return "http://localhost:" + port
}

// browser follows redirects and keeps cookies by hand: the standard jar does not keep cookies of http://localhost apart by
// port, and neither do browsers.
type browser struct {
	t         *testing.T
	cookies   map[string]string
	transport http.RoundTripper
}

func newBrowser(t *testing.T) *browser {
	return &browser{t, map[string]string{}, http.DefaultTransport}
}

func (b *browser) do(method, url, form string) (int, string) {
	b.t.Helper()
	status, page, err := b.try(method, url, form, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return status, page
}

// try is do for a server that may end meanwhile. It sends the header with its first request.
func (b *browser) try(method, url, form string, header http.Header) (status int, page string, err error) {
	for range 10 {
		req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(form))
		if err != nil {
			return 0, "", err
		}
		req.Header.Set("Sec-Fetch-Mode", "navigate")
		req.Header.Set("Sec-Fetch-Dest", "document")
		req.Header.Set("Accept", "text/html")
		if method == http.MethodPost {
			req.Header.Set("Sec-Fetch-Site", "same-origin")
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for name, values := range header {
			req.Header[name] = values
		}
		for name, value := range b.cookies {
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		resp, err := b.transport.RoundTrip(req)
		if err != nil {
			return 0, "", err
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return 0, "", err
		}
		for _, c := range resp.Cookies() {
			if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
				delete(b.cookies, c.Name)
			}
		}
		if resp.StatusCode != http.StatusSeeOther {
			return resp.StatusCode, body.String(), nil
		}
		next, err := resp.Location()
		if err != nil {
			return 0, "", err
		}
		method, url, form, header = http.MethodGet, next.String(), "", nil
	}
	return 0, "", errors.New("too many redirects")
}

var hidden = regexp.MustCompile(`name="h" value="([^"]*)"`)

// open opens a printed link and presses the button.
func (b *browser) open(url string) (int, string) {
	b.t.Helper()
	status, page := b.do(http.MethodGet, url, "")
	h := hidden.FindStringSubmatch(page)
	if h == nil {
		return status, page
	}
	return b.do(http.MethodPost, url[:strings.Index(url, "/link?")]+"/confirm", "h="+h[1])
}

func firstLine(text string) string { return strings.SplitN(text, "\n", 2)[0] }

func TestCommandsWhileCaddyRuns(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.start()
	if out := p.must("accounts", "add", "Anna@example.com", "--role", "admin", "--name", "Anna"); !strings.HasPrefix(out, "added Anna@example.com as ") ||
		!strings.Contains(out, "sign in:  "+p.origin()+"/email-link/sign-in\n") {
		t.Errorf("add printed %q", out)
	}
	if _, errs, code := p.run("accounts", "add", "anna@example.com"); code != 1 || !strings.Contains(errs, "has an account already") {
		t.Errorf("a second add: exit %d, %q", code, errs)
	}
	var listed struct {
		Email, Status string
		Roles         []string
	}
	if err := json.Unmarshal([]byte(p.must("accounts", "list", "--json")), &listed); err != nil || listed.Email != "Anna@example.com" || listed.Status != "active" {
		t.Errorf("list: %+v, %v", listed, err)
	}

	if out := p.must("accounts", "set", "anna@example.com", "--language", "de", "--json"); !strings.Contains(out, `"language": "de"`) || !strings.Contains(out, `"admin"`) {
		t.Errorf("set printed %s", out)
	}
	if _, errs, code := p.run("accounts", "set", "anna@example.com", "--language", "German, please"); code != 1 || !strings.Contains(errs, "language") {
		t.Errorf("a bad language: exit %d, %q", code, errs)
	}

	link := firstLine(p.must("link", "anna@example.com", "--ttl", "1d"))
	if !strings.HasPrefix(link, p.origin()+"/email-link/link?t=") {
		t.Fatalf("link printed %q", link)
	}
	b := newBrowser(t)
	if status, page := b.open(link); status != 200 || page != "hello Anna@example.com" {
		t.Fatalf("the link led to %d %q", status, page)
	}
	if status, _ := newBrowser(t).open(link); status != http.StatusGone {
		t.Errorf("the used link answered %d elsewhere", status)
	}

	if out := p.must("accounts", "show", "anna@example.com"); !strings.Contains(out, "Anna@example.com") || !strings.Contains(out, "127.0.0.0/24, since ") {
		t.Errorf("show printed\n%s", out)
	}
	if out := p.must("accounts", "disable", "anna@example.com"); !strings.HasPrefix(out, "disabled Anna@example.com; 1 session ended") {
		t.Errorf("disable printed %q", out)
	}
	if out := p.must("events", "--operators"); !strings.Contains(out, "changed") || !strings.Contains(out, ": accounts disable") {
		t.Errorf("events --operators printed\n%s", out)
	}
	if status, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.Contains(page, "hello") {
		t.Errorf("FLOW-5: a disabled account got %d %q", status, page)
	}
	if _, errs, code := p.run("link", "anna@example.com"); code != 1 || !strings.Contains(errs, "disabled") {
		t.Errorf("FLOW-5: a link for a disabled account: exit %d, %q", code, errs)
	}
	p.must("accounts", "enable", "anna@example.com")
	if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.Contains(page, "hello") {
		t.Errorf("the old session is alive after enabling")
	}
	if out := p.must("link", "anna@example.com", "--qr", "--ttl", "2h"); strings.Count(out, "\n") < 20 {
		t.Errorf("no QR code in %q", out)
	}
}

func TestLinkCreatesAccount(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.start()
	if _, errs, code := p.run("link", "new@example.com"); code != 1 || !strings.Contains(errs, "--for activation") {
		t.Errorf("a stranger where sign-up is closed: exit %d\n%s", code, errs)
	}
	out := p.must("link", "new@example.com", "--for", "activation")
	if !strings.Contains(out, "there is no account new@example.com: this link makes one") {
		t.Errorf("the link does not say what it makes:\n%s", out)
	}
	link := firstLine(out)
	if out := p.must("accounts", "list", "--json"); out != "" {
		t.Errorf("FLOW-2: an account before its link was used: %s", out)
	}
	if status, page := newBrowser(t).open(link); status != 200 || page != "hello new@example.com" {
		t.Errorf("the link led to %d %q", status, page)
	}
	if out := p.must("accounts", "list"); !strings.Contains(out, "new@example.com") {
		t.Errorf("no account after the link: %s", out)
	}
}

func TestKeysAudience(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.start()
	key, err := base64.RawURLEncoding.DecodeString(firstLine(p.must("keys", "audience", "app.example.com")))
	if err != nil || len(key) != 32 {
		t.Errorf("key: %d bytes, %v", len(key), err)
	}
	if p.must("keys", "audience", "app.example.com", "--sign") == p.must("keys", "audience", "app.example.com") {
		t.Error("both keys of an audience are one")
	}
	_, port, _ := net.SplitHostPort(p.site)
	if out, errs, code := p.run("keys", "audience", "localhost"); code != 0 || !strings.Contains(errs, "did you mean localhost:"+port+"?") || strings.Contains(out, "mean") {
		t.Errorf("an audience without its port: exit %d\n%s%s", code, out, errs)
	}
	if _, errs, _ := p.run("keys", "audience", "localhost:"+port); errs != "" {
		t.Errorf("the right audience: %s", errs)
	}
	if _, errs, code := p.run("keys", "audience", "https://app.example.com"); code != 1 || !strings.Contains(errs, "host") {
		t.Errorf("an origin as audience: exit %d, %q", code, errs)
	}
}

func TestREST2_RestoredBackupServesAccountsOnly(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	stop := p.start()
	p.must("accounts", "add", "anna@example.com")
	b := newBrowser(t)
	if status, page := b.open(firstLine(p.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	unused := firstLine(p.must("link", "anna@example.com"))
	file := filepath.Join(t.TempDir(), "backup.db")
	p.must("backup", file, "--with-key")
	if _, errs, code := p.run("backup", file); code != 1 || !strings.Contains(errs, "exists") {
		t.Errorf("a backup over a backup: exit %d, %q", code, errs)
	}
	if _, errs, code := p.run("restore", file); code != 1 || !strings.Contains(errs, "there is a database") {
		t.Errorf("a restore over a live database: exit %d, %q", code, errs)
	}
	stop()

	// Another machine: an empty directory, the same site.
	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	other := &place{t: t, dir: t.TempDir(), admin: p.admin, site: p.site}
	other.write("Caddyfile", string(text))
	if out := other.must("restore", file); !strings.Contains(out, "wrote the key file") {
		t.Errorf("restore printed %q", out)
	}
	other.start()
	if out := other.must("accounts", "list"); !strings.Contains(out, "anna@example.com") {
		t.Errorf("the account is missing: %s", out)
	}
	if _, page := b.do(http.MethodGet, p.origin()+"/", ""); strings.HasPrefix(page, "hello") {
		t.Error("a session from before the backup is alive")
	}
	if status, _ := newBrowser(t).open(unused); status != http.StatusGone {
		t.Errorf("a link from before the backup answered %d", status)
	}
	if status, page := newBrowser(t).open(firstLine(other.must("link", "anna@example.com"))); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Errorf("a new link: %d %q", status, page)
	}
}

func TestCommandsWithoutCaddy(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if _, errs, code := p.run("accounts", "add", "anna@example.com"); code != 1 || !strings.Contains(errs, "no database at") || !strings.Contains(errs, "--create") {
		t.Errorf("without a database: exit %d, %q", code, errs)
	}
	p.must("accounts", "add", "anna@example.com", "--role", "admin", "--create")
	if out := p.must("accounts", "show", "anna@example.com"); !strings.Contains(out, "admin") {
		t.Errorf("show printed %q", out)
	}
	link := firstLine(p.must("link", "anna@example.com"))
	p.start()
	if status, page := newBrowser(t).open(link); status != 200 || page != "hello anna@example.com" {
		t.Errorf("a link made before the start led to %d %q", status, page)
	}
}

func TestLockedDatabaseNamesItsHolder(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.start()
	// The same database under another admin address: nothing answers there, and the file is held.
	text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("Other", strings.ReplaceAll(string(text), p.admin, gatetest.Address(t)))
	_, errs, code := p.run("accounts", "list", "--config", "Other", "--adapter", "caddyfile")
	if code != 1 || !strings.Contains(errs, "one process owns") || !strings.Contains(errs, "name its admin address with --address") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestBadUseOfCommands(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("Broken.caddyfile", "{\n\temail_link {\n\t\tsign_up opn\n\t}\n}\n")
	for _, one := range []struct {
		args []string
		want string
	}{
		{[]string{"restore", "missing.db"}, "missing.db"},
		{[]string{"restore", "Caddyfile"}, "Caddyfile is no backup"}, // while there is no database
		{[]string{"acounts"}, `unknown command "acounts" of 'caddy email-link'; did you mean accounts? there are accounts, backup, `},
		{[]string{"accounts", "lst"}, `unknown command "lst" of 'caddy email-link accounts'; did you mean list? there are add, `},
		{[]string{"accounts", "ad"}, `unknown command "ad" of 'caddy email-link accounts'; there are add, `},
		{[]string{"accounts", "add"}, "missing argument; usage: caddy email-link accounts add <email>"},
		{[]string{"accounts", "add", "a@example.com", "b@example.com"}, `unexpected argument "b@example.com"`},
		{[]string{"accounts", "add", "a@example.com", "--rolle", "x"}, "--rolle; did you mean --role? 'caddy email-link accounts add --help' lists"},
		{[]string{"accounts", "add", "not an address", "--create"}, "address"},
		{[]string{"accounts", "add", "a@example.com", "--role", "a,b", "--create"}, "role"},
		{[]string{"accounts", "set", "a@example.com"}, "nothing to change"},
		{[]string{"accounts", "list", "--address", "127.0.0.1:1"}, "no Caddy answers"},
		{[]string{"accounts", "list", "--address", "127.0.0.1:1-9"}, "admin address"},
		{[]string{"accounts", "list", "--config", "missing"}, "missing"},
		{[]string{"accounts", "list", "--config", "Broken.caddyfile"}, "name its admin address: --address localhost:2019"},
		{[]string{"link", "a@example.com", "--ttl", "100h", "--create"}, "at most 72h"},
		{[]string{"link", "a@example.com", "--ttl", "4d", "--create"}, "at most 72h"},
		{[]string{"link", "a@example.com", "--ttl", "soon"}, "must be a positive duration, such as 12h or 3d"},
		{[]string{"link", "a@example.com", "--for", "reset", "--create"}, "offers no passwords"},
		{[]string{"link", "a@example.com", "--for", "invite", "--create"}, "sign_in, activation, reset"},
		{[]string{"link", "a@example.com", "--site", "https://other.example", "--create"}, "not a site of this gate"},
		{[]string{"serve"}, "--to"},
		{[]string{"serve", "--to", "localhost:1", "--from", "app.example.com"}, "--mail-from"},
		{[]string{"serve", "--to", "localhost:1", "--from", "app.example.com", "--mail-from", "a@example.com"}, "--smtp"},
		{[]string{"serve", "--to", "localhost:1", "--from", "ftp://x/y"}, "--from"},
		{[]string{"serve", "--to", "localhost:1", "--smtp", "mail.example.com"}, "--smtp"},
		{[]string{"serve", "--to", "localhost:1", "--smtp-user", "mailer"}, "--smtp is missing"},
		{[]string{"serve", "--to", "localhost:1", "--from", "app.example.com", "--mail-from", "a@example.com", "--smtp", "mail.example.com:587", "--smtp-user", "mailer"}, "SMTP_PASSWORD is empty"},
	} {
		out, errs, code := p.run(one.args...)
		if out != "" && one.args[0] != "restore" {
			t.Errorf("%v: an answer beside the error: %s", one.args, out)
		}
		if code != 1 || !strings.Contains(errs, one.want) || !strings.HasPrefix(errs, "caddy email-link: ") {
			t.Errorf("%v: exit %d\n%s%s", one.args, code, out, errs)
		}
	}
}

func TestServePrintsACaddyfileThatAdapts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, args := range [][]string{
		{"--to", "localhost:3000"},
		{"--to", "localhost:3000", "--from", "app.example.com", "--mail-from", "Example <no-reply@example.com>", "--smtp", "mail.example.com:587", "--smtp-user", "mailer", "--contact", `"Anna" <anna@example.com>`},
		{"--to", "unix//run/app.sock", "--from", "https://app.example.com", "--mail-from", "no-reply@example.com", "--smtp", "mail.example.com:465"},
	} {
		text := p.must(append([]string{"serve", "--print"}, args...)...)
		p.write("Printed", text)
		if out, err := p.command("fmt", "--diff", "Printed").CombinedOutput(); err != nil || bytes.Contains(out, []byte("\n- ")) {
			t.Errorf("%v is not formatted: %v\n%s", args, err, out)
		}
		cmd := p.command("validate", "--config", "Printed", "--adapter", "caddyfile")
		cmd.Env = append(cmd.Env, "SMTP_PASSWORD=secret")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
