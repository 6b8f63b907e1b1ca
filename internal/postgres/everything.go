package postgres

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type records struct{ *tx }

// List returns up to limit records of a kind that follow a position, which is a key: text or bytes as they are, others as position writes
// them.
func (t records) List(of storage.RecordKind, after []byte, limit int) ([]storage.Record, []byte, error) {
	if err := t.usable(); err != nil {
		return nil, nil, err
	}
	if limit <= 0 {
		return nil, after, nil
	}
	p := page{t.tx, after, limit}
	kinds := t.store.kinds
	text, raw := []any{string(after)}, []any{append([]byte{}, after...)}
	switch of {
	case storage.KindAccounts:
		return list(p, &kinds.accounts, text, func(id string, a storage.Account, _ int64) (storage.Record, []byte) { return a, []byte(id) })
	case storage.KindEpochs:
		return list(p, &kinds.epochs, raw, func(k storage.EpochKey, _ epochValue, ver int64) (storage.Record, []byte) {
			return storage.EpochRecord{Key: k, Epoch: uint64(ver)}, []byte(k) //nolint:gosec // not negative
		})
	case storage.KindFlows:
		return listKeyed(p, &kinds.flows)
	case storage.KindTokens:
		return listKeyed(p, &kinds.tokens)
	case storage.KindSessions:
		return listKeyed(p, &kinds.sessions)
	case storage.KindMachineTokens:
		return listKeyed(p, &kinds.machineTokens)
	case storage.KindInvitations:
		return listKeyed(p, &kinds.invitations)
	case storage.KindCounters:
		return t.counters(p)
	case storage.KindMails:
		return list(p, &kinds.mails, raw, func(id storage.MailID, m storage.Mail, _ int64) (storage.Record, []byte) {
			return m, bytes.Clone(id[:])
		})
	case storage.KindEvents:
		return t.listEvents(p)
	case storage.KindMeta:
		return list(p, &kinds.meta, text, func(name string, v metaValue, _ int64) (storage.Record, []byte) {
			return storage.MetaRecord{Name: name, Value: v}, []byte(name)
		})
	}
	return nil, nil, errNoKey
}

// page is which part of a table is listed.
type page struct {
	*tx
	after []byte
	limit int
}

// list lists records of a kind behind a key.
func list[K comparable, R any](p page, k *kind[K, R], after []any, record func(K, R, int64) (storage.Record, []byte)) (found []storage.Record, last []byte, err error) {
	key := strings.Join(k.key, ", ")
	sql := "select " + k.columns + " from " + k.table + " where (" + key + ") > (" + holders(1, len(k.key)) + ") order by " + key + " limit " + holders(len(k.key)+1, 1)
	last = p.after
	err = p.query(sql, append(slices.Clone(after), p.limit), func(answer pgx.Rows) error {
		key, rec, ver, err := k.scan(answer)
		if err != nil {
			return err
		}
		var r storage.Record
		r, last = record(key, rec, ver)
		found = append(found, r)
		return nil
	})
	return found, last, err
}

// listKeyed lists records that expire.
func listKeyed[R storage.Record](p page, k *kind[storage.Key, R]) ([]storage.Record, []byte, error) {
	after, err := keyAt(p.after)
	if err != nil {
		return nil, nil, err
	}
	return list(p, k, keyArgs(after), func(key storage.Key, r R, _ int64) (storage.Record, []byte) { return r, position(key) })
}

func (t records) counters(p page) (found []storage.Record, last []byte, err error) {
	after, err := keyAt(p.after)
	if err != nil {
		return nil, nil, err
	}
	last = p.after
	err = t.query(t.store.counters.list, append(keyArgs(after), p.limit), func(answer pgx.Rows) error {
		var c storage.CounterRecord
		err := answer.Scan(endTo{&c.Key}, digestTo{&c.Key.Digest}, &c.Count)
		found, last = append(found, c), position(c.Key)
		return err
	})
	return found, last, err
}

func (t records) listEvents(p page) (found []storage.Record, last []byte, err error) {
	at, seq := time.Time{}, int64(0)
	switch len(p.after) {
	case 0:
	case 16:
		at = time.UnixMicro(int64(binary.BigEndian.Uint64(p.after))) //nolint:gosec // written below
		seq = int64(binary.BigEndian.Uint64(p.after[8:]))            //nolint:gosec // written below
	default:
		return nil, nil, errNoKey
	}
	last = p.after
	sql := "select seq, " + eventColumns + " from " + t.store.schema + ".events where (at, seq) > ($1, $2) order by at, seq limit $3"
	err = t.query(sql, []any{at, seq, p.limit}, func(answer pgx.Rows) error {
		seq, r, err := scanEvent(answer)
		if err != nil {
			return err
		}
		found = append(found, r)
		last = binary.BigEndian.AppendUint64(nil, uint64(r.Event.Time.UnixMicro())) //nolint:gosec // read above
		last = binary.BigEndian.AppendUint64(last, uint64(seq))                     //nolint:gosec // read above
		return nil
	})
	return found, last, err
}

// scanEvent reads a row of the table events.
func scanEvent(answer pgx.Rows) (seq int64, r storage.EventRecord, err error) {
	e := &r.Event
	var end storage.Key
	err = answer.Scan(&seq, timeTo{&e.Time}, endTo{&end}, &e.Name, &e.Purpose, &e.Outcome, &e.Account, &e.Flow, &e.Site, &e.Client,
		&e.Operator.Command, &e.Operator.User, &e.Operator.Host)
	r.End = end.End
	return seq, r, err
}

// position writes a key as the position of its record, and keyAt reads it.
func position(k storage.Key) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(k.End)), k.Digest[:]...) //nolint:gosec // not negative
}

func keyAt(position []byte) (k storage.Key, err error) {
	switch len(position) {
	case 0:
	case 8 + len(k.Digest):
		k.End = int64(binary.BigEndian.Uint64(position)) //nolint:gosec // written by position
		copy(k.Digest[:], position[8:])
	default:
		return k, errNoKey
	}
	return k, nil
}

// Put stores a record as it is, without a look.
func (t records) Put(r storage.Record) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if t.careful { // an insert has found its key taken
		return storage.ErrExists
	}
	kinds := t.store.kinds
	switch r := r.(type) {
	case storage.Account:
		if r.ID == "" || r.Mailbox.IsZero() {
			return errNoKey
		}
		return put(t, &kinds.accounts, r.ID, r, r.Version)
	case storage.EpochRecord:
		if r.Key == "" {
			return errNoKey
		}
		return put(t, &kinds.epochs, r.Key, epochValue{}, r.Epoch)
	case storage.Flow:
		return putKeyed(t, &kinds.flows, r.Key, r)
	case storage.Token:
		return putKeyed(t, &kinds.tokens, r.Key, r)
	case storage.Session:
		return putKeyed(t, &kinds.sessions, r.Key, r)
	case storage.MachineToken:
		return putKeyed(t, &kinds.machineTokens, r.Key, r)
	case storage.Invitation:
		return putKeyed(t, &kinds.invitations, r.Key, r)
	case storage.CounterRecord:
		if !validKey(r.Key) || r.Count < 0 {
			return errNoKey
		}
		t.queue(t.store.counters.put, append(keyArgs(r.Key), r.Count))
		return nil
	case storage.Mail:
		if r.ID == (storage.MailID{}) || r.Lane > storage.LaneLine || r.Position > math.MaxInt64 {
			return errNoKey
		}
		return put(t, &kinds.mails, r.ID, r, 1)
	case storage.EventRecord:
		t.queue(t.store.texts.newEvents[0], event{r.Event, time.Unix(r.End, 0)}.args())
		return nil
	case storage.MetaRecord:
		if r.Name == "" {
			return errNoKey
		}
		return put(t, &kinds.meta, r.Name, metaValue(r.Value), 1)
	}
	return errNoKey
}

// put queues the insert of a record with a version.
func put[K comparable, R any](t records, k *kind[K, R], key K, r R, version uint64) error {
	if version == 0 || version > math.MaxInt64 {
		return errNoKey
	}
	t.queue(k.inserts[0], slices.Concat(k.keyArgs(key), k.args(&r), []any{int64(version)}))
	return nil
}

func putKeyed[R any](t records, k *kind[storage.Key, R], key storage.Key, r R) error {
	if !validKey(key) || key.Digest.IsZero() {
		return errNoKey
	}
	return put(t, k, key, r, 1)
}

func (t records) queue(sql string, args []any) {
	t.puts.Queue(sql, args...)
	t.dirty = true
}
