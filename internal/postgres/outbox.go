package postgres

import (
	"bytes"
	"cmp"
	"math"
	"slices"
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

// dueMails are the mails of a lane that were read ahead: ids are those due at a time, all of them or as many as a lease was announced to
// take; next is the first that is due later.
type dueMails struct {
	at        time.Time
	ids, next []storage.MailID
	all       bool
}

// orders are the orders in which mails of the lanes are leased.
var orders = map[storage.Lane]struct {
	by      string
	compare func(a, b *storage.Mail) int
}{
	storage.LaneDirect: {"position, due, id", compareDirect},
	storage.LaneNew:    {"due, id", compareDue},
	storage.LaneLine:   {"position, id", comparePositions},
}

// newDueTexts returns the statements that read mails ahead.
func newDueTexts(columns, table string) map[storage.Lane]string {
	texts := map[storage.Lane]string{}
	for _, lane := range storage.Lanes() {
		from := "(select " + columns + " from " + table + " where not dead and lane = " + strconv.Itoa(int(lane)) + " and due "
		texts[lane] = from + "<= $1 order by " + orders[lane].by + " limit $2) union all " + from + "> $1 order by due, id limit 1)"
	}
	return texts
}

// readDue queues the read of mails that a lease is about to look for.
func (t outbox) readDue(b *pgx.Batch, d storage.DueMails) {
	if d.N <= 0 || t.tx.due[d.Lane] != nil {
		return
	}
	one := &dueMails{at: d.At}
	b.Queue(t.store.prefetch.due[d.Lane], d.At, d.N).Query(func(answer pgx.Rows) error {
		err := each(func(answer pgx.Rows) error {
			id, m, ver, err := t.kind.scan(answer)
			switch {
			case err != nil:
				return err
			case m.Due.After(d.At):
				one.next = append(one.next, id)
			default:
				one.ids = append(one.ids, id)
			}
			t.loaded(id, m, ver)
			return nil
		})(answer)
		if one.all = len(one.ids) < d.N; err != nil {
			return err
		}
		if t.tx.due == nil {
			t.tx.due = map[storage.Lane]*dueMails{}
		}
		t.tx.due[d.Lane] = one
		return nil
	})
}

// ahead returns the ids of mails of a lane, of which n are wanted, if they were read ahead: those that are due at a time, or with nil all
// up to the first that is not due.
func (t outbox) ahead(lane storage.Lane, until *time.Time, n int) (ids []storage.MailID, known bool) {
	d := t.tx.due[lane]
	switch {
	case d == nil || until == nil && n > 1 || until != nil && !until.Equal(d.at):
		return nil, false
	case until == nil:
		return append(slices.Clone(d.ids), d.next...), d.all
	}
	left := 0
	for _, id := range d.ids {
		if !t.m[id].write {
			left++
		}
	}
	return d.ids, d.all || left >= n
}

// waiting lists up to n waiting mails of a lane that are due, in an order.
func (t outbox) waiting(lane storage.Lane, until *time.Time, order string, compare func(a, b *storage.Mail) int, n int) ([]*storage.Mail, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	want := func(m *storage.Mail) bool { return !m.Dead && m.Lane == lane && (until == nil || !m.Due.After(*until)) }
	if ids, known := t.ahead(lane, until, n); known {
		return t.pick(ids, want, compare, n), nil
	}
	sql := "select " + t.kind.columns + " from " + t.kind.table + " where not dead and lane = " + strconv.Itoa(int(lane)) +
		" and due <= coalesce($1::timestamptz, 'infinity') order by " + order + " limit $2"
	return t.list(sql, []any{until, n + t.written()}, want, compare, n)
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
	if lane > storage.LaneLine {
		return nil, errNoKey
	}
	list, err := t.waiting(lane, &now, orders[lane].by, orders[lane].compare, n)
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
