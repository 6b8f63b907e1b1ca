package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/token"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// directory is an AccountFinder of active accounts.
type directory map[string]accounts.Account

func (d directory) ByEmail(_ storage.Tx, email string) (accounts.Account, bool, error) {
	a, found := d[email]
	return a, found, nil
}

// server is a mailer that does what its script says, and what a real one would otherwise.
type server struct {
	mu   sync.Mutex
	got  []mailer.Message
	send func(ctx context.Context, m mailer.Message) error
}

func (s *server) Send(ctx context.Context, m mailer.Message) error {
	s.mu.Lock()
	send := s.send
	s.mu.Unlock()
	if send != nil {
		if err := send(ctx, m); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m)
	return nil
}

func (s *server) Close(context.Context) error { return nil }

func (s *server) script(send func(ctx context.Context, m mailer.Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send = send
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

type post struct {
	*Worker
	t      *testing.T
	fake   *clock.Fake
	server *server
	log    *bytes.Buffer
	dir    directory
}

func newPost(t *testing.T) *post {
	t.Helper()
	store := enginetest.Open(t, t.TempDir())
	t.Cleanup(func() { _ = store.Close() })
	ring, _, err := keyring.Open([][]byte{[]byte("a master key of thirty-two bytes")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &post{
		t: t, fake: clock.NewFake(time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)), server: &server{}, log: &bytes.Buffer{},
		dir: directory{"ada@example.com": {ID: "ada", Email: "Ada@example.com", Name: "Ada", Status: accounts.Active}},
	}
	p.Worker = &Worker{
		Store: store, Ring: ring, Clock: p.fake.Clock(), Limiter: &limit.Limiter{Ring: ring},
		Log: slog.New(slog.NewTextHandler(p.log, nil)),
	}
	p.Use(Delivery{Mailer: p.server, Accounts: p.dir, Render: func(l Message) (mailer.Message, error) {
		return mailer.Message{From: `"Example" <no-reply@example.com>`, Text: strings.Join([]string{l.Link, l.Cancel, l.Code}, "\n")}, nil
	}})
	return p
}

// queue queues the mail of a new flow that lives for 15 minutes.
func (p *post) queue(to string) storage.MailID {
	p.t.Helper()
	now := p.Clock.Now()
	end := now.Add(15 * time.Minute)
	seed := token.NewSeed()
	m := storage.Mail{ID: storage.MailID(seed[:16]), Due: now, Queued: now, End: end, Purpose: SignIn, Site: "https://app.example.com"}
	m.Flow = storage.Key{End: end.Unix(), Digest: seed}
	sealed, err := Payload{
		To: to, Seed: seed, Base: "https://app.example.com/email-link", FlowID: "flow", LimitKey: p.Ring.MAC("limit", []byte(to)),
		RequestedAt: now.Unix(), Ends: end.Unix(), SignUpOpen: true,
	}.Seal(p.Ring, m.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	m.Sealed = sealed
	if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
		f := storage.Flow{
			Key: m.Flow, ID: "flow", Site: m.Site, Purpose: SignIn, Mailbox: p.Ring.MAC("mailbox", []byte(to)), Started: now,
			State: storage.FlowOpen,
		}
		if err := tx.Flows().Create(f); err != nil {
			return err
		}
		return tx.Outbox().Enqueue(m)
	}); err != nil {
		p.t.Fatal(err)
	}
	return m.ID
}

func (p *post) flush() {
	p.t.Helper()
	if err := p.Flush(context.Background()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *post) list(dead bool) (list []storage.Mail) {
	p.t.Helper()
	if err := p.Store.View(context.Background(), func(tx storage.Tx) (err error) {
		list, err = tx.Outbox().List(dead, 1000)
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
	return list
}

func TestEML4_MailGoesToTheStoredAddress(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.flush()
	if p.server.count() != 1 || p.server.got[0].To != "Ada@example.com" {
		t.Fatalf("got %+v", p.server.got)
	}
	m := p.server.got[0]
	if !strings.HasSuffix(m.MessageID, "@example.com") || !m.Date.Equal(p.Clock.Now()) {
		t.Errorf("Message-ID %q, Date %v", m.MessageID, m.Date)
	}
	if len(p.list(false))+len(p.list(true)) != 0 {
		t.Error("a sent mail is still queued")
	}
}

func TestMAIL4_PermanentFailuresAreDeadLettersWithAReason(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.server.script(func(_ context.Context, m mailer.Message) error {
		return mailer.Permanent(fmt.Errorf("550 5.1.1 <%s>: no such user, see %s", m.To, m.Text))
	})
	p.flush()
	dead := p.list(true)
	if len(dead) != 1 || !strings.Contains(dead[0].Reason, "550 5.1.1") {
		t.Fatalf("dead letters: %+v", dead)
	}
	for _, text := range []string{dead[0].Reason, p.log.String()} {
		if strings.Contains(strings.ToLower(text), "ada@") || strings.Contains(text, "?t=A") {
			t.Errorf("an address or a token in %q", text)
		}
	}
	if !strings.Contains(p.log.String(), "outcome=dead") {
		t.Errorf("the log says %s", p.log)
	}
}

func TestMAIL4_AMailThatCannotLeaveStaysQueuedUntilItsEnd(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	tries := 0
	p.server.script(func(context.Context, mailer.Message) error {
		tries++
		return errors.New("connection refused")
	})
	for range 13 {
		p.flush()
		if len(p.list(false)) != 1 {
			t.Fatal("the mail is gone before its end")
		}
		p.fake.Advance(time.Minute)
	}
	if tries < 8 {
		t.Errorf("%d attempts in 13 minutes", tries)
	}
	p.fake.Advance(5 * time.Minute)
	p.flush()
	if dead := p.list(true); len(p.list(false)) != 0 || len(dead) != 1 || !strings.Contains(dead[0].Reason, "its flow ended") {
		t.Errorf("after the end: %d waiting, dead %+v", len(p.list(false)), dead)
	}
	if got := strings.Count(p.log.String(), "event=mailed"); got != tries+1 {
		t.Errorf("%d lines for %d attempts", got, tries+1)
	}
}

func TestMAIL4_AtMostTwoCopies(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		p := newPost(t)
		p.queue("ada@example.com")
		copies := 0
		p.server.script(func(context.Context, mailer.Message) error {
			copies++
			return mailer.Unanswered(errors.New("the connection broke after the message"))
		})
		for range 10 {
			p.flush()
			p.fake.Advance(time.Minute)
		}
		if copies != maxUnanswered {
			t.Errorf("%d copies, want %d", copies, maxUnanswered)
		}
	})
	t.Run("the process dies while sending", func(t *testing.T) {
		p := newPost(t)
		p.queue("ada@example.com")
		p.server.script(func(context.Context, mailer.Message) error { return errors.New("refused") })
		p.flush()
		for range 6 {
			p.fake.Advance(4 * time.Minute)
			if p.fake.Clock().Now().Sub(p.list(false)[0].Queued) > 10*time.Minute {
				break
			}
			// A lease that nobody settles.
			if err := p.Store.Update(context.Background(), func(tx storage.Tx) error {
				_, err := tx.Outbox().Lease(storage.LaneDirect, p.Clock.Now(), p.Clock.Now().Add(time.Second), 1)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		p.server.script(nil)
		p.flush()
		if n := p.server.count(); n != 0 {
			t.Errorf("a third copy left after two attempts that may have arrived (%d)", n)
		}
		if len(p.list(true)) != 1 {
			t.Error("no dead letter")
		}
	})
}

func TestMAIL4_AStalledServerCostsNoGoroutines(t *testing.T) {
	p := newPost(t)
	before := runtime.NumGoroutine()
	entered := make(chan struct{}, 100)
	p.server.script(func(ctx context.Context, _ mailer.Message) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	for range 40 {
		p.queue("ada@example.com")
	}
	p.DrainFor = time.Nanosecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for range DefaultConcurrency {
		<-entered
	}
	if n := runtime.NumGoroutine() - before; n > DefaultConcurrency+5 {
		t.Errorf("%d more goroutines for 40 mails", n)
	}
	if len(entered) != 0 {
		t.Error("more sends at once than permitted")
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(p.list(false)); n != 40 {
		t.Fatalf("%d mails are queued after the stop, want 40", n)
	}
	p.server.script(nil)
	p.flush()
	if n := p.server.count(); n != 40 {
		t.Errorf("%d mails arrived after the next start, want 40", n)
	}
}

func TestRun_LetsASendFinishWhenItStops(t *testing.T) {
	p := newPost(t)
	entered, release := make(chan struct{}), make(chan struct{})
	p.server.script(func(ctx context.Context, _ mailer.Message) error {
		close(entered)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	p.queue("ada@example.com")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-entered
	cancel()
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p.server.count() != 1 || len(p.list(false)) != 0 {
		t.Errorf("%d arrived, %d queued", p.server.count(), len(p.list(false)))
	}
}

func TestRun_SendsWhatIsQueuedWhileItRests(t *testing.T) {
	p := newPost(t)
	arrived := make(chan struct{}, 10)
	p.server.script(func(context.Context, mailer.Message) error {
		arrived <- struct{}{}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for range 3 {
		p.queue("ada@example.com")
		p.Wake()
		<-arrived
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestUse_NothingLeavesWithoutAMailer(t *testing.T) {
	p := newPost(t)
	d := *p.delivery.Load()
	p.Use(Delivery{Accounts: p.dir})
	p.queue("ada@example.com")
	p.flush()
	if len(p.list(false)) != 1 || p.list(false)[0].Attempts != 0 {
		t.Error("a mail was touched with no mailer")
	}
	p.Use(d)
	p.flush()
	if p.server.count() != 1 {
		t.Error("the mail did not leave with the next delivery")
	}
}

func TestDeliver_APanicOfAGuestIsOneFailedAttempt(t *testing.T) {
	p := newPost(t)
	p.queue("ada@example.com")
	p.server.script(func(context.Context, mailer.Message) error { panic("secret words") })
	p.flush()
	p.server.script(nil)
	p.fake.Advance(5 * time.Minute)
	p.flush()
	if p.server.count() != 1 {
		t.Errorf("%d arrived after a panic", p.server.count())
	}
	if strings.Contains(p.log.String(), "secret words") {
		t.Error("the log repeats the panic")
	}
}

// failing is a source that is down.
type failing struct{ err error }

func (f failing) ByEmail(storage.Tx, string) (accounts.Account, bool, error) {
	return accounts.Account{}, false, f.err
}

func TestJudge_AFailingLookupIsTriedAgain(t *testing.T) {
	p := newPost(t)
	d := *p.delivery.Load()
	broken := d
	broken.Accounts = failing{errors.New("backend is down")}
	p.Use(broken)
	p.queue("ada@example.com")
	p.flush()
	if len(p.list(false)) != 1 {
		t.Fatal("the mail is gone")
	}
	p.Use(d)
	p.fake.Advance(time.Minute)
	p.flush()
	if p.server.count() != 1 {
		t.Error("the mail did not arrive after healing")
	}
}
