//go:build postgres

package flow

import (
	"errors"
	"fmt"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/internal/enginetest"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
)

// TestRL4_ARefusalByALimitWritesNothing asks a thousand times after a limit is spent, of the client and of the mailbox, and counts the
// transactions that the server has numbered, which it does for each that writes, and the bytes of its log.
func TestRL4_ARefusalByALimitWritesNothing(t *testing.T) {
	server, err := pgtest.Start("fsync=off", "wal_level=minimal", "max_wal_senders=0", "autovacuum=off", "checkpoint_timeout=1d", "max_wal_size=8GB")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	enginetest.Use(t, server.DSN())
	written := func() (transactions, bytes int64) {
		t.Helper()
		value := server.Value(t, "select pg_snapshot_xmax(pg_current_snapshot()) || ' ' || (pg_current_wal_insert_lsn() - '0/0')::bigint")
		if _, err := fmt.Sscan(value, &transactions, &bytes); err != nil {
			t.Fatal(err)
		}
		return transactions, bytes
	}
	for name, spend := range map[string]struct{ client, mailbox string }{
		limit.MailIP:      {client: "3-D", mailbox: "1000-D"},
		limit.MailMailbox: {client: "1000-D", mailbox: "3-D"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			for name, rate := range map[string]string{limit.MailIP: spend.client, limit.MailMailbox: spend.mailbox} {
				g.site.Limits[name] = must[limit.Rates](t)(limit.Parse(rate))
			}
			const refusals = 1000
			var before, bytesBefore int64
			refused := 0
			for i := 0; refused < refusals+50; i++ {
				_, err := g.browser().ask(SignIn, "ada@example.com")
				var limited *Limited
				if err == nil && i < 50 {
					continue
				}
				if !errors.As(err, &limited) {
					t.Fatalf("request %d: %v", i, err)
				}
				if refused++; refused == 50 { // the first ones may make the server tidy its pages
					before, bytesBefore = written()
				}
			}
			after, bytesAfter := written()
			const smallest = 24 // bytes of a record of the log
			if after != before || bytesAfter-bytesBefore >= refusals*smallest {
				t.Errorf("%d refusals: %d transactions and %d bytes were written", refusals, after-before, bytesAfter-bytesBefore)
			}
			t.Logf("%d bytes", bytesAfter-bytesBefore)
		})
	}
}
