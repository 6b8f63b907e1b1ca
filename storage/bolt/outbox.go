package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type outbox struct{ *tx }

// The index of the outbox has two entries for a waiting mail, and the second alone for a dead letter:
//
//	lane ‖ due (12 bytes) ‖ id → queued (12 bytes), nothing for a mail that is not counted
//	'e' ‖ end (5 bytes) ‖ id → nothing
//
// A mail of the line, or to an account, has, once a lease has found it due, instead of the first
//
//	'p' ‖ place (8 bytes) ‖ id → due (12 bytes) ‖ queued (12 bytes), or due alone
//	'q' ‖ place (8 bytes) ‖ due (12 bytes) ‖ id → the same
const (
	dueEntry    = 'd'
	newEntry    = 'n'
	lineEntry   = 'w'
	placeEntry  = 'p'
	directEntry = 'q'
	endEntry    = 'e'
	maxPromoted = 1000

	stampLen  = 12
	idLen     = len(storage.MailID{})
	dueLen    = 1 + stampLen + idLen
	placeLen  = 1 + 8 + idLen
	directLen = placeLen + stampLen
	outLen    = 1 + endLen + idLen
)

var errLease = errors.New("storage/bolt: a lease must end after it begins")

// appendStamp appends a time so that stamps order as times do: seconds since the year 1 and nanoseconds, big-endian.
func appendStamp(b []byte, t time.Time) []byte {
	sec := max(0, min(t.Unix(), maxEnd)-yearOne)
	b = binary.BigEndian.AppendUint64(b, uint64(sec))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond())) //nolint:gosec // below 1e9
}

// readStamp reads what appendStamp wrote.
func readStamp(b []byte) (time.Time, error) {
	if len(b) != stampLen || binary.BigEndian.Uint64(b) > maxSeconds {
		return time.Time{}, fmt.Errorf("%w: a time in the index of the outbox", storage.ErrDamaged)
	}
	sec := int64(binary.BigEndian.Uint64(b)) + yearOne //nolint:gosec // the range is checked
	return time.Unix(sec, int64(binary.BigEndian.Uint32(b[8:]))).UTC(), nil
}

// laneEntry returns the first byte of the entries of a lane.
func laneEntry(l storage.Lane) byte {
	return [...]byte{storage.LaneDirect: dueEntry, storage.LaneNew: newEntry, storage.LaneLine: lineEntry}[l]
}

func dueKey(m storage.Mail) []byte {
	return append(appendStamp(append(make([]byte, 0, dueLen), laneEntry(m.Lane)), m.Due), m.ID[:]...)
}

// placeKey returns the entry of a mail that has been found due at a time; lanes without places have none.
func placeKey(m storage.Mail, due time.Time) []byte {
	key := make([]byte, 0, directLen)
	switch m.Lane {
	case storage.LaneLine:
		key = binary.BigEndian.AppendUint64(append(key, placeEntry), m.Position)
	case storage.LaneDirect:
		key = appendStamp(binary.BigEndian.AppendUint64(append(key, directEntry), m.Position), due)
	default:
		return nil
	}
	return append(key, m.ID[:]...)
}

// dueValue returns the value of a mail's first entry.
func dueValue(m storage.Mail) []byte {
	if m.Empty || m.Lane == storage.LaneLine && m.Position >= storage.PositionUnpaid {
		return []byte{}
	}
	return appendStamp(nil, m.Queued)
}

// delDue deletes the entry of a waiting mail that says when it is due, or its place.
func (t outbox) delDue(m storage.Mail) error {
	if err := t.del(bMailIndex, dueKey(m)); err != nil || m.Lane == storage.LaneNew {
		return err
	}
	return t.del(bMailIndex, placeKey(m, m.Due))
}

// endKey returns the entry that a sweep finds: a dead letter is kept for a while after its end, but for what is sealed.
func endKey(m storage.Mail) []byte {
	end := m.End
	if m.Dead && len(m.Sealed) == 0 {
		end = end.Add(storage.DeadLetterRetention)
	}
	return append(appendEnd(append(make([]byte, 0, outLen), endEntry), clampEnd(end.Unix())), m.ID[:]...)
}

func (t outbox) read(id storage.MailID) (m storage.Mail, found bool, err error) {
	v, err := t.get(bOutbox, id[:])
	if err != nil || v == nil {
		return m, false, err
	}
	if m, err = decodeMail(id, v); err != nil {
		return storage.Mail{}, false, err
	}
	return m, true, nil
}

// leased returns a waiting mail whose current lease is this attempt.
func (t outbox) leased(id storage.MailID, attempt int) (m storage.Mail, ok bool, err error) {
	if !t.writable {
		return m, false, storage.ErrReadOnly
	}
	m, found, err := t.read(id)
	return m, found && !m.Dead && attempt > 0 && m.Attempts == attempt, err
}

// move writes a mail and its place among the due ones; old is what is there now.
func (t outbox) move(old, m storage.Mail) error {
	if err := t.delDue(old); err != nil {
		return err
	}
	if err := t.put(bMailIndex, dueKey(m), dueValue(m)); err != nil {
		return err
	}
	return t.put(bOutbox, m.ID[:], encodeMail(m))
}

// Enqueue stores a new mail.
func (t outbox) Enqueue(m storage.Mail) error {
	if m.Dead {
		return errNoKey
	}
	return t.store(m)
}

// store stores a new mail, waiting or dead.
func (t outbox) store(m storage.Mail) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	if m.ID == (storage.MailID{}) || m.Lane > storage.LaneLine {
		return errNoKey
	}
	if exists, err := t.has(bOutbox, m.ID[:]); err != nil {
		return err
	} else if exists {
		return storage.ErrExists
	}
	if err := t.put(bOutbox, m.ID[:], encodeMail(m)); err != nil {
		return err
	}
	if !m.Dead {
		if err := t.put(bMailIndex, dueKey(m), dueValue(m)); err != nil {
			return err
		}
	}
	return t.put(bMailIndex, endKey(m), []byte{})
}

// Lease hands out due mails.
func (t outbox) Lease(lane storage.Lane, now, until time.Time, n int) ([]storage.Mail, error) {
	if !t.writable {
		return nil, storage.ErrReadOnly
	}
	if n <= 0 {
		return nil, nil
	}
	if !until.After(now) {
		return nil, errLease
	}
	entries, err := t.nextMails(lane, now, n)
	if err != nil {
		return nil, err
	}
	mails := make([]storage.Mail, 0, len(entries))
	for _, e := range entries {
		m, found, err := t.read(e.id)
		if err != nil {
			return nil, err
		}
		if !found || m.Dead || m.Lane != lane || !m.Due.Equal(e.due) { // left over from a mail that could not be read when it was swept
			if err := t.del(bMailIndex, e.key); err != nil {
				return nil, err
			}
			continue
		}
		old := m
		m.Attempts++
		m.Due = until.UTC()
		if err := t.move(old, m); err != nil {
			return nil, err
		}
		mails = append(mails, m)
	}
	return mails, nil
}

// Finish deletes a mail whose lease is still the caller's.
func (t outbox) Finish(id storage.MailID, attempt int) (finished bool, err error) {
	m, ok, err := t.leased(id, attempt)
	if err != nil || !ok {
		return false, err
	}
	if err := t.delDue(m); err != nil {
		return false, err
	}
	if err := t.del(bMailIndex, endKey(m)); err != nil {
		return false, err
	}
	return true, t.del(bOutbox, id[:])
}

// Retry makes a leased mail due again.
func (t outbox) Retry(id storage.MailID, attempt int, due time.Time, reason string) (found bool, err error) {
	m, ok, err := t.leased(id, attempt)
	if err != nil || !ok {
		return false, err
	}
	old := m
	m.Due, m.Reason = due.UTC(), reason
	return true, t.move(old, m)
}

// DeadLetter turns a leased mail into a dead letter.
func (t outbox) DeadLetter(id storage.MailID, attempt int, reason string) (dead bool, err error) {
	m, ok, err := t.leased(id, attempt)
	if err != nil || !ok {
		return false, err
	}
	if err := t.delDue(m); err != nil {
		return false, err
	}
	m.Dead, m.Reason = true, reason
	return true, t.put(bOutbox, id[:], encodeMail(m))
}

// dropSealed removes what is sealed from a dead letter whose end has come. The caller deletes the entry by which it was found.
func (t outbox) dropSealed(m storage.Mail) error {
	m.Sealed = nil
	if err := t.put(bMailIndex, endKey(m), []byte{}); err != nil {
		return err
	}
	return t.put(bOutbox, m.ID[:], encodeMail(m))
}

// Requeue makes a mail due at once.
func (t outbox) Requeue(id storage.MailID, due time.Time) (requeued bool, err error) {
	if !t.writable {
		return false, storage.ErrReadOnly
	}
	m, found, err := t.read(id)
	if err != nil || !found || m.Dead && len(m.Sealed) == 0 {
		return false, err
	}
	old := m
	m.Dead, m.Due = false, due.UTC()
	return true, t.move(old, m)
}

// Move puts a leased mail into a lane.
func (t outbox) Move(id storage.MailID, attempt int, lane storage.Lane, position uint64, due time.Time, reason string) (found bool, err error) {
	m, ok, err := t.leased(id, attempt)
	if err != nil || !ok {
		return false, err
	}
	if lane > storage.LaneLine {
		return false, errNoKey
	}
	old := m
	m.Lane, m.Position, m.Due, m.Reason = lane, position, due.UTC(), reason
	return true, t.move(old, m)
}

// NextDue returns the earliest time at which a mail of a lane is due.
func (t outbox) NextDue(lane storage.Lane) (next time.Time, found bool, err error) {
	first := func(e indexed) bool {
		next, found = e.due, true
		return false
	}
	if lane != storage.LaneNew { // those that were found due were so before all others
		if err := t.scanPlaces(lane, first); err != nil || found {
			return next, found, err
		}
	}
	err = t.scanDue(lane, first)
	return next, found, err
}

// List returns up to limit mails, by id.
func (t outbox) List(dead bool, limit int) (list []storage.Mail, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = t.scan(bOutbox, nil, func(k, v []byte) (bool, error) {
		if len(k) != idLen {
			return false, fmt.Errorf("%w: a mail with a key of %d bytes", storage.ErrDamaged, len(k))
		}
		m, err := decodeMail(storage.MailID(k), v)
		if err != nil {
			return false, err
		}
		if m.Dead == dead && !m.Empty {
			list = append(list, m)
		}
		return len(list) < limit, nil
	})
	return list, err
}

// Stats counts the waiting mails.
func (t outbox) Stats() (waiting int, oldest time.Time, err error) {
	var damaged error
	count := func(e indexed) bool {
		if len(e.queued) == 0 {
			return true
		}
		queued, err := readStamp(e.queued)
		if err != nil {
			damaged = err
			return false
		}
		if waiting == 0 || queued.Before(oldest) {
			oldest = queued
		}
		waiting++
		return true
	}
	for _, lane := range storage.Lanes() {
		if err := t.scanDue(lane, count); err != nil {
			return 0, time.Time{}, err
		}
	}
	err = errors.Join(t.scanPlaces(storage.LaneLine, count), t.scanPlaces(storage.LaneDirect, count), damaged)
	return waiting, oldest, err
}
