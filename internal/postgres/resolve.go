package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// stepID is the random id of a step, in the table steps.
type stepID [16]byte

// resolver finds out whether steps were committed whose answers were lost, and makes sure that those that were not cannot be any more. It
// works on a connection of its own, because those of the pool may all be waiting for answers that are lost as well.
type resolver struct {
	store  *Store
	config *pgx.ConnConfig
	// wake says that there is something to find out.
	wake chan struct{}

	mu sync.Mutex
	// waiting are those that want to know, several where their steps were written together.
	waiting map[stepID][]chan bool // guarded by mu
}

func newResolver(s *Store, config *pgx.ConnConfig) *resolver {
	return &resolver{store: s, config: config, wake: make(chan struct{}, 1), waiting: map[stepID][]chan bool{}}
}

// resolve reports whether a step was committed. known is false when ctx ends before; then the step is resolved as soon as the database is
// back, so that one that was answered as unknown does not happen later.
func (r *resolver) resolve(ctx context.Context, id stepID) (happened, known bool) {
	answer := make(chan bool, 1)
	r.mu.Lock()
	r.waiting[id] = append(r.waiting[id], answer)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	select {
	case happened = <-answer:
		return happened, true
	case <-ctx.Done():
		return false, false
	}
}

// run resolves until the store is closed.
func (r *resolver) run() {
	ctx := r.store.ctx
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for {
			r.mu.Lock()
			ids := slices.Collect(maps.Keys(r.waiting))
			r.mu.Unlock()
			if len(ids) == 0 || ctx.Err() != nil {
				break
			}
			if !r.try(ctx, ids) {
				pause(ctx, resolvePause)
			}
		}
	}
}

// try connects once, and resolves what it can.
func (r *resolver) try(ctx context.Context, ids []stepID) bool {
	one, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	conn, err := pgx.ConnectConfig(one, r.config)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(one) }() // nothing is under way on it
	if r.store.sameIncarnation(one, conn) != nil {
		return false
	}
	for _, id := range ids {
		// A step that the server has not finished yet makes this wait, and fail.
		var void bool
		b := r.store.newBatch()
		b.Queue(r.store.texts.void, id[:])
		b.Queue(r.store.texts.voided, id[:]).QueryRow(func(answer pgx.Row) error { return answer.Scan(&void) })
		if err := conn.SendBatch(one, b).Close(); err != nil {
			return false
		}
		r.mu.Lock()
		for _, answer := range r.waiting[id] {
			answer <- !void // it has room
		}
		delete(r.waiting, id)
		r.mu.Unlock()
	}
	return true
}
