package storagetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// ruleTests are those of the rules in the package comment of storage that one caller sees; those that take many are in
// [RunConcurrency].
var ruleTests = map[string]func(*testing.T, storage.Store){
	"AViewReadsForUpdateAsItReads":      testViewForUpdate,
	"TimesAreKeptToTheMicrosecond":      testTimes,
	"EventsOfOneStepKeepTheirOrder":     testEventOrder,
	"SES1_ChangesAreToldBeforeTheEnd":   testChanges,
	"SES1_NothingIsToldOfWhatFailed":    testChangesUndone,
	"PrefetchChangesNothing":            testPrefetch,
	"IncarnationStays":                  testIncarnation,
	"SES3_TouchAllAnswersForEach":       testTouchAll,
	"AGuardThatHoldsChangesNothing":     testGuardAlone,
	"OneStepCreatesChangesAndDeletes":   testOneStep,
	"WhatAStepListsIncludesItsOwnWrite": testListOwn,
}

func testViewForUpdate(t *testing.T, s storage.Store) {
	a := account("a")
	f := createFlow(t, s, flow("f", now.Add(time.Hour)))
	update(t, s, func(tx storage.Tx) error {
		_, err := tx.Accounts().Create(a)
		_, err2 := tx.Epochs().Raise(storage.GlobalEpoch)
		return errors.Join(err, err2, tx.Meta().Put("x", []byte("y")))
	})
	a.Version = 1
	view(t, s, func(tx storage.Tx) error {
		byID, found1, err1 := tx.Accounts().GetForUpdate(a.ID)
		byMailbox, found2, err2 := tx.Accounts().ByMailboxForUpdate(a.Mailbox)
		n, err3 := tx.Epochs().GetForUpdate(storage.GlobalEpoch)
		read, found3, err4 := tx.Flows().GetForUpdate(f.Key)
		value, found4, err5 := tx.Meta().GetForUpdate("x")
		_, absent, err6 := tx.Meta().GetForUpdate("none")
		equal(t, "account", pair(byID, byMailbox), pair(a, a))
		equal(t, "flow", read, f)
		equal(t, "value", pair(string(value), n), pair("y", uint64(1)))
		equal(t, "found", []bool{found1, found2, found3, found4, absent}, []bool{true, true, true, true, false})
		return errors.Join(err1, err2, err3, err4, err5, err6)
	})
}

func testTimes(t *testing.T, s storage.Store) {
	at := now.Add(123456789)
	se := session("s", "me", now.Add(time.Hour))
	se.Seen, se.IdleEnd = at, at.Add(time.Hour)
	createSession(t, s, se)
	view(t, s, func(tx storage.Tx) error {
		got, _, err := tx.Sessions().Get(se.Key)
		for _, c := range [][2]time.Time{{got.Seen, se.Seen}, {got.IdleEnd, se.IdleEnd}} {
			if lost := c[1].Sub(c[0]); lost < 0 || lost >= time.Microsecond {
				t.Errorf("%v was kept as %v", c[1], c[0])
			}
		}
		return err
	})
}

func testEventOrder(t *testing.T, s storage.Store) {
	update(t, s, func(tx storage.Tx) error {
		var errs []error
		for i := range 5 {
			errs = append(errs, tx.Events().Append(storage.Event{Time: now, Name: fmt.Sprint(i)}, now.Add(time.Hour)))
		}
		return errors.Join(errs...)
	})
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Events().List(storage.EventFilter{}, 9)
		var got string
		for _, e := range list {
			got += e.Name
		}
		equal(t, "order", got, "43210")
		return err
	})
}

func testChanges(t *testing.T, s storage.Store) {
	want := []storage.Change{
		{Kind: storage.ChangeAccount, Account: "me"},
		{Kind: storage.ChangeSession, Account: "me", Key: key(now, "s")},
		{Kind: storage.ChangeAll},
	}
	var got, other []storage.Change
	var committed []uint64
	stop := s.Subscribe(func(c storage.Change) {
		got = append(got, c)
		view(t, s, func(tx storage.Tx) error { // a subscriber reads what was committed
			n, err := tx.Epochs().Get(storage.GlobalEpoch)
			committed = append(committed, n)
			return err
		})
	})
	defer s.Subscribe(func(c storage.Change) { other = append(other, c) })()
	publish := func(tx storage.Tx) error {
		_, err := tx.Epochs().Raise(storage.GlobalEpoch)
		for _, c := range want {
			err = errors.Join(err, tx.Changes().Publish(c))
		}
		return err
	}
	update(t, s, publish)
	equal(t, "told", pair(got, committed), pair(want, []uint64{1, 1, 1}))
	stop()
	stop()
	update(t, s, publish)
	equal(t, "told after stop", pair(len(got), len(other)), pair(len(want), 2*len(want)))
	err := s.View(context.Background(), func(tx storage.Tx) error { return tx.Changes().Publish(want[0]) })
	if !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("Publish in a View = %v, want ErrReadOnly", err)
	}
}

func testChangesUndone(t *testing.T, s storage.Store) {
	notified := 0
	defer s.Subscribe(func(storage.Change) { notified++ })()
	for name, step := range map[string]func(storage.Tx) error{
		"an error": func(tx storage.Tx) error { return errTest },
		"an error after a write": func(tx storage.Tx) error {
			return errors.Join(tx.Meta().Put("x", nil), errTest)
		},
	} {
		err := s.Update(context.Background(), func(tx storage.Tx) error {
			if err := tx.Changes().Publish(storage.Change{Kind: storage.ChangeAll}); err != nil {
				t.Errorf("%s: Publish: %v", name, err)
			}
			return step(tx)
		})
		if !errors.Is(err, errTest) || notified != 0 {
			t.Errorf("%s: %v, notified %d times", name, err, notified)
		}
	}
}

// everything are look-ups of records that exist and of others that do not.
func everything(a storage.Account, f storage.Flow, tok storage.Token, se storage.Session, mt storage.MachineToken) storage.Lookups {
	none := key(now, "none")
	return storage.Lookups{
		Counters: []storage.Key{key(now, "c"), none}, Epochs: []storage.EpochKey{storage.GlobalEpoch, storage.AccountEpoch("none")},
		Accounts: []string{a.ID, "none", ""}, Mailboxes: []storage.Digest{a.Mailbox, digest("none")},
		Flows: []storage.Key{f.Key, none}, Tokens: []storage.Key{tok.Key, none, {}}, Sessions: []storage.Key{se.Key, none, {End: -1}},
		MachineTokens: []storage.Key{mt.Key, none}, Meta: []string{"x", "none"},
	}
}

func testPrefetch(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	a, f := account("a"), flow("f", end)
	tok := storage.Token{Key: key(end, "t"), Kind: storage.TokenLink, Flow: f.Key}
	se, mt := session("s", a.ID, end), machineToken("m", end)
	update(t, s, func(tx storage.Tx) error {
		_, err := tx.Accounts().Create(a)
		_, _, err2 := tx.Counters().Spend(key(now, "c"), 2, 9)
		return errors.Join(err, err2, tx.Flows().Create(f), tx.Tokens().Create(tok), tx.Sessions().Create(se),
			tx.MachineTokens().Create(mt), tx.Meta().Put("x", []byte("y")))
	})
	a.Version = 1
	check := func(tx storage.Tx) error {
		if err := tx.Prefetch(everything(a, f, tok, se, mt)); err != nil {
			return err
		}
		gotA, _, err1 := tx.Accounts().ByMailbox(a.Mailbox)
		gotF, _, err2 := tx.Flows().Get(f.Key)
		gotT, _, err3 := tx.Tokens().Get(tok.Key)
		gotS, _, err4 := tx.Sessions().Get(se.Key)
		gotM, _, err5 := tx.MachineTokens().Get(mt.Key)
		n, err6 := tx.Counters().Peek(key(now, "c"))
		value, _, err7 := tx.Meta().Get("x")
		_, noAccount, err8 := tx.Accounts().Get("none")
		_, noMailbox, err9 := tx.Accounts().ByMailbox(digest("none"))
		_, noFlow, err10 := tx.Flows().Get(key(now, "none"))
		raised, err11 := tx.Epochs().Get(storage.MailboxEpoch(f.Mailbox))
		equal(t, "account and flow", pair(gotA, gotF), pair(a, f))
		equal(t, "token and session", pair(gotT, gotS), pair(tok, se))
		equal(t, "machine token and count", pair(gotM, n), pair(mt, int64(2)))
		equal(t, "value and epoch", pair(string(value), raised), pair("y", uint64(0)))
		equal(t, "found", []bool{noAccount, noMailbox, noFlow}, []bool{false, false, false})
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11)
	}
	view(t, s, check)
	update(t, s, check)
	update(t, s, func(tx storage.Tx) error { // too little and too late
		if _, err := tx.Flows().Bind(f.Key, "me", 1); err != nil {
			return err
		}
		f.Bound, f.Account, f.Epochs.Account = true, "me", 1
		return check(tx)
	})
}

func testIncarnation(t *testing.T, s storage.Store) {
	first, err := s.Incarnation(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx storage.Tx) error { return tx.Meta().Put("x", nil) })
	again, err := s.Incarnation(context.Background())
	equal(t, "Incarnation", pair(again, err), pair(first, nil))
}

func testTouchAll(t *testing.T, s storage.Store) {
	a := createSession(t, s, session("a", "me", now.Add(24*time.Hour)))
	b := createSession(t, s, session("b", "me", now.Add(24*time.Hour)))
	at := now.Add(time.Minute)
	uses := []storage.Touch{
		{Key: a.Key, Now: at, IdleEnd: at.Add(time.Hour), Every: time.Minute},
		{Key: key(now, "none"), Now: at, IdleEnd: at.Add(time.Hour), Every: time.Minute},
		{Key: b.Key, Now: at, IdleEnd: at.Add(time.Hour), Every: time.Hour},
	}
	a.Seen, a.IdleEnd = at, at.Add(time.Hour)
	want := []storage.Touched{{Session: a, Touched: true}, {}, {Session: b}}
	var got []storage.Touched
	update(t, s, func(tx storage.Tx) (err error) {
		got, err = tx.Sessions().TouchAll(uses)
		return err
	})
	equal(t, "TouchAll", got, want)
	wantSession(t, s, a)
	wantSession(t, s, b)
}

func testGuardAlone(t *testing.T, s storage.Store) {
	update(t, s, func(tx storage.Tx) error {
		_, found1, err1 := tx.Accounts().GetForUpdate("none")
		_, found2, err2 := tx.Accounts().ByMailboxForUpdate(digest("none"))
		_, found3, err3 := tx.Flows().GetForUpdate(key(now, "none"))
		_, found4, err4 := tx.Meta().GetForUpdate("none")
		n, err5 := tx.Epochs().GetForUpdate(storage.MailboxEpoch(digest("none")))
		equal(t, "found", []bool{found1, found2, found3, found4, n > 0}, []bool{false, false, false, false, false})
		return errors.Join(err1, err2, err3, err4, err5)
	})
}

func testOneStep(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	a, f, se, m := account("a"), flow("f", end), session("s", "me", end), mail("m", now, end)
	tok := storage.Token{Key: key(end, "t"), Kind: storage.TokenLink, Flow: f.Key}
	update(t, s, func(tx storage.Tx) error {
		_, err := tx.Accounts().Create(a)
		err = errors.Join(err, tx.Flows().Create(f), tx.Tokens().Create(tok), tx.Sessions().Create(se), tx.Outbox().Enqueue(m))
		a.Version, a.Roles = 1, nil
		replaced, err2 := tx.Accounts().Replace(a)
		bound, err3 := tx.Flows().Bind(f.Key, "me", 1)
		_, consumed, err4 := tx.Tokens().Consume(tok.Key, now)
		deleted, err5 := tx.Sessions().Delete(se.Key)
		again, err6 := tx.Sessions().Delete(se.Key)
		equal(t, "answers", []any{replaced, bound, consumed, deleted, again}, []any{true, true, storage.TokenConsumed, true, false})
		err7 := errors.Join(tx.Meta().Put("x", nil), tx.Meta().Put("x", []byte("y")), tx.Meta().Delete("x"))
		return errors.Join(err, err2, err3, err4, err5, err6, err7, tx.Sessions().Create(se))
	})
	a.Version = 2
	wantAccount(t, s, a)
	wantSession(t, s, se)
	f.Bound, f.Account, f.Epochs.Account = true, "me", 1
	wantFlow(t, s, f)
	view(t, s, func(tx storage.Tx) error {
		_, found, err := tx.Meta().Get("x")
		equal(t, "a value that was deleted again", found, false)
		return err
	})
	update(t, s, func(tx storage.Tx) error {
		deleted, err := tx.Accounts().Delete(a.ID)
		b := a
		b.ID = "id-b"
		created, err2 := tx.Accounts().Create(b)
		equal(t, "the mailbox is free", pair(deleted, created), pair(true, true))
		return errors.Join(err, err2)
	})
	b := a
	b.ID, b.Version = "id-b", 1
	wantAccount(t, s, b)
}

func testListOwn(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	stayed, gone := createSession(t, s, session("kept", "me", end)), createSession(t, s, session("gone", "me", end))
	enqueue(t, s, mail("stored", now, end))
	update(t, s, func(tx storage.Tx) error {
		_, err := tx.Sessions().Delete(gone.Key)
		own := session("own", "me", end.Add(time.Hour))
		err = errors.Join(err, tx.Sessions().Create(own), tx.Outbox().Enqueue(mail("own", now.Add(-time.Hour), end)),
			tx.Events().Append(storage.Event{Time: now, Name: "own"}, end))
		list, err2 := tx.Sessions().ByAccount("me", 9)
		equal(t, "sessions", list, []storage.Session{stayed, own})
		n, _, err3 := tx.Outbox().Stats()
		due, _, err4 := tx.Outbox().NextDue(storage.LaneDirect)
		equal(t, "mails", pair(n, due), pair(2, now.Add(-time.Hour)))
		mails, err5 := tx.Outbox().Lease(storage.LaneDirect, now, now.Add(time.Minute), 1)
		if len(mails) != 1 || mails[0].ID != mail("own", now, end).ID {
			t.Errorf("leased %v", mails)
		}
		events, err6 := tx.Events().List(storage.EventFilter{}, 9)
		equal(t, "events", len(events), 1)
		return errors.Join(err, err2, err3, err4, err5, err6)
	})
}

// testParallelGuard counts in a value that was not there, by reading and writing it.
func testParallelGuard(t *testing.T, s storage.Store) {
	const n = 24
	got := tally(t, s, n, func(tx storage.Tx, _ int) (bool, error) {
		value, _, err := tx.Meta().GetForUpdate("count")
		if err != nil {
			return false, err
		}
		var count uint64
		if len(value) == 8 {
			count = binary.BigEndian.Uint64(value)
		}
		return true, tx.Meta().Put("count", binary.BigEndian.AppendUint64(nil, count+1))
	})
	equal(t, "steps", got, map[bool]int{true: n})
	view(t, s, func(tx storage.Tx) error {
		value, _, err := tx.Meta().Get("count")
		equal(t, "count", binary.BigEndian.Uint64(value), uint64(n))
		return err
	})
}

// testParallelEpoch checks and raises an epoch that was never raised: one sees it as it was.
func testParallelEpoch(t *testing.T, s storage.Store) {
	const n = 24
	k := storage.AccountEpoch("x")
	got := tally(t, s, n, func(tx storage.Tx, _ int) (bool, error) {
		at, err := tx.Epochs().GetForUpdate(k)
		if err != nil || at > 0 {
			return false, err
		}
		_, err = tx.Epochs().Raise(k)
		return true, err
	})
	equal(t, "raised", got, map[bool]int{true: 1, false: n - 1})
}

// testParallelChanges publishes from many callers: subscribers are called one at a time, before the caller goes on.
func testParallelChanges(t *testing.T, s storage.Store) {
	const n = 24
	var inside, overlaps atomic.Int64
	var notified sync.Map // a change may come more than once
	defer s.Subscribe(func(c storage.Change) {
		if inside.Add(1) > 1 {
			overlaps.Add(1)
		}
		notified.Store(c.Account, nil)
		inside.Add(-1)
	})()
	together(n, func(i int) {
		var mine atomic.Bool
		stop := s.Subscribe(func(c storage.Change) {
			if c.Account == fmt.Sprint(i) {
				mine.Store(true)
			}
		})
		defer stop()
		err := s.Update(context.Background(), func(tx storage.Tx) error {
			return errors.Join(tx.Meta().Put(fmt.Sprint(i), nil),
				tx.Changes().Publish(storage.Change{Kind: storage.ChangeAccount, Account: fmt.Sprint(i)}))
		})
		if err != nil || !mine.Load() {
			t.Errorf("Update %d = %v, notified %v", i, err, mine.Load())
		}
	})
	count := 0
	notified.Range(func(any, any) bool { count++; return true })
	equal(t, "notified", pair(count, overlaps.Load()), pair(n, int64(0)))
}
