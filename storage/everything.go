package storage

// RecordKind is a kind of record, as [Records] lists and puts them.
type RecordKind uint8

// Kinds of records, in the order in which they are copied: the values under names, the keys among them, come last.
const (
	KindAccounts RecordKind = iota + 1
	KindEpochs
	KindFlows
	KindTokens
	KindSessions
	KindMachineTokens
	KindInvitations
	KindCounters
	KindMails
	KindEvents
	KindMeta
)

var recordKinds = [...]string{
	KindAccounts: "accounts", KindEpochs: "epochs", KindFlows: "flows", KindTokens: "tokens", KindSessions: "sessions",
	KindMachineTokens: "machine tokens", KindInvitations: "invitations", KindCounters: "counters", KindMails: "mails", KindEvents: "events", KindMeta: "values",
}

// RecordKinds returns all kinds, in their order.
func RecordKinds() (list []RecordKind) {
	for k := KindAccounts; k <= KindMeta; k++ {
		list = append(list, k)
	}
	return list
}

// String returns the kind as words.
func (k RecordKind) String() string {
	if k < KindAccounts || k > KindMeta {
		return "unknown"
	}
	return recordKinds[k]
}

// Record is one record of any kind: an Account, EpochRecord, Flow, Token, Session, MachineToken, Invitation, CounterRecord, Mail,
// EventRecord or MetaRecord.
type Record interface {
	// RecordKind returns the kind that it is of.
	RecordKind() RecordKind
}

// EpochRecord is an epoch that was raised.
type EpochRecord struct {
	Key   EpochKey
	Epoch uint64
}

// CounterRecord is what was spent of a limit.
type CounterRecord struct {
	Key   Key
	Count int64
}

// EventRecord is a line of the audit log with its end, in seconds since 1970.
type EventRecord struct {
	Event Event
	End   int64
}

// MetaRecord is a single value.
type MetaRecord struct {
	Name  string
	Value []byte
}

// RecordKind implements [Record].
func (Account) RecordKind() RecordKind { return KindAccounts }

// RecordKind implements [Record].
func (EpochRecord) RecordKind() RecordKind { return KindEpochs }

// RecordKind implements [Record].
func (Flow) RecordKind() RecordKind { return KindFlows }

// RecordKind implements [Record].
func (Token) RecordKind() RecordKind { return KindTokens }

// RecordKind implements [Record].
func (Session) RecordKind() RecordKind { return KindSessions }

// RecordKind implements [Record].
func (MachineToken) RecordKind() RecordKind { return KindMachineTokens }

// RecordKind implements [Record].
func (Invitation) RecordKind() RecordKind { return KindInvitations }

// RecordKind implements [Record].
func (CounterRecord) RecordKind() RecordKind { return KindCounters }

// RecordKind implements [Record].
func (Mail) RecordKind() RecordKind { return KindMails }

// RecordKind implements [Record].
func (EventRecord) RecordKind() RecordKind { return KindEvents }

// RecordKind implements [Record].
func (MetaRecord) RecordKind() RecordKind { return KindMeta }

// Records reads and stores records as they are, so that they can move to another engine. Other steps use the intents of a kind.
type Records interface {
	// List returns up to limit records of a kind that follow a position, as they were before the step, and the position of the last one.
	// No position is before the first. The order is the same in every engine: by key, and for events by time, then by order of appending.
	// A position means something to the store that it comes from only.
	List(kind RecordKind, after []byte, limit int) (list []Record, last []byte, err error)
	// Put stores a record as it is, in whatever state; [ErrExists] reports that its key is taken. Events are appended in the order of the
	// calls.
	Put(r Record) error
}
