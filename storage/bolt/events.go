package bolt

import (
	"encoding/binary"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// eventKeyLen is the length of an event's key: its end and its sequence.
const eventKeyLen = endLen + 8

type events struct{ *tx }

// Append stores e under the given end, and entries under its time and its account.
func (t events) Append(e storage.Event, end time.Time) error { return t.append(e, end.Unix()) }

func (t events) append(e storage.Event, end int64) error {
	n, err := t.next(bEvents)
	if err != nil {
		return err
	}
	key := appendNumber(appendEnd(make([]byte, 0, eventKeyLen), clampEnd(end)), n)
	if err := t.put(bEvents, key, encodeEvent(e)); err != nil {
		return err
	}
	return eventEntries(e, key, func(b bucket, k []byte) error { return t.put(b, k, key[:endLen]) })
}

// List returns up to limit of the newest events that pass a filter, by time and then by order of appending.
func (t events) List(f storage.EventFilter, limit int) (list []storage.Event, err error) {
	if limit <= 0 {
		return nil, nil
	}
	from, prefix := bEventTimes, []byte(nil)
	if f.Account != "" {
		from, prefix = bEventAccounts, eventAccountPrefix(f.Account)
	}
	err = t.scanBack(from, prefix, func(k, end []byte) (bool, error) {
		v, err := t.get(bEvents, append(append(make([]byte, 0, eventKeyLen), end...), k[len(k)-8:]...))
		if err != nil || v == nil {
			return v == nil, err
		}
		e, err := decodeEvent(v)
		if err != nil {
			return false, err
		}
		if !f.Since.IsZero() && e.Time.Before(f.Since) {
			return false, nil
		}
		if f.Match == nil || f.Match(e) {
			list = append(list, e)
		}
		return len(list) < limit, nil
	})
	return list, err
}

// eventTimeKey returns the key of an event's entry: its time, to the nanosecond, and the 8 bytes of its sequence.
func eventTimeKey(at time.Time, sequence []byte) []byte {
	key := appendEnd(make([]byte, 0, endLen+4+len(sequence)), clampEnd(at.Unix()))
	key = binary.BigEndian.AppendUint32(key, uint32(at.Nanosecond())) //nolint:gosec // 0 to 999 999 999
	return append(key, sequence...)
}

// eventEntries calls fn for each entry of an event with a key: the index and the key in it.
func eventEntries(e storage.Event, key []byte, fn func(b bucket, k []byte) error) error {
	at := eventTimeKey(e.Time, key[endLen:])
	if err := fn(bEventTimes, at); err != nil || e.Account == "" {
		return err
	}
	return fn(bEventAccounts, append(eventAccountPrefix(e.Account), at...))
}

// eventAccountPrefix is what the entries of an account's events begin with.
func eventAccountPrefix(account string) []byte {
	return append(append(make([]byte, 0, len(account)+1+eventKeyLen+endLen), account...), 0)
}
