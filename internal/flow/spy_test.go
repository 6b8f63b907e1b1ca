package flow

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type counting struct {
	storage.Store
	mu      sync.Mutex
	updates int
	writes  map[string]int
	fail    error
}

func (c *counting) Update(ctx context.Context, fn func(storage.Tx) error) error {
	c.mu.Lock()
	c.updates++
	fail := c.fail
	c.mu.Unlock()
	if fail != nil {
		return fail
	}
	var writes map[string]int
	err := c.Store.Update(ctx, func(tx storage.Tx) error {
		writes = map[string]int{}
		return fn(spy{tx, writes})
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range writes {
		c.writes[name] += n
	}
	return err
}

func (c *counting) View(ctx context.Context, fn func(storage.Tx) error) error {
	c.mu.Lock()
	fail := c.fail
	c.mu.Unlock()
	if fail != nil {
		return fail
	}
	return c.Store.View(ctx, func(tx storage.Tx) error { return fn(spy{tx, map[string]int{}}) })
}

// take returns what was counted since the last call.
func (c *counting) take() (updates int, writes map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	updates, writes = c.updates, c.writes
	c.updates, c.writes = 0, map[string]int{}
	return updates, writes
}

func (c *counting) break_(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// spy counts the writes of one transaction by name, and every look at an account.
type spy struct {
	storage.Tx
	writes map[string]int
}

type (
	spyAccounts struct {
		storage.Accounts
		spy
	}
	spyFlows struct {
		storage.Flows
		spy
	}
	spyTokens struct {
		storage.Tokens
		spy
	}
	spyCounters struct {
		storage.Counters
		spy
	}
	spyOutbox struct {
		storage.Outbox
		spy
	}
	spyEvents struct {
		storage.Events
		spy
	}
)

func (s spy) Accounts() storage.Accounts { return spyAccounts{s.Tx.Accounts(), s} }
func (s spy) Flows() storage.Flows       { return spyFlows{s.Tx.Flows(), s} }
func (s spy) Tokens() storage.Tokens     { return spyTokens{s.Tx.Tokens(), s} }
func (s spy) Counters() storage.Counters { return spyCounters{s.Tx.Counters(), s} }
func (s spy) Outbox() storage.Outbox     { return spyOutbox{s.Tx.Outbox(), s} }
func (s spy) Events() storage.Events     { return spyEvents{s.Tx.Events(), s} }

func (s spyAccounts) ByMailbox(d storage.Digest) (storage.Account, bool, error) {
	s.writes["account look-up"]++
	return s.Accounts.ByMailbox(d)
}

func (s spyAccounts) ByMailboxForUpdate(d storage.Digest) (storage.Account, bool, error) {
	s.writes["account look-up"]++
	return s.Accounts.ByMailboxForUpdate(d)
}

func (s spyFlows) Create(f storage.Flow) error {
	s.writes["flow"]++
	return s.Flows.Create(f)
}

func (s spyFlows) ConsumeResend(k storage.Key, now time.Time, wait time.Duration, code storage.Digest) (storage.Flow, storage.ResendResult, error) {
	s.writes["flow"]++
	return s.Flows.ConsumeResend(k, now, wait, code)
}

func (s spyFlows) AttemptCode(k storage.Key, now time.Time, code storage.Digest, n int) (storage.Flow, storage.CodeResult, error) {
	f, r, err := s.Flows.AttemptCode(k, now, code, n)
	if r == storage.CodeWrong {
		s.writes["flow"]++
	}
	return f, r, err
}

func (s spyTokens) Create(t storage.Token) error {
	s.writes["token"]++
	return s.Tokens.Create(t)
}

func (s spyCounters) Spend(k storage.Key, n, limit int64) (int64, bool, error) {
	count, taken, err := s.Counters.Spend(k, n, limit)
	if taken {
		s.writes["counter"]++
	}
	return count, taken, err
}

func (s spyOutbox) Enqueue(m storage.Mail) error {
	s.writes["mail"]++
	return s.Outbox.Enqueue(m)
}

func (s spyEvents) Append(e storage.Event, end time.Time) error {
	s.writes["event"]++
	return s.Events.Append(e, end)
}

// inbox is a mailer that keeps what it is given, as the mailboxes of everybody would.
