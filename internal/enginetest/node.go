package enginetest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Node is one of several nodes that share a store. What it publishes reaches its own subscribers at once, and those of the others when they
// Poll. It implements [storage.Shared] over any engine, so that a test decides what a node knows.
type Node struct {
	storage.Store
	group     *group
	publisher storage.Publisher
	// views and updates count what came to the database.
	views, updates atomic.Int64

	mu      sync.Mutex
	waiting []storage.Change // guarded by mu, as the rest
	fresh   time.Time
	serve   time.Duration
	cut     bool
	offset  time.Duration
	self    storage.NodeInfo
}

type group struct {
	mu     sync.Mutex
	nodes  []*Node
	duties map[string]bool // guarded by mu
}

var _ storage.Shared = (*Node)(nil)

// Nodes returns n nodes on a store. What each knows is fresh.
func Nodes(store storage.Store, n int) []*Node {
	g := &group{duties: map[string]bool{}}
	for range n {
		g.nodes = append(g.nodes, &Node{Store: store, group: g, fresh: later()})
	}
	return g.nodes
}

// later is a time that no test lives to see, and never one long ago.
func later() time.Time { return time.Now().Add(24 * time.Hour) }  //nolint:forbidigo // the time of the process, as a real store has it
func never() time.Time { return time.Now().Add(-24 * time.Hour) } //nolint:forbidigo // the time of the process, as a real store has it

// Poll delivers what the others have published; what is known is then fresh.
func (n *Node) Poll() {
	n.mu.Lock()
	changes := n.waiting
	n.waiting, n.fresh = nil, later()
	n.mu.Unlock()
	n.publisher.Deliver(changes)
}

// Stale makes what is known too old to be used: the next poll is late.
func (n *Node) Stale() { n.set(func() { n.fresh = never() }) }

// Cut takes the database away from the node. Until Heal, what was read before may be served if serve is set.
func (n *Node) Cut(serve bool) {
	n.set(func() { n.cut, n.fresh, n.serve = true, never(), 0 })
	if serve {
		n.set(func() { n.serve = 48 * time.Hour })
	}
}

// Heal gives the database back. What is known is fresh after the next Poll.
func (n *Node) Heal() { n.set(func() { n.cut, n.serve = false, 0 }) }

// SetOffset puts the clock of the database ahead of this machine's.
func (n *Node) SetOffset(d time.Duration) { n.set(func() { n.offset = d }) }

func (n *Node) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *Node) reach() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return storage.ErrUnreachable
	}
	return nil
}

// Views returns how often the node has asked the database.
func (n *Node) Views() int64 { return n.views.Load() }

// Updates returns how many steps the node has sent to the database.
func (n *Node) Updates() int64 { return n.updates.Load() }

// View implements storage.Store.
func (n *Node) View(ctx context.Context, fn func(storage.Tx) error) error {
	if err := n.reach(); err != nil {
		return err
	}
	n.views.Add(1)
	return n.Store.View(ctx, fn)
}

// Update implements storage.Store.
func (n *Node) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if err := n.reach(); err != nil {
		return err
	}
	n.updates.Add(1)
	var changes []storage.Change
	err := n.Store.Update(ctx, func(tx storage.Tx) error {
		changes = nil
		return fn(nodeTx{tx, &changes})
	})
	if err != nil {
		return err
	}
	for _, other := range n.group.nodes {
		if other != n {
			other.set(func() { other.waiting = append(other.waiting, changes...) })
		}
	}
	n.publisher.Deliver(changes)
	return nil
}

// nodeTx notes what a step publishes.
type nodeTx struct {
	storage.Tx
	changes *[]storage.Change
}

// Changes implements storage.Tx.
func (t nodeTx) Changes() storage.Changes { return t }

// Publish implements storage.Changes.
func (t nodeTx) Publish(c storage.Change) error {
	*t.changes = append(*t.changes, c)
	return nil
}

// Subscribe implements storage.Store.
func (n *Node) Subscribe(fn func(storage.Change)) (stop func()) { return n.publisher.Subscribe(fn) }

// FreshUntil implements storage.Shared.
func (n *Node) FreshUntil() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fresh
}

// MaxLag implements storage.Shared.
func (n *Node) MaxLag() time.Duration { return time.Second }

// Outage implements storage.Shared.
func (n *Node) Outage() (serveUntil time.Time, out bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fresh.Add(n.serve), n.cut
}

// Now implements storage.Shared.
func (n *Node) Now() (now time.Time, within time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Add(n.offset), time.Millisecond //nolint:forbidigo // the time of the process, as a real store has it
}

// RunExclusive implements storage.Shared.
func (n *Node) RunExclusive(ctx context.Context, name string, fn func(ctx context.Context) error) (ran bool, err error) {
	g := n.group
	g.mu.Lock()
	taken := g.duties[name]
	g.duties[name] = true
	g.mu.Unlock()
	if taken {
		return false, nil
	}
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.duties[name] = false
	}()
	return true, fn(ctx)
}

// Activity implements storage.Shared.
func (n *Node) Activity() (stepsRunAgain, trips int64) { return 0, n.Views() + n.Updates() }

// Announce implements storage.Shared.
func (n *Node) Announce(_ context.Context, self storage.NodeInfo) error {
	n.set(func() { n.self = self })
	return nil
}

// Nodes implements storage.Shared.
func (n *Node) Nodes(context.Context) (list []storage.Node, err error) {
	for _, one := range n.group.nodes {
		list = append(list, storage.Node{NodeInfo: one.self, Self: one == n})
	}
	return list, nil
}
