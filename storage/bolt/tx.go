package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// bucket is a top-level bucket of the file. All of them exist in an open file.
type bucket int

const (
	bAccounts        bucket = iota // id → account
	bMailboxes                     // mailbox digest → account id
	bEpochs                        // epoch key → 8 bytes
	bFlows                         // end ‖ digest → flow
	bTokens                        // end ‖ digest → token
	bSessions                      // end ‖ digest → session
	bSignedIn                      // account id ‖ 0 ‖ end ‖ digest of a session → nothing
	bCounters                      // end ‖ digest → 8 bytes
	bOutbox                        // mail id → mail
	bMailIndex                     // 'd' ‖ due ‖ id → when queued; 'e' ‖ end ‖ id → nothing
	bEvents                        // end ‖ sequence → event
	bMeta                          // name → value
	bFile                          // "schema" → 4 bytes
	bMachineTokens                 // end ‖ digest → machine token; since schema 2
	bEventTimes                    // time ‖ sequence → end of an event; since schema 3
	bEventAccounts                 // account id ‖ 0 ‖ time ‖ sequence → end of an event; since schema 7
	bInvitations                   // end ‖ digest → invitation; since schema 8
	bInvitationIndex               // 'a' ‖ account id ‖ 0 ‖ end ‖ digest, 'm' ‖ mailbox digest ‖ end ‖ digest → nothing; since schema 8
	bucketCount
)

var bucketNames = [bucketCount][]byte{
	[]byte("accounts"),
	[]byte("mailboxes"),
	[]byte("epochs"),
	[]byte("flows"),
	[]byte("tokens"),
	[]byte("sessions"),
	[]byte("signed_in"),
	[]byte("counters"),
	[]byte("outbox"),
	[]byte("mail_index"),
	[]byte("events"),
	[]byte("meta"),
	[]byte("file"),
	[]byte("machine_tokens"),
	[]byte("event_times"),
	[]byte("event_accounts"),
	[]byte("invitations"),
	[]byte("invitation_index"),
}

// appended are the buckets whose new records come last or nearly so. bbolt fills a page to one half before it begins the next, and no
// later record would fill the other half; these are filled to nine tenths, so that each commit writes fewer of them.
var appended = [bucketCount]bool{bFlows: true, bTokens: true, bSessions: true, bOutbox: true, bMailIndex: true, bEvents: true, bEventTimes: true}

const fullPage = 0.9

var (
	errOver     = errors.New("storage/bolt: a transaction was used after its end")
	errNoKey    = errors.New("storage/bolt: a key is missing or out of range")
	errNegative = errors.New("storage/bolt: a negative amount")
)

// tx is one run of one step. It is not shared: each step of a batch has its own.
type tx struct {
	btx      *bbolt.Tx
	buckets  [bucketCount]*bbolt.Bucket
	writable bool
	// dirty is set when the step has written.
	dirty bool
	// inside is set when bbolt is at work: a panic then is the engine's, not the step's.
	inside bool
	// changes are those that the step has published.
	changes []storage.Change
}

var _ storage.Tx = (*tx)(nil)

// Accounts, Epochs and so on return the intents on one kind of record.
func (t *tx) Accounts() storage.Accounts { return accounts{t} }

// Epochs returns the intents on epochs.
func (t *tx) Epochs() storage.EpochCounters { return epochs{t} }

// Flows returns the intents on flows.
func (t *tx) Flows() storage.Flows { return flows{t} }

// Tokens returns the intents on tokens.
func (t *tx) Tokens() storage.Tokens { return tokens{t} }

// Sessions returns the intents on sessions.
func (t *tx) Sessions() storage.Sessions { return sessions{t} }

// MachineTokens returns the intents on machine tokens.
func (t *tx) MachineTokens() storage.MachineTokens { return machineTokens{t} }

// Invitations returns the intents on invitations.
func (t *tx) Invitations() storage.Invitations { return invitations{t} }

// Counters returns the intents on counters.
func (t *tx) Counters() storage.Counters { return counters{t} }

// Outbox returns the intents on queued mails.
func (t *tx) Outbox() storage.Outbox { return outbox{t} }

// Events returns the intents on the audit log.
func (t *tx) Events() storage.Events { return events{t} }

// Meta returns the intents on single values.
func (t *tx) Meta() storage.Meta { return meta{t} }

// Records returns the intents on records of any kind.
func (t *tx) Records() storage.Records { return records{t} }

// Changes returns the intents on what others cache.
func (t *tx) Changes() storage.Changes { return changes{t} }

// Prefetch does nothing: a read costs less than a microsecond.
func (t *tx) Prefetch(storage.Lookups) error { return nil }

type changes struct{ *tx }

// Publish notes a change, which is delivered after the commit.
func (t changes) Publish(c storage.Change) error {
	switch {
	case t.btx == nil:
		return errOver
	case !t.writable:
		return storage.ErrReadOnly
	}
	t.changes = append(t.changes, c)
	return nil
}

// end makes later uses of t fail.
func (t *tx) end() { t.btx = nil }

// broke reports whether a panic came from the engine: from within bbolt, or from a fault on mapped memory.
func (t *tx) broke(r any) bool {
	if t.inside {
		return true
	}
	_, fault := r.(interface{ Addr() uintptr })
	return fault
}

// in returns a bucket.
func (t *tx) in(b bucket) (*bbolt.Bucket, error) {
	if t.btx == nil {
		return nil, errOver
	}
	if t.buckets[b] == nil {
		t.inside = true
		t.buckets[b] = t.btx.Bucket(bucketNames[b])
		t.inside = false
		if t.buckets[b] == nil {
			return nil, fmt.Errorf("%w: the bucket %q is missing", storage.ErrDamaged, bucketNames[b])
		}
		if appended[b] {
			t.buckets[b].FillPercent = fullPage
		}
	}
	return t.buckets[b], nil
}

// get returns the value under key, nil when there is none. It is valid until the next write and must not be changed.
func (t *tx) get(b bucket, key []byte) ([]byte, error) {
	in, err := t.in(b)
	if err != nil {
		return nil, err
	}
	t.inside = true
	v := in.Get(key)
	t.inside = false
	return v, nil
}

// has reports whether there is a value under key, an empty one included.
func (t *tx) has(b bucket, key []byte) (bool, error) {
	v, err := t.get(b, key)
	return v != nil, err
}

// put stores value, which the caller gives away, under key.
func (t *tx) put(b bucket, key, value []byte) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	in, err := t.in(b)
	if err != nil {
		return err
	}
	t.dirty, t.inside = true, true
	err = in.Put(key, value)
	t.inside = false
	return err
}

// del removes the value under key, which the caller knows to exist.
func (t *tx) del(b bucket, key []byte) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	in, err := t.in(b)
	if err != nil {
		return err
	}
	t.dirty, t.inside = true, true
	err = in.Delete(key)
	t.inside = false
	return err
}

// next draws the next number of a bucket's own sequence.
func (t *tx) next(b bucket) (uint64, error) {
	if !t.writable {
		return 0, storage.ErrReadOnly
	}
	in, err := t.in(b)
	if err != nil {
		return 0, err
	}
	t.dirty, t.inside = true, true
	n, err := in.NextSequence()
	t.inside = false
	return n, err
}

// scan walks the keys from the given one on, in order, until fn wants no more. fn must not write.
func (t *tx) scan(b bucket, from []byte, fn func(k, v []byte) (more bool, err error)) error {
	in, err := t.in(b)
	if err != nil {
		return err
	}
	t.inside = true
	c := in.Cursor()
	k, v := c.Seek(from)
	t.inside = false
	for k != nil {
		more, err := fn(k, v)
		if err != nil || !more {
			return err
		}
		t.inside = true
		k, v = c.Next()
		t.inside = false
	}
	return nil
}

// scanBack walks the keys that begin with prefix, from the last to the first, until fn wants no more. fn must not write.
func (t *tx) scanBack(b bucket, prefix []byte, fn func(k, v []byte) (more bool, err error)) error {
	in, err := t.in(b)
	if err != nil {
		return err
	}
	t.inside = true
	c := in.Cursor()
	k, v := c.Last()
	if len(prefix) > 0 {
		if after, _ := c.Seek(append(bytes.Clone(prefix), afterPrefix...)); after != nil {
			k, v = c.Prev()
		} else {
			k, v = c.Last()
		}
	}
	t.inside = false
	for k != nil && bytes.HasPrefix(k, prefix) {
		more, err := fn(k, v)
		if err != nil || !more {
			return err
		}
		t.inside = true
		k, v = c.Prev()
		t.inside = false
	}
	return nil
}

// afterPrefix is longer and larger than what follows a prefix in any key.
var afterPrefix = bytes.Repeat([]byte{0xff}, 64)

const (
	endLen = 5
	keyLen = endLen + 32
	// maxEnd is the largest end that a key can hold: the year 36812.
	maxEnd = 1<<(8*endLen) - 1
)

// appendEnd appends an end, in whole seconds since 1970, big-endian in 5 bytes.
func appendEnd(b []byte, end int64) []byte {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(end)) //nolint:gosec // the range is checked by keyOf and clampEnd
	return append(b, buf[8-endLen:]...)
}

// readEnd reads what appendEnd wrote.
func readEnd(b []byte) int64 {
	var buf [8]byte
	copy(buf[8-endLen:], b[:endLen])
	return int64(binary.BigEndian.Uint64(buf[:])) //nolint:gosec // 5 bytes
}

// clampEnd brings an end into the range of a key.
func clampEnd(end int64) int64 { return max(0, min(end, maxEnd)) }

// keyOf returns the bytes of a key. ok is false for a key that no record can have.
func keyOf(k storage.Key) (key []byte, ok bool) {
	if k.End < 0 || k.End > maxEnd {
		return nil, false
	}
	return append(appendEnd(make([]byte, 0, keyLen), k.End), k.Digest[:]...), true
}

// parseKey reads what keyOf wrote.
func parseKey(b []byte) (k storage.Key, err error) {
	if len(b) != keyLen {
		return k, fmt.Errorf("%w: a key of %d bytes", storage.ErrDamaged, len(b))
	}
	k.End = readEnd(b)
	copy(k.Digest[:], b[endLen:])
	return k, nil
}

// getKeyed returns the value of a record that expires; key is nil when there cannot be one.
func (t *tx) getKeyed(b bucket, k storage.Key) (key, value []byte, err error) {
	key, ok := keyOf(k)
	if !ok {
		return nil, nil, nil
	}
	value, err = t.get(b, key)
	return key, value, err
}

// create stores a new record that expires.
func (t *tx) create(b bucket, k storage.Key, value []byte) error {
	key, ok := keyOf(k)
	if !ok || k.Digest.IsZero() {
		return errNoKey
	}
	if exists, err := t.has(b, key); err != nil {
		return err
	} else if exists {
		return storage.ErrExists
	}
	return t.put(b, key, value)
}
