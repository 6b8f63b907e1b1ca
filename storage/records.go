package storage

import (
	"encoding/base64"
	"time"
)

// Digest is a keyed SHA-256 digest, or begins with what records that belong together share and is one from there on. The store never sees
// what it was made of.
type Digest [32]byte

// String returns the digest as unpadded base64url, for logs and listings.
func (d Digest) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// IsZero reports whether the digest is absent.
func (d Digest) IsZero() bool { return d == Digest{} }

// Key finds a record that expires: its end in whole seconds since 1970 and a digest.
type Key struct {
	End    int64
	Digest Digest
}

// IsZero reports whether the key is absent.
func (k Key) IsZero() bool { return k == Key{} }

// Ends returns the end as a time.
func (k Key) Ends() time.Time { return time.Unix(k.End, 0) }

// Alive reports whether a record under this key is alive at now: until its end, not at it.
func (k Key) Alive(now time.Time) bool { return now.Unix() < k.End }

// Status is the state of an account.
type Status uint8

// Account states.
const (
	StatusActive   Status = 1
	StatusDisabled Status = 2
)

// String returns the status as a word.
func (s Status) String() string {
	switch s {
	case StatusActive:
		return "active"
	case StatusDisabled:
		return "disabled"
	default:
		return "unknown"
	}
}

// Account is one embedded account.
type Account struct {
	// ID is opaque, random and never reused: 16 characters of base64url.
	ID string
	// Mailbox is the digest of the canonical address.
	Mailbox Digest
	Status  Status
	Roles   []string
	// Private is sealed: the address as stored, the name, the language.
	Private []byte
	// Password is the sealed password record, empty when there is none.
	Password []byte
	Created  time.Time
	// Version is raised by each Replace.
	Version uint64
}

// EpochKey names an epoch: of everything, of one account id, or of one mailbox.
type EpochKey string

// GlobalEpoch is the epoch of everything; a restored backup raises it.
const GlobalEpoch EpochKey = "g"

// AccountEpoch names the epoch of an account id.
func AccountEpoch(id string) EpochKey { return EpochKey("a" + id) }

// MailboxEpoch names the epoch of a mailbox.
func MailboxEpoch(mailbox Digest) EpochKey { return EpochKey("m" + string(mailbox[:])) }

// Epochs are the three epochs of a flow or a session at its creation. Once one of them has been raised, the record is void.
type Epochs struct {
	Global, Mailbox, Account uint64
}

// FlowState is what became of a flow.
type FlowState uint8

// Flow states.
const (
	FlowOpen      FlowState = 1
	FlowRedeemed  FlowState = 2
	FlowCancelled FlowState = 3
)

// Flow is one pending request for mail of one purpose. A request for an unknown address has one of the same shape.
type Flow struct {
	// Key is the flow's end and the digest of its flow cookie.
	Key Key
	// ID names the flow in logs: 16 characters of base64url, of no use to anybody else.
	ID      string
	Site    string
	Purpose string
	Mailbox Digest
	// Epochs are those at creation; Account is filled by Bind.
	Epochs Epochs
	// Account is the account the mail worker found, empty before it looked, for a new account and for a decoy.
	Account string
	// Bound is set when the mail worker has looked the mailbox up.
	Bound bool
	// MailIP is the counter slot that a successful redemption gives back.
	MailIP  []Key
	Started time.Time
	// ResendsLeft counts down; NextResend is the earliest time of the next one.
	ResendsLeft int
	NextResend  time.Time
	// Codes are the digests of the typed codes, one for each mail; WrongCodes counts attempts.
	Codes      []Digest
	WrongCodes int
	State      FlowState
	// EndedBy is the digest of the token or code that ended the flow; Session is the session it opened.
	EndedBy Digest
	Session Key
	// Private is sealed: the address as typed, where to go after, what the asking browser was, its language.
	Private []byte
}

// ResendResult is the outcome of ConsumeResend.
type ResendResult uint8

// Outcomes of ConsumeResend.
const (
	ResendConsumed ResendResult = iota + 1
	ResendMissing
	ResendTooEarly
	ResendSpent
)

// CodeResult is the outcome of AttemptCode.
type CodeResult uint8

// Outcomes of AttemptCode.
const (
	CodeRight CodeResult = iota + 1
	CodeWrong
	CodeOff
	CodeMissing
)

// TokenKind says what a mailed token does.
type TokenKind uint8

// Token kinds. A mark is no token: it says that something has happened which may happen once, such as an app's start or the
// hand-over to an app, and belongs to no flow.
const (
	TokenLink   TokenKind = 1
	TokenCancel TokenKind = 2
	TokenMark   TokenKind = 3
)

// Token is the stored half of a mailed token.
type Token struct {
	Key  Key
	Kind TokenKind
	// Flow is the flow the token belongs to.
	Flow Key
	// Used is when it was consumed; Replayed is set when a replay has been seen and recorded.
	Used     time.Time
	Replayed bool
}

// TokenResult is the outcome of Consume.
type TokenResult uint8

// Outcomes of Consume.
const (
	TokenConsumed TokenResult = iota + 1
	TokenMissing
	TokenUsed
	TokenReplayed
)

// Session is one signed-in browser at one site.
type Session struct {
	// Key is the absolute end and the digest of the cookie value.
	Key Key
	// ID is the sid: 16 characters of base64url, public.
	ID      string
	Account string
	Mailbox Digest
	Epochs  Epochs
	Site    string
	// Methods are the amr values: link, code, pwd.
	Methods  []string
	AuthTime time.Time
	Created  time.Time
	// Seen is the last use that was written; IdleEnd is when the session ends without use.
	Seen    time.Time
	IdleEnd time.Time
	// Parent is the portal's session, zero when there is none; the session dies with it.
	Parent Key
	// Device is a name from a closed list, such as "Firefox on Linux".
	Device string
	// Network is the /24 or /48 that the session was opened from, such as "203.0.113.0/24"; empty when it is not known.
	Network string
}

// Touch is one use of a session: see [Sessions.TouchAll].
type Touch struct {
	Key          Key
	Now, IdleEnd time.Time
	// Every is how long ago the last use must be.
	Every time.Duration
}

// Touched is the answer to a [Touch].
type Touched struct {
	// Session is the record, zero when there is none.
	Session Session
	// Touched reports whether the use was written.
	Touched bool
}

// MachineToken is the record of one issued machine token.
type MachineToken struct {
	// Key is the token's end and the digest of what only its text holds.
	Key Key
	// ID is the jti: 16 characters of base64url, public.
	ID      string
	Account string
	Mailbox Digest
	// Epochs are those at its creation; it is void once one has been raised.
	Epochs  Epochs
	Site    string
	Scopes  []string
	Created time.Time
	// Revoked is zero unless the token has been revoked.
	Revoked time.Time
	// Private is sealed: what the operator calls it.
	Private []byte
}

// Invitation finds a flow that invites somebody. It never changes.
type Invitation struct {
	// Key is that of the flow.
	Key Key
	// ID names the invitation: 16 characters of base64url, the flow's.
	ID string
	// Inviter is the id of the account that has sent it, empty for an operator.
	Inviter string
	// Mailbox is the digest of the mailbox that is invited.
	Mailbox Digest
}

// MailID names a queued mail.
type MailID [16]byte

// String returns the id as unpadded base64url.
func (id MailID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// Mail is one queued mail.
type Mail struct {
	ID MailID
	// Due is the next time to try it, End the time it is given up: the end of its flow, to the second.
	Due, End time.Time
	Queued   time.Time
	// Lane is the queue that the mail is in, and Position is where in it, unless the lane is [LaneNew].
	Lane     Lane
	Position uint64
	// Empty marks a mail that only takes its place in the line: what it stands for has left by another lane. It is not listed.
	Empty bool
	// Attempts counts leases; the current one is the caller's proof that the lease is its own.
	Attempts int
	// Flow is the flow the mail belongs to, zero for a notice.
	Flow    Key
	Purpose string
	Site    string
	// Sealed holds the address, the 32 random bytes from which token and code derive, and what the mail says. A sweep after End
	// removes it from a dead letter.
	Sealed []byte
	// Dead marks a dead letter; Reason is the last failure, in words, without addresses or tokens.
	Dead   bool
	Reason string
}

// Lane is one of the queues of mails.
type Lane uint8

// Lanes.
const (
	// LaneDirect has mails to accounts. Those that are due are leased in the order of their places, and by their due times where places are
	// equal: a flood of one network is behind the first mail of another.
	LaneDirect Lane = 0
	// LaneNew has mails of which it is not known yet whom they are for. They are leased in the order in which they are due.
	LaneNew Lane = 1
	// LaneLine has all others. Those that are due are leased in the order of their places, and by id where places are equal.
	LaneLine Lane = 2
)

// PositionUnpaid is the first of the places of mails that wait until a limit permits them, not for a sender. [Outbox.Stats] leaves them out.
const PositionUnpaid uint64 = 1 << 40

// Lanes returns all lanes, that of new mails first.
func Lanes() []Lane { return []Lane{LaneNew, LaneDirect, LaneLine} }

// Event is one line of the audit log. It holds no address, token, code or cookie.
type Event struct {
	Time    time.Time
	Name    string
	Purpose string
	Outcome string
	Account string
	Flow    string
	Site    string
	// Client is the network prefix of the client.
	Client string
	// Operator is who did it with a command; the zero value if no command did.
	Operator Operator
}

// Operator is what a command of an operator says about itself. Nothing verifies it.
type Operator struct {
	// Command is the words of the command, without its arguments, such as "accounts disable".
	Command string
	// User is the name of the user who ran it, Host that of the machine.
	User, Host string
}

// EventLifetime is how long the audit log keeps what happened to an account and what operators did. What an unfinished flow leaves
// there ends with the flow.
const EventLifetime = 90 * 24 * time.Hour

// EventFilter selects lines of the audit log. The zero value selects all.
type EventFilter struct {
	// Account is the id of the account that the events are about. Empty: any, and those about none.
	Account string
	// Since is the earliest time. Zero: any.
	Since time.Time
	// Match reports whether an event is wanted. Nil: each.
	Match func(Event) bool
}

// ChangeKind says what a [Change] is about.
type ChangeKind uint8

// Kinds of changes.
const (
	// ChangeAccount is about an account or its epochs: Account.
	ChangeAccount ChangeKind = iota + 1
	// ChangeSession is about a session whose record has gone: Key, Account.
	ChangeSession
	// ChangeToken is about a machine token that was made or revoked: Key, Account.
	ChangeToken
	// ChangeKeys is about the keys under [MetaDataKey] and [MetaSigningKeys].
	ChangeKeys
	// ChangeAll is about everything: the global epoch was raised, or more has changed than can be named.
	ChangeAll
)

// Change is what a step has ended or changed. See [Changes].
type Change struct {
	Kind    ChangeKind
	Account string
	// Key is that of the session or machine token.
	Key Key
}
