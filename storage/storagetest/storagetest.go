// Package storagetest is the suite that every engine of [storage.Store] passes: [Run] for the contract of each intent,
// [RunConcurrency] for what must hold when many callers meet, and [RunNodes] also on several stores of one place, [RunDurability] for what must hold after a crash, and [Bench].
package storagetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Open returns a new, empty store. The suite closes it.
type Open func(t testing.TB) storage.Store

// Run checks the contract of the store and of each intent.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, storage.Store)
	}{
		{"Store", storeTests},
		{"Accounts", accountTests},
		{"Epochs", epochTests},
		{"Flows", flowTests},
		{"Tokens", tokenTests},
		{"Sessions", sessionTests},
		{"MachineTokens", machineTokenTests},
		{"Invitations", invitationTests},
		{"Counters", counterTests},
		{"Outbox", outboxTests},
		{"Events", eventTests},
		{"Meta", metaTests},
		{"Sweep", sweepTests},
		{"Records", recordTests},
		{"Rules", ruleTests},
	} {
		t.Run(group.name, func(t *testing.T) { runAll(t, open, group.tests) })
	}
}

func runAll(t *testing.T, open Open, tests map[string]func(*testing.T, storage.Store)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil && !errors.Is(err, storage.ErrClosed) {
					t.Errorf("Close: %v", err)
				}
			})
			test(t, s)
		})
	}
}

// now is the moment at which the suite lives; nothing in it reads a clock.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var errTest = errors.New("a step's own error")

// digest makes a digest out of a name.
func digest(parts ...any) storage.Digest { return sha256.Sum256([]byte(fmt.Sprint(parts...))) }

// key makes a key that ends at a time.
func key(end time.Time, parts ...any) storage.Key {
	return storage.Key{End: end.Unix(), Digest: digest(parts...)}
}

// update runs a step that must succeed.
func update(t testing.TB, s storage.Store, fn func(storage.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// view reads, which must succeed.
func view(t testing.TB, s storage.Store, fn func(storage.Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// equal compares what was read with what was expected: times as moments, empty lists as absent ones.
func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// pair is a result of two values, for comparing both at once.
func pair(a, b any) [2]any { return [2]any{a, b} }

func account(name string) storage.Account {
	return storage.Account{
		ID:      "id-" + name,
		Mailbox: digest(name),
		Status:  storage.StatusActive,
		Roles:   []string{"admin", "user"},
		Private: []byte("sealed " + name),
		Created: now,
	}
}

func flow(name string, end time.Time) storage.Flow {
	return storage.Flow{
		Key:         key(end, "flow", name),
		ID:          "flow-" + name,
		Site:        "https://app.example.com",
		Purpose:     "sign_in",
		Mailbox:     digest("mailbox", name),
		Epochs:      storage.Epochs{Global: 1, Mailbox: 2},
		MailIP:      []storage.Key{key(end, "ip", name)},
		Started:     now.Add(123 * time.Millisecond),
		ResendsLeft: 2,
		NextResend:  now.Add(time.Minute),
		Codes:       []storage.Digest{digest("code", name, 0)},
		State:       storage.FlowOpen,
		Private:     []byte("sealed"),
	}
}

func session(name, account string, end time.Time) storage.Session {
	return storage.Session{
		Key:      key(end, "session", name),
		ID:       "sid-" + name,
		Account:  account,
		Mailbox:  digest("mailbox", name),
		Epochs:   storage.Epochs{Global: 1, Mailbox: 2, Account: 3},
		Site:     "https://app.example.com",
		Methods:  []string{"link"},
		AuthTime: now,
		Created:  now,
		Seen:     now,
		IdleEnd:  now.Add(time.Hour),
		Parent:   key(end, "parent"),
		Device:   "Firefox on Linux",
		Network:  "203.0.113.0/24",
	}
}

func machineToken(name string, end time.Time) storage.MachineToken {
	return storage.MachineToken{
		Key:     key(end, "machine token", name),
		ID:      "jti-" + name,
		Account: "id-" + name,
		Mailbox: digest("mailbox", name),
		Epochs:  storage.Epochs{Global: 1, Mailbox: 2, Account: 3},
		Site:    "https://app.example.com",
		Scopes:  []string{"calendar", "contacts"},
		Created: now,
		Private: []byte("sealed " + name),
	}
}

func invitation(name, inviter string, end time.Time) storage.Invitation {
	return storage.Invitation{Key: key(end, "invitation", name), ID: "inv-" + name, Inviter: inviter, Mailbox: digest("mailbox", name)}
}

func mail(name string, due, end time.Time) storage.Mail {
	d := digest("mail", name)
	return storage.Mail{
		ID:      storage.MailID(d[:16]),
		Due:     due,
		End:     end,
		Queued:  due,
		Flow:    key(end, "flow", name),
		Purpose: "sign_in",
		Site:    "https://app.example.com",
		Sealed:  []byte("sealed " + name),
	}
}
