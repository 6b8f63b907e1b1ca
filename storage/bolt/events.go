package bolt

import (
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type events struct{ *tx }

// Append stores e under the given end.
func (t events) Append(e storage.Event, end time.Time) error {
	n, err := t.next(bEvents)
	if err != nil {
		return err
	}
	key := appendNumber(appendEnd(make([]byte, 0, endLen+8), clampEnd(end.Unix())), n)
	return t.put(bEvents, key, encodeEvent(e))
}

// List returns up to limit of the newest events, by end and then by order of appending.
func (t events) List(limit int) (list []storage.Event, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = t.scanBack(bEvents, func(_, v []byte) (bool, error) {
		e, err := decodeEvent(v)
		if err != nil {
			return false, err
		}
		list = append(list, e)
		return len(list) < limit, nil
	})
	return list, err
}
