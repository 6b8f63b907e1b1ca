package postgres

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-email-link/caddy-email-link/storage"
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

// WriteTogether runs steps that end while others are being written, and calls meanwhile when all of them wait to be written together.
func (s *Store) WriteTogether(ctx context.Context, meanwhile func(), steps ...func(storage.Tx) error) []error {
	g := &s.groups
	g.mu.Lock()
	g.writing += writersMost
	g.mu.Unlock()
	errs := make([]error, len(steps))
	var running sync.WaitGroup
	for i, fn := range steps {
		running.Go(func() { errs[i] = s.Update(ctx, fn) })
		for waits := false; !waits; runtime.Gosched() {
			g.mu.Lock()
			waits = len(g.waiting) == i+1
			g.mu.Unlock()
		}
	}
	meanwhile()
	g.mu.Lock()
	g.writing -= writersMost - 1
	next := g.next()
	next[0].turn <- turn{group: next}
	g.mu.Unlock()
	running.Wait()
	return errs
}

// HoldConnections takes all connections of the pool, until free is called.
func (s *Store) HoldConnections(ctx context.Context) (free func(), err error) {
	var held []*pgxpool.Conn
	free = func() {
		for _, c := range held {
			c.Release()
		}
	}
	for range s.pool.Stat().MaxConns() {
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			free()
			return nil, err
		}
		held = append(held, c)
	}
	return free, nil
}

// NewConnections is how many connections the pool has made.
func (s *Store) NewConnections() int64 { return s.pool.Stat().NewConnsCount() }

// EpochLock is the number of the lock of an epoch.
func EpochLock(schema string, k storage.EpochKey) int64 {
	return lockNumber(schema + " epoch " + string(k))
}
