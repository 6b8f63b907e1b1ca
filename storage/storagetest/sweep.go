package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var sweepTests = map[string]func(*testing.T, storage.Store){
	"TOK4_EverythingAtItsEnd":  testSweepEdge,
	"ADeadLetterStaysAWhile":   testSweepDead,
	"AtMostMax":                testSweepMax,
	"FLOW2_NothingIsLeft":      testSweepAll,
	"WhatDoesNotExpireRemains": testSweepLasting,
}

func sweep(t *testing.T, s storage.Store, at time.Time, max, want int) {
	t.Helper()
	got, err := s.Sweep(context.Background(), at, max)
	if err != nil {
		t.Fatalf("Sweep: %v", err)
	}
	equal(t, "deleted", got, want)
}

// fill stores one record of each kind that expires, all with one end. It stores kinds records.
func fill(tx storage.Tx, name string, end time.Time) error {
	_, _, err := tx.Counters().Spend(key(end, "counter", name), 1, 9)
	return errors.Join(err,
		tx.Flows().Create(flow(name, end)),
		tx.Tokens().Create(storage.Token{Key: key(end, "token", name), Kind: storage.TokenLink}),
		tx.Sessions().Create(session(name, "me", end)),
		tx.MachineTokens().Create(machineToken(name, end)),
		tx.Invitations().Create(invitation(name, "me", end)),
		tx.Outbox().Enqueue(mail(name, now, end)),
		tx.Events().Append(storage.Event{Name: name}, end),
	)
}

const kinds = 8

// left counts what fill has stored and a sweep has not deleted.
func left(t *testing.T, s storage.Store, name string, end time.Time) (n int) {
	t.Helper()
	view(t, s, func(tx storage.Tx) error {
		_, flowFound, err1 := tx.Flows().Get(key(end, "flow", name))
		_, tokenFound, err2 := tx.Tokens().Get(key(end, "token", name))
		_, sessionFound, err3 := tx.Sessions().Get(key(end, "session", name))
		_, machineFound, err7 := tx.MachineTokens().Get(key(end, "machine token", name))
		invited, err8 := tx.Invitations().ByMailbox(digest("mailbox", name), 9)
		count, err4 := tx.Counters().Peek(key(end, "counter", name))
		mails, err5 := tx.Outbox().List(false, 1000)
		events, err6 := tx.Events().List(storage.EventFilter{}, 1000)
		for _, found := range []bool{flowFound, tokenFound, sessionFound, machineFound, len(invited) > 0, count > 0} {
			if found {
				n++
			}
		}
		for _, m := range mails {
			if m.ID == mail(name, now, end).ID {
				n++
			}
		}
		for _, e := range events {
			if e.Name == name {
				n++
			}
		}
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8)
	})
	return n
}

func testSweepEdge(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	update(t, s, func(tx storage.Tx) error {
		return errors.Join(fill(tx, "a", end), fill(tx, "b", end.Add(time.Second)))
	})
	sweep(t, s, end.Add(-time.Microsecond), 1000, 0)
	equal(t, "left of a", left(t, s, "a", end), kinds)
	sweep(t, s, end, 1000, kinds)
	equal(t, "left of a", left(t, s, "a", end), 0)
	equal(t, "left of b", left(t, s, "b", end.Add(time.Second)), kinds)
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Sessions().ByAccount("me", 9)
		equal(t, "sessions of the account", len(list), 1)
		return err
	})
	sweep(t, s, end, 1000, 0)
}

func testSweepDead(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	m := mail("m", now, end)
	enqueue(t, s, m)
	lease(t, s, now, now.Add(time.Minute), 1, leased(m, now.Add(time.Minute), 1))
	act(t, s, true, func(o storage.Outbox) (bool, error) { return o.DeadLetter(m.ID, 1, "") })
	sweep(t, s, end, 10, 1) // what is sealed
	sweep(t, s, end, 10, 0)
	sweep(t, s, end.Add(storage.DeadLetterRetention-time.Microsecond), 10, 0)
	sweep(t, s, end.Add(storage.DeadLetterRetention), 10, 1)
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Outbox().List(true, 9)
		equal(t, "dead letters", len(list), 0)
		return err
	})
}

func testSweepMax(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	update(t, s, func(tx storage.Tx) error {
		for i := range 10 {
			if err := fill(tx, fmt.Sprint(i), end); err != nil {
				return err
			}
		}
		return nil
	})
	sweep(t, s, end, 0, 0)
	for range 10 * kinds / 4 {
		sweep(t, s, end, 4, 4)
	}
	sweep(t, s, end, 4, 10*kinds%4)
	sweep(t, s, end, 4, 0)
}

func testSweepAll(t *testing.T, s storage.Store) {
	const n = 400 // more than one transaction of a sweep
	end := now.Add(time.Hour)
	update(t, s, func(tx storage.Tx) error {
		for i := range n {
			if err := fill(tx, fmt.Sprint(i), end.Add(time.Duration(i)*time.Second)); err != nil {
				return err
			}
		}
		return nil
	})
	sweep(t, s, end.Add(n*time.Second), n*kinds+1, n*kinds)
	view(t, s, func(tx storage.Tx) error {
		sessions, err := tx.Sessions().List(storage.Key{}, 9)
		if err != nil {
			return err
		}
		waiting, _, err := tx.Outbox().Stats()
		equal(t, "left", pair(len(sessions), waiting), pair(0, 0))
		return err
	})
}

func testSweepLasting(t *testing.T, s storage.Store) {
	a := account("a")
	update(t, s, func(tx storage.Tx) error {
		_, err := tx.Accounts().Create(a)
		_, err2 := tx.Epochs().Raise(storage.GlobalEpoch)
		return errors.Join(err, err2, tx.Meta().Put("x", []byte("y")))
	})
	sweep(t, s, now.AddDate(1000, 0, 0), 1000, 0)
	a.Version = 1
	wantAccount(t, s, a)
}
