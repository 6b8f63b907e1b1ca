package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// One process at a time works on a schema. It holds an advisory lock of a session on a connection of its own: the server frees it when the
// process or the connection dies. Behind a pooler, where no lock outlives a transaction, it says every two seconds that it runs, in the row of
// the table node. A process of the same node takes the database at once, because the file of the node's id has been free; another one when
// the beat is old.
//
// The row also names the process, for the message that another one gets, and has what the process has drawn as the owner. Each step checks in
// its own transaction that this is still so, under a shared lock that a process which takes the database waits for. So a process that has lost it, and
// cannot know that yet, writes nothing beside the next one. When it finds out, each call answers ErrLocked, and what is cached is read again.

const (
	// watchEvery is how often the connection of the lock is tried, beatEvery how often a process behind a pooler says that it runs.
	watchEvery, beatEvery = time.Second, 2 * time.Second
	// BeatLife is how old the beat of a process is when another node takes the database, by the clock of the server.
	BeatLife = 10 * time.Second
	// watchWait is how long the answer to either may take.
	watchWait = 2 * time.Second
	// lockWait is how long Open waits for a process that is just ending.
	lockWait = 3 * time.Second
)

type lock struct {
	store  *Store
	config *pgx.ConnConfig
	conn   *pgx.Conn
	node   node
	// owner is what this process has drawn, session the process of the server that held the lock for it last.
	owner   []byte
	session uint32
	// number is that of the lock of the process, fence that of the one that each step shares.
	number, fence int64
	// opening is set until the lock was taken for the first time.
	opening bool
	// taken is why another process has the database; nil while this one has it.
	taken atomic.Pointer[error]
}

// errDisplaced is what a step answers when another process has the database. The watch finds out which one.
var errDisplaced = fmt.Errorf("postgres: %w: it has taken the database while this one could not reach it", storage.ErrLocked)

// acquireLock takes the lock and watches it until the store is closed.
func acquireLock(ctx context.Context, s *Store, config *pgx.ConnConfig, nodeFile string) (l *lock, err error) {
	l = &lock{
		store: s, config: config.Copy(), owner: make([]byte, 16), opening: true,
		number: lockNumber("node " + s.schema), fence: lockNumber("steps " + s.schema),
	}
	_, _ = rand.Read(l.owner)
	if !s.pooled {
		nodeFile = "" // the session lock needs none
	}
	if l.node, err = openNode(nodeFile); err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // a name for people; the lock needs none
	l.config.RuntimeParams["application_name"] = fmt.Sprintf("email_link %s %d", host, os.Getpid())
	delete(l.config.RuntimeParams, "idle_in_transaction_session_timeout")
	for begun := time.Now(); ; {
		_, err := l.acquire(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrLocked) || time.Since(begun) > lockWait {
			l.release()
			return nil, err
		}
		pause(ctx, resolvePause)
	}
	l.opening = false
	s.background.Go(l.watch)
	return l, nil
}

// acquire connects and takes the lock. displaced reports whether another process has had the database since this one took it.
func (l *lock) acquire(ctx context.Context) (displaced bool, err error) {
	l.disconnect()
	if l.conn, err = pgx.ConnectConfig(ctx, l.config); err != nil {
		l.conn = nil
		return false, unreachable(err)
	}
	try := "select pg_try_advisory_xact_lock($1)"
	if !l.store.pooled {
		try = "select pg_try_advisory_lock($1)"
	}
	tx, err := l.conn.Begin(ctx)
	if err != nil {
		return false, unreachable(err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // no effect after the commit
	if _, err := tx.Exec(ctx, setLocal); err != nil {
		return false, unreachable(err)
	}
	var got bool
	if err := tx.QueryRow(ctx, try, l.number).Scan(&got); err != nil {
		return false, unreachable(err)
	}
	if err := l.refuseBesideNodes(ctx, tx); err != nil {
		return false, err
	}
	holder, err := l.read(ctx, tx)
	switch {
	case err != nil:
		return false, unreachable(err)
	case !got && holder.own:
		return false, l.endSession(ctx, tx)
	case !got, holder.beats && !holder.own && !(l.opening && holder.node == l.node.id):
		return false, holder.refusal()
	}
	if !holder.own { // the steps of the one before have to end
		_, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", l.fence)
		if code(err) == codeLockTimeout {
			return false, holder.refusal()
		}
		if err != nil {
			return false, unreachable(err)
		}
	}
	host, _ := os.Hostname()
	_, err = tx.Exec(ctx, "insert into "+l.store.schema+".node as n (host, pid, id, owner, beat) values ($1, $2, $3, $4, case when $5 then clock_timestamp() end) "+
		"on conflict (one) do update set host = $1, pid = $2, id = $3, owner = $4, beat = excluded.beat, since = case when n.owner = $4 then n.since else now() end",
		host, os.Getpid(), l.node.id, l.owner, l.store.pooled)
	if err == nil {
		err = tx.Commit(ctx)
	}
	l.session = l.conn.PgConn().PID()
	return !holder.own, unreachable(err)
}

// errSession is returned while the server still holds the lock for a connection that this process has lost.
var errSession = errors.New("the server has not noticed yet that a connection is lost, and holds the lock of the process for it")

// endSession ends the session of a connection that was lost where packets vanish: the server would hold the lock for it until its own probes of
// the connection fail. No other process has had the database, as the row says, so steps go on meanwhile.
func (l *lock) endSession(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objsubid = 1 and granted and pid = $1 and "+
		"classid::bigint << 32 | objid::bigint = $2 and database = (select oid from pg_database where datname = current_database())",
		l.session, l.number)
	if err != nil {
		return unreachable(err)
	}
	return errSession
}

// holder is the process that the row names.
type holder struct {
	host, node string
	pid        int
	since      time.Time
	// beats is set while the process has said that it runs, own when it is this one.
	beats, own bool
}

func (l *lock) read(ctx context.Context, tx pgx.Tx) (h holder, err error) {
	err = tx.QueryRow(ctx, "select host, pid, since, id, coalesce(clock_timestamp() - beat < make_interval(secs => $2), false), owner is not distinct from $1 from "+
		l.store.schema+".node", l.owner, BeatLife.Seconds()).Scan(&h.host, &h.pid, &h.since, &h.node, &h.beats, &h.own)
	if errors.Is(err, pgx.ErrNoRows) {
		return h, nil
	}
	return h, err
}

// refuseBesideNodes returns an error while processes are at work that share the schema, or one has been in the last half minute.
func (l *lock) refuseBesideNodes(ctx context.Context, tx pgx.Tx) error {
	var h holder
	err := tx.QueryRow(ctx, l.store.nodes.others).Scan(&h.host, &h.pid, &h.since)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return unreachable(err)
	}
	return fmt.Errorf("%w: process %d on %s uses it, and was last heard of at %s: stop all of them; one that has crashed is forgotten after half a minute",
		storage.ErrLocked, h.pid, h.host, h.since.UTC().Format(time.RFC3339))
}

func (h holder) refusal() error {
	err := fmt.Errorf("%w: process %d on %s has it since %s; one process at a time uses a database", storage.ErrLocked, h.pid, h.host,
		h.since.UTC().Format(time.RFC3339))
	if h.beats {
		err = fmt.Errorf("%w; if it has crashed, the database is free %s after its last sign", err, BeatLife)
	}
	return err
}

// watch tries the connection, and takes the lock again where it was lost.
func (l *lock) watch() {
	ctx, every := l.store.ctx, watchEvery
	if l.store.pooled {
		every = beatEvery
	}
	for {
		pause(ctx, every)
		if ctx.Err() != nil {
			return
		}
		one, cancel := context.WithTimeout(ctx, watchWait)
		if l.conn == nil || l.conn.IsClosed() || !l.beat(one) {
			l.again(one)
		} else {
			_ = l.store.sameIncarnation(one, l.conn) // pg_restore may have put back an earlier state under it
		}
		cancel()
		if l.store.replaced.Swap(false) {
			l.store.pool.Reset() // no connection from before is used before the caller has asked what this is
			l.forget()
		}
	}
}

// beat reports whether this process has the database, and says so to others where a session lock does not.
func (l *lock) beat(ctx context.Context) bool {
	sql := "select 1 from " + l.store.schema + ".node where owner = $1"
	if l.store.pooled {
		sql = "update " + l.store.schema + ".node set beat = clock_timestamp() where owner = $1"
	}
	tag, err := l.conn.Exec(ctx, sql, l.owner)
	return err == nil && tag.RowsAffected() == 1
}

// again takes a lock that was lost.
func (l *lock) again(ctx context.Context) {
	displaced, err := l.acquire(ctx)
	switch {
	case err == nil:
		l.store.log.Info("the connection that holds the database for this process is back", "event", "store")
		if l.taken.Store(nil); displaced {
			l.forget()
		}
		_ = l.store.sameIncarnation(ctx, l.conn) // a standby that was promoted may be what answers now; watch acts on it
	case errors.Is(err, storage.ErrLocked):
		l.disconnect()
		_ = l.displaced(fmt.Errorf("postgres: %w", err)) // each call answers it from now on
	default: // the database cannot be reached, or still holds the lock for a connection that is lost
		l.disconnect()
	}
}

// displaced notes that another process has the database.
func (l *lock) displaced(err error) error {
	if l.taken.Swap(&err) == nil {
		l.store.log.Error("another process has taken the database while it could not be reached; this one stops using it", "event", "store",
			"error", err)
		l.forget()
	}
	return err
}

// forget makes everything that is cached be read again, because another process may have ended it, or another server may not have it.
func (l *lock) forget() {
	l.store.publisher.Deliver([]storage.Change{{Kind: storage.ChangeAll}, {Kind: storage.ChangeKeys}})
}

// err returns an error if another process has the database. A store that is being opened has no lock yet.
func (l *lock) err() error {
	if l == nil {
		return nil
	}
	if p := l.taken.Load(); p != nil {
		return *p
	}
	return nil
}

// queueStep queues what begins a step. One of a process that has the database for itself checks that it still does.
func (s *Store) queueStep(b *pgx.Batch, id stepID) {
	if s.lock == nil {
		b.Queue(s.texts.step, id[:])
		return
	}
	b.Queue(s.texts.owned, id[:], s.lock.owner, s.lock.fence)
}

// release frees the lock for the next process, and the id of the node.
func (l *lock) release() {
	if l == nil {
		return
	}
	if l.conn != nil && l.store.pooled {
		ctx, cancel := context.WithTimeout(context.Background(), watchWait)
		_, _ = l.conn.Exec(ctx, "update "+l.store.schema+".node set beat = null where owner = $1", l.owner) // else it is free when the beat is old
		cancel()
	}
	l.disconnect()
	_ = l.node.close() // nothing was written
}

// disconnect closes the connection, which frees a session lock.
func (l *lock) disconnect() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchWait)
	defer cancel()
	_ = l.conn.Close(ctx) // the server frees the lock with or without a farewell
	l.conn = nil
}
