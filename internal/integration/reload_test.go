package integration

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

// TestCFG2_ReloadInTheMiddle reloads between asking for a link and opening it, and under a session.
func TestCFG2_ReloadInTheMiddle(t *testing.T) { bothModes(t, testReloadInTheMiddle) }

func testReloadInTheMiddle(t *testing.T, links string) {
	s := setup{global: "sign_up open\n" + links}
	w := start(t, s)
	c := w.client()
	if status, _, body := c.post("/email-link/sign-up", url.Values{"email": {"ada@example.com"}, "return_to": {"/there"}}); status != http.StatusSeeOther {
		t.Fatalf("sign-up: %d\n%s", status, body)
	}
	_, link := w.mail()
	w.load(s)
	status, header, _ := c.visit(link)
	if status != http.StatusSeeOther || header.Get("Location") != "/there" {
		t.Fatalf("the link after a reload: %d to %q", status, header.Get("Location"))
	}
	// Another configuration for the same place: shorter sessions, another name, and everything goes on.
	w.load(setup{global: "sign_up closed\nsession idle 1h\nsite_name \"Another\"\n" + links})
	if c.session() == nil {
		t.Fatal("signed out by a reload")
	}
	if status, _ := c.get("/x"); status != http.StatusOK {
		t.Fatalf("after a reload: %d", status)
	}
	if _, _, page := c.visit("/email-link/"); !strings.Contains(page, "Another") {
		t.Error("the new name is not shown")
	}
}

// TestCFG2_BadReload makes sure that a configuration which fails at its very start leaves the old one as it was, mails too.
func TestCFG2_BadReload(t *testing.T) {
	s := setup{global: "sign_up open"}
	w := start(t, s)
	c := w.client()
	w.signUp(c, "ada@example.com")
	taken, err := bolt.Open(context.Background(), bolt.Options{Path: filepath.Join(w.dir, "other.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good, err := gatetest.Adapt(w.caddyfile(s))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a foreign key":     {"{env.EMAIL_LINK_TEST_SECRET}", "ffffffffffffffffffffffffffffffff0123456789abcdefghijklmnopqrstuv"},
		"a held database":   {w.db, filepath.Join(w.dir, "other.db")},
		"a held port":       {`":` + w.port + `"`, `":` + w.port + `","` + strings.Replace(w.mails.Addr, "localhost", "127.0.0.1", 1) + `"`},
		"broken templates":  {`"from":`, `"templates":"` + filepath.Join(w.dir, "nowhere") + `","from":`},
		"an unknown option": {`"from":`, `"form":"x","from":`},
	} {
		bad := strings.Replace(string(good), change[0], change[1], 1)
		if bad == string(good) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := w.replace([]byte(bad)); err == nil {
			t.Fatalf("%s: loaded", name)
		} else if name == "a held database" && !strings.Contains(err.Error(), "caddy reload") {
			t.Errorf("%s: %v", name, err)
		}
		if status, _ := c.get("/x"); status != http.StatusOK {
			t.Errorf("%s: %d afterwards", name, status)
		}
	}
	// Mail still leaves by the old configuration's mailer, and commands find the old gate.
	w.signUp(w.client(), "bob@example.com")
	if _, ok := module.Running(); !ok {
		t.Error("no gate runs after refused reloads")
	}
}

// TestCFG2_ReloadsUnderLoad reloads again and again while requests come in: each gets the backend's answer.
func TestCFG2_ReloadsUnderLoad(t *testing.T) {
	s := setup{global: "sign_up open"}
	w := start(t, s)
	c := w.client()
	w.signUp(c, "ada@example.com")
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	bad := make(chan int, 1000)
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				r, _ := http.NewRequest(http.MethodGet, w.origin()+"/x", nil)
				res, err := c.Do(r) // a GET that a closing connection lost is sent again by the client
				if err != nil {
					continue
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					bad <- res.StatusCode
				}
			}
		})
	}
	for range 10 {
		w.load(s)
	}
	stop()
	wg.Wait()
	close(bad)
	for status := range bad {
		t.Errorf("an answer that is not the backend's: %d", status)
	}
	if c.session() == nil {
		t.Error("the session is gone")
	}
}

// TestCFG2_RemovingFreesTheFile loads a configuration without the module.
func TestCFG2_RemovingFreesTheFile(t *testing.T) {
	w := start(t, setup{global: "sign_up open"})
	w.signUp(w.client(), "ada@example.com")
	if err := caddy.Load([]byte(`{"admin":{"disabled":true,"config":{"persist":false}}}`), true); err != nil {
		t.Fatal(err)
	}
	store, err := bolt.Open(context.Background(), bolt.Options{Path: w.db})
	if err != nil {
		t.Fatalf("the file is still held: %v", err)
	}
	defer func() { _ = store.Close() }()
	err = store.View(context.Background(), func(tx storage.Tx) error {
		any, err := tx.Accounts().Any()
		if !any {
			t.Error("the account is gone")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := module.Running(); ok {
		t.Error("a gate still runs")
	}
}

// TestCFG2_ValidateBesideTheServer runs `caddy validate` and `caddy adapt` in a process of their own beside the running gate,
// and validates a configuration whose files do not exist: nothing is made.
func TestCFG2_ValidateBesideTheServer(t *testing.T) {
	s := setup{}
	w := start(t, s)
	file := filepath.Join(w.dir, "Caddyfile")
	text := w.caddyfile(s)
	for _, change := range []string{w.db, filepath.Join(w.dir, "new", "email_link.db")} {
		if err := os.WriteFile(file, []byte(strings.Replace(text, w.db, change, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"validate", "adapt"} {
			out, err := gatetest.Command(t.Context(), w.dir, command, "--config", file, "--adapter", "caddyfile").CombinedOutput()
			if err != nil {
				t.Errorf("caddy %s: %v\n%s", command, err, out)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(w.dir, "new")); !os.IsNotExist(err) {
		t.Errorf("validating has made a directory: %v", err)
	}
	if status, _ := w.client().get("/email-link/health"); status != http.StatusOK {
		t.Errorf("the server afterwards: %d", status)
	}
}

// TestKEY1_RotationOfSecret puts a new master key before the old one by a reload, then starts with the new one alone: nobody
// is signed out. The old key alone is refused, and the refusal names both.
func TestKEY1_RotationOfSecret(t *testing.T) { bothModes(t, testRotationOfSecret) }

func testRotationOfSecret(t *testing.T, links string) {
	const next = "3BFambDZd5+piXJql2H94s2ST9ivJr/QOOoJBitEKDE="
	w := start(t, setup{global: "sign_up open\n" + links})
	c := w.client()
	w.signUp(c, "ada@example.com")
	asking := w.client()
	if status, _, _ := asking.post("/email-link/sign-in", url.Values{"email": {"ada@example.com"}}); status != http.StatusSeeOther {
		t.Fatalf("asking: %d", status)
	}
	_, link := w.mail()
	w.load(setup{secret: next + " {env.EMAIL_LINK_TEST_SECRET}", global: links})
	if status, _ := c.get("/x"); status != http.StatusOK {
		t.Fatalf("after the rotation: %d", status)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := w.tryLoad(setup{global: links}); err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("the old key alone: %v", err)
	}
	w.load(setup{secret: next, global: links})
	if c.session() == nil {
		t.Error("signed out by the rotation")
	}
	if status, _ := c.get("/x"); status != http.StatusOK {
		t.Errorf("with the new key alone: %d", status)
	}
	if status, _, _ := asking.visit(link); status != http.StatusSeeOther || asking.session() == nil {
		t.Errorf("a link from before the rotation: %d", status)
	}
}
