//go:build postgres

package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/internal/vault"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestKEY1_FirstStartsAtOnceMakeOneDataKey starts several processes on a database that has nothing yet, 20 times. Each gets its turn, and
// all have one data key.
func TestKEY1_FirstStartsAtOnceMakeOneDataKey(t *testing.T) {
	for range 20 {
		o := postgres.Options{DSN: server.DSN(), Schema: pgtest.Schema(), Connections: 2}
		const starts = 3
		var keys [starts][]byte
		var wg sync.WaitGroup
		for i := range starts {
			wg.Go(func() { keys[i] = firstStart(t, o) })
		}
		wg.Wait()
		for _, key := range keys {
			if len(key) == 0 || !bytes.Equal(key, keys[0]) {
				t.Fatalf("the keys are %x", keys)
			}
		}
	}
}

// firstStart opens a database with its keys as soon as no other process has it, and returns a key that follows from the data key.
func firstStart(t *testing.T, o postgres.Options) []byte {
	for {
		store, err := postgres.Open(context.Background(), o)
		if errors.Is(err, storage.ErrLocked) {
			continue
		}
		if err != nil {
			t.Error(err)
			return nil
		}
		masters := func([]byte) ([][]byte, error) { return [][]byte{bytes.Repeat([]byte{1}, 32)}, nil }
		v, err := vault.Open(context.Background(), vault.Config{Store: store, Masters: masters})
		if err != nil {
			t.Error(errors.Join(err, store.Close()))
			return nil
		}
		key := v.Ring.AudienceKey("app")
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		return key
	}
}
