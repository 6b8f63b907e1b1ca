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
		{end.Add(-time.Microsecond), storage.TokenConsumed},
		{end, storage.TokenMissing},
		{end.Add(-time.Microsecond), storage.TokenUsed},
	} {
		update(t, s, func(tx storage.Tx) error {
			_, res, err := tx.Tokens().Consume(tok.Key, c.at)
			equal(t, c.at.Sub(end).String(), res, c.want)
			return err
		})
	}
}

var counterTests = map[string]func(*testing.T, storage.Store){
	"SpendWithinLimit": testSpend,
	"RefundAndReset":   testRefund,
	"Extremes":         testSpendExtremes,
}

func testSpend(t *testing.T, s storage.Store) {
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
			count, taken, err := tx.Counters().Spend(k, c.n, c.limit)
			equal(t, fmt.Sprintf("Spend(%d, %d)", c.n, c.limit), pair(count, taken), pair(c.count, c.taken))
			return err
		})
		wantCount(t, s, k, c.count)
	}
	wantCount(t, s, key(now.Add(time.Second), "c"), 0) // another window
}

func testRefund(t *testing.T, s storage.Store) {
	k := key(now, "c")
	update(t, s, func(tx storage.Tx) error {
		if _, _, err := tx.Counters().Spend(k, 5, 5); err != nil {
			return err
		}
		for _, c := range [][2]int64{{2, 3}, {0, 3}, {9, 0}, {1, 0}} {
			count, err := tx.Counters().Refund(k, c[0])
			if err != nil {
				return err
			}
			equal(t, "count", count, c[1])
		}
		_, _, err := tx.Counters().Spend(k, 1, 5)
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

func testSpendExtremes(t *testing.T, s storage.Store) {
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
			_, taken, err := tx.Counters().Spend(k, c.n, c.limit)
			if err != nil {
				return err
			}
			equal(t, fmt.Sprintf("Spend(%d, %d)", c.n, c.limit), taken, c.taken)
		}
		return nil
	})
	for name, step := range map[string]func(storage.Tx) error{
		"Spend":  func(tx storage.Tx) error { _, _, err := tx.Counters().Spend(k, -1, 5); return err },
		"Refund": func(tx storage.Tx) error { _, err := tx.Counters().Refund(k, -1); return err },
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
				Time: now.Add(time.Duration(i) * time.Second), Name: "requested", Purpose: "sign_in", Outcome: fmt.Sprint(i),
				Account: "a", Flow: "f", Site: "s", Client: "192.0.2.0/24",
			}
			if i == 2 {
				e.Operator = storage.Operator{Command: "accounts disable", User: "ann", Host: "nas"}
			}
			want = append([]storage.Event{e}, want...)
			update(t, s, func(tx storage.Tx) error { return tx.Events().Append(e, e.Time.Add(time.Hour)) })
		}
		view(t, s, func(tx storage.Tx) error {
			for _, n := range []int{0, 1, 3, 5, 9} {
				got, err := tx.Events().List(storage.EventFilter{}, n)
				if err != nil {
					return err
				}
				equal(t, "events", got, want[:min(n, 5)])
			}
			return nil
		})
	},
	"NewestFirstWhateverTheirEnds": func(t *testing.T, s storage.Store) {
		long, short := 90*24*time.Hour, time.Hour
		update(t, s, func(tx storage.Tx) error {
			for _, i := range []int{2, 0, 3, 1} {
				at, retention := now.Add(time.Duration(i)*time.Second), long
				if i%2 == 1 {
					retention = short
				}
				if err := tx.Events().Append(storage.Event{Time: at, Name: fmt.Sprint(i)}, at.Add(retention)); err != nil {
					return err
				}
			}
			return nil
		})
		var f storage.EventFilter
		names := func(limit int, want ...string) {
			t.Helper()
			view(t, s, func(tx storage.Tx) error {
				list, err := tx.Events().List(f, limit)
				var got []string
				for _, e := range list {
					got = append(got, e.Name)
				}
				equal(t, "events", got, want)
				return err
			})
		}
		names(9, "3", "2", "1", "0")
		names(2, "3", "2")
		f.Since = now.Add(time.Second)
		names(9, "3", "2", "1")
		f.Match = func(e storage.Event) bool { return e.Name != "3" }
		names(1, "2")
		names(9, "2", "1")
		f = storage.EventFilter{}
		sweep(t, s, now.Add(2*short), 9, 2)
		names(9, "2", "0")
		sweep(t, s, now.Add(2*long), 9, 2)
		names(9)
	},
	"OfAnAccount": func(t *testing.T, s storage.Store) {
		update(t, s, func(tx storage.Tx) error {
			for i, account := range []string{"me", "", "m", "me2", "me", "you", "me"} {
				at := now.Add(time.Duration(i) * time.Second)
				if err := tx.Events().Append(storage.Event{Time: at, Name: fmt.Sprint(i), Account: account}, at.Add(time.Hour)); err != nil {
					return err
				}
			}
			return nil
		})
		names := func(f storage.EventFilter, limit int, want ...string) {
			t.Helper()
			update(t, s, func(tx storage.Tx) error {
				list, err := tx.Events().List(f, limit)
				var got []string
				for _, e := range list {
					got = append(got, e.Name)
				}
				equal(t, "events", got, want)
				return err
			})
		}
		names(storage.EventFilter{Account: "me"}, 9, "6", "4", "0")
		names(storage.EventFilter{Account: "me"}, 2, "6", "4")
		names(storage.EventFilter{Account: "me", Since: now.Add(4 * time.Second)}, 9, "6", "4")
		names(storage.EventFilter{Account: "me", Match: func(e storage.Event) bool { return e.Name != "6" }}, 1, "4")
		names(storage.EventFilter{Account: "nobody"}, 9)
		sweep(t, s, now.Add(time.Hour+4*time.Second), 9, 5)
		names(storage.EventFilter{Account: "me"}, 9, "6")
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
			got, err := tx.Events().List(storage.EventFilter{}, 9)
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
