package bolt

import (
	"bytes"
	"fmt"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// indexed is an entry of the index that says when a mail is due.
type indexed struct {
	key, queued []byte
	due         time.Time
	id          storage.MailID
}

// nextMails returns the first n entries of a lane that are due, in the order in which they are leased.
func (t outbox) nextMails(lane storage.Lane, now time.Time, n int) ([]indexed, error) {
	if lane == storage.LaneNew {
		return t.dueMails(lane, now, n)
	}
	if err := t.promote(lane, now); err != nil {
		return nil, err
	}
	return t.placedMails(lane, n)
}

// dueMails returns the first n entries of a lane that are due, by when they are.
func (t outbox) dueMails(lane storage.Lane, now time.Time, n int) (entries []indexed, err error) {
	err = t.scanDue(lane, func(e indexed) bool {
		if e.due.After(now) {
			return false
		}
		e.key = bytes.Clone(e.key)
		entries = append(entries, e)
		return len(entries) < n
	})
	return entries, err
}

// promote gives the mails of a lane that are due the entries by which they are leased in the order of their places.
func (t outbox) promote(lane storage.Lane, now time.Time) error {
	entries, err := t.dueMails(lane, now, maxPromoted)
	if err != nil {
		return err
	}
	for _, e := range entries {
		m, found, err := t.read(e.id)
		if err != nil {
			return err
		}
		if err := t.del(bMailIndex, e.key); err != nil {
			return err
		}
		if !found || m.Dead || m.Lane != lane || !m.Due.Equal(e.due) {
			continue
		}
		if err := t.put(bMailIndex, placeKey(m, m.Due), append(appendStamp(nil, m.Due), dueValue(m)...)); err != nil {
			return err
		}
	}
	return nil
}

// placedMails returns the first n mails of the line that are due, by their places.
// placedMails returns the first n mails of a lane that have been found due, by their places.
func (t outbox) placedMails(lane storage.Lane, n int) (entries []indexed, err error) {
	err = t.scanPlaces(lane, func(e indexed) bool {
		e.key = bytes.Clone(e.key)
		entries = append(entries, e)
		return len(entries) < n
	})
	return entries, err
}

// scanPlaces walks the mails of a lane that have been found due, by their places. The entry is valid during the call alone.
func (t outbox) scanPlaces(lane storage.Lane, fn func(indexed) (more bool)) error {
	first, size := byte(placeEntry), placeLen
	if lane == storage.LaneDirect {
		first, size = directEntry, directLen
	}
	return t.scan(bMailIndex, []byte{first}, func(k, v []byte) (bool, error) {
		if k[0] != first {
			return false, nil
		}
		if len(k) != size || len(v) < stampLen {
			return false, fmt.Errorf("%w: an entry in the index of the outbox", storage.ErrDamaged)
		}
		due, err := readStamp(v[:stampLen])
		if err != nil {
			return false, err
		}
		return fn(indexed{key: k, queued: v[stampLen:], due: due, id: storage.MailID(k[size-idLen:])}), nil
	})
}

// scanDue walks the waiting mails of a lane by due time. The entry is valid during the call alone.
func (t outbox) scanDue(lane storage.Lane, fn func(indexed) (more bool)) error {
	first := laneEntry(lane)
	return t.scan(bMailIndex, []byte{first}, func(k, v []byte) (bool, error) {
		if k[0] != first {
			return false, nil
		}
		if len(k) != dueLen {
			return false, fmt.Errorf("%w: an entry in the index of the outbox", storage.ErrDamaged)
		}
		due, err := readStamp(k[1 : 1+stampLen])
		if err != nil {
			return false, err
		}
		return fn(indexed{key: k, queued: v, due: due, id: storage.MailID(k[1+stampLen:])}), nil
	})
}
