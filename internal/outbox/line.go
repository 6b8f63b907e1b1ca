package outbox

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/clock"
	"github.com/caddy-email-link/caddy-email-link/internal/limit"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Mails that no known browser has asked for wait in one line, whomever they are for. Each has its place from when it was asked for, by what its
// network had asked for before. Where the mail turns out to be for an account, it leaves at once by senders of another lane, and an empty
// mail keeps its place. The turn of an empty mail, and of one that is dropped, takes as long as a mail usually does. So when a mail
// leaves says nothing about the other mails in the line.
//
// A mail that is above a share has a place behind all that are not. When it is the first of those that are due it spends its share, if that is
// possible by then, and gets a place among the others; otherwise it waits for the end of the window.

// Why a mail is in the line, as an operator reads it.
const (
	waitsForTurn  = "waits for its turn"
	waitsForShare = "waits until " + limit.MailUnknown + " and " + limit.MailNetwork + " permit it"
)

// Position returns the position in the line that a share of a budget gives.
func Position(s limit.Share) uint64 {
	place := uint64(max(s.Turn, 1)) //nolint:gosec // not negative
	if !s.Paid {
		place += storage.PositionUnpaid
	}
	return place
}

// waitEnd returns when a mail whose turn has not come is dropped: after a quarter of what was left of its flow when it was queued.
func waitEnd(m storage.Mail) time.Time { return m.Queued.Add(m.End.Sub(m.Queued) / 4) }

// waitsInVain reports whether a mail is to be dropped whose turn has not come.
func waitsInVain(m storage.Mail, now time.Time) bool {
	_, reason := readReason(m.Reason)
	return m.Lane == storage.LaneLine && (reason == waitsForTurn || reason == waitsForShare) && !now.Before(waitEnd(m))
}

// tries returns how often a leased mail has been tried. That it was looked up before is none of these.
func tries(m storage.Mail) int {
	if m.Lane != storage.LaneNew && m.Position > 0 {
		return max(1, m.Attempts-1)
	}
	return m.Attempts
}

// route moves a new mail to the lane that it leaves by.
func (w *Worker) route(tx storage.Tx, m storage.Mail, p Payload, toAccount bool, now time.Time) error {
	before := countsOf(m)
	before.answered++
	if !toAccount {
		_, err := tx.Outbox().Move(m.ID, m.Attempts, storage.LaneLine, m.Position, now, before.reason(waitsForTurn))
		return err
	}
	moved, err := tx.Outbox().Move(m.ID, m.Attempts, storage.LaneDirect, m.Position, now, before.reason(""))
	if err != nil || !moved {
		return err
	}
	empty := storage.Mail{
		ID: NewID(m.Queued), Due: now, End: m.End, Queued: m.Queued, Purpose: m.Purpose, Site: m.Site, Lane: storage.LaneLine, Position: m.Position,
		Empty: true, Reason: waitsForTurn,
	}
	if empty.Sealed, err = (Payload{Network: p.Network}).Seal(w.Ring, empty.ID); err != nil {
		return err
	}
	return tx.Outbox().Enqueue(empty)
}

// pay spends the shares of leased mails that were above theirs, in their order, and lets those that are above them still wait for the end
// of the window. It returns the mails that need not pay, and those whose record does not open.
func (w *Worker) pay(ctx context.Context, d *Delivery, mails []storage.Mail, now time.Time) (rest []storage.Mail) {
	var due []storage.Mail
	var clients []netip.Addr
	for _, m := range mails {
		if m.Lane != storage.LaneLine || m.Position < storage.PositionUnpaid || waitsInVain(m, now) {
			rest = append(rest, m)
			continue
		}
		p, err := OpenPayload(w.Ring, m.ID, m.Sealed)
		if err != nil {
			rest = append(rest, m)
			continue
		}
		due, clients = append(due, m), append(clients, clientIn(p.Network))
	}
	if len(due) == 0 {
		return rest
	}
	shares, ahead := make([]limit.Share, len(due)), storage.Lookups{Leased: due}
	for _, client := range clients {
		ahead.Counters = append(ahead.Counters, w.Limiter.Prepare(now, d.Limits.Shares(client)...).Slots()...)
	}
	err := w.Store.Update(ctx, func(tx storage.Tx) error {
		if err := tx.Prefetch(ahead); err != nil {
			return err
		}
		for i := range due {
			v, err := w.Limiter.Spend(tx, now, d.Limits.Shares(clients[i])...)
			if err != nil {
				return err
			}
			shares[i] = v.Share
		}
		for i, m := range due {
			if err := settleShare(tx, m, shares[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.logFailure(ctx, "share", err)
		return rest
	}
	for _, s := range shares {
		s.Log(ctx, w.Log, "")
	}
	return rest
}

// clientIn returns an address of a network that a payload names; it is invalid where none is named.
func clientIn(network string) netip.Addr {
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return netip.Addr{}
	}
	return prefix.Addr()
}

// settleShare gives a mail that has spent its share a place among those that have, and lets another one wait.
func settleShare(tx storage.Tx, m storage.Mail, s limit.Share, now time.Time) error {
	before := countsOf(m)
	before.answered++
	if s.Paid {
		_, err := tx.Outbox().Move(m.ID, m.Attempts, storage.LaneLine, Position(s), now, before.reason(waitsForTurn))
		return err
	}
	due := waitEnd(m)
	if s.RetryAt.Before(due) {
		due = s.RetryAt
	}
	_, err := tx.Outbox().Retry(m.ID, m.Attempts, due, before.reason(waitsForShare))
	return err
}

// drop gives up a mail whose turn has not come.
func (w *Worker) drop(ctx context.Context, m storage.Mail, p Payload) {
	if m.Empty {
		w.finishEmpty(ctx, m)
		return
	}
	j, r := classification{}, result{outcome: OutcomeDropped, reason: dropNoTurn}
	if m.Position >= storage.PositionUnpaid {
		j.limit, r.reason = limit.MailUnknown, dropUnknownLimit
	}
	w.record(ctx, m, p, j, r)
}

// finishEmpty removes an empty mail. It was in no list and is in no log.
func (w *Worker) finishEmpty(ctx context.Context, m storage.Mail) {
	ctx = context.WithoutCancel(ctx)
	if err := w.Store.Update(ctx, func(tx storage.Tx) error {
		if err := tx.Prefetch(storage.Lookups{Leased: []storage.Mail{m}}); err != nil {
			return err
		}
		_, err := tx.Outbox().Finish(m.ID, m.Attempts)
		return err
	}); err != nil {
		w.logFailure(ctx, "settle", err)
	}
}

// firstTurn is how long an empty turn waits for the first mail that shows how long one takes.
const firstTurn = time.Second

// turnLength is how long mails take lately: a mean of all of them, in which the last one counts an eighth.
type turnLength struct {
	mu   sync.Mutex
	mean time.Duration
	// measured is closed when the first mail has been measured.
	measured chan struct{}
}

// add counts one mail.
func (t *turnLength) add(elapsed time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.measured:
		t.mean += (elapsed - t.mean) / 8
	default:
		t.mean = elapsed
		close(t.measured)
	}
}

// wait returns when as much time has passed since a time as a mail takes, or when ctx ends.
func (t *turnLength) wait(ctx context.Context, c *clock.Clock, since time.Time) {
	sleep(ctx, t.measured, firstTurn)
	t.mu.Lock()
	mean := t.mean
	t.mu.Unlock()
	sleep(ctx, nil, mean-c.Now().Sub(since))
}

// sleep returns after d, when done is closed or when ctx ends.
func sleep(ctx context.Context, done <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-done:
	case <-timer.C:
	}
}
