package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// sweepChunk is how many rows one statement of a sweep deletes.
const sweepChunk = 512

// stepsLife is how long a row of the table steps is of use: an answer that was lost is known within seconds, or when the database is back.
const stepsLife = "10 minutes"

// Sweep deletes up to max rows that have ended. Each statement is a transaction of its own; rows that a step is changing are left to the
// next one.
func (s *Store) Sweep(ctx context.Context, now time.Time, max int) (deleted int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	exec := func(sql string, args ...any) (pgconn.CommandTag, error) {
		trip, cancel := context.WithTimeout(ctx, callBound)
		defer cancel()
		return s.pool.Exec(trip, sql, args...)
	}
	now = time.Unix(now.Unix(), 0) // ends are to the second
	for _, sql := range s.sweeps() {
		for deleted < max {
			want := min(max-deleted, sweepChunk)
			tag, err := exec(sql, now, want)
			if err != nil {
				return deleted, unreachable(err)
			}
			deleted += int(tag.RowsAffected())
			if tag.RowsAffected() < int64(want) {
				break
			}
		}
	}
	_, err = exec("delete from " + s.schema + ".steps where at < now() - interval '" + stepsLife + "'")
	if err != nil {
		return deleted, unreachable(err)
	}
	return deleted, s.sweepShared(ctx)
}

// sweeps are the statements, of a time and a number of rows.
func (s *Store) sweeps() (list []string) {
	for _, table := range []string{"flows", "tokens", "sessions", "machine_tokens", "invitations", "counters", "events"} {
		name, key := s.schema+"."+table, "ends, digest"
		if table == "events" {
			key = "seq"
		}
		list = append(list, "delete from "+name+" where ("+key+") in (select "+key+" from "+name+
			" where ends <= $1 order by ends limit $2 for update skip locked)")
	}
	mails := s.schema + ".mails"
	due := " where id in (select id from " + mails + " where gone <= $1 and "
	last := " order by gone limit $2 for update skip locked)"
	return append(list,
		"update "+mails+" set sealed = null, gone = gone + interval '7 days', ver = ver + 1"+due+"dead and sealed is not null"+last,
		"delete from "+mails+due+"not (dead and sealed is not null)"+last)
}
