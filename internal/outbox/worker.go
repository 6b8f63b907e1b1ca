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
	// SharedPoll is that where other processes queue mails as well.
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
	// Invitations finds those of a mailbox; nil: there are none.
	Invitations InvitationFinder
	// Limits has the rates of what the worker spends: the shares that mails wait for (mail_unknown, mail_network), and mails above a
	// mailbox's limit for networks of its account's sessions (mail_known).
	Limits limit.Table
}

// NetworkFinder reports whether a live session of an account was opened from the network of an address.
type NetworkFinder interface {
	OpenedFrom(tx storage.Tx, accountID string, client netip.Addr) (bool, error)
}

// InvitationFinder returns the invitation of a mailbox to a site, an origin, that may be accepted; nil if there is none.
type InvitationFinder interface {
	Invited(tx storage.Tx, site string, mailbox storage.Digest) (*Invitation, error)
}

// AccountFinder returns the account whose mailbox is that of email, in any spelling of it. found is false if there is none.
type AccountFinder interface {
	ByEmail(tx storage.Tx, email string) (a accounts.Account, found bool, err error)
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
	wake     chan struct{}
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
		w.wake = make(chan struct{}, 1)
		w.turns.measured = make(chan struct{})
		for _, l := range storage.Lanes() {
			senders := map[storage.Lane]int{
				storage.LaneDirect: w.Concurrency, storage.LaneNew: classifiers, storage.LaneLine: max(1, w.Concurrency/lineShare),
			}[l]
			w.lanes = append(w.lanes, &lane{of: l, slots: make(chan struct{}, senders)})
		}
	})
}

// lane is one queue of mails with senders of its own.
type lane struct {
	of    storage.Lane
	slots chan struct{}
	// waits is set while more mails may be due than there are free senders.
	waits atomic.Bool
}

// acquire takes up to n free slots of a lane.
func (l *lane) acquire(n int) (free int) {
	for ; free < n; free++ {
		select {
		case l.slots <- struct{}{}:
		default:
			return free
		}
	}
	return free
}

// release gives slots of a lane back. Where mails wait for one it wakes the worker.
func (w *Worker) release(l *lane, n int) {
	for range n {
		<-l.slots
	}
	if n > 0 && l.waits.Load() {
		w.Wake()
	}
}

// Use replaces the delivery. An attempt that has begun goes on with the one before: close its mailer after this call.
func (w *Worker) Use(d Delivery) {
	w.delivery.Store(&d)
	w.Wake()
}

// Wake tells the worker that a mail was queued. It never blocks.
func (w *Worker) Wake() {
	w.init()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run sends mails until ctx ends. Then it takes no new one, waits up to DrainFor for those on their way, cancels what is left
// and returns nil. What was not sent stays queued for the next Run, also of another process.
func (w *Worker) Run(ctx context.Context) error {
	w.init()
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &sending{Worker: w, ctx: attempts, stop: ctx, turn: func(since time.Time) { w.turns.wait(ctx, w.Clock, since) }}
	for ctx.Err() == nil {
		_, wait, err := s.dispatch()
		if errors.Is(err, storage.ErrClosed) {
			break
		}
		if err != nil && ctx.Err() == nil {
			w.logFailure(ctx, "lease", err)
		}
		w.rest(ctx, wait)
	}
	w.drain(&s.running, cancel)
	return nil
}

// Flush gives each mail that is due an attempt, and returns when all have had theirs. Empty turns take no time. Only one Flush or Run may
// be under way.
func (w *Worker) Flush(ctx context.Context) error {
	w.init()
	s := &sending{Worker: w, ctx: ctx, stop: ctx, turn: func(time.Time) {}}
	for {
		leased, _, err := s.dispatch()
		s.running.Wait()
		if err != nil || leased == 0 {
			return err
		}
	}
}

// sending is one Run or Flush.
type sending struct {
	*Worker
	// ctx is that of the attempts. None begins once stop has ended.
	ctx, stop context.Context //nolint:containedctx // of goroutines
	// turn waits until as much time has passed since a time as a mail usually takes.
	turn    func(since time.Time)
	running sync.WaitGroup
}

// dispatch leases due mails, of each lane as many as it has free senders, all in one step, and starts an attempt for each. wait is how
// long nothing else will be due.
func (s *sending) dispatch() (leased int, wait time.Duration, err error) {
	d := s.delivery.Load()
	if d == nil || d.Mailer == nil {
		return 0, s.poll(), nil
	}
	free, total := make([]int, len(s.lanes)), 0
	for i, l := range s.lanes {
		l.waits.Store(true) // before it is known: a slot that is given back meanwhile is not missed
		free[i] = l.acquire(cap(l.slots))
		total += free[i]
	}
	if total == 0 {
		return 0, s.poll(), nil
	}
	now := s.Clock.Now()
	mails, next := make([][]storage.Mail, len(s.lanes)), time.Time{}
	err = s.Store.Update(s.stop, func(tx storage.Tx) (err error) {
		if next, err = s.lease(tx, now, free, mails); err == nil {
			err = s.stop.Err() // a mail may have been moved here by the step that was to be the last
		}
		return err
	})
	if err != nil {
		clear(mails)
		err = fmt.Errorf("outbox: lease mails: %w", err)
	}
	for i, l := range s.lanes {
		l.waits.Store(err == nil && len(mails[i]) == free[i])
		s.release(l, free[i]-len(mails[i]))
	}
	for i, l := range s.lanes { // with the free senders given back: a new mail finds one for the lane it moves to
		s.start(d, l, mails[i], now, nil)
		leased += len(mails[i])
	}
	if err != nil {
		return 0, s.poll(), err
	}
	// At least a second: a failing store must not make the worker spin.
	return leased, min(s.poll(), max(time.Second, next.Sub(s.Clock.Now()))), nil
}

// lease leases up to free mails of each lane, and returns when the next mail of a lane is due that has a sender left.
func (w *Worker) lease(tx storage.Tx, now time.Time, free []int, mails [][]storage.Mail) (next time.Time, err error) {
	var ahead storage.Lookups
	for i, l := range w.lanes {
		ahead.Due = append(ahead.Due, storage.DueMails{Lane: l.of, At: now, N: free[i]})
	}
	if err := tx.Prefetch(ahead); err != nil {
		return next, err
	}
	next = now.Add(w.poll())
	for i, l := range w.lanes {
		if mails[i], err = tx.Outbox().Lease(l.of, now, w.leaseEnd(now), free[i]); err != nil {
			return next, err
		}
		if len(mails[i]) == free[i] {
			continue // a sender that becomes free looks again
		}
		due, found, err := tx.Outbox().NextDue(l.of)
		if err != nil {
			return next, err
		}
		if found && due.Before(next) {
			next = due
		}
	}
	return next, nil
}

// leaseEnd returns when the lease of a mail ends that is taken now.
func (w *Worker) leaseEnd(now time.Time) time.Time { return now.Add(w.SendTimeout + leaseMargin) }

// start starts an attempt for each of some mails of a lane that hold a slot of it. known is what one of them was found to be in the step that
// has leased it, nil if that is not known.
func (s *sending) start(d *Delivery, l *lane, mails []storage.Mail, now time.Time, known *classification) {
	rest := s.pay(s.stop, d, mails, now)
	s.release(l, len(mails)-len(rest))
	for _, m := range rest {
		s.running.Go(func() {
			defer s.release(l, 1)
			s.attempt(d, m, known)
		})
	}
}

// poll is the longest time between two looks at the queue.
func (w *Worker) poll() time.Duration {
	if w.Shared {
		return SharedPoll
	}
	return DefaultPoll
}

// rest waits for a time, until Wake is called, or until ctx ends.
func (w *Worker) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-w.wake:
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
