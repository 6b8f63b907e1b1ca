package bolt

import (
	"bytes"
	"fmt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type records struct{ *tx }

// recordBuckets are the buckets by whose keys each kind is listed.
var recordBuckets = [...]bucket{
	storage.KindAccounts: bAccounts, storage.KindEpochs: bEpochs, storage.KindFlows: bFlows, storage.KindTokens: bTokens,
	storage.KindSessions: bSessions, storage.KindMachineTokens: bMachineTokens, storage.KindInvitations: bInvitations, storage.KindCounters: bCounters,
	storage.KindMails: bOutbox, storage.KindEvents: bEventTimes, storage.KindMeta: bMeta,
}

// List returns up to limit records of a kind that follow a position, which is a key of the bucket.
func (t records) List(kind storage.RecordKind, after []byte, limit int) (list []storage.Record, last []byte, err error) {
	if kind < storage.KindAccounts || kind > storage.KindMeta {
		return nil, nil, errNoKey
	}
	if limit <= 0 {
		return nil, after, nil
	}
	last = bytes.Clone(after)
	err = t.scan(recordBuckets[kind], after, func(k, v []byte) (bool, error) {
		if len(after) > 0 && bytes.Equal(k, after) {
			return true, nil
		}
		r, err := t.decode(kind, k, v)
		if err != nil {
			return false, err
		}
		if r != nil {
			list = append(list, r)
		}
		last = bytes.Clone(k)
		return len(list) < limit, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return list, last, nil
}

// decode reads a record of a kind; nil is one that an index still has and that is gone.
func (t records) decode(kind storage.RecordKind, k, v []byte) (r storage.Record, err error) {
	switch kind {
	case storage.KindAccounts:
		return decodeAccount(string(k), v)
	case storage.KindEpochs:
		n, err := readNumber(v)
		return storage.EpochRecord{Key: storage.EpochKey(k), Epoch: n}, err
	case storage.KindMails:
		if len(k) != idLen {
			return nil, fmt.Errorf("%w: a mail with a key of %d bytes", storage.ErrDamaged, len(k))
		}
		return decodeMail(storage.MailID(k), v)
	case storage.KindEvents:
		return t.event(k, v)
	case storage.KindMeta:
		return storage.MetaRecord{Name: string(k), Value: bytes.Clone(v)}, nil
	}
	key, err := parseKey(k)
	if err != nil {
		return nil, err
	}
	switch kind {
	case storage.KindFlows:
		return decodeFlow(key, v)
	case storage.KindTokens:
		return decodeToken(key, v)
	case storage.KindSessions:
		return decodeSession(key, v)
	case storage.KindMachineTokens:
		return decodeMachineToken(key, v)
	case storage.KindInvitations:
		return decodeInvitation(key, v)
	}
	n, err := readNumber(v)
	return storage.CounterRecord{Key: key, Count: int64(n)}, err //nolint:gosec // written from one
}

// event reads the event of an entry of bEventTimes.
func (t records) event(entry, end []byte) (storage.Record, error) {
	if len(end) != endLen || len(entry) < 8 {
		return nil, fmt.Errorf("%w: an entry of an event", storage.ErrDamaged)
	}
	v, err := t.get(bEvents, append(append(make([]byte, 0, eventKeyLen), end...), entry[len(entry)-8:]...))
	if err != nil || v == nil {
		return nil, err
	}
	e, err := decodeEvent(v)
	return storage.EventRecord{Event: e, End: readEnd(end)}, err
}

// Put stores a record as it is.
func (t records) Put(r storage.Record) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	switch r := r.(type) {
	case storage.Account:
		return t.putAccount(r)
	case storage.EpochRecord:
		return t.putNew(bEpochs, []byte(r.Key), appendNumber(nil, r.Epoch))
	case storage.Flow:
		return t.create(bFlows, r.Key, encodeFlow(r))
	case storage.Token:
		return t.create(bTokens, r.Key, encodeToken(r))
	case storage.Session:
		return sessions(t).Create(r)
	case storage.MachineToken:
		return t.create(bMachineTokens, r.Key, encodeMachineToken(r))
	case storage.Invitation:
		return invitations(t).Create(r)
	case storage.CounterRecord:
		if r.Count < 0 {
			return errNegative
		}
		return t.create(bCounters, r.Key, appendNumber(nil, uint64(r.Count)))
	case storage.Mail:
		return outbox(t).store(r)
	case storage.EventRecord:
		return events(t).append(r.Event, r.End)
	case storage.MetaRecord:
		return t.putNew(bMeta, []byte(r.Name), append([]byte{}, r.Value...))
	}
	return errNoKey
}

// putNew stores a value under a key that is not taken.
func (t records) putNew(b bucket, key, value []byte) error {
	if len(key) == 0 {
		return errNoKey
	}
	if exists, err := t.has(b, key); err != nil {
		return err
	} else if exists {
		return storage.ErrExists
	}
	return t.put(b, key, value)
}

func (t records) putAccount(a storage.Account) error {
	if a.ID == "" || a.Mailbox.IsZero() || a.Version == 0 {
		return errNoKey
	}
	if err := t.putNew(bMailboxes, a.Mailbox[:], []byte(a.ID)); err != nil {
		return err
	}
	return t.putNew(bAccounts, []byte(a.ID), encodeAccount(a))
}
