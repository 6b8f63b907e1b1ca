package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Incarnation names the server, the database, the transaction that made the schema and, unless failovers keep what there is, the time line
// that the server is on. A copy that pg_restore has put back has another transaction, even in the database that it was taken from.
//
// From then on the store works on that incarnation only: connections to another one are refused, so that a standby that is promoted while
// the gate runs is not used before the caller has asked again.
func (s *Store) Incarnation(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := s.enter(); err != nil {
		return "", err
	}
	defer s.leave()
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig) // the pool still refuses another one
	if err != nil {
		return "", unreachable(err)
	}
	name, err := s.askIncarnation(ctx, conn)
	_ = conn.Close(ctx) // nothing is under way on it
	if err != nil {
		return "", unreachable(err)
	}
	s.incarnation.Store(&name)
	return name, nil
}

// askIncarnation asks a server. The time line is that of what is written now: the control file has that of the last checkpoint, which may
// be older than a promotion.
func (s *Store) askIncarnation(ctx context.Context, conn *pgx.Conn) (name string, err error) {
	var line string
	err = conn.QueryRow(ctx, "select concat_ws(' ', s.system_identifier, d.oid, m.xmin), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) "+
		"from pg_control_system() s, pg_database d, "+s.schema+".migrations m where d.datname = current_database() and m.number = 1").Scan(&name, &line)
	if !s.keepFailover {
		name += " " + line
	}
	return name, err
}

// errIncarnation refuses a connection to a server that is not the one that the store has been working on.
var errIncarnation = errors.New("the server is a restored copy, or a promoted standby: what it may have lost is about to be ended")

// sameIncarnation checks a new connection of the pool.
func (s *Store) sameIncarnation(ctx context.Context, conn *pgx.Conn) error {
	want := s.incarnation.Load()
	if want == nil {
		return nil
	}
	name, err := s.askIncarnation(ctx, conn)
	if err != nil {
		return fmt.Errorf("asking which server this is: %w", err)
	}
	if name != *want {
		s.replaced.Store(true)
		return errIncarnation
	}
	return nil
}

// isMade reports whether the schema is the one that the store has been working on, by the transaction that has made it. Where it is not, the
// follower makes everybody look again.
func (s *Store) isMade(by string) bool {
	want := s.incarnation.Load()
	if want == nil || strings.Fields(*want)[2] == by {
		return true
	}
	s.replaced.Store(true)
	return false
}
