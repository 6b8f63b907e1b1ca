package postgres

import (
	"context"
	"fmt"
)

// next returns the build after this one, which knows one change more.
func next(sql string, writes int) func(schema string) build {
	return func(schema string) build {
		b := thisBuild(schema)
		n := b.newest() + 1
		return build{append(b.migrations, migration{n, fmt.Sprintf("%04d_next", n), fmt.Sprintf(sql, schema)}), max(b.writes, writes)}
	}
}

// OpenNext opens the database as the build after this one does. In its SQL %s is the schema.
func OpenNext(ctx context.Context, o Options, sql string, writes int) (*Store, error) {
	return openAs(ctx, o, next(sql, writes))
}

// NextStatements are what that build prints.
func NextStatements(o Options, sql string) string {
	return next(sql, 0)(o.Schema).statements(o.Schema, "gate")
}

// Schema is the schema that the store works on.
func (s *Store) Schema() string { return s.schema }

// Setting returns a setting of a connection of the pool.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.pool.QueryRow(ctx, "select current_setting($1)", name).Scan(&value)
	return value, err
}

// LockNumber is the number of the lock that the process which works on a schema holds.
func LockNumber(schema string) int64 { return lockNumber("node " + schema) }

// Newest is the last change of the schema that this build knows.
func Newest() int { return thisBuild(DefaultSchema).newest() }
