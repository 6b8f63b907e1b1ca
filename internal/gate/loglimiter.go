package gate

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
)

const (
	// linesPerClient bounds the lines of one event about one client within clientWindow.
	linesPerClient = 5
	clientWindow   = 10 * time.Minute
	// linesInAll bounds the lines of all such events within allWindow, but for denials, which have a bound of their own: what bans clients by
	// them is to see each of a thousand.
	linesInAll   = 600
	denialsInAll = 6000
	allWindow    = time.Hour
	eventDenied  = "denied"
	// countEvery is how long lines are counted before one line reports how many were left out.
	countEvery = 10 * time.Minute
)

// anonymousEvents are the events that a request can cause without a session, a mailed token or a code. Everything else is bounded by
// the mails that have left.
var anonymousEvents = map[string]bool{
	"opened": true, "requested": true, "resent": true, "denied": true, "refused": true, "token_request": true, "cross_origin": true, "verify": true,
	"unavailable": true, "misconfigured": true, "template": true, "panic": true, "app": true,
}

// LogLimiter bounds how many lines anonymous requests write into a log: at most 5 for each client and event in 10 minutes, and 600 in an
// hour, beside 6000 denials. The client is what the line names, a network as a rule; an IPv6 address counts by its network. Lines above that are counted by their event, and one line for each
// event reports the number. Lines of other events pass.
//
// It keeps one entry for each client and event that a line was written for, so its memory is bounded by the lines of an hour. Time is
// that of the records.
type LogLimiter struct {
	mu      sync.Mutex
	all     window // of linesInAll
	denials window // of denialsInAll
	clients map[logKey]*window
	// forgetAt is how many clients there are when the next are forgotten.
	forgetAt int
	// omitted counts the lines that were left out, by event. It begins with the first of them, at since.
	omitted map[string]int
	since   time.Time
}

type logKey struct{ client, event string }

// window holds the times of the last lines, in a ring.
type window struct {
	times []time.Time
	next  int
}

// full reports whether the ring has no place for a line at now: its oldest entry, which is the next to be overwritten, is not over.
func (w *window) full(now time.Time, span time.Duration) bool {
	return w.times != nil && !w.times[w.next].IsZero() && now.Sub(w.times[w.next]) < span
}

// add counts a line, in a ring of a length.
func (w *window) add(now time.Time, length int) {
	if w.times == nil {
		w.times = make([]time.Time, length)
	}
	w.times[w.next], w.next = now, (w.next+1)%length
}

// last returns the time of the last line.
func (w *window) last() time.Time { return w.times[(w.next+len(w.times)-1)%len(w.times)] }

// Handler returns a handler that writes to inner what the limiter permits. The handlers of one limiter share its counts.
func (l *LogLimiter) Handler(inner slog.Handler) slog.Handler {
	return &limitedHandler{Handler: inner, limiter: l}
}

// permit reports whether a line is to be written, and counts it if not.
func (l *LogLimiter) permit(key logKey, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.clients[key]
	all, length := &l.all, linesInAll
	if key.event == eventDenied {
		all, length = &l.denials, denialsInAll
	}
	if all.full(now, allWindow) || one != nil && one.full(now, clientWindow) {
		if l.omitted == nil {
			l.omitted, l.since = map[string]int{}, now
		}
		l.omitted[key.event]++
		return false
	}
	if one == nil {
		l.forget(now)
		one = new(window)
		l.clients[key] = one
	}
	one.add(now, linesPerClient)
	all.add(now, length)
	return true
}

// forget drops the entries whose last line was written more than clientWindow ago, each time that there are twice as many as were left.
func (l *LogLimiter) forget(now time.Time) {
	if l.clients == nil {
		l.clients, l.forgetAt = map[logKey]*window{}, linesInAll
	}
	if len(l.clients) < l.forgetAt {
		return
	}
	maps.DeleteFunc(l.clients, func(_ logKey, one *window) bool { return now.Sub(one.last()) >= clientWindow })
	l.forgetAt = max(linesInAll, 2*len(l.clients))
}

// due returns the counts of the lines that were left out, once they have been collected for countEvery; at once with force.
func (l *LogLimiter) due(now time.Time, force bool) (omitted map[string]int, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.omitted == nil || !force && now.Sub(l.since) < countEvery {
		return nil, time.Time{}
	}
	omitted, since = l.omitted, l.since
	l.omitted = nil
	return omitted, since
}

// Report writes to inner one line for each event of which lines were left out, with their number: at most once in 10 minutes, or at
// once with force. Call it now and then, and with force at the end.
func (l *LogLimiter) Report(ctx context.Context, inner slog.Handler, now time.Time, force bool) {
	omitted, since := l.due(now, force)
	for _, event := range slices.Sorted(maps.Keys(omitted)) {
		r := slog.NewRecord(now, slog.LevelWarn, "more lines of this event were left out of the log", 0)
		r.AddAttrs(slog.String("event", "omitted"), slog.String("of", event), slog.Int("lines", omitted[event]), slog.Time("since", since))
		if inner.Enabled(ctx, r.Level) {
			_ = inner.Handle(ctx, r)
		}
	}
}

// limitedHandler is a slog.Handler behind a limiter.
type limitedHandler struct {
	slog.Handler
	limiter *LogLimiter
	attrs   []slog.Attr
}

// Handle implements slog.Handler.
func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	key, limited := h.key(r)
	if limited {
		h.limiter.Report(ctx, h.Handler, r.Time, false)
		if !h.limiter.permit(key, r.Time) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

// key returns what a line is counted by. A step that fails has its own name as the event, and is counted as unavailable.
func (h *limitedHandler) key(r slog.Record) (key logKey, limited bool) {
	unavailable, reason, account := false, "", ""
	read := func(a slog.Attr) bool {
		switch a.Key {
		case "event":
			key.event = a.Value.String()
		case "client":
			key.client = a.Value.String()
			if addr, err := netip.ParseAddr(key.client); err == nil && addr.Is6() {
				key.client = boundary.NetworkText(addr)
			}
		case "outcome":
			// A dropped mail was requested anonymously and has no recipient.
			outcome := a.Value.String()
			unavailable = outcome == "unavailable"
			limited = unavailable || outcome == "dropped"
		case "account":
			account = a.Value.String()
		case "reason":
			reason = a.Value.String()
		}
		return true
	}
	for _, a := range h.attrs {
		read(a)
	}
	r.Attrs(read)
	if key.client == "" {
		key.client = reason // what an app says in vain has no client
	}
	if key.event == "refused" && account != "" {
		key.client = account // whom others behind the same address take no line from
	}
	if unavailable {
		key.event = "unavailable"
	}
	return key, limited || anonymousEvents[key.event]
}

// WithAttrs implements slog.Handler.
func (h *limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitedHandler{h.Handler.WithAttrs(attrs), h.limiter, slices.Concat(h.attrs, attrs)}
}

// WithGroup implements slog.Handler.
func (h *limitedHandler) WithGroup(name string) slog.Handler {
	return &limitedHandler{h.Handler.WithGroup(name), h.limiter, h.attrs}
}

var _ slog.Handler = (*limitedHandler)(nil)
