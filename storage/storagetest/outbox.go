package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var outboxTests = map[string]func(*testing.T, storage.Store){
	"LeaseWhatIsDue":                  testLease,
	"ALeaseEnds":                      testLeaseEnds,
	"FinishIsTheLeaseholders":         testMailFinish,
	"RetryMovesDue":                   testRetry,
	"MAIL5_DeadLetterLosesItsSeed":    testDeadLetter,
	"MAIL4_DeadLetterIsRequeued":      testRequeueDead,
	"Requeue":                         testRequeue,
	"LanesAreApart":                   testLanes,
	"FAIR1_TheLineGoesByPlaces":       func(t *testing.T, s storage.Store) { testPlacesOf(t, s, storage.LaneLine) },
	"FAIR2_MailsToAccountsGoByPlaces": func(t *testing.T, s storage.Store) { testPlacesOf(t, s, storage.LaneDirect) },
	"MoveEndsALease":                  testMove,
	"EmptyMailsAreNotListed":          testEmpty,
	"StatsAndList":                    testStats,
	"ALeaseMustEndAfterNow":           testLeaseBounds,
	"DeadLettersAreNeitherDueNorSent": testDeadNotDue,
	"MAIL4_AnnouncedMailsAreCompared": testLeasedAhead,
	"AnnouncedLanes":                  testDueAhead,
}

func enqueue(t *testing.T, s storage.Store, mails ...storage.Mail) {
	t.Helper()
	update(t, s, func(tx storage.Tx) error {
		for _, m := range mails {
			if err := tx.Outbox().Enqueue(m); err != nil {
				return err
			}
		}
		return nil
	})
}

// lease leases and checks which mails come, in which order.
func lease(t *testing.T, s storage.Store, at, until time.Time, n int, want ...storage.Mail) {
	t.Helper()
	update(t, s, func(tx storage.Tx) error {
		got, err := tx.Outbox().Lease(storage.LaneDirect, at, until, n)
		equal(t, "leased", got, want)
		return err
	})
}

func wantDue(t *testing.T, s storage.Store, want time.Time) {
	t.Helper()
	view(t, s, func(tx storage.Tx) error {
		got, found, err := tx.Outbox().NextDue(storage.LaneDirect)
		equal(t, "NextDue", pair(got, found), pair(want, !want.IsZero()))
		return err
	})
}

// leased is a mail as a lease hands it out.
func leased(m storage.Mail, until time.Time, attempt int) storage.Mail {
	m.Due, m.Attempts = until, attempt
	return m
}

func testLease(t *testing.T, s storage.Store) {
	wantDue(t, s, time.Time{})
	end := now.Add(time.Hour)
	a, b, c := mail("a", now.Add(-2*time.Microsecond), end), mail("b", now.Add(-time.Microsecond), end), mail("c", now, end)
	late := mail("late", now.Add(time.Microsecond), end)
	enqueue(t, s, late, c, a, b)
	wantDue(t, s, a.Due)
	until := now.Add(time.Minute)
	lease(t, s, now, until, 0)
	lease(t, s, now, until, 2, leased(a, until, 1), leased(b, until, 1))
	wantDue(t, s, c.Due)
	lease(t, s, now, until, 9, leased(c, until, 1))
	lease(t, s, now, until, 9)
	wantDue(t, s, late.Due)
}

func testLeaseEnds(t *testing.T, s storage.Store) {
	m := mail("m", now, now.Add(time.Hour))
	enqueue(t, s, m)
	until := now.Add(time.Minute)
	lease(t, s, now, until, 1, leased(m, until, 1))
	wantDue(t, s, until)
	lease(t, s, until.Add(-time.Microsecond), until.Add(time.Minute), 1)
	lease(t, s, until, until.Add(time.Minute), 1, leased(m, until.Add(time.Minute), 2))
}

func testLeaseBounds(t *testing.T, s storage.Store) {
	enqueue(t, s, mail("m", now, now.Add(time.Hour)))
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		_, err := tx.Outbox().Lease(storage.LaneDirect, now, now, 1)
		return err
	})
	if err == nil {
		t.Error("a lease that ends at once was handed out")
	}
}

// act runs one of the intents that need a lease and checks its answer.
func act(t *testing.T, s storage.Store, want bool, fn func(storage.Outbox) (bool, error)) {
	t.Helper()
	update(t, s, func(tx storage.Tx) error {
		got, err := fn(tx.Outbox())
		equal(t, "answer", got, want)
		return err
	})
}

func testMailFinish(t *testing.T, s storage.Store) {
	m := mail("m", now, now.Add(time.Hour))
	enqueue(t, s, m)
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 0) }) // nobody's
	until := now.Add(time.Minute)
	lease(t, s, now, until, 1, leased(m, until, 1))
	lease(t, s, until, until.Add(time.Microsecond), 1, leased(m, until.Add(time.Microsecond), 2))
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 1) }) // somebody else's by now
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.Retry(m.ID, 1, now, "") })
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.DeadLetter(m.ID, 1, "") })
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 2) })
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 2) })
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.Requeue(m.ID, now) })
	wantDue(t, s, time.Time{})
}

// testLeasedAhead announces mails as they were leased. What has become of them meanwhile counts.
func testLeasedAhead(t *testing.T, s storage.Store) {
	until := now.Add(time.Minute)
	ahead := func(m storage.Mail, fn func(storage.Outbox) (bool, error)) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			if err := tx.Prefetch(storage.Lookups{Leased: []storage.Mail{m}}); err != nil {
				return err
			}
			got, err := fn(tx.Outbox())
			equal(t, "answer", got, true)
			return err
		})
	}
	m := mail("m", now, now.Add(time.Hour))
	enqueue(t, s, m)
	first, second, third := leased(m, until, 1), leased(m, until.Add(time.Minute), 2), leased(m, until.Add(2*time.Minute), 3)
	lease(t, s, now, first.Due, 1, first)
	lease(t, s, first.Due, second.Due, 1, second)
	var runs int
	update(t, s, func(tx storage.Tx) error { // its lease has ended
		runs++
		err := tx.Prefetch(storage.Lookups{Leased: []storage.Mail{first}})
		finished, err2 := tx.Outbox().Finish(m.ID, 1)
		if finished && runs > 1 {
			t.Error("finished by a lease that has ended")
		}
		return errors.Join(err, err2)
	})
	ahead(second, func(o storage.Outbox) (bool, error) { return o.Move(m.ID, 2, storage.LaneLine, 7, now, "moved") })
	ahead(second, func(o storage.Outbox) (bool, error) { return o.Retry(m.ID, 2, second.Due, "again") })
	third.Lane, third.Position, third.Reason = storage.LaneLine, 7, "again"
	update(t, s, func(tx storage.Tx) error {
		got, err := tx.Outbox().Lease(storage.LaneLine, second.Due, third.Due, 1)
		equal(t, "the mail", got, []storage.Mail{third})
		return err
	})
	ahead(third, func(o storage.Outbox) (bool, error) { return o.Requeue(m.ID, now) })
	ahead(third, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 3) })
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 3) })
}

// testDueAhead announces lanes, more and less than the step then leases, and changes mails in between.
func testDueAhead(t *testing.T, s storage.Store) {
	a, b, c := mail("a", now.Add(-2*time.Second), now.Add(time.Hour)), mail("b", now.Add(-time.Second), now.Add(time.Hour)), mail("c", now, now.Add(time.Hour))
	late := mail("late", now.Add(time.Second), now.Add(time.Hour))
	enqueue(t, s, a, b, c, late)
	until := now.Add(time.Minute)
	for _, n := range []int{0, 1, 2, 3, 4} {
		err := s.Update(context.Background(), func(tx storage.Tx) error {
			if err := tx.Prefetch(storage.Lookups{Due: []storage.DueMails{{Lane: storage.LaneDirect, At: now, N: n}, {Lane: storage.LaneLine, At: now, N: 1}}}); err != nil {
				return err
			}
			first, _, err := tx.Outbox().NextDue(storage.LaneDirect)
			one, err2 := tx.Outbox().Lease(storage.LaneDirect, now, until, 1)
			_, err3 := tx.Outbox().Finish(a.ID, 1)
			err4 := tx.Outbox().Enqueue(mail("own", now.Add(-time.Minute), now.Add(time.Hour)))
			rest, err5 := tx.Outbox().Lease(storage.LaneDirect, now, until, 9)
			next, _, err6 := tx.Outbox().NextDue(storage.LaneDirect)
			_, any, err7 := tx.Outbox().NextDue(storage.LaneLine)
			equal(t, "leased first", pair(first, one), pair(a.Due, []storage.Mail{leased(a, until, 1)}))
			equal(t, "leased then", rest, []storage.Mail{leased(mail("own", now.Add(-time.Minute), now.Add(time.Hour)), until, 1), leased(b, until, 1), leased(c, until, 1)})
			equal(t, "next", pair(next, any), pair(late.Due, false))
			return errors.Join(err, err2, err3, err4, err5, err6, err7, errUndo)
		})
		if !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
	}
}

// errUndo makes a step leave nothing.
var errUndo = errors.New("the step is undone")

func testRetry(t *testing.T, s storage.Store) {
	m := mail("m", now, now.Add(time.Hour))
	enqueue(t, s, m)
	until, again := now.Add(time.Minute), now.Add(10*time.Minute)
	lease(t, s, now, until, 1, leased(m, until, 1))
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Retry(m.ID, 1, again, "refused") })
	wantDue(t, s, again)
	lease(t, s, again.Add(-time.Microsecond), again, 1)
	m.Reason = "refused"
	lease(t, s, again, again.Add(time.Microsecond), 1, leased(m, again.Add(time.Microsecond), 2))
}

func testDeadLetter(t *testing.T, s storage.Store) {
	m := mail("m", now, now.Add(time.Hour))
	enqueue(t, s, m)
	until := now.Add(time.Minute)
	lease(t, s, now, until, 1, leased(m, until, 1))
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.DeadLetter(m.ID, 1, "no such mailbox") })
	m = leased(m, until, 1)
	m.Dead, m.Reason = true, "no such mailbox"
	wantDead := func() {
		t.Helper()
		view(t, s, func(tx storage.Tx) error {
			dead, err := tx.Outbox().List(true, 9)
			if err != nil {
				return err
			}
			equal(t, "dead letters", dead, []storage.Mail{m})
			waiting, err := tx.Outbox().List(false, 9)
			equal(t, "waiting", len(waiting), 0)
			return err
		})
	}
	wantDead()
	sweep(t, s, m.End.Add(-1), 10, 0)
	wantDead()
	sweep(t, s, m.End, 10, 1)
	m.Sealed = nil
	wantDead()
	act(t, s, false, func(o storage.Outbox) (bool, error) { return o.Requeue(m.ID, now) })
	wantDue(t, s, time.Time{})
}

// testRequeueDead requeues a dead letter twice: it is a waiting mail again, with its next attempt, and ends as one.
func testRequeueDead(t *testing.T, s storage.Store) {
	m := mail("m", now, now.Add(time.Hour))
	enqueue(t, s, m)
	until := now.Add(time.Minute)
	for attempt := range 2 {
		lease(t, s, now, until, 1, leased(m, until, attempt+1))
		act(t, s, true, func(o storage.Outbox) (bool, error) { return o.DeadLetter(m.ID, attempt+1, "relay denied") })
		m.Reason = "relay denied"
		wantDue(t, s, time.Time{})
		act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Requeue(m.ID, now) })
		wantDue(t, s, now)
	}
	m.Attempts = 2
	view(t, s, func(tx storage.Tx) error {
		dead, err := tx.Outbox().List(true, 9)
		equal(t, "dead letters", len(dead), 0)
		return err
	})
	lease(t, s, now, until, 1, leased(m, until, 3))
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 3) })
	sweep(t, s, m.End.Add(storage.DeadLetterRetention), 10, 0)
}

func testDeadNotDue(t *testing.T, s storage.Store) {
	m := mail("m", now, now.Add(time.Hour))
	enqueue(t, s, m)
	until := now.Add(time.Minute)
	lease(t, s, now, until, 1, leased(m, until, 1))
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.DeadLetter(m.ID, 1, "") })
	wantDue(t, s, time.Time{})
	lease(t, s, until, until.Add(time.Microsecond), 9)
	for _, fn := range []func(storage.Outbox) (bool, error){
		func(o storage.Outbox) (bool, error) { return o.Finish(m.ID, 1) },
		func(o storage.Outbox) (bool, error) { return o.Retry(m.ID, 1, now, "") },
		func(o storage.Outbox) (bool, error) { return o.DeadLetter(m.ID, 1, "") },
	} {
		act(t, s, false, fn)
	}
}

func testRequeue(t *testing.T, s storage.Store) {
	m := mail("m", now.Add(time.Hour), now.Add(2*time.Hour))
	enqueue(t, s, m)
	lease(t, s, now, now.Add(time.Microsecond), 1)
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.Requeue(m.ID, now) })
	wantDue(t, s, now)
	lease(t, s, now, now.Add(time.Microsecond), 1, leased(m, now.Add(time.Microsecond), 1))
}

func testStats(t *testing.T, s storage.Store) {
	wantStats := func(waiting int, oldest time.Time) {
		t.Helper()
		view(t, s, func(tx storage.Tx) error {
			n, at, err := tx.Outbox().Stats()
			equal(t, "Stats", pair(n, at), pair(waiting, oldest))
			return err
		})
	}
	wantStats(0, time.Time{})
	for i := range 5 {
		m := mail(fmt.Sprint(i), now.Add(time.Duration(5-i)*time.Second), now.Add(time.Hour))
		m.Queued = now.Add(time.Duration(i) * time.Second)
		enqueue(t, s, m)
	}
	wantStats(5, now)
	update(t, s, func(tx storage.Tx) error { // the one that is due last was queued first
		mails, err := tx.Outbox().Lease(storage.LaneDirect, now.Add(time.Hour), now.Add(2*time.Hour), 5)
		if err != nil {
			return err
		}
		_, err = tx.Outbox().Finish(mails[4].ID, 1)
		return err
	})
	wantStats(4, now.Add(time.Second))
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Outbox().List(false, 3)
		equal(t, "limited", len(list), 3)
		return err
	})
}
