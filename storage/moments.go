package storage

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Moment returns the moment that a Meta value holds, to the second; false when there is none.
func Moment(tx Tx, name string) (at time.Time, known bool, err error) {
	value, known, err := tx.Meta().Get(name)
	if err != nil || !known {
		return time.Time{}, false, err
	}
	if len(value) != 8 {
		return time.Time{}, false, fmt.Errorf("%w: the moment under %q cannot be read", ErrDamaged, name)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0), true, nil //nolint:gosec // written by SetMoment
}

// SetMoment stores a moment as a Meta value.
func SetMoment(tx Tx, name string, at time.Time) error {
	return tx.Meta().Put(name, binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))) //nolint:gosec // read by Moment
}
