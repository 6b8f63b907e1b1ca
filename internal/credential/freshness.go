package credential

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Freshness says how long what was read from a store may be used without reading it again. A store of one process tells of each change
// before the step that makes it returns, so there what was read may be used until it has changed; the zero value is of such a store. Of a
// [storage.Shared] other nodes may have changed it meanwhile.
type Freshness struct {
	shared storage.Shared
	// passed is [clock.Passed], whose time runs on while this process is stopped.
	passed func(t time.Time) bool
}

// FreshnessOf returns the freshness of what is read from a store.
func FreshnessOf(store storage.Store) Freshness {
	shared, _ := store.(storage.Shared)
	return Freshness{shared, clock.Passed}
}

// Shared reports whether other nodes use the store.
func (f Freshness) Shared() bool { return f.shared != nil }

// Fresh reports whether a request may be let in by what was read before: every change that was committed a second ago is known here.
func (f Freshness) Fresh() bool {
	return f.shared == nil || !f.passed(f.shared.FreshUntil())
}

// Usable reports whether what was read before may be used at all: it is fresh, or the database could be reached so lately that it may be
// served in place of what cannot be read.
func (f Freshness) Usable() bool { return f.shared == nil || f.MayServe() }

// MayServe reports whether what was read before may be served in place of what cannot be read. In a store of one process it never is: what
// cannot be read there is broken, not away.
func (f Freshness) MayServe() bool {
	if f.shared == nil {
		return false
	}
	until, _ := f.shared.Outage()
	return !f.passed(until)
}

// Out reports whether the database cannot be reached, so that asking would only take time.
func (f Freshness) Out() bool {
	if f.shared == nil {
		return false
	}
	_, out := f.shared.Outage()
	return out
}

// askWait bounds how long a request waits for the store about what is cached: a database that takes longer is away. One that is late by
// askStopped more was not waited for: this process was stopped meanwhile.
const askWait, askStopped = time.Second, time.Second

// Ask calls read, which asks the store about what was read before, and bounds how long that takes. It calls it again where the time has
// passed because this process was stopped (SIGSTOP, a frozen container): then the database was not asked for that long, and what memory
// has must not be taken for what a database that is away would have said.
func (f Freshness) Ask(ctx context.Context, read func(ctx context.Context) error) error {
	for {
		asking, cancel := context.WithTimeout(ctx, askWait)
		end, _ := asking.Deadline()
		err := read(asking)
		cancel()
		if err == nil || ctx.Err() != nil || f.Out() || !f.passed(end.Add(askStopped)) {
			return err
		}
	}
}
