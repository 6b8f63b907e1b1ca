package storagetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var recordTests = map[string]func(*testing.T, storage.Store){
	"MOVE1_EveryKindIsListedAsItWasPut":  testPutAndList,
	"MOVE1_WhatIntentsWroteIsListed":     testListWritten,
	"MOVE1_WhatWasPutIsFoundByIntents":   testPutIsFound,
	"MOVE1_PutTakesNoKeyTwice":           testPutTwice,
	"MOVE1_ASweepFindsWhatWasPut":        testPutIsSwept,
	"MOVE1_NothingIsPutWithoutAKey":      testPutWithoutKey,
	"MOVE1_PutHappensWithItsStepOrNever": testPutUndone,
}

// everyRecord returns records of every kind, in states that no single intent makes, in the order in which they are listed.
func everyRecord() map[storage.RecordKind][]storage.Record {
	end := now.Add(time.Hour)
	a, b := account("a"), account("b")
	a.Version, b.Version, b.Status, b.Roles, b.Private = 7, 1, storage.StatusDisabled, nil, nil
	b.Password = []byte("sealed")
	open, redeemed := flow("open", end), flow("redeemed", end.Add(time.Second))
	redeemed.State, redeemed.EndedBy, redeemed.Session, redeemed.Bound, redeemed.Account = storage.FlowRedeemed, digest("t"), key(end, "s"), true, "id-a"
	redeemed.Codes, redeemed.MailIP, redeemed.WrongCodes = nil, nil, 3
	s := session("s", "id-a", end)
	child := session("child", "id-a", end.Add(time.Second))
	child.Parent, child.Methods = s.Key, nil
	revoked := machineToken("r", end)
	revoked.Revoked = now
	waiting, dead, gone := mail("waiting", now, end), mail("dead", now, end), mail("gone", now, end)
	waiting.Lane, waiting.Position, waiting.Attempts = storage.LaneLine, 12, 2
	dead.Dead, dead.Reason, dead.Lane = true, "refused", storage.LaneNew
	gone.Dead, gone.Sealed = true, nil
	empty := mail("empty", now, end)
	empty.Lane, empty.Empty = storage.LaneLine, true
	event := storage.EventRecord{
		Event: storage.Event{Time: now, Name: "changed", Purpose: "account", Outcome: "added", Account: "id-a", Client: "203.0.113.0/24", Operator: storage.Operator{Command: "accounts add", User: "eve", Host: "h"}},
		End:   end.Unix(),
	}
	later, same := event, storage.EventRecord{Event: storage.Event{Time: now, Name: "mailed"}, End: end.Unix() - 100}
	later.Event.Time = now.Add(time.Second)
	all := map[storage.RecordKind][]storage.Record{
		storage.KindAccounts:      {a, b},
		storage.KindEpochs:        {storage.EpochRecord{Key: storage.AccountEpoch("id-a"), Epoch: 5}, storage.EpochRecord{Key: storage.GlobalEpoch, Epoch: 1}},
		storage.KindFlows:         {open, redeemed},
		storage.KindTokens:        {storage.Token{Key: key(end, "t"), Kind: storage.TokenLink, Flow: open.Key}, storage.Token{Key: key(end.Add(time.Second), "u"), Kind: storage.TokenMark, Used: now, Replayed: true}},
		storage.KindSessions:      {s, child},
		storage.KindMachineTokens: {revoked},
		storage.KindInvitations:   {invitation("i", "id-a", end), invitation("j", "", end.Add(time.Second))},
		storage.KindCounters:      {storage.CounterRecord{Key: key(end, "c"), Count: 12}},
		storage.KindMails:         {waiting, dead, gone, empty},
		storage.KindEvents:        {event, same, later},
		storage.KindMeta:          {storage.MetaRecord{Name: "a", Value: []byte("x")}, storage.MetaRecord{Name: "b"}},
	}
	sortMails(all[storage.KindMails])
	return all
}

func sortMails(list []storage.Record) {
	id := func(r storage.Record) string { m := r.(storage.Mail).ID; return string(m[:]) }
	for i := range list {
		for j := range i {
			if id(list[i]) < id(list[j]) {
				list[i], list[j] = list[j], list[i]
			}
		}
	}
}

// putAll puts records of every kind.
func putAll(t *testing.T, s storage.Store) map[storage.RecordKind][]storage.Record {
	t.Helper()
	all := everyRecord()
	events := all[storage.KindEvents]
	update(t, s, func(tx storage.Tx) error { return tx.Records().Put(events[0]) })
	update(t, s, func(tx storage.Tx) error {
		for kind, list := range all {
			if kind == storage.KindEvents {
				list = events[1:] // of one time, they keep their order over several steps
			}
			for _, r := range list {
				if err := tx.Records().Put(r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return all
}

// listAll lists a kind in pages.
func listAll(t *testing.T, s storage.Store, kind storage.RecordKind, size int) (all []storage.Record) {
	t.Helper()
	for position := []byte(nil); ; {
		var list []storage.Record
		view(t, s, func(tx storage.Tx) (err error) {
			list, position, err = tx.Records().List(kind, position, size)
			return err
		})
		all = append(all, list...)
		if len(list) < size {
			return all
		}
	}
}

func testPutAndList(t *testing.T, s storage.Store) {
	for kind, want := range putAll(t, s) {
		equal(t, kind.String(), listAll(t, s, kind, 1), want)
		equal(t, kind.String(), listAll(t, s, kind, 100), want)
	}
	view(t, s, func(tx storage.Tx) error {
		list, _, err := tx.Records().List(storage.KindAccounts, nil, 0)
		equal(t, "nothing", list, []storage.Record(nil))
		if _, _, err := tx.Records().List(storage.KindMeta+1, nil, 1); err == nil {
			t.Error("an unknown kind was listed")
		}
		return err
	})
}

func testListWritten(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	a := account("a")
	update(t, s, func(tx storage.Tx) error {
		_, err1 := tx.Accounts().Create(a)
		_, err2 := tx.Epochs().Raise(storage.GlobalEpoch)
		_, _, err3 := tx.Counters().Spend(key(end, "c"), 3, 9)
		return errors.Join(err1, err2, err3, tx.Flows().Create(flow("f", end)), tx.Sessions().Create(session("s", "id-a", end)),
			tx.Outbox().Enqueue(mail("m", now, end)), tx.Events().Append(storage.Event{Time: now, Name: "mailed"}, end), tx.Meta().Put("x", []byte("y")))
	})
	a.Version = 1
	for kind, want := range map[storage.RecordKind]storage.Record{
		storage.KindAccounts: a, storage.KindEpochs: storage.EpochRecord{Key: storage.GlobalEpoch, Epoch: 1},
		storage.KindCounters: storage.CounterRecord{Key: key(end, "c"), Count: 3}, storage.KindFlows: flow("f", end),
		storage.KindSessions: session("s", "id-a", end), storage.KindMails: mail("m", now, end),
		storage.KindEvents: storage.EventRecord{Event: storage.Event{Time: now, Name: "mailed"}, End: end.Unix()},
		storage.KindMeta:   storage.MetaRecord{Name: "x", Value: []byte("y")},
	} {
		equal(t, kind.String(), listAll(t, s, kind, 10), []storage.Record{want})
	}
}

func testPutIsFound(t *testing.T, s storage.Store) {
	all := putAll(t, s)
	a := all[storage.KindAccounts][0].(storage.Account)
	child := all[storage.KindSessions][1].(storage.Session)
	view(t, s, func(tx storage.Tx) error {
		got, found, err1 := tx.Accounts().ByMailbox(a.Mailbox)
		equal(t, "by mailbox", pair(got, found), pair(a, true))
		list, err2 := tx.Sessions().ByAccount("id-a", 10)
		equal(t, "sessions", len(list), 2)
		epoch, err3 := tx.Epochs().Get(storage.AccountEpoch("id-a"))
		equal(t, "the epoch", epoch, uint64(5))
		count, err4 := tx.Counters().Peek(key(now.Add(time.Hour), "c"))
		equal(t, "the count", count, int64(12))
		dead, err5 := tx.Outbox().List(true, 10)
		equal(t, "dead letters", len(dead), 2)
		waiting, _, err6 := tx.Outbox().Stats()
		equal(t, "waiting", waiting, 1)
		events, err7 := tx.Events().List(storage.EventFilter{}, 2)
		equal(t, "events", pair(events[0].Time, events[1].Name), pair(now.Add(time.Second), "mailed"))
		return errors.Join(err1, err2, err3, err4, err5, err6, err7)
	})
	var leased []storage.Mail
	update(t, s, func(tx storage.Tx) (err error) {
		if _, err := tx.Accounts().Replace(a); err != nil {
			return err
		}
		if deleted, err := tx.Sessions().Delete(child.Key); err != nil || !deleted {
			return errors.Join(err, errors.New("the session was not deleted"))
		}
		leased, err = tx.Outbox().Lease(storage.LaneLine, now, now.Add(time.Minute), 10)
		return err
	})
	if len(leased) != 2 || !leased[0].Empty || leased[1].Position != 12 || leased[1].Attempts != 3 {
		t.Errorf("leased %+v", leased)
	}
}

func testPutTwice(t *testing.T, s storage.Store) {
	for kind, list := range putAll(t, s) {
		if kind == storage.KindEvents { // they have no key
			continue
		}
		err := s.Update(context.Background(), func(tx storage.Tx) error { return tx.Records().Put(list[0]) })
		if !errors.Is(err, storage.ErrExists) {
			t.Errorf("%s: a second one under the same key = %v, want ErrExists", kind, err)
		}
		if err := s.View(context.Background(), func(tx storage.Tx) error { return tx.Records().Put(list[0]) }); !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("%s in a View = %v", kind, err)
		}
	}
}

func testPutIsSwept(t *testing.T, s storage.Store) {
	putAll(t, s)
	late := now.Add(storage.DeadLetterRetention + 2*time.Hour)
	for range 2 { // a dead letter loses what is sealed first
		if _, err := s.Sweep(context.Background(), late, 1000); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range storage.RecordKinds() {
		n, want := len(listAll(t, s, kind, 10)), 0
		switch kind {
		case storage.KindAccounts, storage.KindEpochs, storage.KindMeta:
			want = 2
		}
		if n != want {
			t.Errorf("%d %s are left, want %d", n, kind, want)
		}
	}
}

func testPutWithoutKey(t *testing.T, s storage.Store) {
	a := account("a") // without a version
	for _, r := range []storage.Record{
		a,
		storage.Account{Version: 1},
		storage.EpochRecord{Epoch: 1},
		storage.Flow{},
		storage.Token{},
		storage.Session{Account: "a"},
		storage.MachineToken{},
		storage.Invitation{},
		storage.CounterRecord{Key: key(now, "c"), Count: -1},
		storage.Mail{},
		storage.MetaRecord{},
	} {
		if err := s.Update(context.Background(), func(tx storage.Tx) error { return tx.Records().Put(r) }); err == nil {
			t.Errorf("%+v was put", r)
		}
	}
}

func testPutUndone(t *testing.T, s storage.Store) {
	err := s.Update(context.Background(), func(tx storage.Tx) error {
		for _, list := range everyRecord() {
			for _, r := range list {
				if err := tx.Records().Put(r); err != nil {
					return err
				}
			}
		}
		return errTest
	})
	if !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	for _, kind := range storage.RecordKinds() {
		if n := len(listAll(t, s, kind, 10)); n != 0 {
			t.Errorf("%d %s", n, kind)
		}
	}
}
