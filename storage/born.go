package storage

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Born returns when the database was made, or put back from a backup, whichever was later; false for one that does not know.
// Nothing that has been handed out before that moment may be honoured where the database is asked whether it was used.
func Born(tx Tx) (born time.Time, known bool, err error) {
	value, known, err := tx.Meta().Get(MetaBorn)
	if err != nil || !known {
		return time.Time{}, false, err
	}
	if len(value) != 8 {
		return time.Time{}, false, fmt.Errorf("%w: the moment of the database's birth cannot be read", ErrDamaged)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0), true, nil //nolint:gosec // written by SetBorn
}

// SetBorn notes, to the second, when the database was made or put back.
func SetBorn(tx Tx, born time.Time) error {
	return tx.Meta().Put(MetaBorn, binary.BigEndian.AppendUint64(nil, uint64(born.Unix()))) //nolint:gosec // read by Born
}
