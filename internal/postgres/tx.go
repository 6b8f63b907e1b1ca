package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var (
	errOver  = errors.New("postgres: a transaction was used after its end")
	errNoKey = errors.New("postgres: a key is missing or out of range")
	errLease = errors.New("postgres: a lease must end after it begins")
	// errAgain ends a run of a View that has read ahead in a transaction that has ended, and needs more.
	errAgain = errors.New("postgres: the View is to run again in a transaction that stays open")
)

// tx is one run of a step or of a View. What it reads it keeps, what it writes waits in memory until the end of the step.
type tx struct {
	store *Store
	// ctx bounds the whole call.
	ctx context.Context //nolint:containedctx // the intents of the port take none
	// view is where a View reads; nil in a step, which reads by whatever connection is free.
	view *view
	// failed is the first error of the server or of the connection.
	failed error

	over, writable bool
	// dirty is set by whatever the step writes, events aside.
	dirty bool
	// again is set when an earlier run of the step has not found what it went by.
	again bool
	// careful makes an intent that creates look first, so that a duplicate is found by the intent itself.
	careful bool

	accounts      rows[string, storage.Account]
	epochs        rows[storage.EpochKey, epochValue]
	flows         rows[storage.Key, storage.Flow]
	tokens        rows[storage.Key, storage.Token]
	sessions      rows[storage.Key, storage.Session]
	machineTokens rows[storage.Key, storage.MachineToken]
	invitations   rows[storage.Key, storage.Invitation]
	mails         rows[storage.MailID, storage.Mail]
	meta          rows[string, metaValue]
	counts        map[storage.Key]*counter
	// mailboxes are the accounts of mailboxes that were looked up, empty for none; freed are guards of mailboxes without an account.
	mailboxes map[storage.Digest]string
	freed     map[storage.Digest]bool
	touches   []touches
	due       map[storage.Lane]*dueMails
	events    []event
	changes   []storage.Change
	// puts are the statements of records that are stored as they are.
	puts pgx.Batch
}

var _ storage.Tx = (*tx)(nil)

func (s *Store) newTx(ctx context.Context, writable bool) *tx {
	t := &tx{store: s, ctx: ctx, writable: writable, mailboxes: map[storage.Digest]string{}, freed: map[storage.Digest]bool{}}
	t.accounts = rows[string, storage.Account]{tx: t, kind: &s.kinds.accounts}
	t.epochs = rows[storage.EpochKey, epochValue]{tx: t, kind: &s.kinds.epochs}
	t.flows = rows[storage.Key, storage.Flow]{tx: t, kind: &s.kinds.flows}
	t.tokens = rows[storage.Key, storage.Token]{tx: t, kind: &s.kinds.tokens}
	t.sessions = rows[storage.Key, storage.Session]{tx: t, kind: &s.kinds.sessions}
	t.machineTokens = rows[storage.Key, storage.MachineToken]{tx: t, kind: &s.kinds.machineTokens}
	t.invitations = rows[storage.Key, storage.Invitation]{tx: t, kind: &s.kinds.invitations}
	t.mails = rows[storage.MailID, storage.Mail]{tx: t, kind: &s.kinds.mails}
	t.meta = rows[string, metaValue]{tx: t, kind: &s.kinds.meta}
	return t
}

// Accounts, Epochs and so on return the intents on one kind of record.
func (t *tx) Accounts() storage.Accounts { return accounts{&t.accounts} }

// Epochs returns the intents on epochs.
func (t *tx) Epochs() storage.EpochCounters { return epochs{&t.epochs} }

// Flows returns the intents on flows.
func (t *tx) Flows() storage.Flows { return flows{&t.flows} }

// Tokens returns the intents on tokens.
func (t *tx) Tokens() storage.Tokens { return tokens{&t.tokens} }

// Sessions returns the intents on sessions.
func (t *tx) Sessions() storage.Sessions { return sessions{&t.sessions} }

// MachineTokens returns the intents on machine tokens.
func (t *tx) MachineTokens() storage.MachineTokens { return machineTokens{&t.machineTokens} }

// Invitations returns the intents on invitations.
func (t *tx) Invitations() storage.Invitations { return invitations{&t.invitations} }

// Counters returns the intents on counters.
func (t *tx) Counters() storage.Counters { return counters{t} }

// Outbox returns the intents on queued mails.
func (t *tx) Outbox() storage.Outbox { return outbox{&t.mails} }

// Events returns the intents on the audit log.
func (t *tx) Events() storage.Events { return events{t} }

// Meta returns the intents on single values.
func (t *tx) Meta() storage.Meta { return meta{&t.meta} }

// Records returns the intents on records of any kind.
func (t *tx) Records() storage.Records { return records{t} }

// Changes returns the intents on what others cache.
func (t *tx) Changes() storage.Changes { return changes{t} }

type changes struct{ *tx }

// Publish notes a change, which is delivered after the commit.
func (t changes) Publish(c storage.Change) error {
	if err := t.changeable(); err != nil {
		return err
	}
	t.tx.changes = append(t.tx.changes, c)
	t.dirty = t.dirty || t.store.shared
	return nil
}

// usable returns why nothing can be read.
func (t *tx) usable() error {
	if t.over {
		return errOver
	}
	return nil
}

// changeable returns why nothing can be written.
func (t *tx) changeable() error {
	switch {
	case t.over:
		return errOver
	case !t.writable:
		return storage.ErrReadOnly
	}
	return nil
}

// query runs one statement and hands each row to collect.
func (t *tx) query(sql string, args []any, collect func(pgx.Rows) error) error {
	b := &pgx.Batch{}
	b.Queue(sql, args...).Query(each(collect))
	return t.send(b, false)
}

// send sends reads in one message. all reports whether a View needs no others.
func (t *tx) send(b *pgx.Batch, all bool) (err error) {
	ctx, cancel := context.WithTimeout(t.ctx, tripBound)
	defer cancel()
	if t.view == nil {
		_, err = t.store.sendBatch(ctx, b)
	} else {
		err = t.view.send(ctx, b, all)
	}
	if err != nil && t.failed == nil && !errors.Is(err, errAgain) {
		t.failed = err
	}
	return unreachable(err)
}

// each hands the rows of an answer to collect.
func each(collect func(pgx.Rows) error) func(pgx.Rows) error {
	return func(answer pgx.Rows) error {
		for answer.Next() {
			if err := collect(answer); err != nil {
				return fmt.Errorf("%w: %w", storage.ErrDamaged, err)
			}
		}
		return answer.Err()
	}
}

// end queues everything that the step writes and depends on, in an order that is the same for each step. The server runs it as one
// transaction: without a statement that begins one, all up to the end of the batch is one. Counters come last, since other steps wait for
// them: all that come from one address share some. So they are locked for no longer than the commit takes.
func (t *tx) end(b *pgx.Batch) {
	t.queueLocks(b)
	t.epochs.flush(b)
	if len(t.freed) > 0 {
		b.Queue(t.store.texts.noMailbox, digestsArg(slices.Collect(maps.Keys(t.freed))))
	}
	t.accounts.flush(b)
	t.flows.flush(b)
	t.tokens.flush(b)
	t.sessions.flush(b)
	for _, u := range t.touches {
		u.queue(t, b)
	}
	t.machineTokens.flush(b)
	t.invitations.flush(b)
	t.mails.flush(b)
	t.meta.flush(b)
	b.QueuedQueries = append(b.QueuedQueries, t.puts.QueuedQueries...)
	events := make([][]any, len(t.events))
	for i, e := range t.events {
		events[i] = e.args()
	}
	queueInserts(b, t.store.texts.newEvents, events)
	t.publish(b)
	counters{t}.flush(b)
}

// queueLocks queues the advisory locks of the step, in their order: rows that it depends on without changing them are shared.
func (t *tx) queueLocks(b *pgx.Batch) {
	names := map[string]bool{}
	t.epochs.locks(names)
	t.meta.locks(names)
	for mailbox := range t.freed {
		names[mailboxLock(mailbox)] = false
	}
	for _, one := range t.accounts.m {
		if one.write && one.found {
			names[mailboxLock(one.rec.Mailbox)] = true
		}
	}
	if len(names) == 0 {
		return
	}
	alone := make(map[int64]bool, len(names))
	for name, changes := range names {
		n := lockNumber(t.store.schema + " " + name)
		alone[n] = alone[n] || changes
	}
	numbers := slices.Sorted(maps.Keys(alone))
	changes := make([]bool, len(numbers))
	for i, n := range numbers {
		changes[i] = alone[n]
	}
	b.Queue(queryLocks, numbers, changes)
}

// queryLocks takes advisory locks of the transaction one after the other.
const queryLocks = "select case when l.alone then pg_advisory_xact_lock(l.number) else pg_advisory_xact_lock_shared(l.number) end " +
	"from unnest($1::bigint[], $2::boolean[]) as l (number, alone)"

// lockNumber returns the number of the advisory lock of a name.
func lockNumber(name string) int64 {
	sum := sha256.Sum256([]byte("email_link " + name))
	return int64(binary.BigEndian.Uint64(sum[:])) //nolint:gosec // any number will do
}
