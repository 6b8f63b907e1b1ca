package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/storagetest"
)

func BenchmarkStore(b *testing.B) {
	storagetest.Bench(b, func(t testing.TB) storage.Store { return open(t) })
}

// BenchmarkGroupCommit compares one bbolt transaction per caller with the group commit, with the machine's own sync and with
// one that takes a millisecond longer.
func BenchmarkGroupCommit(b *testing.B) {
	value := make([]byte, 200)
	for _, delay := range []time.Duration{0, time.Millisecond} {
		commit := func(btx *bbolt.Tx) error {
			if delay > 0 {
				time.Sleep(delay)
			}
			return btx.Commit()
		}
		for _, callers := range []int{1, 16, 64} {
			name := fmt.Sprintf("sync+%s/%d", delay, callers)
			b.Run("update/"+name, func(b *testing.B) {
				s := open(b)
				defer s.Close() //nolint:errcheck // a benchmark
				storagetest.Parallel(b, callers, func(n int64) error {
					btx, err := s.db.Begin(true)
					if err != nil {
						return err
					}
					if err := btx.Bucket(bucketNames[bMeta]).Put(binary.BigEndian.AppendUint64(nil, uint64(n)), value); err != nil {
						return err
					}
					return commit(btx)
				})
			})
			b.Run("group/"+name, func(b *testing.B) {
				s := open(b)
				defer s.Close() //nolint:errcheck // a benchmark
				s.commit = commit
				storagetest.Parallel(b, callers, func(n int64) error {
					return s.Update(context.Background(), func(tx storage.Tx) error {
						return tx.Meta().Put(string(binary.BigEndian.AppendUint64(nil, uint64(n))), value)
					})
				})
			})
		}
	}
}
