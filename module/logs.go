package module

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// swappableHandler is a slog.Handler that outlives configurations: it writes to the handler of the one in force, because Caddy
// closes the writers of a configuration that has ended.
type swappableHandler struct {
	current *atomic.Pointer[slog.Handler]
	// with are the attributes and groups that were added to this handler, in order.
	with []func(slog.Handler) slog.Handler
}

func newSwappableHandler(h slog.Handler) *swappableHandler {
	s := &swappableHandler{current: new(atomic.Pointer[slog.Handler])}
	s.set(h)
	return s
}

func (s *swappableHandler) set(h slog.Handler) { s.current.Store(&h) }

func (s *swappableHandler) handler() slog.Handler {
	h := *s.current.Load()
	for _, add := range s.with {
		h = add(h)
	}
	return h
}

// Enabled implements slog.Handler.
func (s *swappableHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return (*s.current.Load()).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (s *swappableHandler) Handle(ctx context.Context, r slog.Record) error {
	return s.handler().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (s *swappableHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return s.plus(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (s *swappableHandler) WithGroup(name string) slog.Handler {
	return s.plus(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (s *swappableHandler) plus(add func(slog.Handler) slog.Handler) slog.Handler {
	with := make([]func(slog.Handler) slog.Handler, len(s.with), len(s.with)+1)
	copy(with, s.with)
	return &swappableHandler{current: s.current, with: append(with, add)}
}

// reportOmitted logs every few minutes how many lines the limiter has left out, until stop is called.
func (a *App) reportOmitted(wall func() time.Time) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(time.Minute)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				a.limiter.Report(context.Background(), a.output, wall(), false)
			case <-done:
				a.limiter.Report(context.Background(), a.output, wall(), true)
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
}

var _ slog.Handler = (*swappableHandler)(nil)
