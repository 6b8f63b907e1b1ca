package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/mailer/mailertest"
)

// newMailPlace is a place whose mails go to a server of the test.
func newMailPlace(t *testing.T) (*place, *mailertest.Server) {
	t.Helper()
	server := mailertest.NewServer(t, mailertest.Options{})
	p := newPlace(t, "sign_up open")
	p.edit("mailer file ./mails", "mailer smtp "+server.Addr+" {\n\t\t\ttls none\n\t\t}")
	return p, server
}

type listedMail struct {
	ID, State, To, Purpose, Reason string
	Attempts                       int
}

// mails returns what `mail list --json` prints, once good is true for it.
func (p *place) mails(good func([]listedMail) bool) []listedMail {
	p.t.Helper()
	for deadline := time.Now().Add(gatetest.Patience); ; {
		var list []listedMail
		dec := json.NewDecoder(strings.NewReader(p.must("mail", "list", "--json")))
		for dec.More() {
			var m listedMail
			if err := dec.Decode(&m); err != nil {
				p.t.Fatal(err)
			}
			list = append(list, m)
		}
		if good(list) {
			return list
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the queue stays %+v", list)
		}
		time.Sleep(20 * time.Millisecond) // polling another process
	}
}

// ask asks for a link in a browser of its own.
func (p *place) ask(email string) *browser {
	p.t.Helper()
	b := newBrowser(p.t)
	if status, page := b.do(http.MethodPost, p.origin()+"/email-link/sign-in", "email="+url.QueryEscape(email)); status != http.StatusOK {
		p.t.Fatalf("asking answered %d\n%s", status, page)
	}
	return b
}

func TestMailTest(t *testing.T) {
	t.Parallel()
	p, server := newMailPlace(t)
	try := func() {
		t.Helper()
		out := p.must("mail", "test", "You@example.org")
		if !strings.HasPrefix(out, server.Addr+" took the mail for You@example.org, from \"Example\" <no-reply@example.com>\n") {
			t.Errorf("mail test printed %q", out)
		}
	}
	try() // the mailer of the file, without a database
	p.start()
	try()
	mails := server.Wait(t, 2)
	for _, m := range mails {
		if m.EnvelopeTo != "You@example.org" || m.EnvelopeFrom != "no-reply@example.com" || strings.Contains(string(m.Raw), "/link?t=") {
			t.Errorf("a test mail: %+v", m)
		}
	}
	server.Fault(mailertest.To, mailertest.Fault{Code: 550, Text: "no such user here"})
	if _, errs, code := p.run("mail", "test", "you@example.org"); code != 1 || !strings.Contains(errs, "RCPT refused: 550") || !strings.Contains(errs, "no such user here") {
		t.Errorf("a refused test mail: exit %d, %q", code, errs)
	}
	if _, errs, code := p.run("mail", "test", "nobody"); code != 1 || !strings.Contains(errs, "the address cannot be used") {
		t.Errorf("a bad address: exit %d, %q", code, errs)
	}
}

func TestMailTestWithoutMailer(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.edit("mailer file ./mails", "mailer none")
	if _, errs, code := p.run("mail", "test", "you@example.org"); code != 1 || !strings.Contains(errs, "this gate sends no mail") || !strings.Contains(errs, "caddy email-link link") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestMailWaitsDiesAndIsRetried(t *testing.T) {
	t.Parallel()
	p, server := newMailPlace(t)
	stop := p.start()
	p.must("accounts", "add", "anna@example.com")
	server.Fault(mailertest.From, mailertest.Fault{Code: 451, Text: "come back later"})
	p.ask("anna@example.com")
	list := p.mails(func(l []listedMail) bool { return len(l) == 1 && l[0].Attempts > 0 && l[0].State == "waiting" })
	m := list[0]
	if strings.Contains(m.To, "anna@") || !strings.HasSuffix(m.To, "@example.com") || !strings.Contains(m.Reason, "451") || strings.Contains(m.Reason, "with an answer") {
		t.Errorf("a waiting mail: %+v", m)
	}
	if out := p.must("mail", "list"); !strings.Contains(out, m.ID) || strings.Contains(out, "anna@example.com") {
		t.Errorf("mail list printed\n%s", out)
	}

	// Without Caddy the queue is the same, and what is made due goes out with the next start.
	stop()
	if got := p.mails(func([]listedMail) bool { return true }); len(got) != 1 || got[0].ID != m.ID {
		t.Errorf("without Caddy the queue is %+v", got)
	}
	server.Heal()
	if out := p.must("mail", "retry", m.ID); out != "mail "+m.ID+" is due now\n" {
		t.Errorf("retry printed %q", out)
	}
	stop = p.start()
	if got := server.Wait(t, 1); got[0].EnvelopeTo != "anna@example.com" {
		t.Errorf("the mail went to %q", got[0].EnvelopeTo)
	}
	p.mails(func(l []listedMail) bool { return len(l) == 0 })
	if out := p.must("mail", "retry", "--all"); out != "no mail waits\n" {
		t.Errorf("retry of nothing printed %q", out)
	}

	server.Fault(mailertest.To, mailertest.Fault{Code: 550, Text: "anna@example.com is unknown"})
	p.ask("anna@example.com")
	dead := p.mails(func(l []listedMail) bool { return len(l) == 1 && l[0].State == "dead" })[0]
	if dead.To != m.To || !strings.Contains(dead.Reason, "RCPT refused: 550") || strings.Contains(dead.Reason, "anna") {
		t.Errorf("a dead letter: %+v", dead)
	}
	server.Heal()
	if out := p.must("mail", "retry", "--all"); out != "mail "+dead.ID+" is due now\n" {
		t.Errorf("retry of a dead letter printed %q", out)
	}
	server.Wait(t, 2)
	if _, errs, code := p.run("mail", "retry", "AAAA"); code != 1 || !strings.Contains(errs, "there is no mail AAAA") {
		t.Errorf("a retry of nothing: exit %d, %q", code, errs)
	}
	stop()
	if strings.Contains(p.log.String(), "anna@example.com") {
		t.Errorf("LOG-1: an address is in the log:\n%s", p.log)
	}
}

func TestLOG1_CommandsLeaveNoAddressInTheLog(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	stop := p.start()
	const who = "anna@example.com"
	p.must("accounts", "add", who, "--role", "admin")
	b := newBrowser(t)
	link := firstLine(p.must("link", who))
	if status, page := b.open(link); status != 200 || !strings.HasPrefix(page, "hello") {
		t.Fatalf("signing in: %d %q", status, page)
	}
	if out := p.must("sessions", "list", who); strings.Count(out, "\n") != 2 || !strings.Contains(out, p.origin()) {
		t.Errorf("sessions list printed\n%s", out)
	}
	for _, args := range [][]string{
		{"accounts", "show", who},
		{"accounts", "set", who, "--name", "Anna"},
		{"sessions", "end", who},
		{"limits", "show", who, "127.0.0.1"},
		{"limits", "reset", who},
		{"mail", "test", who},
		{"doctor", "--to", who},
		{"accounts", "disable", who},
		{"accounts", "delete", who, "--yes"},
	} {
		p.must(args...)
	}
	for _, args := range [][]string{ // what is refused is logged as well
		{"accounts", "show", "nobody@example.org"},
		{"accounts", "add", "ann a@example.org"},
		{"limits", "show", "a@b@example.org"},
		{"sessions", "list", "nobody@example.org"},
		{"link", "nobody@example.org", "--for", "sign_in"},
		{"mail", "test", "n@x@example.org"},
	} {
		if out, errs, code := p.run(args...); code != 1 {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
	stop()
	_, token, _ := strings.Cut(link, "t=")
	for _, secret := range []string{who, "anna%40", "example.org", token} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, p.log)
		}
	}
}

func TestEventsLimitsAndKeys(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "sign_up open")
	p.start()
	p.ask("anna@example.com")
	p.mails(func(l []listedMail) bool { return len(l) == 0 })
	events := p.must("events")
	if !strings.Contains(events, "requested") || !strings.Contains(events, "mailed") || strings.Contains(events, "anna") {
		t.Errorf("events printed\n%s", events)
	}
	if out := p.must("events", "-n", "1", "--json"); strings.Count(out, "\n") != 1 || !json.Valid([]byte(out)) {
		t.Errorf("one event printed\n%s", out)
	}
	if out := p.must("events", "--since", "1h", "--event", "mailed", "--client", "127.0.0.1"); !strings.Contains(out, "mailed") || strings.Contains(out, "requested") {
		t.Errorf("the mails of a client:\n%s", out)
	}
	if _, errs, code := p.run("events", "--since", "yesterdayish"); code != 1 || !strings.Contains(errs, "write 2h, 3d, 2026-11-28") {
		t.Errorf("events since yesterdayish: exit %d, %q", code, errs)
	}
	if _, errs, code := p.run("events", "-n", "0"); code != 1 || !strings.Contains(errs, "from 1 to") {
		t.Errorf("no events: exit %d, %q", code, errs)
	}

	limits := func(who ...string) string { t.Helper(); return p.must(append([]string{"limits"}, who...)...) }
	// A window may end between asking and looking, and then a second look, after asking once more, is in the one that has begun.
	counted := func(who, count string) bool {
		out := limits("show", who, "127.0.0.1")
		return strings.Contains(out, "mail_address") && strings.Contains(out, count)
	}
	if !counted("anna@example.com", "1 of 60") {
		p.ask("bob@example.com")
		if !counted("bob@example.com", "1 of 60") && !counted("bob@example.com", "2 of 60") {
			t.Errorf("the limits of a mailbox and a client:\n%s", limits("show", "bob@example.com", "127.0.0.1"))
		}
	}
	if out := limits("show", "anna@example.com"); !strings.Contains(out, "mail_mailbox") || strings.Contains(out, "mail_address") {
		t.Errorf("the limits of a mailbox:\n%s", out)
	}
	if out := limits("reset", "anna@example.com", "127.0.0.1"); !strings.HasPrefix(out, "forgot ") {
		t.Errorf("reset printed %q", out)
	}
	if out := limits("reset", "anna@example.com"); !strings.HasPrefix(out, "nothing was counted") {
		t.Errorf("a second reset printed %q", out)
	}
	if out := limits("show", "shared"); !strings.Contains(out, "mail_unknown") {
		t.Errorf("the shared limits:\n%s", out)
	}
	for _, bad := range [][]string{{"show", "x"}, {"show", "127.0.0.1", "::1"}, {"reset", "a@example.com", "b@example.com"}, {"reset", "shared", "::1"}} {
		if out, errs, code := p.run(append([]string{"limits"}, bad...)...); code != 1 {
			t.Errorf("limits %v: exit %d\n%s%s", bad, code, out, errs)
		}
	}

	if out := p.must("keys", "show"); strings.Count(out, "in use") != 1 || strings.Count(out, "\n") != 1 {
		t.Errorf("keys show printed\n%s", out)
	}
	p.must("keys", "rotate")
	if out := p.must("keys", "show"); strings.Count(out, "in use") != 1 || strings.Count(out, "\n") != 2 {
		t.Errorf("after a rotation keys show printed\n%s", out)
	}
	if _, errs, code := p.run("keys", "rotate"); code != 1 || !strings.Contains(errs, "under way") {
		t.Errorf("a second rotation: exit %d, %q", code, errs)
	}
}

func TestCommandsAreQuiet(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	quiet := func(p *place, args ...string) {
		t.Helper()
		if _, errs, code := p.run(args...); code != 0 || errs != "" {
			t.Errorf("%v: exit %d, standard error %q", args, code, errs)
		}
	}
	quiet(p, "accounts", "add", "anna@example.com", "--create")
	quiet(p, "accounts", "list")
	quiet(p, "mail", "list")
	quiet(p, "doctor")
	stop := p.start()
	quiet(p, "accounts", "list")
	quiet(p, "doctor")
	file := filepath.Join(t.TempDir(), "backup.db")
	quiet(p, "backup", file, "--with-key")
	stop()

	other := newPlace(t)
	quiet(other, "restore", file)
	out, errs, code := other.run("accounts", "list")
	if code != 0 || !strings.Contains(out, "anna@example.com") || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "has been ended") {
		t.Errorf("the first opening of a restored backup: exit %d, %q, standard error %q", code, out, errs)
	}
	quiet(other, "accounts", "list")
}
