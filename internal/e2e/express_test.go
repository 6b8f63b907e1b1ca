//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
)

// once checks that exactly one proof has had an effect for a user who is new.
func (s *shop) once(db *mariadb, email string) {
	s.t.Helper()
	if got := db.query("SELECT version FROM app.users WHERE email = '" + email + "'"); got != "1" {
		s.t.Errorf("%s: version %q", email, got)
	}
	if got := db.query("SELECT COUNT(*) FROM app.proofs"); got != "1" {
		s.t.Errorf("%s: %s proofs", email, got)
	}
	db.query("DELETE FROM app.proofs")
}

// inMariaDB opens a shop with a database of its own.
func inMariaDB(t *testing.T) (*shop, *mariadb) {
	t.Helper()
	db := newMariaDB(t)
	return openShop(t, "", "", "DATABASE=mysql://root@localhost/app", "DATABASE_SOCKET="+db.socket), db
}

func TestExpress(t *testing.T) {
	t.Parallel()
	s, db := inMariaDB(t)
	b := newBrowser(t, "ada")

	// An unfinished sign-up leaves nothing, and so nothing to sign in with.
	m := s.signsUp(b, "ada@example.com")
	if got := db.query("SELECT COUNT(*) FROM app.users"); got != "0" {
		t.Errorf("before the link: %s users", got)
	}
	s.signsIn(newBrowser(t, "early"), "ada@example.com", firstWords).at("/sign-in?refused", 200)
	// One click leads to the app's own page, a link that is used to the same one, until the app is done.
	s.opens(b, m.link(), "ada@example.com")
	s.opens(b, m.link(), "ada@example.com")
	second := b.tab()
	second.open(s.origin+"/password").at("/password", 200)
	b.saves("Ada", strings.Repeat("long", 20)).at("/password", 400).says("From 12 to 72 characters")
	b.saves("Ada", firstWords).at("/password", 200).says("Your password is set.")
	second.saves("Eve", otherWords).at("/password", 403).says("until it has been used")
	s.once(db, "ada@example.com")
	b.open(s.origin+"/password").at("/password", 403)
	s.signsIn(b, "ada@example.com", firstWords).at("/", 200).says("Hello Ada", "ada@example.com")

	// Two presses of one button at the same moment.
	grace := newBrowser(t, "grace")
	s.opens(grace, s.signsUp(grace, "grace@example.com").link(), "grace@example.com")
	answers := s.atOnce(grace, 8)
	if answers["Your password is set."] != 1 {
		t.Errorf("eight presses: %v", answers)
	}
	s.once(db, "grace@example.com")

	// The code from the mail, in the browser that asked; the link in another one.
	joan, phone := newBrowser(t, "joan"), newBrowser(t, "phone")
	m = s.signsUp(joan, "joan@example.com")
	joan.types("Code from the email", m.code()).presses("Continue").at("/password", 200)
	joan.saves("Joan", firstWords).says("Your password is set.")
	s.once(db, "joan@example.com")
	m = s.signsUp(joan, "mary@example.com")
	s.opens(phone, m.link(), "mary@example.com")
	phone.saves("Mary", firstWords).says("Your password is set.")
	s.once(db, "mary@example.com")
}

// atOnce sends a browser's form several times at the same moment, and counts the answers by what they say.
func (s *shop) atOnce(b *browser, n int) map[string]int {
	s.t.Helper()
	var cookies []string
	for _, c := range b.cookies(s.origin) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	form := url.Values{"name": {"Grace"}, "password": {firstWords}}.Encode()
	var mu sync.Mutex
	var all sync.WaitGroup
	found := map[string]int{}
	for range n {
		all.Go(func() {
			r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.origin+"/password", strings.NewReader(form))
			if err != nil {
				s.t.Error(err)
				return
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", s.origin)
			r.Header.Set("Cookie", strings.Join(cookies, "; "))
			resp, err := s.client.Do(r)
			if err != nil {
				s.t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			text, _ := io.ReadAll(resp.Body)
			said := regexp.MustCompile(`<p id="note">(.*?)</p>`).FindSubmatch(text)
			mu.Lock()
			defer mu.Unlock()
			if said == nil || resp.Header.Get("Email-Link-Done") != "" {
				s.t.Errorf("%d %v\n%s", resp.StatusCode, resp.Header, text)
				return
			}
			found[string(said[1])]++
		})
	}
	all.Wait()
	return found
}

func TestExpressResendsAndResets(t *testing.T) {
	t.Parallel()
	s, db := inMariaDB(t)
	b := newBrowser(t, "ada")
	m := s.signsUp(b, "ada@example.com")
	for range 5 {
		s.await("end of the wait", func() bool {
			b.open(s.origin + "/email-link/resend")
			return !strings.Contains(b.text(), " in 1 second")
		})
		b.presses("Send it again").at("/email-link/resend?sent", 200)
	}
	b.says("No resends are left", "ask admin@example.com").lacks("Send it again")
	s.opens(b, m.link(), "ada@example.com")
	b.saves("Ada", firstWords).says("Your password is set.")
	s.once(db, "ada@example.com")
	for range 5 { // the others
		s.mail("ada@example.com")
	}

	// A reset ends the app's own sessions, and what was asked for before it.
	s.signsIn(b, "ada@example.com", firstWords).at("/", 200).says("Hello Ada")
	asker := newBrowser(t, "asker")
	older := s.forgets(newBrowser(t, "older"), "ada@example.com")
	m = s.forgets(asker, "ada@example.com")
	s.opens(asker, m.link(), "ada@example.com")
	b.open(s.origin+"/").at("/", 200)
	asker.saves("", otherWords).at("/password", 200).says("Your password is set.")
	b.open(s.origin+"/").at("/sign-in", 200)
	s.signsIn(b, "ada@example.com", firstWords).at("/sign-in?refused", 200)
	s.signsIn(b, "ada@example.com", otherWords).at("/", 200).says("Hello Ada")
	s.opens(asker, older.link(), "ada@example.com")
	asker.saves("", firstWords).at("/password", 409).says("older than your password")
	asker.open(m.link()).at("/email-link/confirm", 410)
	b.open(s.origin+"/").at("/", 200)
	if got := db.query("SELECT version FROM app.users"); got != "2" {
		t.Errorf("version %s", got)
	}

	// Whoever has an account gets a new password by the form for new users too; whoever has none is told so, by mail alone.
	s.opens(asker, s.signsUp(asker, "ada@example.com").link(), "ada@example.com")
	asker.says("New password", "You have an account already.").lacks("Your name")
	asker.open(s.origin+"/reset").types("Email address", "nobody@example.com").presses("Send me a link")
	asker.at("/email-link/resend", 200).says("Check your email", "nobody@example.com")
	s.notice("nobody@example.com", "no account")
	// Nor is a mailbox another one that the database's usual order holds equal to it. A browser would write the domain otherwise itself.
	s.sees("/reset", "ada@éxample.com")
	s.notice("ada@xn--xample-9ua.com", "no account")
	if got := db.query("SELECT COUNT(*) FROM app.users"); got != "1" {
		t.Errorf("%s users", got)
	}

	// Past the gate the app says what is missing.
	past := newBrowser(t, "past")
	past.open("http://localhost:"+s.port+"/reset").types("Email address", "ada@example.com").presses("Send me a link")
	past.at("/reset", 424).says("The mail gate is missing")
	past.open("http://localhost:"+s.port+"/password").at("/password", 403)
	if status, text := s.pastTheGate("forged"); status != http.StatusForbidden || !strings.Contains(text, "No link") {
		t.Errorf("a forged assertion, past the gate: %d %s", status, text)
	}
}

func TestExpressFaults(t *testing.T) {
	t.Parallel()
	s, db := inMariaDB(t)

	// Killed within its transaction: the jti is written, and not yet the user.
	b := newBrowser(t, "killed")
	s.opens(b, s.signsUp(b, "killed@example.com").link(), "killed@example.com")
	release := db.hold("LOCK TABLES app.users READ")
	killed := make(chan bool, 1)
	go func() {
		waits := b.await(func() bool {
			out, _ := db.command("SELECT COUNT(*) FROM information_schema.processlist WHERE db = 'app' AND info LIKE 'INSERT INTO `users`%'").Output()
			return strings.TrimSpace(string(out)) == "1"
		})
		s.killApp()
		killed <- waits
	}()
	b.saves("Ada", firstWords).at("/password", 502)
	if !<-killed {
		t.Fatal("the app did not wait for the table")
	}
	release()
	s.startApp()
	if got := db.query("SELECT (SELECT COUNT(*) FROM app.users), COUNT(*) FROM app.proofs"); got != "0 0" {
		t.Errorf("killed before the commit: users, proofs: %q", got)
	}
	b.open(s.origin+"/password").saves("Ada", firstWords).at("/password", 200).says("Your password is set.")
	s.once(db, "killed@example.com")

	// The first request after the link does not get through.
	b = newBrowser(t, "refused")
	m := s.signsUp(b, "refused@example.com")
	s.refused.Store(1)
	b.open(m.link()).at("/password", 502)
	b.open(s.origin+"/password").at("/password", 200).saves("Ada", firstWords).says("Your password is set.")
	s.once(db, "refused@example.com")

	// The app has committed, and its answer is lost.
	b = newBrowser(t, "lost")
	s.opens(b, s.signsUp(b, "lost@example.com").link(), "lost@example.com")
	s.lost.Store(1)
	b.saves("Ada", firstWords).at("/password", 502)
	b.open(s.origin + "/password").says("You have an account already.").lacks("Your name")
	b.saves("", otherWords).at("/password", 200).says("Your password had been set already.")
	s.once(db, "lost@example.com")
	s.signsIn(b, "lost@example.com", firstWords).at("/", 200).says("Hello Ada")

	// Five minutes over the new password; and more than a quarter of an hour.
	b, slow := newBrowser(t, "five"), newBrowser(t, "slow")
	s.opens(b, s.signsUp(b, "five@example.com").link(), "five@example.com")
	s.opens(slow, s.signsUp(slow, "slow@example.com").link(), "slow@example.com")
	s.later(5 * time.Minute)
	b.saves("Ada", firstWords).at("/password", 200).says("Your password is set.")
	s.once(db, "five@example.com")
	s.later(16 * time.Minute)
	slow.saves("Ada", firstWords).at("/password", 403).says("This page opens by the link in a mail")
	if got := db.query("SELECT COUNT(*) FROM app.users WHERE email = 'slow@example.com'"); got != "0" {
		t.Errorf("after a quarter of an hour: %s users", got)
	}
}

// TestExpressWithSQLite is the short run, for an audience with a name of its own and links that are not stored.
func TestExpressWithSQLite(t *testing.T) {
	t.Parallel()
	s := openShop(t, "links stateless", "audience shop", "EMAIL_LINK_AUDIENCE=shop", "DATABASE="+filepath.Join(t.TempDir(), "app.sqlite"))
	b := newBrowser(t, "ada")
	s.member(b, "ada@example.com")
	s.opens(b, s.forgets(b, "ada@example.com").link(), "ada@example.com")
	b.saves("", otherWords).says("Your password is set.")
	b.open(s.origin+"/").at("/sign-in", 200)
	s.signsIn(b, "ada@example.com", otherWords).at("/", 200).says("Hello Ada")
}

// TestExpressDemo runs what the README offers for a look: everything by one command.
func TestExpressDemo(t *testing.T) {
	t.Parallel()
	first := gatetest.Port(t)
	g := &gate{t: t, dir: t.TempDir(), origin: "http://localhost:" + first, client: &http.Client{Timeout: 5 * time.Second}, read: map[string]bool{}}
	s := &shop{gate: g}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "demo.js")
	cmd.Dir, cmd.Env = expressDir, append(os.Environ(), "PORT="+first, "DIR="+g.dir, "CADDY="+self, gatetest.AsCaddy)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context is over by now
	s.awaitHealth()
	s.await("an answer of the app", func() bool {
		resp, err := g.client.Get(g.origin + "/sign-in")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	s.member(newBrowser(t, "ada"), "ada@example.com")
}
