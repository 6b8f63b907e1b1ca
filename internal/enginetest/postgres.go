//go:build postgres

package enginetest

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// scripts/on-postgres names its server in this variable.
func init() {
	dsn := os.Getenv("ENGINETEST_POSTGRES")
	if dsn == "" {
		return
	}
	use(dsn)
}

func use(dsn string) {
	onFile = false
	open = func(ctx context.Context, dir string) (storage.Store, error) {
		h := fnv.New64()
		_, _ = h.Write([]byte(dir))
		return postgres.Open(ctx, postgres.Options{DSN: dsn, Schema: fmt.Sprintf("suite_%x_%d", h.Sum64(), os.Getpid()), Connections: 16})
	}
}

// Use makes Open open databases by a connection string until the test ends.
func Use(t testing.TB, dsn string) {
	before, file := open, onFile
	t.Cleanup(func() { open, onFile = before, file })
	use(dsn)
}
