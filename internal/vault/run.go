package vault

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// tickEvery is how often requests in flight are compared with their sessions: they end within 5 seconds.
	tickEvery = time.Second
	// sweepEvery is how often the clock is persisted and expired records are deleted.
	sweepEvery = time.Minute
	// sweepChunk is how many records are deleted, in transactions of about a millisecond, before sweepPause lets others write.
	sweepChunk = 1000
	sweepPause = 2 * time.Millisecond
)

// Start starts the periodic work, which runs until Close. Later calls do nothing.
func (v *Vault) Start() {
	v.start.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		v.cancel = cancel
		v.every(ctx, tickEvery, v.checkIncarnation)
		v.every(ctx, tickEvery, func(ctx context.Context) error {
			v.Sessions.Tick(v.Clock.Now())
			return v.Machines.Tick(ctx, v.Clock.Now())
		})
		if v.shared != nil {
			v.every(ctx, tickEvery, v.Sessions.WriteUses)
		}
		v.every(ctx, sweepEvery, func(ctx context.Context) error {
			v.reportStep()
			return errors.Join(v.reloadSigning(ctx), v.sweepOnce(ctx))
		})
	})
}

// every calls f every d in a goroutine of its own, until ctx is done. It logs an error of f and goes on.
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

// sweepOnce sweeps, unless another node does.
func (v *Vault) sweepOnce(ctx context.Context) error {
	sweep := func(ctx context.Context) error {
		_, err := v.Sweep(ctx)
		return err
	}
	if v.shared == nil {
		return sweep(ctx)
	}
	_, err := v.shared.RunExclusive(ctx, "sweep", sweep)
	return err
}

// Sweep persists the clock, deletes the accounts that their owners have deleted a while ago and expired records in small transactions, and returns
// how many records it has deleted. While the clock is in
// doubt it deletes nothing, so that a clock that was wrong for a while destroys nothing.
//
// The clock is persisted first, so that what has been deleted stays expired in a process that starts with the system's clock set
// back. A stateless link would be valid again otherwise, because the record of its use is deleted.
func (v *Vault) Sweep(ctx context.Context) (deleted int, err error) {
	now := v.Clock.Now()
	if err := v.SaveClock(ctx); err != nil {
		return 0, err
	}
	if _, doubtful := v.Clock.Stepped(); !doubtful {
		gone, err := v.Accounts.DeleteDue(ctx, now)
		if err != nil {
			return 0, err
		}
		if gone > 0 {
			v.log.InfoContext(ctx, "accounts that their owners had deleted are gone", "event", "changed", "purpose", "account", "outcome", "deleted", "accounts", gone)
		}
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

// reportStep logs when the wall clock steps away from the gate's time, and when the two agree again.
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
