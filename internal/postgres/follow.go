package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Several processes may work on a schema: see [OpenShared]. A step that ends or changes what others cache leaves a row in the table
// changes, and a notice. Each node reads the rows of the transactions that may have been committed since it last read: all from the oldest
// that was running then, because neither ids nor sequences come in the order of commits. It asks when it is notified, and often enough
// without.

const (
	// maxLag is how long after a poll began what is cached may be used.
	maxLag = time.Second
	// pollEvery is how long a node waits for a notice before it looks by itself, pollAlone where it gets none: a little less than
	// maxLag, so that what is cached can be used in between.
	pollEvery, pollAlone = 250 * time.Millisecond, 900 * time.Millisecond
	// pollWait bounds one poll, so that a database that is gone is known soon.
	pollWait = time.Second
	// pollTries is how many polls in a row fail until the database is taken for gone. The first may only have shown that its connection broke.
	pollTries = 2
	// pollStopped is how long a poll takes only where this process was stopped meanwhile (SIGSTOP, a frozen container): the database has
	// not had the time to answer, so the poll says nothing about it.
	pollStopped = 2 * pollWait
	// changesLife is how long a change can be read. A node that was away for nearly as long takes everything for changed.
	changesLife, longestAway = "1 hour", 50 * time.Minute
	// channel is where notices come.
	channel = "email_link"
)

// follower delivers what other nodes publish to the subscribers of this one.
type follower struct {
	store  *Store
	config *pgx.ConnConfig
	// alone is set where no notices come.
	alone bool
	// conn is the connection that listens, nil while it is broken.
	conn *pgx.Conn

	// since is the oldest transaction that was running at the last poll, seen what was delivered of those after it, and lastAnswer when that
	// was by the clock of the database.
	since      uint64
	seen       map[int64]bool
	lastAnswer time.Time

	// failed is how many polls in a row have failed.
	failed int

	last atomic.Pointer[poll]
	// out is set while the database cannot be reached, displaced while a process has it that works alone.
	out       atomic.Bool
	displaced atomic.Pointer[error]
}

// poll is what the last poll that was answered has shown.
type poll struct {
	// begun is when it was sent, at what the database's clock then said, and within by how much that may be off.
	begun, at time.Time
	within    time.Duration
}

// follow begins to follow the changes of others. What is cached after it returns is told of each change.
func (s *Store) follow(ctx context.Context, config *pgx.ConnConfig, alone bool) error {
	f := &follower{store: s, config: config.Copy(), alone: alone || s.pooled, seen: map[int64]bool{}}
	f.config.ConnectTimeout = pollWait
	delete(f.config.RuntimeParams, "idle_in_transaction_session_timeout")
	err := f.begin(ctx)
	for begun := time.Now(); err != nil && ctx.Err() == nil; err = f.begin(ctx) {
		// A process that is just ending, and a server that is slow at the moment, are waited for.
		if slow := errors.Is(err, storage.ErrUnreachable) && code(err) != codeTooMany; !slow && !errors.Is(err, storage.ErrLocked) || !slow && time.Since(begun) > lockWait {
			break
		}
		pause(ctx, resolvePause)
	}
	if err != nil {
		f.close()
		return err
	}
	s.follower = f
	s.background.Go(f.run)
	if s.beside {
		return nil
	}
	return s.announce(ctx, storage.NodeInfo{})
}

// begin is the first poll.
func (f *follower) begin(ctx context.Context) error {
	if err := f.poll(ctx); err != nil {
		return err
	}
	now, _ := f.now()
	return f.checkSkew(time.Now().Round(0).Sub(now))
}

// checkSkew tells of a clock of this machine that is ahead of the database's or behind it, and refuses one that is wrong by far.
func (f *follower) checkSkew(skew time.Duration) error {
	switch said := describeSkew(skew); {
	case skew.Abs() > maxSkew:
		return errors.New(said)
	case skew.Abs() > warnSkew:
		f.store.log.Warn(said, "event", "clock")
	}
	return nil
}

const (
	// warnSkew is from where on a difference of the clocks is told, maxSkew from where on it is refused: what others verify by their own
	// clocks has the time of this machine.
	warnSkew, maxSkew = 5 * time.Second, time.Minute
)

func (f *follower) run() {
	defer f.close()
	ctx := f.store.ctx
	for ctx.Err() == nil {
		if f.failed == 0 {
			f.wait(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		begun := time.Now()
		err := f.poll(ctx)
		if f.store.replaced.Swap(false) {
			f.store.pool.Reset() // no connection from before is used before the caller has asked what this is
			f.forget()           // what another server may not have is asked for before it is used
		}
		if err == nil || ctx.Err() != nil {
			f.failed = 0
			continue
		}
		f.close() // another connection may get through
		if !f.isGone(time.Since(begun)) {
			continue
		}
		if !f.out.Swap(true) {
			f.store.log.Error("the database cannot be reached; sessions that were seen before go on for a while", "event", "store", "for", f.store.serveCached,
				"error", err)
		}
		pause(ctx, resolvePause)
	}
}

// isGone counts a poll that has failed after a time, and reports whether the database is to be taken for gone: what is cached may then be
// served although it may have ended elsewhere.
func (f *follower) isGone(duration time.Duration) bool {
	if duration < pollStopped {
		f.failed++
	}
	return f.failed >= pollTries
}

// forget makes everything that is cached be read again.
func (f *follower) forget() {
	f.store.publisher.Deliver([]storage.Change{{Kind: storage.ChangeAll}, {Kind: storage.ChangeKeys}})
}

// wait waits for a notice, or for the time to look without one.
func (f *follower) wait(ctx context.Context) {
	if f.conn == nil || f.alone {
		pause(ctx, pollAlone)
		return
	}
	one, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	_, err := f.conn.WaitForNotification(one)
	if err != nil && one.Err() == nil {
		f.close() // the poll makes another
	}
}

// poll reads what has changed, and delivers it. Where the connection that listens cannot be made, any other will do.
func (f *follower) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	if f.conn != nil && f.conn.IsClosed() {
		f.close()
	}
	if f.conn == nil {
		conn, err := pgx.ConnectConfig(ctx, f.config)
		if err == nil {
			f.conn = conn
			err = f.store.sameIncarnation(ctx, conn)
		}
		if err == nil {
			err = f.join(ctx)
		}
		if errors.Is(err, errIncarnation) || errors.Is(err, storage.ErrLocked) {
			f.close()
			return err
		}
		if err != nil {
			f.close() // any other connection will do
		}
	}
	var q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	} = f.store.pool
	if f.conn != nil {
		q = f.conn
	}
	begun := time.Now()
	rows, err := q.Query(ctx, f.store.nodes.poll, fmt.Sprint(f.since), f.store.nodes.id)
	if err != nil {
		return unreachable(err)
	}
	got, err := f.read(rows)
	if err != nil {
		return unreachable(err)
	}
	if !f.store.isMade(got.made) { // pg_restore has put back an earlier state under the connection
		f.close()
		return errIncarnation
	}
	f.deliver(got, begun, time.Since(begun))
	return nil
}

// join says on a new connection that this process is one of several, which a process that works alone must not be beside, and listens.
// Behind a pooler, where no lock of a session holds, the beats of the nodes say so.
func (f *follower) join(ctx context.Context) error {
	try := "pg_try_advisory_lock_shared"
	if f.store.pooled {
		try = "pg_try_advisory_xact_lock_shared"
	}
	table := f.store.schema + ".node"
	var joined bool
	err := f.conn.QueryRow(ctx, "select "+try+"($1) and not exists (select 1 from "+table+" where beat > clock_timestamp() - make_interval(secs => $2))",
		lockNumber("node "+f.store.schema), BeatLife.Seconds()).Scan(&joined)
	if err == nil && !joined {
		return f.refuse(ctx)
	}
	if err == nil {
		err = f.displace(ctx)
	}
	if err == nil && !f.alone {
		_, err = f.conn.Exec(ctx, "listen "+channel)
	}
	if err == nil {
		f.displaced.Store(nil)
	}
	return unreachable(err)
}

// displace ends what a process that has worked alone, and has lost its lock, still writes: its steps are those of no owner from now on, and
// those that run are waited for.
func (f *follower) displace(ctx context.Context) error {
	table := f.store.schema + ".node"
	var owned bool
	err := f.conn.QueryRow(ctx, "select exists (select 1 from "+table+" where owner <> '')").Scan(&owned)
	if err != nil || !owned {
		return err
	}
	b := f.store.newBatch()
	b.Queue("select pg_advisory_xact_lock($1)", lockNumber("steps "+f.store.schema))
	b.Queue("update " + table + " set owner = '', beat = null")
	return f.conn.SendBatch(ctx, b).Close()
}

// refuse returns which process works alone on the database. Each call answers that from now on.
func (f *follower) refuse(ctx context.Context) error {
	var h holder
	err := f.conn.QueryRow(ctx, "select host, pid, since from "+f.store.schema+".node").Scan(&h.host, &h.pid, &h.since)
	if err != nil {
		return unreachable(err)
	}
	err = fmt.Errorf("%w: process %d on %s has it for itself since %s: wait until it is done, or end it", storage.ErrLocked, h.pid, h.host,
		h.since.UTC().Format(time.RFC3339))
	if f.displaced.Swap(&err) == nil && f.store.follower != nil {
		f.forget()
	}
	return err
}

// err returns why nothing may be done: a process that works alone has the database.
func (f *follower) err() error {
	if f == nil {
		return nil
	}
	if p := f.displaced.Load(); p != nil {
		return *p
	}
	return nil
}

// answer is what a poll is answered.
type answer struct {
	oldest uint64
	at     time.Time
	// made is the transaction that has made the schema.
	made    string
	changes []storage.Change
	seen    map[int64]bool
}

func (f *follower) read(rows pgx.Rows) (got answer, err error) {
	defer rows.Close()
	got.seen = map[int64]bool{}
	for rows.Next() {
		var pos *int64
		var kind *int16
		var account *string
		var ends *time.Time
		var digest []byte
		if err := rows.Scan(&got.oldest, &got.at, &got.made, &pos, &kind, &account, &ends, &digest); err != nil {
			return got, err
		}
		if pos == nil {
			continue
		}
		if got.seen[*pos] = true; f.seen[*pos] {
			continue
		}
		c := storage.Change{Kind: storage.ChangeKind(*kind), Account: *account} //nolint:gosec // written by publish
		if ends != nil {
			c.Key.End = ends.Unix()
			copy(c.Key.Digest[:], digest)
		}
		got.changes = append(got.changes, c)
	}
	if rows.Err() == nil && got.oldest == 0 {
		return got, errors.New("postgres: a poll without an answer")
	}
	return got, rows.Err()
}

// deliver hands an answer to the subscribers, and only then lets what is cached be used for a while.
func (f *follower) deliver(got answer, begun time.Time, trip time.Duration) {
	switch {
	case f.since == 0: // the first: nothing is cached yet
		got.changes = nil
	case got.oldest < f.since, got.at.Sub(f.lastAnswer) > longestAway:
		// Rows may be missing: the database was put back to an earlier state, or this node was away for too long.
		got.changes = []storage.Change{{Kind: storage.ChangeAll}, {Kind: storage.ChangeKeys}}
	}
	f.since, f.seen, f.lastAnswer = got.oldest, got.seen, got.at
	f.store.publisher.Deliver(got.changes)
	// The least that the clock of the database can have said when the poll began: a clock that follows it forward comes close to it by the
	// quickest polls, and never ahead.
	f.last.Store(&poll{begun: begun, at: got.at.Add(-trip), within: trip})
	if f.out.Swap(false) {
		f.store.log.Info("the database can be reached again", "event", "store")
	}
}

// now is the clock of the database, and by how much it may be off.
func (f *follower) now() (now time.Time, within time.Duration) {
	last := f.last.Load()
	return last.at.Add(time.Since(last.begun)), last.within
}

func (f *follower) close() {
	if f.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveWait)
	defer cancel()
	_ = f.conn.Close(ctx)
	f.conn = nil
}

// publish queues what other nodes are told of.
func (t *tx) publish(b *pgx.Batch) {
	if len(t.changes) == 0 || !t.store.shared {
		return
	}
	for _, c := range t.changes {
		var ends *time.Time
		var digest []byte
		if !c.Key.IsZero() {
			at := c.Key.Ends()
			ends, digest = &at, c.Key.Digest[:]
		}
		b.Queue(t.store.nodes.publish, t.store.nodes.id, int16(c.Kind), c.Account, ends, digest)
	}
	b.Queue("select pg_notify('" + channel + "', '')")
}
