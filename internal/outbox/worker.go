// Package outbox sends the mails that flows have queued.
//
// A queued mail is part of the transaction that caused it. What it says derives from its sealed record, so each attempt
// renders the same message, link, code and Message-ID, and nothing at rest holds a link. The worker is also where a mail
// turns out to be a decoy: it looks the mailbox up, binds the flow to the account, chooses the message and renders it in
// any case, and drops only then what must not leave.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/keyring"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/mailer"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Defaults and bounds of the worker.
const (
	// DefaultConcurrency is how many mails to accounts are on their way at once.
	DefaultConcurrency = 16
	// lineShare is how many of these senders the line of all other mails has one for.
	lineShare = 4
	// classifiers is how many mails are looked up at once.
	classifiers = 4
	// DefaultSendTimeout bounds one attempt.
	DefaultSendTimeout = time.Minute
	// DefaultDrain is how long Run waits for running attempts when it is told to stop.
	DefaultDrain = 10 * time.Second
	// leaseMargin is how much longer than an attempt its lease lasts: no other attempt takes a mail while it is being sent.
	leaseMargin = time.Minute
	// DefaultPoll is the longest time between two looks at the queue; Wake and the next due mail make them earlier.
	DefaultPoll = 30 * time.Second
	// SharedPoll is that where other processes queue mails as well. Then each look is the only one: the next due mail is not asked for.
	SharedPoll = 2 * time.Second
	// drainGrace bounds what is still done to an attempt's record after Run was told to stop.
	drainGrace = 5 * time.Second
)

// Delivery is what a configuration says about mail. It may change while the worker runs.
type Delivery struct {
	// Mailer delivers; nil: nothing leaves and mails stay queued until they end.
	Mailer mailer.Mailer
	// Render writes a message. From, ReplyTo, Subject, Text, HTML and Language are its; To, Date and MessageID the worker's.
	Render func(Message) (mailer.Message, error)
	// Accounts finds the account of a mail's address.
	Accounts AccountFinder
	// Sessions knows the networks of an account's sessions.
	Sessions NetworkFinder
	// Limits has the rates of what the worker spends: the shares that mails wait for (mail_unknown, mail_network), and mails above a
	// mailbox's limit for networks of its account's sessions (mail_known).
	Limits limit.Table
}

// NetworkFinder reports whether a live session of an account was opened from the network of an address.
type NetworkFinder interface {
	OpenedFrom(tx storage.Tx, accountID string, client netip.Addr) (bool, error)
}

// AccountFinder returns the account whose mailbox is that of email, in any spelling of it. found is false if there is none.
type AccountFinder interface {
	Lookup(ctx context.Context, email string) (a accounts.Account, found bool, err error)
}

// Worker sends queued mails. It outlives configurations: make one for each store, Run it once, and Use the delivery of each
// new configuration. The first five fields are required; none may be changed after the first use.
type Worker struct {
	Store   storage.Store
	Ring    *keyring.Ring
	Clock   *clock.Clock
	Limiter *limit.Limiter
	// Concurrency is how many mails to accounts are on their way at once; a quarter as many, and at least one, are to others.
	// Default: DefaultConcurrency.
	Concurrency int
	// SendTimeout bounds one attempt. Default: DefaultSendTimeout.
	SendTimeout time.Duration
	// DrainFor is how long Run waits for running attempts when its context ends. Default: DefaultDrain.
	DrainFor time.Duration
	// Shared is set where other processes queue mails in the same store and send from it: nothing but a look tells of theirs.
	Shared bool
	// Observer counts; it may be nil.
	Observer Observer
	// Log gets one line for each attempt; nil disables logging.
	Log *slog.Logger

	delivery atomic.Pointer[Delivery]
	once     sync.Once
	lanes    []*lane
	turns    turnLength
	// stopped is set while no mail leaves until the operator acts, stoppedLogged when the log last said so, in Unix seconds.
	stopped       atomic.Bool
	stoppedLogged atomic.Int64
}

func (w *Worker) init() {
	w.once.Do(func() {
		if w.Concurrency <= 0 {
			w.Concurrency = DefaultConcurrency
		}
		if w.SendTimeout <= 0 {
			w.SendTimeout = DefaultSendTimeout
		}
		if w.DrainFor <= 0 {
			w.DrainFor = DefaultDrain
		}
		w.turns.measured = make(chan struct{})
		for _, l := range storage.Lanes() {
			senders := map[storage.Lane]int{
				storage.LaneDirect: w.Concurrency, storage.LaneNew: classifiers, storage.LaneLine: max(1, w.Concurrency/lineShare),
			}[l]
			w.lanes = append(w.lanes, &lane{of: l, wake: make(chan struct{}, 1), slots: make(chan struct{}, senders)})
		}
	})
}

// lane is one queue of mails with senders of its own.
type lane struct {
	of    storage.Lane
	wake  chan struct{}
	slots chan struct{}
}

// Use replaces the delivery. An attempt that has begun goes on with the one before: close its mailer after this call.
func (w *Worker) Use(d Delivery) {
	w.delivery.Store(&d)
	w.Wake()
}

// Wake tells the worker that a mail was queued. It never blocks.
func (w *Worker) Wake() {
	w.init()
	for _, l := range w.lanes {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Run sends mails until ctx ends. Then it takes no new one, waits up to DrainFor for those on their way, cancels what is left
// and returns nil. What was not sent stays queued for the next Run, also of another process.
func (w *Worker) Run(ctx context.Context) error {
	w.init()
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	turn := func(since time.Time) { w.turns.wait(ctx, w.Clock, since) }
	var lanes, running sync.WaitGroup
	for _, l := range w.lanes {
		lanes.Go(func() {
			w.serve(ctx, l, func(d *Delivery, m storage.Mail) { w.attempt(sending, d, m, turn) }, &running)
		})
	}
	lanes.Wait()
	w.drain(&running, cancel)
	return nil
}

// serve starts an attempt for each mail of one lane that is due, until ctx ends.
func (w *Worker) serve(ctx context.Context, l *lane, attempt func(*Delivery, storage.Mail), running *sync.WaitGroup) {
	for ctx.Err() == nil {
		leased, err := w.dispatch(ctx, l, attempt, running)
		if errors.Is(err, storage.ErrClosed) {
			return
		}
		if err != nil && ctx.Err() == nil {
			w.logFailure(ctx, "lease", err)
		}
		if leased == 0 {
			w.waitForWork(ctx, l, err != nil)
		}
	}
}

// Flush gives each mail that is due an attempt, and returns when all have had theirs. Empty turns take no time. Only one Flush or Run may
// be under way.
func (w *Worker) Flush(ctx context.Context) error {
	w.init()
	attempt := func(d *Delivery, m storage.Mail) { w.attempt(ctx, d, m, func(time.Time) {}) }
	for {
		total := 0
		for _, l := range w.lanes {
			var running sync.WaitGroup
			leased, err := w.dispatch(ctx, l, attempt, &running)
			running.Wait()
			if err != nil {
				return err
			}
			total += leased
		}
		if total == 0 {
			return nil
		}
	}
}

// dispatch waits for a free slot of a lane, leases as many mails as there are free slots, and starts an attempt for each.
func (w *Worker) dispatch(ctx context.Context, l *lane, attempt func(*Delivery, storage.Mail), running *sync.WaitGroup) (leased int, err error) {
	d := w.delivery.Load()
	if d == nil || d.Mailer == nil {
		return 0, nil
	}
	free := 0
	defer func() {
		for ; free > 0; free-- {
			<-l.slots
		}
	}()
	select {
	case l.slots <- struct{}{}:
		free++
	case <-ctx.Done():
		return 0, nil
	}
	for more := true; more; {
		select {
		case l.slots <- struct{}{}:
			free++
		default:
			more = false
		}
	}
	var mails []storage.Mail
	now := w.Clock.Now()
	err = w.Store.Update(ctx, func(tx storage.Tx) (err error) {
		mails, err = tx.Outbox().Lease(l.of, now, now.Add(w.SendTimeout+leaseMargin), free)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("outbox: lease mails: %w", err)
	}
	leased = len(mails)
	for _, m := range w.pay(ctx, d, mails, now) {
		free--
		running.Go(func() {
			defer func() { <-l.slots }()
			attempt(d, m)
		})
	}
	return leased, nil
}

// waitForWork waits until a mail of the lane is due, Wake is called, or ctx ends. After a failure it waits longer.
func (w *Worker) waitForWork(ctx context.Context, l *lane, failed bool) {
	wait := DefaultPoll
	if w.Shared {
		wait = SharedPoll
	} else if d := w.delivery.Load(); d != nil && d.Mailer != nil && !failed {
		var (
			due   time.Time
			found bool
		)
		err := w.Store.View(ctx, func(tx storage.Tx) (err error) {
			due, found, err = tx.Outbox().NextDue(l.of)
			return err
		})
		if err == nil && found {
			// At least a second: a failing store must not make the worker spin.
			wait = min(wait, max(time.Second, due.Sub(w.Clock.Now())))
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-timer.C:
	}
}

// drain waits for running attempts, at first kindly.
func (w *Worker) drain(running *sync.WaitGroup, cancel context.CancelFunc) {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	kindly := time.NewTimer(w.DrainFor)
	defer kindly.Stop()
	select {
	case <-done:
		return
	case <-kindly.C:
	}
	cancel()
	harshly := time.NewTimer(drainGrace)
	defer harshly.Stop()
	select {
	case <-done:
	case <-harshly.C: // a mailer that obeys no context: its lease ends by itself
	}
}

func (w *Worker) logFailure(ctx context.Context, step string, err error) {
	if w.Log != nil {
		w.Log.LogAttrs(ctx, slog.LevelError, "mail queue", slog.String("event", eventMailed), slog.String("outcome", "unavailable"),
			slog.String("step", step), slog.Any("error", err))
	}
}
