package module

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/caddy-email-link/caddy-email-link/mailer"
)

// errRelayClosed is temporary: the mail stays queued.
var errRelayClosed = errors.New("the configuration that was to send this mail has ended")

// reloadSafeMailer is the mailer of one configuration as the worker knows it. An attempt that began just before a reload comes to its
// mailer just after it: where the configuration now in force has the same sender, its mailer takes the mail, and the person
// does not wait for a second attempt because of a reload.
type reloadSafeMailer struct {
	core  *core
	from  string
	inner mailer.Mailer

	mu      sync.Mutex
	closed  bool           // guarded by mu
	running sync.WaitGroup // added to under mu, while not closed
}

// Send implements mailer.Mailer.
func (r *reloadSafeMailer) Send(ctx context.Context, m mailer.Message) error {
	if !r.begin() {
		next := r.core.inForce()
		if next == nil || next.mailer == r || next.mailer.from != r.from {
			return errRelayClosed
		}
		return next.mailer.Send(ctx, m)
	}
	defer r.running.Done()
	return r.inner.Send(ctx, m)
}

func (r *reloadSafeMailer) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.running.Add(1)
	}
	return !r.closed
}

// Close implements mailer.Mailer.
func (r *reloadSafeMailer) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("a mail is still under way: %w", ctx.Err())
	}
	return errors.Join(err, r.inner.Close(ctx))
}

var _ mailer.Mailer = (*reloadSafeMailer)(nil)
