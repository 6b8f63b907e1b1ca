package alert

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/boundary"
	"github.com/caddy-email-link/caddy-email-link/internal/outbox"
)

const (
	// Interval is the shortest time between two alerts of a kind, and how long is counted for one.
	Interval = time.Hour
	// maxKeys bounds the keys of a kind, maxMembers the mailboxes or networks of one key that are told apart.
	maxKeys    = 1000
	maxMembers = 200
	// shown is how many keys an alert names.
	shown = 10
	// noMailAfter is how long attempts have to fail before no mail is said to leave: longer than greylisting takes as a rule.
	noMailAfter = 15 * time.Minute

	manyMailboxes       = 20
	manyNetworks        = 10
	manyFailures        = 10
	manyFailuresInTotal = 100
	manyReplays         = 3
)

// Counter counts for alerts. It outlives configurations. The zero value is ready for use.
type Counter struct {
	mu      sync.Mutex
	windows map[Kind]*window // guarded by mu
	// stopped is set while the worker says that no mail leaves, failing is when attempts began to fail without one that succeeds.
	stopped bool      // guarded by mu
	failing time.Time // guarded by mu
}

// window is what was counted of one kind.
type window struct {
	since   time.Time
	entries map[string]*entry
	// met is set when something happened that is enough by itself.
	met bool
}

// entry is what was counted of one key.
type entry struct {
	name string
	n    int
	// members are told apart where a key counts those; confirmed is how many of them turned out well.
	members   map[uint64]struct{}
	confirmed int
}

func (e *entry) weight() int { return max(0, e.n+len(e.members)-e.confirmed) }

// Line is a line of the log, as far as it counts.
type Line struct {
	Event, Outcome, Purpose, Limit, Rate, Account, Client string
	// Spent is how many mails a network has had that has spent its share.
	Spent int
}

// Requested counts a request for a mail to a mailbox, or an attempt at its password, that comes from an unknown browser. mailbox tells mailboxes
// apart, and masked is what an alert calls it.
func (c *Counter) Requested(now time.Time, client netip.Addr, mailbox uint64, masked string) {
	network := boundary.NetworkText(client)
	if network == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.member(Mailboxes, now, network, network, mailbox)
	c.member(Networks, now, strconv.FormatUint(mailbox, 36), masked, hashOf(network))
}

// hashOf is FNV-1a: it tells a few hundred networks apart.
func hashOf(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

// Line counts a line of the log.
func (c *Counter) Line(now time.Time, l Line) {
	network := networkOf(l.Client)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch l.Event {
	case "denied":
		c.denied(now, l, network)
	case "confirmed":
		c.confirmed(network)
	case "signed_in":
		if l.Outcome == "pwd" { // who signs in by a mail has confirmed it
			c.confirmed(network)
		}
	case "replayed":
		c.add(Replays, now, cmp.Or(l.Account, network, "unknown"))
	case "mailed":
		c.mailed(now, l)
	}
}

// confirmed counts that a request of a network turned out well.
func (c *Counter) confirmed(network string) {
	if w := c.windows[Mailboxes]; w != nil && w.entries[network] != nil {
		w.entries[network].confirmed++
	}
}

// denied counts what a limit or a check has refused.
func (c *Counter) denied(now time.Time, l Line, network string) {
	switch {
	case l.Rate != "" && network != "":
		e := c.entry(Budget, now, network, network)
		e.n = max(e.n, l.Spent)
	case l.Rate != "":
		c.at(Budget, now).met = true
	case l.Outcome != "limited":
		c.add(Failures, now, cmp.Or(network, "unknown"))
	}
}

// mailed counts what became of an attempt at a mail.
func (c *Counter) mailed(now time.Time, l Line) {
	switch l.Outcome {
	case "stopped":
		c.stopped = true
	case "resumed":
		c.stopped = false
	case "sent":
		c.failing = time.Time{}
		delete(c.windows, NoMail)
	case "retry":
		if c.failing.IsZero() {
			c.failing = now
		}
		c.add(NoMail, now, cmp.Or(l.Purpose, "mail"))
	case "dead":
		if l.Purpose != outbox.Alert {
			c.add(DeadLetters, now, cmp.Or(l.Account, l.Purpose))
		}
	}
}

func networkOf(client string) string {
	if prefix, err := netip.ParsePrefix(client); err == nil {
		return boundary.NetworkText(prefix.Addr())
	}
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return ""
	}
	return boundary.NetworkText(addr)
}

// at returns the window of a kind.
func (c *Counter) at(kind Kind, now time.Time) *window {
	if c.windows == nil {
		c.windows = map[Kind]*window{}
	}
	w := c.windows[kind]
	if w == nil {
		w = &window{since: now, entries: map[string]*entry{}}
		c.windows[kind] = w
	}
	return w
}

// entry returns the entry of a key. A kind that has too many keys forgets the lighter half of them.
func (c *Counter) entry(kind Kind, now time.Time, key, name string) *entry {
	w := c.at(kind, now)
	e := w.entries[key]
	if e != nil {
		return e
	}
	if len(w.entries) >= maxKeys {
		keys := slices.SortedFunc(maps.Keys(w.entries), func(a, b string) int {
			return cmp.Or(cmp.Compare(w.entries[a].weight(), w.entries[b].weight()), cmp.Compare(a, b))
		})
		for _, light := range keys[:maxKeys/2] {
			delete(w.entries, light)
		}
	}
	e = &entry{name: name}
	w.entries[key] = e
	return e
}

func (c *Counter) add(kind Kind, now time.Time, key string) { c.entry(kind, now, key, key).n++ }

func (c *Counter) member(kind Kind, now time.Time, key, name string, member uint64) {
	e := c.entry(kind, now, key, name)
	if e.members == nil {
		e.members = map[uint64]struct{}{}
	}
	if len(e.members) < maxMembers {
		e.members[member] = struct{}{}
	}
}

// Due returns the alerts whose rules are met. It forgets what was counted for an hour without.
func (c *Counter) Due(now time.Time) (due []Alert) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range Kinds() {
		if kind == NoMail && c.noMailLeaves(now) {
			c.at(kind, now)
		}
		w := c.windows[kind]
		switch {
		case w == nil:
		case c.meets(kind, w, now):
			due = append(due, w.alert(kind, now))
		case now.Sub(w.since) >= Interval && kind != NoMail:
			delete(c.windows, kind)
		}
	}
	return due
}

func (c *Counter) noMailLeaves(now time.Time) bool {
	return c.stopped || !c.failing.IsZero() && now.Sub(c.failing) >= noMailAfter
}

// meets reports whether the rule of a kind is met.
func (c *Counter) meets(kind Kind, w *window, now time.Time) bool {
	heaviest, total := 0, 0
	for _, e := range w.entries {
		if kind != Mailboxes || e.weight()*2 >= len(e.members) { // an office that signs in confirms most of what it requests
			heaviest = max(heaviest, e.weight())
		}
		total += e.weight()
	}
	switch kind {
	case Mailboxes:
		return heaviest >= manyMailboxes
	case Networks:
		return heaviest >= manyNetworks
	case Failures:
		return heaviest >= manyFailures || total >= manyFailuresInTotal
	case Replays:
		return total >= manyReplays
	case DeadLetters:
		return total > 0
	case Budget:
		return w.met
	default:
		return c.noMailLeaves(now)
	}
}

func (w *window) alert(kind Kind, now time.Time) Alert {
	a := Alert{Kind: kind, Since: w.since, Until: now}
	for _, e := range w.entries {
		if n := e.weight(); n > 0 {
			a.Keys = append(a.Keys, Key{e.name, n})
			a.Total += n
		}
	}
	slices.SortFunc(a.Keys, func(x, y Key) int { return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Name, y.Name)) })
	if len(a.Keys) > shown {
		a.Keys, a.Others = a.Keys[:shown], len(a.Keys)-shown
	}
	return a
}

// Done forgets what was counted of kinds that have been alerted.
func (c *Counter) Done(kinds ...Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range kinds {
		delete(c.windows, kind)
	}
}
