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
//	'd' ‖ due (12 bytes) ‖ id → queued (12 bytes)
//	'e' ‖ end (5 bytes) ‖ id → nothing
const (
	dueEntry = 'd'
	endEntry = 'e'

	stampLen = 12
	idLen    = len(storage.MailID{})
	dueLen   = 1 + stampLen + idLen
	outLen   = 1 + endLen + idLen
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

func dueKey(m storage.Mail) []byte {
	return append(appendStamp(append(make([]byte, 0, dueLen), dueEntry), m.Due), m.ID[:]...)
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
	if err := t.del(bMailIndex, dueKey(old)); err != nil {
		return err
	}
	if err := t.put(bMailIndex, dueKey(m), appendStamp(nil, m.Queued)); err != nil {
		return err
	}
	return t.put(bOutbox, m.ID[:], encodeMail(m))
}

// Enqueue stores a new mail.
func (t outbox) Enqueue(m storage.Mail) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	if m.ID == (storage.MailID{}) || m.Dead {
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
	if err := t.put(bMailIndex, dueKey(m), appendStamp(nil, m.Queued)); err != nil {
		return err
	}
	return t.put(bMailIndex, endKey(m), []byte{})
}

// Lease hands out due mails.
func (t outbox) Lease(now, until time.Time, n int) ([]storage.Mail, error) {
	if !t.writable {
		return nil, storage.ErrReadOnly
	}
	if n <= 0 {
		return nil, nil
	}
	if !until.After(now) {
		return nil, errLease
	}
	var dues []storage.Mail
	err := t.scanDue(func(due, _ time.Time, id storage.MailID) bool {
		if due.After(now) {
			return false
		}
		dues = append(dues, storage.Mail{ID: id, Due: due})
		return len(dues) < n
	})
	if err != nil {
		return nil, err
	}
	mails := make([]storage.Mail, 0, len(dues))
	for _, old := range dues {
		m, found, err := t.read(old.ID)
		if err != nil {
			return nil, err
		}
		if !found || m.Dead || !m.Due.Equal(old.Due) { // left over from a mail that could not be read when it was swept
			if err := t.del(bMailIndex, dueKey(old)); err != nil {
				return nil, err
			}
			continue
		}
		m.Attempts++
		m.Due = until.UTC()
		if err := t.move(old, m); err != nil {
			return nil, err
		}
		mails = append(mails, m)
	}
	return mails, nil
}

// scanDue walks the waiting mails by due time.
func (t outbox) scanDue(fn func(due, queued time.Time, id storage.MailID) (more bool)) error {
	return t.scan(bMailIndex, []byte{dueEntry}, func(k, v []byte) (bool, error) {
		if k[0] != dueEntry {
			return false, nil
		}
		if len(k) != dueLen {
			return false, fmt.Errorf("%w: an entry in the index of the outbox", storage.ErrDamaged)
		}
		due, err := readStamp(k[1 : 1+stampLen])
		if err != nil {
			return false, err
		}
		queued, err := readStamp(v)
		if err != nil {
			return false, err
		}
		return fn(due, queued, storage.MailID(k[1+stampLen:])), nil
	})
}

// Finish deletes a mail whose lease is still the caller's.
func (t outbox) Finish(id storage.MailID, attempt int) (finished bool, err error) {
	m, ok, err := t.leased(id, attempt)
	if err != nil || !ok {
		return false, err
	}
	if err := t.del(bMailIndex, dueKey(m)); err != nil {
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
	if err := t.del(bMailIndex, dueKey(m)); err != nil {
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

// NextDue returns the earliest time at which a mail is due.
func (t outbox) NextDue() (next time.Time, found bool, err error) {
	err = t.scanDue(func(due, _ time.Time, _ storage.MailID) bool {
		next, found = due, true
		return false
	})
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
		if m.Dead == dead {
			list = append(list, m)
		}
		return len(list) < limit, nil
	})
	return list, err
}

// Stats counts the waiting mails.
func (t outbox) Stats() (waiting int, oldest time.Time, err error) {
	err = t.scanDue(func(_, queued time.Time, _ storage.MailID) bool {
		if waiting == 0 || queued.Before(oldest) {
			oldest = queued
		}
		waiting++
		return true
	})
	return waiting, oldest, err
}
