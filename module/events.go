package module

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// emitted are the events of the audit log that are Caddy events too, under `email_link_` and this name.
var emitted = []string{"requested", "mailed", "confirmed", "signed_in", "signed_out", "denied", "replayed", "changed"}

// emitter turns lines of the audit log into Caddy events. Caddy runs the subscribers at once, on the caller's goroutine, so
// the lines wait in a short queue for a goroutine of their own: no request waits for a subscriber.
type emitter struct {
	ctx   caddy.Context
	app   *caddyevents.App
	queue chan event
	done  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup
}

type event struct {
	name string
	data map[string]any
}

const eventQueue = 256

func newEmitter(ctx caddy.Context) (*emitter, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	e := &emitter{ctx: ctx, queue: make(chan event, eventQueue), done: make(chan struct{})}
	e.app, _ = app.(*caddyevents.App)
	return e, nil
}

// start begins to emit.
func (e *emitter) start() {
	e.wg.Go(func() {
		for {
			select {
			case ev := <-e.queue:
				e.app.Emit(e.ctx, ev.name, ev.data)
			case <-e.done:
				e.rest()
				return
			}
		}
	})
}

// rest emits what waits.
func (e *emitter) rest() {
	for {
		select {
		case ev := <-e.queue:
			e.app.Emit(e.ctx, ev.name, ev.data)
		default:
			return
		}
	}
}

// stop emits what waits and ends. Subscribers are still there: it is called before anything of this configuration is taken
// apart. Events of requests that outlive their configuration are not emitted.
func (e *emitter) stop() {
	e.once.Do(func() { close(e.done) })
	e.wg.Wait()
}

// handler returns h with the emitter beside it.
func (e *emitter) handler(h slog.Handler) slog.Handler { return &eventHandler{Handler: h, e: e} }

// eventHandler watches a log for lines of the audit log.
type eventHandler struct {
	slog.Handler
	e     *emitter
	attrs []slog.Attr
}

// Handle implements slog.Handler.
func (h *eventHandler) Handle(ctx context.Context, r slog.Record) error {
	h.watch(r)
	if r.Level >= slog.LevelError {
		// With the request's own fields Caddy adds the stack to each line of an error: 4 KiB for every request while the disk is full.
		ctx = context.WithValue(ctx, caddyhttp.ExtraLogFieldsCtxKey, nil)
	}
	return h.Handler.Handle(ctx, r)
}

func (h *eventHandler) watch(r slog.Record) {
	if h.e.app == nil {
		return
	}
	name := ""
	find := func(a slog.Attr) bool {
		if a.Key == "event" {
			name = a.Value.String()
			return false
		}
		return true
	}
	r.Attrs(find)
	for _, a := range h.attrs {
		find(a)
	}
	if !slices.Contains(emitted, name) || !h.e.app.ShouldEmit("email_link_"+name) {
		return
	}
	data := map[string]any{}
	add := func(a slog.Attr) bool {
		if slices.Contains(eventFields, a.Key) {
			data[a.Key] = a.Value.String()
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	select {
	case h.e.queue <- event{"email_link_" + name, data}:
	default: // a subscriber that is slower than the events misses some; nothing waits for it
	}
}

// eventFields are the fields of an audit line that subscribers see.
var eventFields = []string{"purpose", "outcome", "account", "flow", "site", "client", "command", "user", "host"}

// WithAttrs implements slog.Handler.
func (h *eventHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &eventHandler{h.Handler.WithAttrs(attrs), h.e, slices.Concat(h.attrs, attrs)}
}

// WithGroup implements slog.Handler.
func (h *eventHandler) WithGroup(name string) slog.Handler {
	return &eventHandler{h.Handler.WithGroup(name), h.e, h.attrs}
}
