package enginetest

import (
	"context"
	"encoding/hex"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Master is the master key of tests.
const Master = "a master key of thirty-two bytes"

// dataKey is a data key that Master has sealed.
const dataKey = "01b787f24f469eda652cca615e1ae1b5b7694f8fb8c8b6e1a1b93a9e7cef2215e35b4241e37a0d5f02ceb3ee64d25250cb45c985d5b146b1d25188e247fe6739efbdabce57"

// SetDataKey gives a new store the same data key in every run of a test. A MAC under it says when the windows of limits end, so that no run
// counts in another window than the last.
func SetDataKey(t testing.TB, s storage.Store) {
	t.Helper()
	sealed, err := hex.DecodeString(dataKey)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(context.WithoutCancel(t.Context()), func(tx storage.Tx) error {
		if _, found, err := tx.Meta().Get(storage.MetaDataKey); err != nil || found {
			return err
		}
		return tx.Meta().Put(storage.MetaDataKey, sealed)
	})
	if err != nil {
		t.Fatal(err)
	}
}
