package storage

import (
	"encoding/binary"
	"fmt"
	"time"
)

// MetaTime returns the time that a Meta value holds, to the second; known is false when there is no such value.
func MetaTime(tx Tx, name string) (at time.Time, known bool, err error) {
	value, known, err := tx.Meta().Get(name)
	if err != nil || !known {
		return time.Time{}, false, err
	}
	if len(value) != 8 {
		return time.Time{}, false, fmt.Errorf("%w: the time under %q cannot be read", ErrDamaged, name)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0), true, nil //nolint:gosec // written by SetMetaTime
}

// SetMetaTime stores a time as a Meta value.
func SetMetaTime(tx Tx, name string, at time.Time) error {
	return tx.Meta().Put(name, binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))) //nolint:gosec // read by MetaTime
}
