package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// One process at a time works on a schema. It holds an advisory lock of a session on a connection of its own: the server frees it when the
// process or the connection dies. The row in the table node only names the process, for the message that another one gets.
//
// Where the connection is lost, the lock may be taken by another process before this one has it back. Then each call answers ErrLocked.
// In both cases everything that is cached is read again, because the other process may have ended it.

const (
	// watchEvery is how often the connection of the lock is tried.
	watchEvery = time.Second
	// watchWait is how long its answer may take.
	watchWait = 2 * time.Second
	// lockWait is how long Open waits for a process that is just ending.
	lockWait = 3 * time.Second
)

type lock struct {
	store  *Store
	config *pgx.ConnConfig
	conn   *pgx.Conn
	// taken is why another process has the database; nil while this one has it.
	taken atomic.Pointer[error]
}

// acquireLock takes the lock and watches it until the store is closed.
func acquireLock(ctx context.Context, s *Store, config *pgx.ConnConfig) (*lock, error) {
	l := &lock{store: s, config: config.Copy()}
	host, _ := os.Hostname() // a name for people; the lock needs none
	l.config.RuntimeParams["application_name"] = fmt.Sprintf("email_link %s %d", host, os.Getpid())
	delete(l.config.RuntimeParams, "idle_in_transaction_session_timeout")
	for begun := time.Now(); ; {
		err := l.acquire(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrLocked) || s.beside || time.Since(begun) > lockWait {
			l.release()
			return nil, err
		}
		pause(ctx, resolvePause)
	}
	s.background.Go(l.watch)
	return l, nil
}

// acquire connects and takes the lock.
func (l *lock) acquire(ctx context.Context) error {
	l.release()
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return unreachable(err)
	}
	l.conn = conn
	var got bool
	if err := conn.QueryRow(ctx, "select pg_try_advisory_lock($1)", lockNumber("node "+l.store.schema)).Scan(&got); err != nil {
		return unreachable(err)
	}
	table := l.store.schema + ".node"
	if !got {
		var host string
		var pid int
		var since time.Time
		if err := conn.QueryRow(ctx, "select host, pid, since from "+table).Scan(&host, &pid, &since); err != nil {
			return fmt.Errorf("%w: which one is not known: %w", storage.ErrLocked, err)
		}
		return fmt.Errorf("%w: process %d on %s has it since %s; one process at a time uses a database", storage.ErrLocked, pid, host,
			since.UTC().Format(time.RFC3339))
	}
	host, _ := os.Hostname()
	_, err = conn.Exec(ctx, "insert into "+table+" as n (host, pid) values ($1, $2) on conflict (one) do update set host = $1, pid = $2, since = now()",
		host, os.Getpid())
	return unreachable(err)
}

// watch tries the connection, and takes the lock again where it was lost.
func (l *lock) watch() {
	ctx := l.store.ctx
	for {
		pause(ctx, watchEvery)
		if ctx.Err() != nil {
			return
		}
		one, cancel := context.WithTimeout(ctx, watchWait)
		err := errors.New("no connection")
		if l.conn != nil && !l.conn.IsClosed() {
			_, err = l.conn.Exec(one, "select 1")
		}
		if err != nil {
			l.again(one)
		}
		cancel()
	}
}

// again takes a lock that was lost.
func (l *lock) again(ctx context.Context) {
	err := l.acquire(ctx)
	switch {
	case err == nil:
		l.store.log.Info("the connection that holds the database for this process is back", "event", "store")
		l.taken.Store(nil)
	case errors.Is(err, storage.ErrLocked):
		err = fmt.Errorf("postgres: %w", err)
		if l.taken.Swap(&err) != nil {
			return // known already
		}
		l.store.log.Error("another process has taken the database while it could not be reached; this one stops using it", "event", "store",
			"error", err)
	default:
		return // the database cannot be reached, by any process
	}
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

// release closes the connection, which frees the lock.
func (l *lock) release() {
	if l == nil || l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchWait)
	defer cancel()
	_ = l.conn.Close(ctx) // the server frees the lock with or without a farewell
	l.conn = nil
}
