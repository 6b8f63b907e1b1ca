package integration

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
	"github.com/caddy-email-link/caddy-email-link/module"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// asks is how many browsers ask for a link while the mail server is in trouble.
const asks = 50

// spare is how many goroutines more than in the first moment of a trouble there may be: those of the mails that are on their
// way, four at once, on both sides. A goroutine for each ask would be more.
const spare = asks / 2

// TestMAIL4_Trouble asks for links while the mail server fails in every way of the list: each ask is answered as ever, the
// number of goroutines does not grow with them, and when the server has recovered each mail arrives, at most twice, with one
// link and one Message-ID.
func TestMAIL4_Trouble(t *testing.T) {
	for _, trouble := range mailertest.FaultScenarios() {
		t.Run(trouble.Name, func(t *testing.T) {
			s := mailertest.NewFaultyServer(t, trouble)
			w := startTroubled(t, s, trouble)
			calm, _ := w.ask("before@example.com")
			w.until("the first mail, with the server's answer", func() bool { return len(w.queue(false)) == 0 })
			s.Behind.Wait(t, 1)

			s.Break()
			browsers := map[string]*client{}
			before := 0
			for n := range asks {
				email := fmt.Sprintf("person%d@example.com", n)
				said, c := w.ask(email)
				browsers[email] = c
				if diff := cmp.Diff(calm, said); diff != "" {
					t.Fatalf("the answer is another one than without trouble (-without +with):\n%s", diff)
				}
				if n == 0 {
					w.until("the first attempt", func() bool { return s.Met() > 0 || w.attempts() > 0 })
					before = runtime.NumGoroutine()
				}
			}
			grown := runtime.NumGoroutine() - before
			for looks := 0; grown > spare && looks < 20; looks++ { // those of connections that were closed just now are on their way
				time.Sleep(5 * time.Millisecond)
				grown = runtime.NumGoroutine() - before
			}
			if grown > spare {
				t.Errorf("%d goroutines more after %d asks", grown, asks)
			}
			if trouble.Final {
				w.until("the dead letters", func() bool { return len(w.queue(true)) == asks })
				s.Heal()
				w.after(s, 1)
				return
			}
			s.Heal()
			w.retry()
			w.arrived(s, trouble, browsers)
		})
	}
}

// startTroubled is start with that mail server, and with little patience where only that ends a dialogue.
func startTroubled(t testing.TB, s *mailertest.FaultyServer, trouble mailertest.FaultScenario) *world {
	t.Helper()
	w := &world{t: t, host: "localhost", port: freePort(t), dir: t.TempDir(), backend: newBackend(t), mails: s.Behind}
	w.db = filepath.Join(w.dir, "db", "email_link.db")
	user := ""
	if trouble.SignIn {
		user = fmt.Sprintf("%s %q", mailertest.FaultyUser, mailertest.FaultyPassword)
	}
	own := fmt.Sprintf("mailer smtp %s %s {\n\t\t\ttls %s\n", s.Addr, user, trouble.TLS)
	if trouble.Stalls {
		own += "\t\t\ttimeout 400ms\n"
	}
	if s.CAFile != "" {
		own += "\t\t\tca " + s.CAFile + "\n"
	}
	standard := fmt.Sprintf("mailer smtp %s {\n\t\t\ttls none\n", w.mails.Addr)
	text := w.caddyfile(setup{global: "sign_up open\n\t\tlimit mail_ip 100000-H\n\t\tlimit mail_unknown 100000-H"})
	if !strings.Contains(text, standard) {
		t.Fatalf("the configuration has no\n%s", standard)
	}
	out, err := gatetest.Adapt(strings.Replace(text, standard, own, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.replace(out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping Caddy: %v", err)
		}
	})
	w.up()
	return w
}

// answer is what an asker gets.
type answer struct {
	Status         int
	Location, Body string
	Headers        []string
	Cookies        []string
	// Next is the page behind it, without the address, names of icons and numbers that differ from one ask to the next.
	Next string
}

var digits = regexp.MustCompile(`\d+`)

// ask asks for a link in a browser of its own.
func (w *world) ask(email string) (answer, *client) {
	w.t.Helper()
	c := w.client()
	defer c.CloseIdleConnections()
	status, header, body := c.post("/email-link/sign-up", url.Values{"email": {email}})
	a := answer{Status: status, Location: header.Get("Location"), Body: body, Headers: slices.Sorted(maps.Keys(header))}
	for _, line := range header["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		a.Cookies = append(a.Cookies, name)
	}
	status, _, body = c.visit("/email-link/resend")
	if status != http.StatusOK || !strings.Contains(body, email) {
		w.t.Fatalf("the page after asking: %d\n%s", status, body)
	}
	a.Next = digits.ReplaceAllString(strings.ReplaceAll(body, email, "ADDRESS"), "0")
	return a, c
}

// queue returns the waiting mails, or the dead letters.
func (w *world) queue(dead bool) []storage.Mail {
	w.t.Helper()
	p, ok := module.Running()
	if !ok {
		w.t.Fatal("no gate runs")
	}
	var mails []storage.Mail
	err := p.Store.View(context.Background(), func(tx storage.Tx) (err error) {
		mails, err = tx.Outbox().List(dead, 10*asks)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return mails
}

// attempts counts the attempts at mails that wait or are dead.
func (w *world) attempts() (n int) {
	for _, m := range append(w.queue(false), w.queue(true)...) {
		if m.Reason != "" {
			n += m.Attempts
		}
	}
	return n
}

// retry makes the waiting mails due, as `caddy email-link mail retry` does: the test need not wait for the back-off.
func (w *world) retry() {
	w.t.Helper()
	p, _ := module.Running()
	err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
		waiting, err := tx.Outbox().List(false, 10*asks)
		if err != nil {
			return err
		}
		for _, m := range waiting {
			if m.Due.After(p.Clock.Now().Add(outbox.DefaultSendTimeout)) {
				continue // on its way
			}
			if _, err := tx.Outbox().Requeue(m.ID, p.Clock.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Worker.Wake()
}

// until waits for something that no channel tells.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: not within 30 seconds; waiting %d, dead %d, of them %+v", what, len(w.queue(false)), len(w.queue(true)), first(w.queue(false)))
		}
	}
}

func first(mails []storage.Mail) (reason string) {
	for _, m := range mails {
		if m.Reason != "" {
			return m.Reason
		}
	}
	return ""
}

// after shows that a new ask gets its mail when the trouble is over.
func (w *world) after(s *mailertest.FaultyServer, already int) {
	w.t.Helper()
	w.ask("after@example.com")
	if m := s.Behind.Wait(w.t, already+1)[already]; m.To != "after@example.com" {
		w.t.Errorf("the mail to %s arrived, want the one to after@example.com", m.To)
	}
}

// arrived waits until the queue is empty and looks at what has arrived.
func (w *world) arrived(s *mailertest.FaultyServer, trouble mailertest.FaultScenario, browsers map[string]*client) {
	w.t.Helper()
	w.until("an empty queue", func() bool { return len(w.queue(false)) == 0 })
	if dead := w.queue(true); len(dead) > 0 && !trouble.Twice {
		w.t.Errorf("%d mails were given up, the first with %q", len(dead), dead[0].Reason)
	}
	copies := map[string][]mailertest.Mail{}
	for _, m := range s.Behind.Mails() {
		copies[m.To] = append(copies[m.To], m)
	}
	const most = 2 // where no answer is lost it is one, but on a busy machine any answer may come too late
	for email, c := range browsers {
		got := copies[email]
		if len(got) < 1 || len(got) > most {
			w.t.Errorf("%d copies of the mail to %s, want 1 to %d", len(got), email, most)
			continue
		}
		last := got[len(got)-1]
		link := linkIn.FindString(last.Text)
		if got[0].MessageID != last.MessageID || link == "" || linkIn.FindString(got[0].Text) != link || string(got[0].Raw) != string(last.Raw) {
			w.t.Errorf("the copies of the mail to %s differ", email)
		}
		if email != "person0@example.com" && email != fmt.Sprintf("person%d@example.com", asks-1) {
			continue
		}
		if status, header, body := c.visit(link); status != http.StatusSeeOther || strings.HasSuffix(header.Get("Location"), "/confirm") {
			w.t.Errorf("the link of %s: %d to %q\n%s", email, status, header.Get("Location"), body)
		}
	}
}

// BenchmarkMAIL4_Asking shows what an ask takes while the mail server is well, silent or absent: never more for its trouble.
func BenchmarkMAIL4_Asking(b *testing.B) {
	for _, trouble := range mailertest.FaultScenarios() {
		if trouble.Name != "Silent" && trouble.Name != "Refused" {
			continue
		}
		for _, state := range []string{"well", "troubled"} {
			b.Run(trouble.Name+"/"+state, func(b *testing.B) {
				s := mailertest.NewFaultyServer(b, trouble)
				w := startTroubled(b, s, trouble)
				if state == "troubled" {
					s.Break()
				}
				c := w.client()
				for n := 0; b.Loop(); n++ {
					c.Jar = nil // another browser each time, by the same connection
					status, _, _ := c.post("/email-link/sign-up", url.Values{"email": {fmt.Sprintf("person%d@example.com", n)}})
					if status != http.StatusSeeOther {
						b.Fatalf("ask %d: %d", n, status)
					}
				}
			})
		}
	}
}
