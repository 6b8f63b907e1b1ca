// Package storage is the port between the domain and the place where it keeps its state.
//
// A [Store] runs steps: functions over a [Tx] that happen wholly or not at all. The methods of a Tx are intents that say
// what they did (taken, refused, missing), never a get followed by a put. Absence, conflict and refusal are values, and a
// step that meets one still commits what it has written; an error means that nothing happened, except for [ErrUnknown].
//
// Every step touches its records in one order, so that the same steps can run on an engine with row locks: counters by key,
// mailbox, account, flow, token, session, machine token, invitation, outbox, event.
//
// Records that expire are found by a [Key] that begins with their end, so a sweep deletes one contiguous range. Whether a
// record is alive is decided by the end it was stored under, to the second: it is alive while now is before its end.
//
// # Rules
//
// They let an engine read without a lock and write at the end of a step. Each has a test in package storagetest, whose suite every
// engine passes.
//
//  1. What a write depends on is what it was: the record that a write replaces, and what a read ...ForUpdate has returned, are at
//     the commit what the step saw, or the step runs again. A plain read guards nothing.
//  2. A duplicate may be found at the end of the step: an intent whose only answer is an error (Create, Enqueue) then returns nil,
//     and Update returns [ErrExists].
//  3. In a View a read ...ForUpdate is the plain one.
//  4. Times are kept to the microsecond; what is finer is kept or rounded down.
//  5. Events of one time are listed in the order of a sequence, which steps that run in parallel may draw in any order. Those of
//     one step keep theirs.
//  6. Update obeys its context until the first run. What follows has a bound of the engine's own, 10 seconds unless it says
//     otherwise, after which Update returns [ErrUnknown] or an error that means that nothing happened.
//  7. An epoch that was read for update is guarded also where it was never raised.
//  8. Several stores may share one place. Then each of the rules holds between their steps, and a change that was published in one
//     reaches the subscribers of all.
package storage

import (
	"context"
	"errors"
	"io"
	"time"
)

var (
	// ErrUnknown reports that a commit failed in a way that leaves open whether it happened. The caller answers 503 and hands
	// out nothing that the step produced.
	ErrUnknown = errors.New("storage: the outcome of the commit is unknown")
	// ErrClosed reports that the store has been closed; a request that outlived its configuration sees it.
	ErrClosed = errors.New("storage: closed")
	// ErrDamaged reports that the engine met damaged data or a failed sync. It refuses writes until it has been reopened and
	// checked.
	ErrDamaged = errors.New("storage: damaged, refusing writes until the store has been reopened and checked")
	// ErrLocked reports that another process holds the store. The message names that process where the operating system allows it.
	ErrLocked = errors.New("storage: held by another process")
	// ErrNewer reports that the store was written by a newer version of this program.
	ErrNewer = errors.New("storage: written by a newer version")
	// ErrExists reports that a record which a step has created was there already; nothing happened.
	ErrExists = errors.New("storage: a record is already there")
	// ErrUnreachable reports that the engine could not be asked, and that nothing happened. What was read before may be used for a
	// while.
	ErrUnreachable = errors.New("storage: the database cannot be reached")
	// ErrReadOnly reports that a View tried to write.
	ErrReadOnly = errors.New("storage: write in a read-only transaction")
)

// Store keeps the state of one gate.
type Store interface {
	// View runs fn against a consistent snapshot. fn may run more than once; it hands its result out as a value, and only that of
	// the last run counts.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn in one durable transaction: all of it or none. fn may run more than once and on another goroutine; it
	// has no effect outside tx and hands its result out as a value; only the committed run's counts. Update returns only
	// when fn is not running and never will again; ctx is obeyed before the first run only. A panic in fn fails its own
	// caller alone. ErrUnknown: the commit may have happened; answer 503, hand out nothing. A step that wrote nothing costs
	// no sync.
	Update(ctx context.Context, fn func(Tx) error) error
	// Sweep deletes up to max records whose end is at or before now and says how many it deleted. A dead letter loses what is sealed
	// at its end, which counts as one, and goes [DeadLetterRetention] later. Sweep works in short transactions of its own; what it has deleted stays deleted when it
	// returns an error.
	Sweep(ctx context.Context, now time.Time, max int) (deleted int, err error)
	// Subscribe calls fn for each change that a committed step has published, at least once, after its commit and one call at a
	// time, until stop is called or the store is closed. For a step of this process the call is made before its Update returns, also
	// when the outcome is unknown. fn may read from the store; it must not call Update or Subscribe.
	Subscribe(fn func(Change)) (stop func())
	// Incarnation returns a text that is another one when what was acknowledged may have been lost: in a restored copy, on a promoted
	// standby. It is empty where the engine marks its copies itself, under [MetaRestored].
	Incarnation(ctx context.Context) (string, error)
	// Close waits for running transactions and frees the store; every later call answers ErrClosed.
	Close() error
}

// Backuper is a Store that can stream a consistent copy of itself while it is in use. The copy carries the mark under
// [MetaRestored], so the first start on it is recognised.
type Backuper interface {
	Backup(ctx context.Context, w io.Writer) error
}

// Tx is one transaction. It must not be used after the function it was given to has returned.
type Tx interface {
	Accounts() Accounts
	Epochs() EpochCounters
	Flows() Flows
	Tokens() Tokens
	Sessions() Sessions
	MachineTokens() MachineTokens
	Invitations() Invitations
	Counters() Counters
	Outbox() Outbox
	Events() Events
	Meta() Meta
	Records() Records
	Changes() Changes
	// Prefetch announces what the step is about to read, so that an engine far away reads it at once. It changes nothing else: a
	// step that announces too little or too much does the same.
	Prefetch(l Lookups) error
}

// Lookups names records that a step is about to read.
type Lookups struct {
	Counters []Key
	Epochs   []EpochKey
	Accounts []string
	// Mailboxes are read with their account and its epoch.
	Mailboxes []Digest
	// Flows are read with their epochs, their account, the account of their mailbox and its epoch.
	Flows []Key
	// Tokens are read with their flow, its epochs and its account.
	Tokens []Key
	// Sessions are read with their epochs, their account and their parent.
	Sessions []Key
	// MachineTokens are read with their epochs and their account.
	MachineTokens []Key
	Meta          []string
	// Leased are mails as a lease has returned them: an engine may go by them, for as long as they are so, instead of reading them.
	Leased []Mail
	// Due are what [Outbox.Lease] and [Outbox.NextDue] look for.
	Due []DueMails
}

// DueMails are up to N mails of a lane that are due at a time, and the next that will be.
type DueMails struct {
	Lane Lane
	At   time.Time
	N    int
}

// Changes tells those who cache what a step ends or changes.
type Changes interface {
	// Publish hands c to all subscribers, here and on other stores of the same place, once the step has been committed. See
	// [Store.Subscribe].
	Publish(c Change) error
}

// Accounts holds the embedded accounts. Each mailbox digest belongs to at most one account.
type Accounts interface {
	// Get returns the account with this id.
	Get(id string) (Account, bool, error)
	// ByMailbox returns the account of a mailbox.
	ByMailbox(mailbox Digest) (Account, bool, error)
	// GetForUpdate is Get for a read that guards a write of the same step.
	GetForUpdate(id string) (Account, bool, error)
	// ByMailboxForUpdate is ByMailbox for a read that guards a write of the same step.
	ByMailboxForUpdate(mailbox Digest) (Account, bool, error)
	// Create stores a new account with Version 1. It returns false when the id or the mailbox is taken.
	Create(a Account) (created bool, err error)
	// Replace stores a over the record with the same id and Version, which it raises by one. It returns false when the record
	// is missing, has another Version, or when a new mailbox is taken.
	Replace(a Account) (replaced bool, err error)
	// Delete removes the account and frees its mailbox. Ids are never reused: they are random.
	Delete(id string) (deleted bool, err error)
	// List returns up to limit accounts with ids after the given one, in the order of ids.
	List(after string, limit int) ([]Account, error)
	// Any reports whether there is at least one account.
	Any() (bool, error)
}

// EpochCounters holds numbers that only grow; an absent one is 0.
type EpochCounters interface {
	Get(k EpochKey) (uint64, error)
	// GetForUpdate is Get for a read that guards a write of the same step.
	GetForUpdate(k EpochKey) (uint64, error)
	// Raise adds one and returns the new value.
	Raise(k EpochKey) (uint64, error)
}

// Flows holds pending requests, found by their end and the digest of their flow cookie.
type Flows interface {
	Create(f Flow) error
	Get(k Key) (Flow, bool, error)
	// GetForUpdate is Get for a read that guards a write of the same step.
	GetForUpdate(k Key) (Flow, bool, error)
	// ConsumeResend spends one of the flow's resends at now, sets the next permitted time to now+wait and records the new
	// mail's code digest. It refuses when none is left, when it is too early and when the flow is missing or expired; the
	// returned flow is then unchanged.
	ConsumeResend(k Key, now time.Time, wait time.Duration, code Digest) (Flow, ResendResult, error)
	// AttemptCode counts one attempt at the typed code before it is compared: it refuses when the flow is missing or expired or
	// when max wrong ones have been counted; else it counts the attempt and reports whether the digest is one of the flow's
	// codes. A right code is not counted as wrong.
	AttemptCode(k Key, now time.Time, code Digest, max int) (Flow, CodeResult, error)
	// Bind notes what the mail worker found out: the account, its epoch, and that the flow has been looked up. The first
	// binding stays; a later one changes nothing and returns true when it names the same account. It returns false when
	// the flow is missing or no longer open.
	Bind(k Key, account string, epoch uint64) (bound bool, err error)
	// Finish ends an open flow: redeemed (by the token or code, with the session it opened) or cancelled. It returns false
	// when the flow is missing or no longer open.
	Finish(k Key, state FlowState, by Digest, session Key) (finished bool, err error)
}

// Tokens holds the digests of mailed tokens, found by their end and digest.
type Tokens interface {
	Create(t Token) error
	Get(k Key) (Token, bool, error)
	// Consume marks the token as used at now. Of any number of calls exactly one gets TokenConsumed. TokenUsed is the first
	// replay, TokenReplayed each later one.
	Consume(k Key, now time.Time) (Token, TokenResult, error)
}

// Sessions holds server-side sessions, found by their absolute end and the digest of their cookie value.
type Sessions interface {
	Create(s Session) error
	Get(k Key) (Session, bool, error)
	// TouchAll records uses of sessions: it moves the last use and the idle end of each that is alive and whose last use is at least Every
	// ago, and writes nothing of the others. There is an answer for each use. The answers are filled in once the step has been committed,
	// so that an engine far away need not read first; until then they may be zero, and what the step reads of these sessions afterwards may
	// be from before.
	TouchAll(uses []Touch) ([]Touched, error)
	Delete(k Key) (deleted bool, err error)
	// Reauthenticate puts next, under a new key, in the place of the session with the key old, and makes next the parent of the sessions
	// whose parent was old. It returns false, and writes nothing, when old is missing or of another account than next.
	Reauthenticate(old Key, next Session) (replaced bool, err error)
	// RevokeOthers deletes all sessions of an account, over or not, but the one with the key keep and those whose parent it is, and returns how
	// many.
	RevokeOthers(account string, keep Key) (revoked int, err error)
	// ByAccount lists up to limit sessions of an account, over or not.
	ByAccount(account string, limit int) ([]Session, error)
	// List returns up to limit sessions with keys after the given one.
	List(after Key, limit int) ([]Session, error)
}

// MachineTokens holds the records of the machine tokens that were issued, found by their end and the digest of
// a secret that is in their text, which is in no store.
type MachineTokens interface {
	Create(t MachineToken) error
	Get(k Key) (MachineToken, bool, error)
	// Revoke marks a token as revoked at now. revoked is false when it is missing or was revoked before.
	Revoke(k Key, now time.Time) (t MachineToken, revoked bool, err error)
	// List returns up to limit tokens with keys after the given one, over and revoked ones too.
	List(after Key, limit int) ([]MachineToken, error)
}

// Invitations lists the flows that invite somebody, by who sent them and by whom they are for. What became of one is in its flow.
type Invitations interface {
	Create(i Invitation) error
	// ByInviter lists up to limit invitations that an account has sent, over or not, in the order of their keys.
	ByInviter(account string, limit int) ([]Invitation, error)
	// ByMailbox lists up to limit invitations for a mailbox, over or not, in the order of their keys.
	ByMailbox(mailbox Digest, limit int) ([]Invitation, error)
	// List returns up to limit invitations with keys after the given one.
	List(after Key, limit int) ([]Invitation, error)
}

// Counters holds limits. A counter is found by the end of its window and the digest of its name.
type Counters interface {
	// Spend adds n when the sum stays within limit, and returns the count after it. When it does not fit, it answers the
	// unchanged count and false, and writes nothing.
	Spend(k Key, n, limit int64) (count int64, taken bool, err error)
	// Peek returns the count, 0 when absent.
	Peek(k Key) (int64, error)
	// Refund gives n back, never below zero, and returns the count after it.
	Refund(k Key, n int64) (int64, error)
	// Reset removes the counter.
	Reset(k Key) (existed bool, err error)
}

// Outbox holds mails that wait to be sent, and dead letters.
type Outbox interface {
	Enqueue(m Mail) error
	// Lease hands out up to n mails of a lane that are due at now and not dead, each until the given time, after which it may be
	// leased again. Attempts has been raised by one in the mails returned.
	Lease(lane Lane, now, until time.Time, n int) ([]Mail, error)
	// Move puts a leased mail into a lane, at a position, due at due, with a reason. It ends the lease.
	Move(id MailID, attempt int, lane Lane, position uint64, due time.Time, reason string) (found bool, err error)
	// Finish deletes a mail whose lease (Attempts) is still the caller's.
	Finish(id MailID, attempt int) (finished bool, err error)
	// Retry makes a leased mail due again at due, with the reason of the last failure.
	Retry(id MailID, attempt int, due time.Time, reason string) (found bool, err error)
	// DeadLetter turns a leased mail into a dead letter. It keeps its reason and its envelope, and until its End what is sealed.
	DeadLetter(id MailID, attempt int, reason string) (dead bool, err error)
	// Requeue makes a mail due at once, waiting or dead. It returns false for a dead letter whose sealed part is gone.
	Requeue(id MailID, due time.Time) (requeued bool, err error)
	// NextDue returns the earliest time at which a mail of a lane is due, leases that end included.
	NextDue(lane Lane) (time.Time, bool, error)
	// List returns up to limit mails, waiting or dead, without empty ones.
	List(dead bool, limit int) ([]Mail, error)
	// Stats counts the waiting mails, without empty ones and those at PositionUnpaid or behind it, and answers when the oldest was queued.
	Stats() (waiting int, oldest time.Time, err error)
}

// Events is the audit log.
type Events interface {
	// Append stores e under the given end, after which a sweep removes it. Ends need not follow the order of times.
	Append(e Event, end time.Time) error
	// List returns up to limit of the newest events that pass a filter, newest first: by time, then by order of appending.
	List(f EventFilter, limit int) ([]Event, error)
}

// Meta holds single values under names.
type Meta interface {
	Get(name string) (value []byte, found bool, err error)
	// GetForUpdate is Get for a read that guards a write of the same step, also where there is no value yet.
	GetForUpdate(name string) (value []byte, found bool, err error)
	Put(name string, value []byte) error
	Delete(name string) error
}

// DeadLetterRetention is how long after its end a dead letter is kept for the operator to see.
const DeadLetterRetention = 7 * 24 * time.Hour

// Names of Meta values that more than one package reads.
const (
	// MetaDataKey is the sealed data key.
	MetaDataKey = "data_key"
	// MetaSigningKeys are the sealed signing keys.
	MetaSigningKeys = "signing_keys"
	// MetaClock is the largest time seen.
	MetaClock = "clock"
	// MetaRestored marks a copy made by Backup; the first start on it raises the global epoch and removes the mark.
	MetaRestored = "restored"
	// MetaIncarnation is the [Store.Incarnation] under which the database was last opened.
	MetaIncarnation = "incarnation"
	// MetaCreated is the time at which the database was made, or put back from a backup, whichever was later. Nothing that was
	// handed out before may be honoured where the database is asked whether it was used.
	MetaCreated = "born"
	// MetaMigration marks a database that records of another one are being copied into. No gate may work on it.
	MetaMigration = "migration"
	// MetaStateless is the time until which links that carry their flow are honoured where they are not made any more.
	MetaStateless = "stateless"
)
