package bolt

import (
	"slices"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

type meta struct{ *tx }

// Get returns a copy of the value under a name.
func (t meta) Get(name string) (value []byte, found bool, err error) {
	if name == "" {
		return nil, false, errNoKey
	}
	v, err := t.get(bMeta, []byte(name))
	return slices.Clone(v), v != nil, err
}

// GetForUpdate is Get: the writer is alone in this engine.
func (t meta) GetForUpdate(name string) ([]byte, bool, error) { return t.Get(name) }

// Put stores a copy of the value under a name.
func (t meta) Put(name string, value []byte) error {
	if name == "" {
		return errNoKey
	}
	return t.put(bMeta, []byte(name), append([]byte{}, value...))
}

// Delete removes the value under a name, if there is one.
func (t meta) Delete(name string) error {
	if !t.writable {
		return storage.ErrReadOnly
	}
	if name == "" {
		return errNoKey
	}
	if found, err := t.has(bMeta, []byte(name)); err != nil || !found {
		return err
	}
	return t.del(bMeta, []byte(name))
}
