package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A pooler such as PgBouncer in transaction mode gives each transaction whatever connection to the server is free. Nothing outlives a
// transaction there: no prepared statement, no setting, no lock of a session. The engine recognises a pooler at its start, and then describes
// statements without preparing them, sets what it needs in each transaction, and holds the database by a beat (see lock.go).

// perSession are the settings that a connection to the server itself is opened with, and that a pooler neither accepts nor keeps.
// The probes let the server notice within half a minute that a connection is lost, and free what it holds.
var perSession = map[string]string{
	"statement_timeout": "5s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s",
	// Each statement finds its rows by an index. It is planned once for a connection, and not by the size of a table on that day.
	"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off",
	"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "20000",
}

// setLocal sets for one transaction what a pooler keeps for none.
const setLocal = "select set_config('statement_timeout', '5s', true), set_config('lock_timeout', '2s', true)"

// detectPooler connects once, and changes the configuration where a pooler answers.
func (s *Store) detectPooler(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if isUnsupportedParameter(err) {
		s.usePooler(config)
		conn, err = pgx.ConnectConfig(ctx, config)
	}
	if err != nil {
		return explainConnect(config, err)
	}
	defer func() { _ = conn.Close(ctx) }() // it has changed nothing
	// A pooler greets each client with a number of its own in place of the server's process, because the process changes.
	var pid uint32
	if err := conn.QueryRow(ctx, "select pg_backend_pid()", pgx.QueryExecModeExec).Scan(&pid); err != nil {
		return unreachable(err)
	}
	if pid != conn.PgConn().PID() {
		s.usePooler(config)
	}
	if !s.pooled {
		return nil
	}
	tx, err := conn.Begin(ctx)
	if err == nil {
		err = tx.Rollback(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errPooler, cause(err))
	}
	return nil
}

func (s *Store) usePooler(config *pgx.ConnConfig) {
	s.pooled = true
	for name := range perSession {
		delete(config.RuntimeParams, name)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
}

// isUnsupportedParameter reports whether a server refuses a connection because of the settings it is opened with: PostgreSQL knows all of
// them, PgBouncer none.
func isUnsupportedParameter(err error) bool {
	var p *pgconn.PgError
	return errors.As(err, &p) && strings.HasPrefix(p.Message, "unsupported startup parameter")
}

// newBatch returns the beginning of a transaction that is one message.
func (s *Store) newBatch() *pgx.Batch {
	b := &pgx.Batch{}
	if s.pooled {
		b.Queue(setLocal)
	}
	return b
}
