package enginetest

import (
	"context"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// CountRecords returns how many records of each kind a store holds. A file has a size as well, and a database in PostgreSQL has rows alone.
func CountRecords(t testing.TB, s storage.Store) map[storage.RecordKind]int {
	t.Helper()
	const page = 1000
	counts := map[storage.RecordKind]int{}
	err := s.View(context.WithoutCancel(t.Context()), func(tx storage.Tx) error {
		for _, kind := range storage.RecordKinds() {
			var after []byte
			for {
				list, last, err := tx.Records().List(kind, after, page)
				if err != nil {
					return err
				}
				if len(list) == 0 {
					break
				}
				counts[kind], after = counts[kind]+len(list), last
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}
