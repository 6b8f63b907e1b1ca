package postgres

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Shared is a [Store] that other processes use at the same time. It implements [storage.Shared].
type Shared struct{ *Store }

var _ storage.Shared = (*Shared)(nil)

// OpenShared is [Open] for a schema that several processes use at once. Each of them has to open it so.
func OpenShared(ctx context.Context, o Options) (*Shared, error) {
	o.shared = true
	s, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Shared{s}, nil
}

// FreshUntil implements [storage.Shared].
func (s *Shared) FreshUntil() time.Time { return s.follower.last.Load().begun.Add(maxLag) }

// MaxLag implements [storage.Shared].
func (s *Shared) MaxLag() time.Duration { return maxLag }

// Outage implements [storage.Shared].
func (s *Shared) Outage() (serveUntil time.Time, out bool) {
	return s.FreshUntil().Add(s.serveCached), s.follower.out.Load()
}

// Now implements [storage.Shared].
func (s *Shared) Now() (now time.Time, within time.Duration) {
	return s.follower.now()
}
