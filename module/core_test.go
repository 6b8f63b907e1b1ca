package module

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/machinetoken"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

// postbox is a mailer that counts what it is given.
type postbox struct{ sent int }

func (p *postbox) Send(context.Context, mailer.Message) error { p.sent++; return nil }
func (p *postbox) Close(context.Context) error                { return nil }

// shared is a core of two configurations, with an account that has a session of a day and a machine token.
type shared struct {
	*core
	t             *testing.T
	time          *clock.Fake
	cookie, token string
	account       string
}

func newShared(t *testing.T) *shared {
	t.Helper()
	store, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "shared.db")})
	if err != nil {
		t.Fatal(err)
	}
	s := &shared{t: t, time: clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	st, err := vault.Open(t.Context(), vault.Config{Store: store, Clock: s.time.Clock(), Masters: func([]byte) ([][]byte, error) {
		return [][]byte{[]byte("a master key of thirty-two bytes")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	logs := newSwappableHandler(slog.DiscardHandler)
	s.core = &core{Vault: st, logs: logs, log: slog.New(logs), limiter: &limit.Limiter{Ring: st.Ring}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.worker = &outbox.Worker{Store: st.Store, Ring: st.Ring, Clock: st.Clock, Limiter: s.limiter, Log: s.log}
	t.Cleanup(func() {
		if err := s.Destruct(); err != nil {
			t.Error(err)
		}
	})
	addr, err := address.Parse("ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	err = st.Store.Update(t.Context(), func(tx storage.Tx) error {
		a, err := st.Accounts.Create(tx, accounts.NewAccount{Address: addr})
		if err != nil {
			return err
		}
		s.account = a.ID
		s.cookie, _, err = st.Sessions.Open(tx, a, session.OpenInput{
			Site: hotOrigin, Mailbox: addr.Mailbox(st.Ring), Methods: []string{"link"}, Idle: 24 * time.Hour, Absolute: 24 * time.Hour,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.token, _, err = st.Machines.Create(t.Context(), machinetoken.Input{
		Account: s.account, Site: hotOrigin, Scopes: []string{"calendar"}, TTL: time.Hour, Name: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tells is what one configuration tells the core, with what comes to it.
type tells struct {
	*delivery
	box *postbox
	log bytes.Buffer
}

func (s *shared) configuration(idle time.Duration, scopes ...string) *tells {
	d := &tells{box: &postbox{}}
	m := &reloadSafeMailer{core: s.core, from: "no-reply@example.com", inner: d.box}
	d.delivery = &delivery{
		mailer: m, lifetimes: session.Lifetimes{Idle: idle, Absolute: idle}, scopes: scopes, log: slog.NewTextHandler(&d.log, nil),
		outbox: outbox.Delivery{Mailer: m, Accounts: s.Accounts, Render: func(outbox.Message) (mailer.Message, error) {
			return mailer.Message{From: "no-reply@example.com", Text: "x"}, nil
		}},
	}
	return d
}

// alive reports whether the session is found, and scopes what the token may do.
func (s *shared) alive() bool {
	s.t.Helper()
	l, err := s.Sessions.Find(s.t.Context(), s.cookie, hotOrigin)
	if err != nil {
		s.t.Fatal(err)
	}
	return l != nil
}

func (s *shared) scopes() string {
	s.t.Helper()
	l, err := s.Machines.Find(s.t.Context(), s.token, hotOrigin)
	if err != nil || l == nil {
		s.t.Fatal(l, err)
	}
	return strings.Join(l.Scopes, " ")
}

// mails queues a notice and sends it.
func (s *shared) mails() {
	s.t.Helper()
	now := s.Clock.Now()
	m := storage.Mail{ID: outbox.NewID(now), Due: now, Queued: now, End: now.Add(time.Hour), Purpose: outbox.Notice, Site: hotOrigin}
	var err error
	m.Sealed, err = outbox.Payload{To: "ada@example.com", Account: s.account, Notice: mailer.KindNewDevice}.Seal(s.Ring, m.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Store.Update(s.t.Context(), func(tx storage.Tx) error { return tx.Outbox().Enqueue(m) }); err != nil {
		s.t.Fatal(err)
	}
	if err := s.worker.Flush(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// TestCFG2_AConfigurationThatFailsLateLeavesNothingInForce puts a configuration in force and takes it out again, as a reload does
// that fails after it: its mailer, lifetimes, scopes and log go with it, whichever of the two was there first.
func TestCFG2_AConfigurationThatFailsLateLeavesNothingInForce(t *testing.T) {
	s := newShared(t)
	good, bad := s.configuration(24*time.Hour, "calendar"), s.configuration(time.Second, "files")
	s.use(good.delivery)
	s.use(bad.delivery)
	if s.scopes() != "" {
		t.Error("the new configuration was not in force")
	}
	s.drop(bad.delivery)
	s.time.Advance(time.Minute)
	if !s.alive() {
		t.Error("the lifetimes of the configuration that failed ended a session")
	}
	if got := s.scopes(); got != "calendar" {
		t.Errorf("the token's scopes are %q", got)
	}
	s.mails()
	if good.box.sent != 1 || bad.box.sent != 0 {
		t.Errorf("mails: %d by the old configuration, %d by the one that failed", good.box.sent, bad.box.sent)
	}
	s.log.Info("a line")
	if strings.Count(good.log.String(), "a line") != 1 || strings.Contains(bad.log.String(), "a line") {
		t.Errorf("the log: %q and %q", good.log.String(), bad.log.String())
	}
	if s.inForce() != good.delivery {
		t.Error("another configuration is in force")
	}
}

// TestCFG2_TheOlderConfigurationEndsAndTheNewerStays takes out the first of two, as a reload does that succeeds.
func TestCFG2_TheOlderConfigurationEndsAndTheNewerStays(t *testing.T) {
	s := newShared(t)
	old, next := s.configuration(24*time.Hour, "files"), s.configuration(24*time.Hour, "calendar")
	s.use(old.delivery)
	s.use(next.delivery)
	s.drop(old.delivery)
	if got := s.scopes(); got != "calendar" || s.inForce() != next.delivery {
		t.Errorf("the token's scopes are %q", got)
	}
	s.mails()
	if next.box.sent != 1 || old.box.sent != 0 {
		t.Errorf("mails: %d by the new configuration, %d by the old one", next.box.sent, old.box.sent)
	}
	// A mail that had begun under the old one leaves by the new one, which has the same sender.
	if err := old.mailer.Send(t.Context(), mailer.Message{}); err != nil && next.box.sent == 2 {
		t.Error(err)
	}
}

// TestSES1_AReloadShortensOpenSessions puts a configuration with shorter sessions in force.
func TestSES1_AReloadShortensOpenSessions(t *testing.T) {
	s := newShared(t)
	s.use(s.configuration(24*time.Hour, "calendar").delivery)
	s.time.Advance(time.Minute)
	if !s.alive() {
		t.Fatal("the session has ended by itself")
	}
	s.use(s.configuration(30 * time.Second).delivery)
	s.time.Advance(31 * time.Second)
	if s.alive() {
		t.Error("a session outlives what the configuration says")
	}
	if s.scopes() != "" {
		t.Error("the token has a scope that the configuration does not know")
	}
}
