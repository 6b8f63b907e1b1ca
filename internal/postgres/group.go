package postgres

import (
	"context"
	"crypto/rand"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Steps that end while others are being written are written together, as one transaction: what all of them count is then locked and written
// once, and the server has fewer statements to run and one commit to sync. A step that ends while few are being written is written at once.

const (
	// writersMost is how many groups are written at once: with two, one is made while the server works on the other, and a row that another node
	// holds does not keep all steps waiting.
	writersMost = 2
	// groupMost is how many steps a group has at most.
	groupMost = 32
)

// groups are the steps that end.
type groups struct {
	mu      sync.Mutex
	writing int       // guarded by mu
	waiting []*ending // guarded by mu
}

// ending is a step that waits to be written.
type ending struct {
	t *tx
	// turn is what becomes of it.
	turn chan turn
}

// turn tells a waiting step to write a group, itself the first, or what has become of the group that it was in.
type turn struct {
	group   []*ending
	outcome outcome
}

// outcome is what has become of a message that ends steps.
type outcome struct {
	id stepID
	// sent is set when the message was sent, and err when it failed.
	sent bool
	err  error
	// undone is set when the group was undone by what one of its steps has met. Each of them is then written alone.
	undone bool
}

// write writes a step, with others that end at the same time. left is set when ctx has ended before it was its turn.
func (g *groups) write(ctx context.Context, t *tx) (o outcome, left bool) {
	if !t.mergeable() {
		return t.store.send(ctx, t), false
	}
	e := &ending{t: t, turn: make(chan turn, 1)}
	group := []*ending{e}
	g.mu.Lock()
	if g.writing < writersMost {
		g.writing++
		g.mu.Unlock()
	} else {
		g.waiting = append(g.waiting, e)
		g.mu.Unlock()
		var next turn
		select {
		case next = <-e.turn:
		case <-ctx.Done():
			if g.leave(e) {
				return outcome{err: ctx.Err()}, true
			}
			next = <-e.turn
		}
		if group = next.group; group == nil {
			o = next.outcome
		}
	}
	if group != nil {
		o = g.writeGroup(ctx, group)
	}
	if o.undone {
		o = t.store.send(ctx, t)
	}
	return o, false
}

// leave takes a step out of those that wait, unless it has been its turn.
func (g *groups) leave(e *ending) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, e)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// writeGroup writes a group, has the next one written, and tells the steps what has become of them.
func (g *groups) writeGroup(ctx context.Context, group []*ending) (o outcome) {
	first := group[0].t
	if len(group) == 1 {
		o = first.store.send(ctx, first)
	} else {
		all := first.store.newTx(ctx, true)
		for _, e := range group {
			all.merge(e.t)
		}
		// All have the time for it, see next.
		o = first.store.send(context.WithoutCancel(ctx), all)
		o.undone = o.err != nil && !lost(o.err)
	}
	g.mu.Lock()
	if len(g.waiting) == 0 {
		g.writing--
	} else {
		next := g.next()
		next[0].turn <- turn{group: next}
	}
	g.mu.Unlock()
	for _, e := range group[1:] {
		e.turn <- turn{outcome: o}
	}
	return o
}

// next takes a group out of those that wait: the first, and those behind it that have nothing to do with each other. One that has less time left
// than a message may take is written alone, so that each has its answer in time.
func (g *groups) next() (group []*ending) {
	all := g.waiting[0].t.store.newTx(context.Background(), true)
	g.waiting = slices.DeleteFunc(g.waiting, func(e *ending) bool {
		if len(group) == groupMost || len(group) > 0 && (group[0].hurried() || e.hurried() || !all.compatible(e.t)) {
			return false
		}
		all.merge(e.t)
		group = append(group, e)
		return true
	})
	return group
}

// hurried reports whether a step has less time left than a message may take.
func (e *ending) hurried() bool {
	end, ok := e.t.ctx.Deadline()
	return ok && time.Until(end) < tripBound
}

// send sends what ends a step, or a group of them.
func (s *Store) send(ctx context.Context, t *tx) (o outcome) {
	_, _ = rand.Read(o.id[:])
	b := s.newBatch()
	s.queueStep(b, o.id)
	t.end(b)
	trip, cancel := context.WithTimeout(ctx, tripBound)
	defer cancel()
	o.sent, o.err = s.sendBatch(trip, b)
	return o
}

// mergeable reports whether what a step writes can be written with that of others: the answers to uses of sessions come with the commit, and
// records that are copied are many.
func (t *tx) mergeable() bool { return len(t.touches) == 0 && t.puts.Len() == 0 }

// compatible reports whether two steps depend on nothing that the other one writes, counters aside, and whether their counters suit both.
func (t *tx) compatible(u *tx) bool {
	for k, d := range u.counts {
		if c := t.counts[k]; c != nil && d.write {
			if _, ok := c.after(d); !ok {
				return false
			}
		}
	}
	for d := range u.freed {
		if t.written(d) {
			return false
		}
	}
	for _, one := range u.accounts.m {
		if d := one.rec.Mailbox; one.write && one.found && (t.freed[d] || t.written(d)) {
			return false
		}
	}
	others := u.recordSets()
	for i, set := range t.recordSets() {
		if !set.compatible(others[i]) {
			return false
		}
	}
	return true
}

// recordSet is the rows of one kind that a step has met.
type recordSet interface {
	compatible(other recordSet) bool
	merge(other recordSet)
}

// recordSets returns the rows of each kind.
func (t *tx) recordSets() []recordSet {
	return []recordSet{&t.accounts, &t.epochs, &t.flows, &t.tokens, &t.sessions, &t.machineTokens, &t.invitations, &t.mails, &t.meta}
}

// written reports whether the step writes an account of a mailbox.
func (t *tx) written(d storage.Digest) bool {
	for _, one := range t.accounts.m {
		if one.write && one.found && one.rec.Mailbox == d {
			return true
		}
	}
	return false
}

// compatible reports whether rows can be written together: what one step writes the other one does not depend on, and what both depend on they
// have read alike.
func (r *rows[K, R]) compatible(other recordSet) bool {
	for k, d := range other.(*rows[K, R]).m { //nolint:forcetypeassert // the set of the same kind of another step
		one := r.m[k]
		if one != nil && (d.write || d.guard) && (one.write || d.write || one.stored != d.stored) {
			return false
		}
	}
	return true
}

// merge adds what another step writes and depends on.
func (t *tx) merge(u *tx) {
	others := u.recordSets()
	for i, set := range t.recordSets() {
		set.merge(others[i])
	}
	for d := range u.freed {
		t.freed[d] = true
	}
	for k, d := range u.counts {
		if !d.write {
			continue
		}
		c := t.counter(k, d.stored)
		if !c.write {
			c.least, c.most = 0, math.MaxInt64
		}
		*c, _ = c.after(d)
		c.write = true
	}
	t.events = append(t.events, u.events...)
	t.changes = append(t.changes, u.changes...)
}

// merge adds the rows of another step that it writes or depends on.
func (r *rows[K, R]) merge(other recordSet) {
	for k, one := range other.(*rows[K, R]).m { //nolint:forcetypeassert // the set of the same kind of another step
		if one.write || one.guard {
			if r.m == nil {
				r.m = map[K]*row[R]{}
			}
			r.m[k] = one
		}
	}
}
