package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// leaseIn leases from a lane and checks which mails come, in which order.
func leaseIn(t *testing.T, s storage.Store, lane storage.Lane, at, until time.Time, n int, want ...storage.MailID) {
	t.Helper()
	update(t, s, func(tx storage.Tx) error {
		mails, err := tx.Outbox().Lease(lane, at, until, n)
		var got []storage.MailID
		for _, m := range mails {
			got = append(got, m.ID)
		}
		equal(t, "leased", got, want)
		return err
	})
}

// inLane is a mail of a lane that is due now.
func inLane(name string, lane storage.Lane, place uint64) storage.Mail {
	m := mail(name, now, now.Add(time.Hour))
	m.Lane, m.Position = lane, place
	return m
}

func testLanes(t *testing.T, s storage.Store) {
	until := now.Add(time.Minute)
	for _, lane := range storage.Lanes() {
		enqueue(t, s, inLane(fmt.Sprint("lane", lane), lane, 7))
	}
	for _, lane := range storage.Lanes() {
		m := inLane(fmt.Sprint("lane", lane), lane, 7)
		next := func(want time.Time) {
			t.Helper()
			view(t, s, func(tx storage.Tx) error {
				got, found, err := tx.Outbox().NextDue(lane)
				equal(t, "NextDue", pair(got, found), pair(want, true))
				return err
			})
		}
		next(now)
		update(t, s, func(tx storage.Tx) error {
			got, err := tx.Outbox().Lease(lane, now, until, 9)
			equal(t, "leased", got, []storage.Mail{leased(m, until, 1)})
			return err
		})
		next(until)
		leaseIn(t, s, lane, now, until, 9)
	}
}

func testPlacesOf(t *testing.T, s storage.Store, lane storage.Lane) {
	t.Helper()
	until, later := now.Add(time.Minute), now.Add(2*time.Minute)
	far, near, middle, unready := inLane("far", lane, 1<<40), inLane("near", lane, 1), inLane("middle", lane, 300),
		inLane("unready", lane, 0)
	unready.Due = now.Add(time.Second)
	enqueue(t, s, far, middle, unready)
	leaseIn(t, s, lane, now, until, 1, middle.ID)
	enqueue(t, s, near) // comes after far has been found due, and goes before it
	leaseIn(t, s, lane, now, until, 1, near.ID)
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Retry(middle.ID, 1, now, "again") })
	leaseIn(t, s, lane, now.Add(time.Second), later, 9, unready.ID, middle.ID, far.ID)
	leaseIn(t, s, lane, until, later, 9, near.ID) // the lease has ended
	for _, m := range []storage.Mail{near, middle} {
		act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 2) })
	}
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Requeue(far.ID, now) })
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.DeadLetter(unready.ID, 1, "") })
	leaseIn(t, s, lane, now, until, 9, far.ID)
	leaseIn(t, s, lane, later, later.Add(time.Microsecond), 9, far.ID)
}

func testMove(t *testing.T, s storage.Store) {
	until := now.Add(time.Minute)
	m := inLane("m", storage.LaneNew, 0)
	enqueue(t, s, m)
	leaseIn(t, s, storage.LaneNew, now, until, 1, m.ID)
	move := func(attempt int, lane storage.Lane) func(storage.Outbox) (bool, error) {
		return func(o storage.Outbox) (bool, error) { return o.Move(m.ID, attempt, lane, 5, now, "waits") }
	}
	act(t, s, false, move(2, storage.LaneLine))
	act(t, s, true, move(1, storage.LaneLine))
	leaseIn(t, s, storage.LaneNew, until, until.Add(time.Microsecond), 1)
	m.Lane, m.Position, m.Reason = storage.LaneLine, 5, "waits"
	update(t, s, func(tx storage.Tx) error {
		got, err := tx.Outbox().Lease(storage.LaneLine, now, until, 9)
		equal(t, "leased", got, []storage.Mail{leased(m, until, 2)})
		return err
	})
	act(t, s, true, move(2, storage.LaneDirect))
	leaseIn(t, s, storage.LaneLine, until, until.Add(time.Microsecond), 1)
	leaseIn(t, s, storage.LaneDirect, now, until, 1, m.ID)
}

func testEmpty(t *testing.T, s storage.Store) {
	m := inLane("empty", storage.LaneLine, 1)
	m.Empty = true
	enqueue(t, s, m)
	unlisted := func() {
		t.Helper()
		view(t, s, func(tx storage.Tx) error {
			waiting, _, err := tx.Outbox().Stats()
			equal(t, "waiting", waiting, 0)
			list, listErr := tx.Outbox().List(false, 9)
			equal(t, "listed", len(list), 0)
			return errors.Join(err, listErr)
		})
	}
	unlisted()
	unpaid := inLane("unpaid", storage.LaneLine, storage.PositionUnpaid)
	enqueue(t, s, unpaid)
	view(t, s, func(tx storage.Tx) error {
		waiting, _, err := tx.Outbox().Stats()
		equal(t, "waiting", waiting, 0)
		list, listErr := tx.Outbox().List(false, 9)
		equal(t, "listed", list, []storage.Mail{unpaid})
		return errors.Join(err, listErr)
	})
	leaseIn(t, s, storage.LaneLine, now, now.Add(time.Minute), 9, m.ID, unpaid.ID)
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Finish(unpaid.ID, 1) })
	unlisted()
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Retry(m.ID, 1, now, "") })
	leaseIn(t, s, storage.LaneLine, now, now.Add(time.Minute), 1, m.ID)
	if _, err := s.Sweep(context.Background(), m.End, 9); err != nil {
		t.Fatal(err)
	}
	leaseIn(t, s, storage.LaneLine, m.End, m.End.Add(time.Microsecond), 9)
}
