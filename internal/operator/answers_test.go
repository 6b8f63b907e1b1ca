package operator_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/doctor"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/operator"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/mailer/smtp"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

var update = flag.Bool("update", false, "write testdata/answers.txt anew")

// TestMAIL4_EachAnswerOfAMailServer reads testdata/answers.txt: answers of mail servers at each step, each a line of its own. It plays each to
// the mail worker and to the doctor, and checks who is at fault and what the log, `mail list` and `doctor` say, as the file has it.
func TestMAIL4_EachAnswerOfAMailServer(t *testing.T) {
	const file, heading = "testdata/answers.txt", "\n== "
	want, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(want), heading)
	t.Run("step", func(t *testing.T) {
		for i, part := range parts[1:] {
			step, answers, _ := strings.Cut(part, " ==\n")
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				svc, _ := newService(t)
				parts[i+1] = step + " ==\n" + playAll(t, svc, step, answers)
			})
		}
	})
	got := strings.Join(parts, heading)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; run go test ./internal/operator -run %s -update and read the difference (-want +got):\n%s", file, t.Name(), diff)
	}
}

// playAll returns the answers of one step with what comes of each, instead of what the file has for it.
func playAll(t *testing.T, svc *operator.Service, step, answers string) string {
	t.Helper()
	var got strings.Builder
	for line := range strings.Lines(answers) {
		if strings.HasPrefix(line, " ") {
			continue
		}
		got.WriteString(line)
		if answer := strings.TrimSpace(line); answer != "" {
			got.WriteString(play(t, svc, step, answer))
		}
	}
	return got.String()
}

// play returns what comes of one answer.
func play(t *testing.T, svc *operator.Service, step, answer string) string {
	t.Helper()
	s := newScript(t, step, answer)
	config := smtp.Config{Addr: s.addr, TLS: smtp.NoTLS}
	switch step {
	case "STARTTLS":
		config.TLS = smtp.StartTLS
	case "EHLO", "AUTH":
		config.User, config.Password = "robot", "pw0rd-of-the-robot"
	}
	m, err := smtp.New(config)
	if err != nil {
		t.Fatal(err)
	}
	id := queue(t, svc)
	var log bytes.Buffer
	w := &outbox.Worker{
		Store: svc.Vault.Store, Ring: svc.Vault.Ring, Clock: svc.Vault.Clock, Limiter: &limit.Limiter{Ring: svc.Vault.Ring},
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	w.Use(outbox.Delivery{Mailer: m, Accounts: everybody{}, Render: func(l outbox.Message) (mailer.Message, error) {
		return mailer.Message{From: `"Example" <no-reply@example.com>`, Subject: "Sign in", Text: l.Link + "\n" + l.Code, HTML: l.Link}, nil
	}})
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := svc.Mails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state, reason := "sent", ""
	for _, one := range list {
		if one.ID == id.String() {
			state, reason = one.State, ": "+one.Reason
		}
	}
	var out strings.Builder
	_, port, _ := net.SplitHostPort(s.addr)
	names := strings.NewReplacer(s.addr, "localhost:PORT", "port "+port, "port PORT")
	write := func(label, text string) { fmt.Fprintf(&out, "    %-9s  %s\n", label, names.Replace(text)) }
	logged, stopped := readLog(log.String())
	switch {
	case state == "sent":
		write("at fault", "nobody")
	case stopped:
		write("at fault", "the operator: mails wait and are tried again")
	case state == operator.MailDead:
		write("at fault", "the recipient or the message: no further attempt")
	default:
		write("at fault", "the server, for now: the mail is tried again")
	}
	write("log", logged)
	write("mail list", state+reason)
	n := doctor.Network{SMTP: m, Recipient: "ann@example.org", Resolver: noDNS{}, Now: func() time.Time { return noon }}
	for _, f := range n.Check(t.Context(), doctor.Facts{From: "no-reply@example.com"}) {
		if f.Check == "smtp" {
			write("doctor", string(f.Result)+": "+f.Text)
			if f.Fix != "" {
				write("", f.Fix)
			}
		}
	}
	return out.String()
}

// readLog returns the levels and outcomes of the log's lines, and whether one says that no mail leaves.
func readLog(text string) (short string, stopped bool) {
	var lines []string
	for line := range strings.Lines(text) {
		_, line, _ = strings.Cut(line, "level=")
		level, rest, _ := strings.Cut(line, " ")
		_, outcome, _ := strings.Cut(rest, "outcome=")
		outcome, _, _ = strings.Cut(outcome, " ")
		if outcome == "stopped" {
			stopped = true
			outcome = "no mail leaves until this is fixed"
		}
		lines = append(lines, level+" "+outcome)
	}
	return strings.Join(lines, "; "), stopped
}

// queue queues a mail of a new flow.
func queue(t *testing.T, svc *operator.Service) storage.MailID {
	t.Helper()
	now, seed := svc.Vault.Clock.Now(), token.NewSeed()
	end := now.Add(15 * time.Minute)
	m := storage.Mail{
		ID: storage.MailID(seed[:16]), Due: now, Queued: now, End: end, Purpose: outbox.SignIn, Site: "https://app.example.com",
		Flow: storage.Key{End: end.Unix(), Digest: seed},
	}
	sealed, err := outbox.Payload{
		To: "ann@example.org", Seed: seed, Base: "https://app.example.com/email-link", Ends: end.Unix(),
	}.Seal(svc.Vault.Ring, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	m.Sealed = sealed
	if err := svc.Vault.Store.Update(t.Context(), func(tx storage.Tx) error {
		f := storage.Flow{Key: m.Flow, Site: m.Site, Purpose: m.Purpose, Started: now, State: storage.FlowOpen}
		return errors.Join(tx.Flows().Create(f), tx.Outbox().Enqueue(m))
	}); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// everybody has an account.
type everybody struct{}

func (everybody) ByEmail(_ storage.Tx, email string) (accounts.Account, bool, error) {
	return accounts.Account{ID: "ann", Email: email, Status: accounts.Active}, true, nil
}

// noDNS has no records.
type noDNS struct{}

func (noDNS) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// script is an SMTP server that gives one answer at one step, and those of a well one elsewhere.
type script struct {
	addr         string
	step, answer string
}

func newScript(t *testing.T, step, answer string) *script {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &script{addr: net.JoinHostPort("localhost", port), step: step, answer: answer}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

// serve goes through one dialogue.
func (s *script) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	say := func(step, well string) bool {
		if step == s.step {
			well = s.answer
		}
		if well == "(the connection is closed)" {
			return false
		}
		lines := strings.Split(well, " | ")
		for i, line := range lines {
			if i < len(lines)-1 {
				line = line[:3] + "-" + line[4:]
			}
			if _, err := io.WriteString(c, line+"\r\n"); err != nil {
				return false
			}
		}
		return true
	}
	if !say("connect", "220 mx.example.net ESMTP") {
		return
	}
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		var ok bool
		switch verb {
		case "EHLO", "HELO":
			ok = say("EHLO", "250 mx.example.net | 250 STARTTLS | 250 AUTH PLAIN | 250 8BITMIME")
		case "STARTTLS":
			if ok = say(verb, ""); ok && s.answer[0] == '2' {
				if _, err = in.Peek(1); err == nil { // the client's handshake has begun, so it does not take this for an answer
					_, _ = io.WriteString(c, "this is no TLS\r\n")
				}
				_, _ = io.Copy(io.Discard, in)
				return
			}
		case "AUTH":
			ok = say(verb, "235 2.7.0 Authentication successful")
		case "DATA":
			if ok = say(verb, "354 End data with <CR><LF>.<CR><LF>"); ok && (s.step != verb || strings.HasPrefix(s.answer, "3")) {
				for err == nil && line != ".\r\n" {
					line, err = in.ReadString('\n')
				}
				ok = err == nil && say("end of data", "250 2.0.0 Ok: queued")
			}
		case "QUIT":
			say(verb, "221 2.0.0 Bye")
			return
		default:
			ok = say(verb, "250 2.0.0 Ok")
		}
		if !ok {
			return
		}
	}
}
