package credential

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	errEnded   = errors.New("ended")
	errChanged = errors.New("changed")
	noon       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// pass is a credential in memory, and what the store says of it.
type pass struct {
	owner          string
	revoked, other atomic.Bool
	rechecks       atomic.Int64
}

func (p *pass) Owner() string        { return p.owner }
func (p *pass) Valid(time.Time) bool { return !p.revoked.Load() && !p.other.Load() }

func (p *pass) Recheck() (alive, same bool) {
	p.rechecks.Add(1)
	return !p.revoked.Load(), !p.other.Load()
}

// ending is one call of End.
type ending struct {
	Cause string
	Again bool
}

// handler is what a request is ended by.
type handler struct {
	mu    sync.Mutex
	calls []ending
}

func (h *handler) End(cause error, again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, ending{cause.Error(), again})
}

// mustHave compares the calls so far, and forgets them.
func (h *handler) mustHave(t *testing.T, what string, want ...ending) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(want, h.calls); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	h.calls = nil
}

func add(r *Requests, p *pass) (*Request, *handler) {
	h := &handler{}
	q := &Request{Credential: p, Target: h, Since: noon}
	r.Add(q)
	return q, h
}

// TestSES7_EndsTheRequestsOfARevokedCredential: those of others go on, a request that is still there is ended again at each tick,
// and one that has been removed is left alone.
func TestSES7_EndsTheRequestsOfARevokedCredential(t *testing.T) {
	r := NewRequests(errEnded, errChanged)
	ada, grace := &pass{owner: "ada"}, &pass{owner: "grace"}
	first, one := add(r, ada)
	second, two := add(r, ada)
	gone, three := add(r, ada)
	_, other := add(r, grace)
	r.Remove(gone)
	r.Remove(gone)
	ada.revoked.Store(true)
	r.Check("grace", noon)
	one.mustHave(t, "a check of another account")
	r.Check("ada", noon)
	one.mustHave(t, "the first", ending{"ended", false})
	two.mustHave(t, "the second", ending{"ended", false})
	if n := ada.rechecks.Load(); n != 1 {
		t.Errorf("the store was asked %d times for one credential", n)
	}
	r.Remove(second)
	r.Check("ada", noon)
	r.Tick(noon)
	r.Tick(noon)
	one.mustHave(t, "one that is still there", ending{"ended", true}, ending{"ended", true})
	two.mustHave(t, "one that is gone")
	r.Remove(first)
	r.Tick(noon)
	one.mustHave(t, "one that is gone in the end")
	three.mustHave(t, "one that was gone before")
	other.mustHave(t, "another account's")
	if n := r.Count(); n != 1 {
		t.Errorf("%d requests are in flight", n)
	}
}

// TestSES7_EndsByTime ends by a tick what no commit has ended.
func TestSES7_EndsByTime(t *testing.T) {
	r := NewRequests(errEnded, errChanged)
	ada := &pass{owner: "ada"}
	_, h := add(r, ada)
	r.Tick(noon)
	h.mustHave(t, "before")
	ada.revoked.Store(true)
	r.Tick(noon)
	h.mustHave(t, "after", ending{"ended", false})
}

// TestSES7_RevokedBeforeItIsRegistered ends a request whose credential ended between its check and its registration.
func TestSES7_RevokedBeforeItIsRegistered(t *testing.T) {
	r := NewRequests(errEnded, errChanged)
	ada := &pass{owner: "ada"}
	ada.revoked.Store(true)
	_, h := add(r, ada)
	h.mustHave(t, "at once", ending{"ended", false})
}

// TestSES7_AChangedAccount lets an ordinary request have its answer, and ends one that takes longer.
func TestSES7_AChangedAccount(t *testing.T) {
	r := NewRequests(errEnded, errChanged)
	ada := &pass{owner: "ada"}
	_, h := add(r, ada)
	ada.other.Store(true)
	r.Check("ada", noon.Add(settleTime-1))
	h.mustHave(t, "soon")
	r.Tick(noon.Add(settleTime))
	h.mustHave(t, "late", ending{"changed", false})
}

// TestSES7_ManyAtOnce registers and removes requests while their credential is revoked: each that stays is ended.
func TestSES7_ManyAtOnce(t *testing.T) {
	for range 50 {
		r := NewRequests(errEnded, errChanged)
		ada := &pass{owner: "ada"}
		var staying [8]*handler
		var wg sync.WaitGroup
		for i := range staying {
			wg.Go(func() {
				q, _ := add(r, ada)
				_, staying[i] = add(r, ada)
				r.Remove(q)
			})
		}
		ada.revoked.Store(true)
		r.Check("ada", noon)
		wg.Wait()
		for _, h := range staying {
			h.mustHave(t, "one that stays", ending{"ended", false})
		}
	}
}
