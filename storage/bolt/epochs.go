package bolt

import (
	"encoding/binary"
	"fmt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type epochs struct{ *tx }

// Get returns the epoch, 0 when it was never raised.
func (t epochs) Get(k storage.EpochKey) (uint64, error) {
	if k == "" {
		return 0, errNoKey
	}
	v, err := t.get(bEpochs, []byte(k))
	if err != nil {
		return 0, err
	}
	return readNumber(v)
}

// GetForUpdate is Get: the writer is alone in this engine.
func (t epochs) GetForUpdate(k storage.EpochKey) (uint64, error) { return t.Get(k) }

// Raise adds one and returns the new value.
func (t epochs) Raise(k storage.EpochKey) (uint64, error) {
	if !t.writable {
		return 0, storage.ErrReadOnly
	}
	n, err := t.Get(k)
	if err != nil {
		return 0, err
	}
	n++
	return n, t.put(bEpochs, []byte(k), appendNumber(nil, n))
}

// appendNumber appends 8 bytes, big-endian.
func appendNumber(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

// readNumber reads what appendNumber wrote; an absent value is 0.
func readNumber(v []byte) (uint64, error) {
	switch len(v) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(v), nil
	default:
		return 0, fmt.Errorf("%w: a number of %d bytes", storage.ErrDamaged, len(v))
	}
}
