// Package postgres keeps the state of a gate in a PostgreSQL database.
//
// A step reads outside of any transaction, each row with its version, and keeps in memory what it writes. At its end everything goes to the
// server in one message, as one transaction: what the step writes, and a guard for each row that a write depends on. If a row is not what
// the step has read, the server undoes all of it and the step runs again. So no lock is held while a message is under way, and a step takes
// one round trip for what it reads, where it has announced that ([storage.Tx.Prefetch]), and one for what it writes.
//
// Each step also inserts a row under a random id into the table steps. Where the answer of the server is lost, the engine inserts a row
// under the same id that says void: if it can, the lost transaction cannot commit any more; if it cannot, it has committed.
//
// One process at a time works on a schema, see lock.go, or several that tell each other what they change, see follow.go.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// callBound is how long a call takes at most, its repetitions included.
	callBound = 10 * time.Second
	// tripBound is how long one message and its answer take at most, the wait for a connection included.
	tripBound = 3 * time.Second
	// reachBound is how long a call goes on trying where the server cannot be reached and nothing has been sent.
	reachBound = 4 * time.Second
	// resolveWait is how long one try to find out about lost answers takes, resolvePause how long the next one waits.
	resolveWait, resolvePause = 1500 * time.Millisecond, 100 * time.Millisecond
	// pauseMost bounds the pause before a step runs again after a conflict.
	pauseMost = 40 * time.Millisecond
)

// Store is an open database. It implements [storage.Store] and is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	schema string
	build  build
	log    *slog.Logger
	// keepFailover leaves the time line out of the incarnation.
	keepFailover bool
	// beside is set for a command, which is no node that others count.
	beside bool
	// incarnation is the one that connections are made to, nil until it was asked for.
	incarnation atomic.Pointer[string]
	// replaced is set when a connection has found another one, until the lock's watch has made everybody look again.
	replaced atomic.Bool
	// pooled is set when a pooler answers in place of the server: nothing outlives a transaction.
	pooled bool

	kinds    *kinds
	counters counterTexts
	prefetch prefetchTexts
	texts    statements

	publisher storage.Publisher
	// repeated counts the steps that ran again, trips the messages to the server.
	repeated atomic.Int64
	trips    trips

	life struct {
		sync.Mutex
		closed  bool
		running sync.WaitGroup
	}
	// ctx ends when the store is closed; background are the goroutines that it ends.
	ctx        context.Context //nolint:containedctx // of the goroutines
	cancel     context.CancelFunc
	background sync.WaitGroup
	lock       *lock
	resolver   *resolver
	groups     groups

	// shared is set where other processes may use the schema as well, which follower then tells this one of.
	shared      bool
	serveCached time.Duration
	nodes       nodes
	follower    *follower
	announced   atomic.Bool
}

var _ storage.Store = (*Store)(nil)

// statements are those that belong to no kind.
type statements struct {
	step, owned, void, voided, events, accountEvents, mails, noMailbox, touch string
	// newEvents insert several events, see [inserts].
	newEvents []string
}

func newTexts(schema string) statements {
	return statements{
		step:      "insert into " + schema + ".steps (id, void) values ($1, false)",
		owned:     "select " + schema + ".step($1, $2, $3)",
		void:      "insert into " + schema + ".steps (id, void) values ($1, true) on conflict do nothing",
		voided:    "select void from " + schema + ".steps where id = $1",
		newEvents: inserts(schema+".events", eventColumns, 12),
		events: "select seq, " + eventColumns + " from " + schema + ".events where (at, seq) < ($1, $2) and at >= $3 " +
			"order by at desc, seq desc limit $4",
		accountEvents: "select seq, " + eventColumns + " from " + schema + ".events where account = $5 and (at, seq) < ($1, $2) and at >= $3 " +
			"order by at desc, seq desc limit $4",
		mails:     "select count(*), min(queued) from " + schema + ".mails where not dead and not empty and not (lane = 2 and position >= 1099511627776)",
		noMailbox: "select " + schema + ".must(not exists (select 1 from " + schema + ".accounts where mailbox = any($1)))",
		touch:     newTouchText(schema + ".sessions"),
	}
}

// enter counts a running call in; leave counts it out.
func (s *Store) enter() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.life.closed {
		return storage.ErrClosed
	}
	if err := cmp.Or(s.lock.err(), s.follower.err()); err != nil {
		return err
	}
	s.life.running.Add(1)
	return nil
}

func (s *Store) leave() { s.life.running.Done() }

// Subscribe calls fn for each change, on the goroutine of the Update that has published it.
func (s *Store) Subscribe(fn func(storage.Change)) (stop func()) { return s.publisher.Subscribe(fn) }

// Close waits for running calls and frees the database for the next process.
func (s *Store) Close() error {
	s.life.Lock()
	if s.life.closed {
		s.life.Unlock()
		return storage.ErrClosed
	}
	s.life.closed = true
	s.life.Unlock()
	s.life.running.Wait()
	s.cancel()
	s.background.Wait()
	s.depart()
	s.lock.release()
	s.pool.Close()
	return nil
}

// View runs fn against a consistent snapshot: one transaction, or where fn announces all that it reads, one round trip.
func (s *Store) View(ctx context.Context, fn func(storage.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	stays := false
	for begun := time.Now(); ; {
		v := &view{store: s, stays: stays}
		err := v.run(ctx, fn)
		switch {
		case v.again:
			stays = true
		case v.failed != nil && lost(v.failed) && time.Since(begun) < reachBound && ctx.Err() == nil:
			pause(ctx, resolvePause)
		default:
			return err
		}
	}
}

// view is one run of a View.
type view struct {
	store *Store
	// stays is set when the transaction stays open until the end of the run.
	stays bool
	conn  *pgxpool.Conn
	// ended is set when what was read ahead was all of a transaction, again when the run needed more than that.
	ended, again bool
	// failed is the first error of the server or of the connection.
	failed error
}

// beginView begins the transaction of a View.
const beginView = "begin isolation level repeatable read read only"

// send sends reads. Those that are all of a View are a transaction of their own, in the same message.
func (v *view) send(ctx context.Context, b *pgx.Batch, all bool) error {
	switch {
	case v.ended:
		v.again = true
		return errAgain
	case v.conn != nil:
		err := v.conn.SendBatch(ctx, b).Close()
		v.store.unanswered(err)
		return err
	}
	whole := &pgx.Batch{}
	whole.Queue(beginView)
	whole.QueuedQueries = append(whole.QueuedQueries, b.QueuedQueries...)
	if all && !v.stays {
		whole.Queue("commit")
		v.ended = true
		_, err := v.store.sendBatch(ctx, whole)
		return err
	}
	conn, err := v.store.acquire(ctx)
	if err != nil {
		return err
	}
	v.conn = conn
	err = conn.SendBatch(ctx, whole).Close()
	v.store.unanswered(err)
	return err
}

func (v *view) run(ctx context.Context, fn func(storage.Tx) error) error {
	t := v.store.newTx(ctx, false)
	t.view = v
	defer func() {
		t.over = true
		v.end(ctx)
	}()
	err := fn(t)
	if v.failed = t.failed; err == nil {
		err = t.failed // of a read whose error fn has passed over
	}
	return err
}

// end gives the connection back.
func (v *view) end(ctx context.Context) {
	if v.conn == nil {
		return
	}
	if v.failed == nil {
		_, _ = v.conn.Exec(ctx, "rollback") // a connection that is still in a transaction is closed by Release
	}
	v.conn.Release()
}

// Update runs fn as one durable transaction.
func (s *Store) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callBound)
	defer cancel()
	begun, careful := time.Now(), false
	for try := 0; ; try++ {
		t := s.newTx(ctx, true)
		t.careful, t.again = careful, try > 0
		err := func() error {
			defer func() { t.over = true }()
			return fn(t)
		}()
		if err == nil {
			err = t.failed
		}
		if t.failed != nil && lost(t.failed) && time.Since(begun) < reachBound {
			pause(ctx, resolvePause)
			continue
		}
		if err != nil {
			return err
		}
		again, err := s.commit(ctx, t)
		if !again {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("postgres: not written in %s, other steps came between: %w", callBound, err)
		}
		careful = careful || code(err) == codeUnique
		s.repeated.Add(1)
		pause(ctx, mathrand.N(min(pauseMost, time.Millisecond<<min(try, 8)))) //nolint:gosec // chance, no secret
	}
}

// commit writes what a run has left to write. again is set when nothing happened and the step may run again.
func (s *Store) commit(ctx context.Context, t *tx) (again bool, err error) {
	if !t.dirty && len(t.events) == 0 {
		s.publisher.Deliver(t.changes)
		return false, nil
	}
	o, left := s.groups.write(ctx, t)
	switch {
	case left:
		return true, o.err
	case o.err == nil:
	case !o.sent:
		return ctx.Err() == nil, unreachable(o.err)
	case code(o.err) == codeOwner:
		return false, s.lock.displaced(errDisplaced)
	case !lost(o.err):
		return isPassing(o.err), unreachable(o.err)
	default:
		happened, known := s.resolver.resolve(ctx, o.id)
		if known && !happened {
			return true, unreachable(o.err)
		}
		if known {
			known = t.readAnswers(ctx) == nil
		}
		if !known {
			s.publisher.Deliver(t.changes)
			return false, fmt.Errorf("%w: %w", storage.ErrUnknown, cause(o.err))
		}
	}
	s.publisher.Deliver(t.changes)
	return false, nil
}

// sendBatch sends a message by a connection of the pool. sent is set unless there was none. A message that got no answer in time closes the
// others as well: they are no better where packets vanish. To have waited for a connection says nothing of the sort.
func (s *Store) sendBatch(ctx context.Context, b *pgx.Batch) (sent bool, err error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	err = conn.SendBatch(ctx, b).Close()
	s.unanswered(err)
	return true, err
}

// errBusy is returned when all connections of the pool were in use for as long as a message may take.
var errBusy = errors.New("no connection of the pool was free in time: raise connections, or find out what keeps the server busy")

// acquire takes a connection of the pool.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := s.pool.Acquire(ctx)
	if stat := s.pool.Stat(); errors.Is(err, context.DeadlineExceeded) && stat.AcquiredConns() == stat.MaxConns() {
		return nil, errBusy
	}
	return conn, err
}

// unanswered closes the connections of the pool after a message that got no answer in time: the others are no better where packets vanish.
func (s *Store) unanswered(err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		s.pool.Reset()
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
