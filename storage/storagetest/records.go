package storagetest

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

var epochTests = map[string]func(*testing.T, storage.Store){
	"OnlyGrow": func(t *testing.T, s storage.Store) {
		keys := []storage.EpochKey{storage.GlobalEpoch, storage.AccountEpoch("x"), storage.MailboxEpoch(digest("x"))}
		update(t, s, func(tx storage.Tx) error {
			for _, k := range keys {
				for want := uint64(1); want <= 3; want++ {
					got, err := tx.Epochs().Raise(k)
					if err != nil {
						return err
					}
					equal(t, "raised", got, want)
				}
			}
			return nil
		})
		view(t, s, func(tx storage.Tx) error {
			got, err := tx.Epochs().Get(keys[1])
			if err != nil {
				return err
			}
			absent, err := tx.Epochs().GetForUpdate(storage.AccountEpoch("y"))
			equal(t, "epochs", pair(got, absent), pair(uint64(3), uint64(0)))
			return err
		})
	},
}

var tokenTests = map[string]func(*testing.T, storage.Store){
	"TOK1_ConsumeOnce":      testConsume,
	"TOK4_ConsumeAtTheEdge": testConsumeEdge,
}

func testConsume(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	tok := storage.Token{Key: key(end, "t"), Kind: storage.TokenCancel, Flow: key(end, "f")}
	update(t, s, func(tx storage.Tx) error { return tx.Tokens().Create(tok) })
	consume := func(at time.Time, want storage.TokenResult) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			got, res, err := tx.Tokens().Consume(tok.Key, at)
			equal(t, "Consume", pair(got, res), pair(tok, want))
			return err
		})
		view(t, s, func(tx storage.Tx) error {
			got, found, err := tx.Tokens().Get(tok.Key)
			equal(t, "Get", pair(got, found), pair(tok, true))
			return err
		})
	}
	tok.Used = now
	consume(now, storage.TokenConsumed)
	tok.Replayed = true
	consume(now.Add(time.Second), storage.TokenUsed)
	consume(now.Add(2*time.Second), storage.TokenReplayed)
	consume(now, storage.TokenReplayed)
	view(t, s, func(tx storage.Tx) error {
		_, found, err := tx.Tokens().Get(key(end, "none"))
		equal(t, "found", found, false)
		return err
	})
}

func testConsumeEdge(t *testing.T, s storage.Store) {
	end := now.Add(time.Hour)
	tok := storage.Token{Key: key(end, "t"), Kind: storage.TokenLink}
	update(t, s, func(tx storage.Tx) error { return tx.Tokens().Create(tok) })
	for _, c := range []struct {
		at   time.Time
		want storage.TokenResult
	}{
		{end, storage.TokenMissing},
		{end.Add(time.Hour), storage.TokenMissing},
		{end.Add(-1), storage.TokenConsumed},
		{end, storage.TokenMissing},
		{end.Add(-1), storage.TokenUsed},
	} {
		update(t, s, func(tx storage.Tx) error {
			_, res, err := tx.Tokens().Consume(tok.Key, c.at)
			equal(t, c.at.Sub(end).String(), res, c.want)
			return err
		})
	}
}

var sessionTests = map[string]func(*testing.T, storage.Store){
	"CreateAndDelete":         testSessionDelete,
	"SES3_TouchAtMostEvery":   testTouch,
	"SES3_TouchEndsExactly":   testTouchEnds,
	"ByAccount":               testByAccount,
	"List":                    testSessionList,
	"AnEmptyAccountIsRefused": testSessionAccount,
}

func createSession(t *testing.T, s storage.Store, se storage.Session) storage.Session {
	t.Helper()
	update(t, s, func(tx storage.Tx) error { return tx.Sessions().Create(se) })
	return se
}

func wantSession(t *testing.T, s storage.Store, want storage.Session) {
	t.Helper()
	view(t, s, func(tx storage.Tx) error {
		got, found, err := tx.Sessions().Get(want.Key)
		equal(t, "Get", pair(got, found), pair(want, true))
		return err
	})
}

func testSessionDelete(t *testing.T, s storage.Store) {
	se := createSession(t, s, session("s", "me", now.Add(time.Hour)))
	wantSession(t, s, se)
	for _, want := range []bool{true, false} {
		update(t, s, func(tx storage.Tx) error {
			deleted, err := tx.Sessions().Delete(se.Key)
			equal(t, "deleted", deleted, want)
			return err
		})
	}
	view(t, s, func(tx storage.Tx) error {
		_, found, err := tx.Sessions().Get(se.Key)
		if err != nil {
			return err
		}
		list, err := tx.Sessions().ByAccount("me", 9)
		equal(t, "left", pair(found, len(list)), pair(false, 0))
		return err
	})
}

func testTouch(t *testing.T, s storage.Store) {
	se := createSession(t, s, session("s", "me", now.Add(24*time.Hour)))
	touch := func(at time.Time, want bool) {
		t.Helper()
		update(t, s, func(tx storage.Tx) error {
			got, touched, err := tx.Sessions().Touch(se.Key, at, at.Add(time.Hour), time.Minute)
			equal(t, "Touch", pair(got, touched), pair(se, want))
			return err
		})
		wantSession(t, s, se)
	}
	touch(now.Add(time.Minute-1), false)
	se.Seen, se.IdleEnd = now.Add(time.Minute), now.Add(time.Minute+time.Hour)
	touch(now.Add(time.Minute), true)
	touch(now.Add(time.Minute), false)
	touch(now.Add(-time.Hour), false) // a clock that runs back moves nothing
}

func testTouchEnds(t *testing.T, s storage.Store) {
	for _, c := range []struct {
		name  string
		end   time.Time
		at    time.Time
		touch bool
	}{
		{"at the idle end", now.Add(24 * time.Hour), now.Add(time.Hour), false},
		{"before the idle end", now.Add(24 * time.Hour), now.Add(time.Hour - 1), true},
		{"at the absolute end", now.Add(time.Minute), now.Add(time.Minute), false},
		{"before the absolute end", now.Add(time.Minute), now.Add(time.Minute - 1), true},
	} {
		se := createSession(t, s, session(c.name, "me", c.end))
		update(t, s, func(tx storage.Tx) error {
			_, touched, err := tx.Sessions().Touch(se.Key, c.at, c.at.Add(time.Hour), time.Second)
			equal(t, c.name, touched, c.touch)
			return err
		})
	}
	update(t, s, func(tx storage.Tx) error {
		_, touched, err := tx.Sessions().Touch(key(now, "none"), now, now, 0)
		equal(t, "a missing one", touched, false)
		return err
	})
}

func testByAccount(t *testing.T, s storage.Store) {
	want := map[string]bool{}
	update(t, s, func(tx storage.Tx) error {
		for i := range 5 {
			se := session(fmt.Sprint(i), "me", now.Add(time.Duration(i-2)*time.Hour)) // over or not
			want[se.ID] = true
			if err := tx.Sessions().Create(se); err != nil {
				return err
			}
		}
		for _, other := range []string{"m", "me2", "mf"} {
			if err := tx.Sessions().Create(session(other, other, now.Add(time.Hour))); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx storage.Tx) error {
		list, err := tx.Sessions().ByAccount("me", 100)
		if err != nil {
			return err
		}
		got := map[string]bool{}
		for _, se := range list {
			got[se.ID] = true
		}
		equal(t, "sessions", got, want)
		list, err = tx.Sessions().ByAccount("me", 2)
		equal(t, "limited", len(list), 2)
		return err
	})
}

func testSessionAccount(t *testing.T, s storage.Store) {
	for _, bad := range []string{"", "a\x00b"} {
		err := s.Update(context.Background(), func(tx storage.Tx) error {
			return tx.Sessions().Create(session("s", bad, now))
		})
		if err == nil {
			t.Errorf("a session of account %q was stored", bad)
		}
	}
}

func testSessionList(t *testing.T, s storage.Store) {
	want := 7
	update(t, s, func(tx storage.Tx) error {
		for i := range want {
			if err := tx.Sessions().Create(session(fmt.Sprint(i), "me", now.Add(time.Duration(i/2)*time.Hour))); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx storage.Tx) error {
		seen := map[string]bool{}
		for after := (storage.Key{}); ; {
			list, err := tx.Sessions().List(after, 2)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			for _, se := range list {
				seen[se.ID] = true
			}
			after = list[len(list)-1].Key
		}
		equal(t, "sessions", len(seen), want)
		return nil
	})
}

var counterTests = map[string]func(*testing.T, storage.Store){
	"TakeWithinLimit": testTake,
	"ReturnAndReset":  testReturn,
	"Extremes":        testTakeExtremes,
}

func testTake(t *testing.T, s storage.Store) {
	k := key(now, "c")
	for _, c := range []struct {
		n, limit, count int64
		taken           bool
	}{
		{2, 5, 2, true},
		{4, 5, 2, false},
		{3, 5, 5, true},
		{1, 5, 5, false},
		{0, 5, 5, true},
		{0, 4, 5, false},
		{1, 6, 6, true},
	} {
		update(t, s, func(tx storage.Tx) error {
			count, taken, err := tx.Counters().Take(k, c.n, c.limit)
			equal(t, fmt.Sprintf("Take(%d, %d)", c.n, c.limit), pair(count, taken), pair(c.count, c.taken))
			return err
		})
		wantCount(t, s, k, c.count)
	}
	wantCount(t, s, key(now.Add(time.Second), "c"), 0) // another window
}

func testReturn(t *testing.T, s storage.Store) {
	k := key(now, "c")
	update(t, s, func(tx storage.Tx) error {
		if _, _, err := tx.Counters().Take(k, 5, 5); err != nil {
			return err
		}
		for _, c := range [][2]int64{{2, 3}, {0, 3}, {9, 0}, {1, 0}} {
			count, err := tx.Counters().Return(k, c[0])
			if err != nil {
				return err
			}
			equal(t, "count", count, c[1])
		}
		_, _, err := tx.Counters().Take(k, 1, 5)
		return err
	})
	for _, want := range []bool{true, false} {
		update(t, s, func(tx storage.Tx) error {
			existed, err := tx.Counters().Reset(k)
			equal(t, "existed", existed, want)
			return err
		})
		wantCount(t, s, k, 0)
	}
}

func testTakeExtremes(t *testing.T, s storage.Store) {
	k := key(now, "c")
	update(t, s, func(tx storage.Tx) error {
		for _, c := range []struct {
			n, limit int64
			taken    bool
		}{
			{1, 0, false},
			{1, -1, false},
			{math.MaxInt64, math.MinInt64, false},
			{math.MaxInt64, math.MaxInt64, true},
			{1, math.MaxInt64, false},
			{math.MaxInt64, math.MaxInt64, false},
		} {
			_, taken, err := tx.Counters().Take(k, c.n, c.limit)
			if err != nil {
				return err
			}
			equal(t, fmt.Sprintf("Take(%d, %d)", c.n, c.limit), taken, c.taken)
		}
		return nil
	})
	for name, step := range map[string]func(storage.Tx) error{
		"Take":   func(tx storage.Tx) error { _, _, err := tx.Counters().Take(k, -1, 5); return err },
		"Return": func(tx storage.Tx) error { _, err := tx.Counters().Return(k, -1); return err },
	} {
		if err := s.Update(context.Background(), step); err == nil {
			t.Errorf("%s accepted a negative amount", name)
		}
	}
}

var eventTests = map[string]func(*testing.T, storage.Store){
	"NewestFirst": func(t *testing.T, s storage.Store) {
		var want []storage.Event
		for i := range 5 {
			e := storage.Event{
				Time: now.Add(time.Duration(i) * time.Second), Name: "asked", Purpose: "sign_in", Outcome: fmt.Sprint(i),
				Account: "a", Flow: "f", Site: "s", Client: "192.0.2.0/24",
			}
			want = append([]storage.Event{e}, want...)
			update(t, s, func(tx storage.Tx) error { return tx.Events().Append(e, e.Time.Add(time.Hour)) })
		}
		view(t, s, func(tx storage.Tx) error {
			for _, n := range []int{0, 1, 3, 5, 9} {
				got, err := tx.Events().List(n)
				if err != nil {
					return err
				}
				equal(t, "events", got, want[:min(n, 5)])
			}
			return nil
		})
	},
	"SameMoment": func(t *testing.T, s storage.Store) {
		update(t, s, func(tx storage.Tx) error {
			for i := range 3 {
				if err := tx.Events().Append(storage.Event{Name: fmt.Sprint(i)}, now); err != nil {
					return err
				}
			}
			return nil
		})
		view(t, s, func(tx storage.Tx) error {
			got, err := tx.Events().List(9)
			equal(t, "events", got, []storage.Event{{Name: "2"}, {Name: "1"}, {Name: "0"}})
			return err
		})
	},
}

var metaTests = map[string]func(*testing.T, storage.Store){
	"PutGetDelete": func(t *testing.T, s storage.Store) {
		value := []byte("value")
		update(t, s, func(tx storage.Tx) error {
			if err := tx.Meta().Put("empty", nil); err != nil {
				return err
			}
			return tx.Meta().Put("x", value)
		})
		value[0] = 'X' // the store has a copy
		view(t, s, func(tx storage.Tx) error {
			got, found, err := tx.Meta().Get("x")
			if err != nil {
				return err
			}
			equal(t, "x", pair(string(got), found), pair("value", true))
			got, found, err = tx.Meta().Get("empty")
			if err != nil {
				return err
			}
			equal(t, "empty", pair(len(got), found), pair(0, true))
			_, found, err = tx.Meta().Get("none")
			equal(t, "none", found, false)
			return err
		})
		for range 2 {
			update(t, s, func(tx storage.Tx) error { return tx.Meta().Delete("x") })
		}
		view(t, s, func(tx storage.Tx) error {
			_, found, err := tx.Meta().Get("x")
			equal(t, "x", found, false)
			return err
		})
	},
}
