// Package clock is the one place that reads the time.
//
// [Clock.Now] decides about everything that ends here: links, codes, sessions, limits. It is the largest time believed so far plus
// the monotonic time since, so it never runs back and never stops. [Clock.Wall] is the system's time, for what others
// verify: iat, nbf, exp, Date.
//
// How Now follows the system's time:
//
//   - A wall clock that is ahead by at most [Step] is followed at once: that is drift, or a leap.
//   - One that is ahead by more is doubted. It is believed after it has agreed with itself for [Settle]; if it returns before
//     that, nothing has happened. A suspended machine looks like this too.
//   - One that is behind changes nothing: Now goes on by monotonic time. What has ended stays dead, and what is born ends when
//     it should, because both are judged by the same clock.
//   - At start Now is the later of the persisted time and the wall clock. A persisted time in the future (a wrong clock that
//     was believed, or a wall clock that has fallen back) therefore blocks nothing: Now runs on from it at the speed of time.
//     A wall clock that is far ahead of the persisted time is what every longer downtime looks like, so it is used at once;
//     but until it has agreed for Settle it is doubted, and if it falls back within that time (a hardware clock that NTP puts
//     right) Now stays where it is, and the next start begins without it.
//
// A clock that follows a database's ([Clock.Follow]) does all of that with its time in place of the wall clock's.
//
// While there is doubt ([Clock.Stepped]) no sweep may go up to Now. [Clock.Trusted], the time to persist, stays on the line that
// was believed before, and may always be swept up to. So a clock that was wrong for a few minutes has neither deleted nor
// remembered anything, and no doubt keeps dead records for good.
package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Step is the largest difference between two readings that is taken for drift.
	Step = 5 * time.Minute
	// Settle is how long a larger difference has to last before it is believed.
	Settle = 5 * time.Minute
	// agreement is how far readings may be apart and still agree with each other: the clock is being slewed meanwhile.
	agreement = time.Minute
	// recheckInterval is how long Now may go on without comparing with the wall clock; every request asks it.
	recheckInterval = 100 * time.Millisecond
)

// Clock is a source of time. The zero value is ready and follows the system's time. It is safe for use by many goroutines and must
// not be copied.
type Clock struct {
	// read returns the system's time and a monotonic reading of one instant; nil is the system's.
	read func() (wall time.Time, mono time.Duration)
	// followed is the time that Now follows in place of the system's, nil where it follows that.
	followed func() time.Time
	// recent is what Now needs between two comparisons, nil for clocks with a read of their own.
	recent atomic.Pointer[recent]

	mu      sync.Mutex
	started bool
	// base is Now at monotonic reading 0: Now is base plus the reading.
	base time.Time
	// trusted is the line to persist and to compare with: base, except while a wall clock that was ahead at start is on
	// probation.
	trusted   time.Time
	probation bool
	// doubtedLine is the doubted wall clock at monotonic reading 0, zero when there is no doubt; since is when it was first seen
	// there.
	doubtedLine  time.Time
	doubtedSince time.Duration
	// behind is the line of a wall clock that has been behind for Settle: known, and no reason for doubt any more.
	behind time.Time
}

// recent is a base that was right at one monotonic reading and is good until another, and the wall clock's beside it.
type recent struct {
	base, wall  time.Time
	from, until time.Duration
}

// Reading is one instant by both clocks, in UTC.
type Reading struct{ Now, Wall time.Time }

var processStart = time.Now()

// Passed reports whether the monotonic time is past t, which [time.Now] has given or is derived from it. It is for what ends in this
// process alone.
func Passed(t time.Time) bool { return !time.Now().Before(t) }

// New returns a clock over a wall clock; nil means the system's, and is the fastest. Readings of wall that carry Go's monotonic part are used for
// that as well; for others the process's own monotonic clock is.
func New(wall func() time.Time) *Clock {
	if wall == nil {
		return &Clock{}
	}
	return &Clock{read: func() (time.Time, time.Duration) {
		t := wall()
		if t == t.Round(0) { //nolint:staticcheck // == sees whether there is a monotonic part, Equal does not
			return t, time.Since(processStart)
		}
		return t.Round(0), t.Sub(processStart)
	}}
}

// Follow makes Now follow another time in place of the system's, such as that of a database, so that all who share the database agree about
// what has ended. [Clock.Wall] stays the system's. Call it before the first use; now is called about ten times a second.
func (c *Clock) Follow(now func() time.Time) { c.followed = now }

func (c *Clock) reading() (time.Time, time.Duration) {
	if c.read != nil {
		return c.read()
	}
	t := time.Now()
	return t.Round(0), t.Sub(processStart)
}

// Now returns the time by which everything here ends, in UTC. It never runs back within a process, nor across restarts when
// the time of [Clock.Trusted] is given to [Clock.Restore].
func (c *Clock) Now() time.Time {
	if r := c.recent.Load(); r != nil {
		if mono := time.Since(processStart); mono >= r.from && mono < r.until {
			return r.base.Add(mono)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, mono := c.observe()
	return c.base.Add(mono)
}

// Read returns one instant by both clocks, for the price of Now. Wall may be what the system's time was up to a tenth of a second ago,
// and the monotonic time since: it validates timestamps of others; for new timestamps use [Clock.Wall].
func (c *Clock) Read() Reading {
	if r := c.recent.Load(); r != nil {
		if mono := time.Since(processStart); mono >= r.from && mono < r.until {
			return Reading{r.base.Add(mono), r.wall.Add(mono)}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.observe()
	return Reading{c.base.Add(mono), wall}
}

// Wall returns the system's time in UTC, for values that others verify.
func (c *Clock) Wall() time.Time {
	wall, _ := c.reading()
	return wall.UTC()
}

// Restore gives the clock the time persisted by an earlier process. Call it at start, before the first record is validated. A
// zero time (nothing was persisted) is ignored.
func (c *Clock) Restore(seen time.Time) {
	if seen.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, mono := c.observe()
	line := seen.Round(0).UTC().Add(-mono)
	switch ahead := c.base.Sub(line); {
	case ahead > Step:
		c.trusted, c.probation = line, true
		c.doubtedLine, c.doubtedSince = c.base, mono
	case ahead < 0:
		c.base, c.trusted = line, line
	}
	c.observe()
}

// Trusted returns the largest time believed: the time to persist, once a minute and at the end, and the time up to which a sweep
// is safe even in doubt. It is never after Now.
func (c *Clock) Trusted() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, mono := c.observe()
	return c.trusted.Add(mono)
}

// Stepped returns how far the wall clock is from the time believed, when that is more than [Step] (positive: the wall clock is
// ahead; 0 otherwise), and whether it is in doubt which of the two is right. Nothing after [Clock.Trusted] may be swept while it is.
func (c *Clock) Stepped() (d time.Duration, doubtful bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.observe()
	d = c.line(wall, mono).Sub(c.trusted)
	if d <= Step && d >= -Step {
		d = 0
	}
	return d, c.probation || !c.doubtedLine.IsZero()
}

// ToWall returns the wall-clock time at which Now will be t, for people: the two differ after a wrong clock. It is right to the second, and a whole second
// stays one: the two are some nanoseconds apart at each reading, and an end must not be shown as the second before it now and then.
func (c *Clock) ToWall(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.observe()
	return t.Add(wall.Sub(c.base.Add(mono)).Round(time.Second)).UTC()
}

// observe takes one reading and moves base by the rules of the package.
func (c *Clock) observe() (wall time.Time, mono time.Duration) {
	wall, mono = c.reading()
	wall = wall.UTC()
	line := c.line(wall, mono)
	switch {
	case !c.started:
		c.started, c.base, c.trusted = true, line, line
	case c.probation:
		c.observeProbation(line, mono)
	default:
		c.observeRunning(line, mono)
	}
	if c.read == nil {
		c.recent.Store(&recent{base: c.base, wall: wall.Add(-mono), from: mono, until: mono + recheckInterval})
	}
	return wall, mono
}

// line returns the time that Now follows, at monotonic reading 0.
func (c *Clock) line(wall time.Time, mono time.Duration) time.Time {
	if c.followed != nil {
		return c.followed().Round(0).UTC().Add(-mono)
	}
	return wall.Add(-mono)
}

func (c *Clock) observeRunning(line time.Time, mono time.Duration) {
	ahead := line.Sub(c.base)
	switch {
	case ahead <= Step && ahead >= -Step:
		if ahead > 0 {
			c.base, c.trusted = line, line
		}
		c.doubtedLine, c.behind = time.Time{}, time.Time{}
	case !c.behind.IsZero() && agree(c.behind, line):
		c.doubtedLine = time.Time{}
	case c.agrees(line, mono):
		if ahead > 0 {
			c.base, c.trusted, c.behind = line, line, time.Time{}
		} else {
			c.behind = line
		}
		c.doubtedLine = time.Time{}
	}
}

// observeProbation judges a wall clock that was far ahead of the persisted time at start.
func (c *Clock) observeProbation(line time.Time, mono time.Duration) {
	ahead := line.Sub(c.base)
	if ahead > 0 && ahead <= Step {
		c.base = line
	}
	switch agreed := c.agrees(line, mono); {
	case agreed && ahead >= -Step:
		if ahead > 0 {
			c.base = line
		}
		c.trust()
	case agreed && line.After(c.trusted):
		// It has fallen back: it was wrong at start. Now cannot follow, or what was born meanwhile would live too long; what is
		// persisted and swept can.
		c.trusted = line
	}
}

func (c *Clock) trust() {
	c.trusted, c.probation, c.doubtedLine = c.base, false, time.Time{}
}

// agrees reports whether the wall clock has been on this line for Settle, and notes it when it is new.
func (c *Clock) agrees(line time.Time, mono time.Duration) bool {
	if c.doubtedLine.IsZero() || !agree(c.doubtedLine, line) {
		c.doubtedLine, c.doubtedSince = line, mono
		return false
	}
	return mono-c.doubtedSince >= Settle
}

func agree(a, b time.Time) bool {
	d := a.Sub(b)
	return d <= agreement && d >= -agreement
}
