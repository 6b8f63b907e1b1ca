package storage

import (
	"context"
	"time"
)

// Shared is a [Store] whose place several processes use at once: the nodes. Each caches what it has read, and learns of what the others
// end or change by [Store.Subscribe], some time after their commits.
type Shared interface {
	Store
	// FreshUntil returns until when what was read before may be used without reading it again: every change that was committed
	// [Shared.MaxLag] before that time, anywhere, has been delivered to the subscribers of this store. The time has a monotonic reading.
	FreshUntil() time.Time
	// MaxLag is how long after its commit a change may still be unknown to a node that uses what it has cached.
	MaxLag() time.Duration
	// Outage reports whether the database cannot be reached, and until when what was read before that may be served nevertheless. The
	// time has a monotonic reading.
	Outage() (serveUntil time.Time, out bool)
	// Now returns the clock of the database, as last heard, and by how much that may be off.
	Now() (now time.Time, within time.Duration)
	// RunExclusive runs fn unless another node is running something under the same name, and reports whether it has. A node that dies
	// is waited for a minute at most, which also bounds fn.
	RunExclusive(ctx context.Context, name string, fn func(ctx context.Context) error) (ran bool, err error)
	// Activity returns how many steps ran again because others came between, and how many messages went to the database.
	Activity() (stepsRunAgain, trips int64)
	// Announce tells the other nodes what this one is. It may be called again.
	Announce(ctx context.Context, self NodeInfo) error
	// Nodes returns the nodes that have been heard of in the last half minute, in the order of their starts.
	Nodes(ctx context.Context) ([]Node, error)
}

// NodeInfo is what a node says about itself.
type NodeInfo struct {
	// Version is that of the build.
	Version string
	// Config is a text that differs where the configuration differs that nodes must have alike, Secrets the fingerprints of its master keys.
	Config  string
	Secrets []string
}

// Node is a process that uses a [Shared] store.
type Node struct {
	NodeInfo
	// ID is random, Host and Process where it runs.
	ID      string
	Host    string
	Process int
	// Schema is the newest change of the schema that it knows.
	Schema int
	// Started and Beat are times of the database: when it began, and when it was last heard of.
	Started, Beat time.Time
	// Skew is how far the clock of its machine is ahead of the database's.
	Skew time.Duration
	// Self is set for the node that asks.
	Self bool
}
