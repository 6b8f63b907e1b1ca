package credential

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// lateStore is a shared store whose last poll began at a time.
type lateStore struct {
	storage.Shared
	polled time.Time
	out    bool
}

func (s *lateStore) FreshUntil() time.Time { return s.polled.Add(time.Second) }

func (s *lateStore) Outage() (serveUntil time.Time, out bool) {
	return s.FreshUntil().Add(time.Minute), s.out
}

// newStopped returns the freshness of a store that was polled just now, and what lets time pass: as it does while a process is stopped.
func newStopped() (f Freshness, store *lateStore, stop func(time.Duration)) {
	now := time.Now() //nolint:forbidigo // the time of the process, from which the test goes on
	store = &lateStore{polled: now}
	f = FreshnessOf(store)
	f.passed = func(t time.Time) bool { return !now.Before(t) }
	return f, store, func(d time.Duration) { now = now.Add(d) }
}

// TestNODE1_AStoppedProcessAnswersNothingFromThePast stops a process between two requests, and while one waits for the database.
func TestNODE1_AStoppedProcessAnswersNothingFromThePast(t *testing.T) {
	f, store, stop := newStopped()
	if !f.Fresh() {
		t.Fatal("what was read is not fresh although the poll is new")
	}
	stop(10 * time.Second)
	if f.Fresh() {
		t.Error("what was read 10 seconds ago is fresh")
	}
	store.polled = store.polled.Add(10 * time.Second)
	if !f.Fresh() {
		t.Error("what was read is not fresh after the next poll")
	}

	late := errors.New("the deadline has passed")
	tries := 0
	err := f.Ask(t.Context(), func(ctx context.Context) error {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the database is waited for without an end")
		}
		if tries++; tries <= 2 { // stopped again, just when it goes on
			stop(24 * time.Hour) // longer than a slow machine takes to come here
			return late
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("asked %d times, %v", tries, err)
	}
}

// TestNODE2_ADatabaseThatIsAwayIsAskedOnce: a request does not wait for longer because nobody stopped the process, nor beyond its own end, nor
// once the database is known to be gone.
func TestNODE2_ADatabaseThatIsAwayIsAskedOnce(t *testing.T) {
	away := errors.New("away")
	for name, meanwhile := range map[string]func(store *lateStore, stop func(time.Duration), cancel context.CancelFunc){
		"in time":  func(*lateStore, func(time.Duration), context.CancelFunc) {},
		"a second": func(_ *lateStore, stop func(time.Duration), _ context.CancelFunc) { stop(askWait) },
		"gone": func(store *lateStore, stop func(time.Duration), _ context.CancelFunc) {
			stop(time.Minute)
			store.out = true
		},
		"cancelled": func(_ *lateStore, stop func(time.Duration), cancel context.CancelFunc) {
			stop(time.Minute)
			cancel()
		},
	} {
		f, store, stop := newStopped()
		ctx, cancel := context.WithCancel(t.Context())
		tries := 0
		err := f.Ask(ctx, func(context.Context) error {
			if tries++; tries == 1 {
				meanwhile(store, stop, cancel)
			}
			return away
		})
		cancel()
		if !errors.Is(err, away) || tries != 1 {
			t.Errorf("%s: asked %d times, %v", name, tries, err)
		}
	}
}
