package credential

import "sync/atomic"

// maxCounters is how many counters a [Stamp] has at most.
const maxCounters = 4

// Stamp is the counters of changes that something read depends on, as they were before the read. What was read is current while
// none of them has been raised.
type Stamp struct {
	counters [maxCounters]*atomic.Uint64
	values   [maxCounters]uint64
}

// NewStamp returns the stamp of at most four counters as they are now. A nil one counts nothing.
func NewStamp(counters ...*atomic.Uint64) (s Stamp) {
	for i, c := range counters {
		if c != nil {
			s.counters[i], s.values[i] = c, c.Load()
		}
	}
	return s
}

// Current reports whether nothing has changed since the stamp.
func (s *Stamp) Current() bool {
	for i, c := range s.counters {
		if c != nil && c.Load() != s.values[i] {
			return false
		}
	}
	return true
}

// Validity is what memory knows about whether a credential may be used. Call Renew before the first use; it is then safe for use
// by many goroutines.
type Validity struct {
	stamp atomic.Pointer[Stamp]
	ended atomic.Bool
}

// Renew notes that what was read after a stamp still holds.
func (v *Validity) Renew(s Stamp) { v.stamp.Store(&s) }

// End revokes the credential for good.
func (v *Validity) End() { v.ended.Store(true) }

// Ended reports whether the credential has ended for good.
func (v *Validity) Ended() bool { return v.ended.Load() }

// Current reports whether the credential has not ended and nothing that it depends on has changed since it was read.
func (v *Validity) Current() bool { return !v.ended.Load() && v.stamp.Load().Current() }

// Recheck calls read, unless the credential has ended for good, and takes over what came of it. s is the stamp from before the call. It
// returns the errors of read.
func (v *Validity) Recheck(s Stamp, read func() (alive, same bool, err error)) (alive, same bool, err error) {
	if v.ended.Load() {
		return false, false, nil
	}
	alive, same, err = read()
	switch {
	case err != nil:
		return false, false, err
	case !alive:
		v.End()
		return false, false, nil
	case same: // Otherwise the stamp stays stale, so that the next request reads the account anew.
		v.Renew(s)
	}
	return true, same, nil
}
