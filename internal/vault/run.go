package vault

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// tickEvery is how often ended sessions are looked for among open sockets: they close within 5 seconds.
	tickEvery = time.Second
	// sweepEvery is how often the clock is persisted and expired records are deleted.
	sweepEvery = time.Minute
	// sweepChunk is how many records are deleted, in transactions of about a millisecond, before sweepPause lets others write.
	sweepChunk = 1000
	sweepPause = 2 * time.Millisecond
)

// Start begins to look after the state, until Close. Only the first call does.
func (v *Vault) Start() {
	v.start.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		v.cancel = cancel
		v.every(ctx, tickEvery, func(ctx context.Context) error {
			v.Sessions.Tick(v.Clock.Now())
			return v.Machines.Tick(ctx, v.Clock.Now())
		})
		v.every(ctx, sweepEvery, func(ctx context.Context) error {
			v.reportStep()
			_, err := v.Sweep(ctx)
			return err
		})
	})
}

// every calls f in a goroutine of its own, again and again. Its failures are logged; the next call may do better.
func (v *Vault) every(ctx context.Context, d time.Duration, f func(context.Context) error) {
	v.wg.Go(func() {
		t := time.NewTicker(d)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if err := f(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, storage.ErrClosed) {
				v.log.Error("looking after the database failed", "event", "store", "error", err)
			}
		}
	})
}

// Sweep persists the clock, deletes what has expired, in small transactions, and says how much it was. While the clock is in
// doubt it deletes nothing: a clock that was wrong for a while must not have destroyed anything.
//
// The clock comes first: whatever has been deleted stays over, also for a process that starts with the system's clock set back.
// A link that carries its flow would be good again for as long as nothing says that it was used.
func (v *Vault) Sweep(ctx context.Context) (deleted int, err error) {
	now := v.Clock.Now()
	if err := v.SaveClock(ctx); err != nil {
		return 0, err
	}
	for {
		if _, doubtful := v.Clock.Stepped(); doubtful {
			return deleted, nil
		}
		n, err := v.Store.Sweep(ctx, now, sweepChunk)
		deleted += n
		if err != nil || n < sweepChunk {
			return deleted, err
		}
		select {
		case <-ctx.Done():
			return deleted, ctx.Err()
		case <-time.After(sweepPause):
		}
	}
}

// reportStep logs that the wall clock has stepped away from the gate's time, and that it is back.
func (v *Vault) reportStep() {
	d, doubtful := v.Clock.Stepped()
	if (d != 0) == v.stepped {
		return
	}
	v.stepped = d != 0
	if v.stepped {
		v.log.Warn("the system's clock has jumped; what ends here goes by the time before the jump until the clock has settled",
			"event", "clock", "step", d, "doubtful", doubtful)
	} else {
		v.log.Info("the system's clock and the gate's agree again", "event", "clock")
	}
}
