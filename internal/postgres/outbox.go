package postgres

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type outbox struct {
	*rows[storage.MailID, storage.Mail]
}

// Enqueue stores a new mail.
func (t outbox) Enqueue(m storage.Mail) error {
	if err := t.changeable(); err != nil {
		return err
	}
	if m.ID == (storage.MailID{}) || m.Dead || m.Lane > storage.LaneLine || m.Position > math.MaxInt64 {
		return errNoKey
	}
	m.Due, m.End, m.Queued = micro(m.Due), micro(m.End), micro(m.Queued)
	return t.create(m.ID, m, storage.ErrExists)
}

func compareDue(a, b *storage.Mail) int {
	return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.ID[:], b.ID[:]))
}

func comparePositions(a, b *storage.Mail) int {
	return cmp.Or(cmp.Compare(a.Position, b.Position), bytes.Compare(a.ID[:], b.ID[:]))
}

func compareDirect(a, b *storage.Mail) int {
	return cmp.Or(cmp.Compare(a.Position, b.Position), compareDue(a, b))
}

// waiting lists up to n waiting mails of a lane that are due, in an order.
func (t outbox) waiting(lane storage.Lane, until *time.Time, order string, compare func(a, b *storage.Mail) int, n int) ([]*storage.Mail, error) {
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where not dead and lane = " + strconv.Itoa(int(lane)) +
		" and due <= coalesce($1::timestamptz, 'infinity') order by " + order + " limit $2"
	return t.list(sql, []any{until, n + t.written()}, func(m *storage.Mail) bool {
		return !m.Dead && m.Lane == lane && (until == nil || !m.Due.After(*until))
	}, compare, n)
}

// due lists up to n waiting mails of a lane in the order of their due times.
func (t outbox) due(lane storage.Lane, until *time.Time, n int) ([]*storage.Mail, error) {
	return t.waiting(lane, until, "due, id", compareDue, n)
}

// Lease hands out due mails. No lock is held: where another lease has taken one meanwhile, the step runs again.
func (t outbox) Lease(lane storage.Lane, now, until time.Time, n int) ([]storage.Mail, error) {
	if err := t.changeable(); err != nil {
		return nil, err
	}
	if n <= 0 {
		return nil, nil
	}
	if !until.After(now) {
		return nil, errLease
	}
	var list []*storage.Mail
	var err error
	switch lane {
	case storage.LaneLine:
		list, err = t.waiting(lane, &now, "position, id", comparePositions, n)
	case storage.LaneDirect:
		list, err = t.waiting(lane, &now, "position, due, id", compareDirect, n)
	default:
		list, err = t.due(lane, &now, n)
	}
	if err != nil {
		return nil, err
	}
	mails := values(list)
	for i := range mails {
		m := &mails[i]
		m.Attempts++
		m.Due = micro(until)
		t.put(t.m[m.ID], *m)
	}
	return mails, nil
}

// leased returns the row of a waiting mail whose current lease is this attempt, nil when there is none.
func (t outbox) leased(id storage.MailID, attempt int) (*row[storage.Mail], error) {
	if err := t.changeable(); err != nil {
		return nil, err
	}
	one, err := t.read(id, false)
	if err != nil || !one.found || one.rec.Dead || attempt <= 0 || one.rec.Attempts != attempt {
		return nil, err
	}
	return one, nil
}

// Finish deletes a mail whose lease is still the caller's.
func (t outbox) Finish(id storage.MailID, attempt int) (finished bool, err error) {
	one, err := t.leased(id, attempt)
	if err != nil || one == nil {
		return false, err
	}
	t.remove(one)
	return true, nil
}

// Retry makes a leased mail due again.
func (t outbox) Retry(id storage.MailID, attempt int, due time.Time, reason string) (found bool, err error) {
	one, err := t.leased(id, attempt)
	if err != nil || one == nil {
		return false, err
	}
	m := one.rec
	m.Due, m.Reason = micro(due), reason
	t.put(one, m)
	return true, nil
}

// Move puts a leased mail into a lane.
func (t outbox) Move(id storage.MailID, attempt int, lane storage.Lane, position uint64, due time.Time, reason string) (found bool, err error) {
	one, err := t.leased(id, attempt)
	if err != nil || one == nil {
		return false, err
	}
	if lane > storage.LaneLine || position > math.MaxInt64 {
		return false, errNoKey
	}
	m := one.rec
	m.Lane, m.Position, m.Due, m.Reason = lane, position, micro(due), reason
	t.put(one, m)
	return true, nil
}

// DeadLetter turns a leased mail into a dead letter.
func (t outbox) DeadLetter(id storage.MailID, attempt int, reason string) (dead bool, err error) {
	one, err := t.leased(id, attempt)
	if err != nil || one == nil {
		return false, err
	}
	m := one.rec
	m.Dead, m.Reason = true, reason
	t.put(one, m)
	return true, nil
}

// Requeue makes a mail due at once.
func (t outbox) Requeue(id storage.MailID, due time.Time) (requeued bool, err error) {
	if err := t.changeable(); err != nil {
		return false, err
	}
	one, err := t.read(id, false)
	if err != nil || !one.found || one.rec.Dead && len(one.rec.Sealed) == 0 {
		return false, err
	}
	m := one.rec
	m.Dead, m.Due = false, micro(due)
	t.put(one, m)
	return true, nil
}

// NextDue returns the earliest time at which a mail of a lane is due.
func (t outbox) NextDue(lane storage.Lane) (time.Time, bool, error) {
	list, err := t.due(lane, nil, 1)
	if err != nil || len(list) == 0 {
		return time.Time{}, false, err
	}
	return list[0].Due, true, nil
}

// List returns up to limit mails, by id.
func (t outbox) List(dead bool, limit int) ([]storage.Mail, error) {
	if limit <= 0 {
		return nil, nil
	}
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where dead = $1 and not empty order by id limit $2"
	list, err := t.list(sql, []any{dead, limit + t.written()}, func(m *storage.Mail) bool { return m.Dead == dead && !m.Empty },
		func(a, b *storage.Mail) int { return bytes.Compare(a.ID[:], b.ID[:]) }, limit)
	return values(list), err
}

// Stats counts the waiting mails.
func (t outbox) Stats() (waiting int, oldest time.Time, err error) {
	if t.written() == 0 {
		err = t.query(t.store.texts.mails, nil, func(answer pgx.Rows) error { return answer.Scan(&waiting, timeTo{&oldest}) })
		return waiting, oldest, err
	}
	for _, lane := range storage.Lanes() {
		list, err := t.due(lane, nil, 1<<30)
		if err != nil {
			return 0, time.Time{}, err
		}
		for _, m := range list {
			if m.Empty || m.Lane == storage.LaneLine && m.Position >= storage.PositionUnpaid {
				continue
			}
			if waiting == 0 || m.Queued.Before(oldest) {
				oldest = m.Queued
			}
			waiting++
		}
	}
	return waiting, oldest, nil
}
