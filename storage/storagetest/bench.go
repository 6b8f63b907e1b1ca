package storagetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Bench measures the steps that cost most, each with 1, 16 and 64 callers: asking for a link, using one, and a refusal.
func Bench(b *testing.B, open Open) {
	end := now.Add(time.Hour)
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("ask/%d", callers), func(b *testing.B) {
			s := openBench(b, open)
			Parallel(b, callers, func(n int64) error { return s.Update(context.Background(), ask(n, end)) })
		})
		b.Run(fmt.Sprintf("use/%d", callers), func(b *testing.B) {
			s := openBench(b, open)
			for n := int64(1); n <= int64(b.N); n += 1000 {
				update(b, s, func(tx storage.Tx) error {
					for i := n; i < n+1000; i++ {
						if err := ask(i, end)(tx); err != nil {
							return err
						}
					}
					return nil
				})
			}
			Parallel(b, callers, func(n int64) error { return s.Update(context.Background(), use(n, end)) })
		})
		b.Run(fmt.Sprintf("refuse/%d", callers), func(b *testing.B) {
			s := openBench(b, open)
			Parallel(b, callers, func(n int64) error {
				return s.Update(context.Background(), func(tx storage.Tx) error {
					_, _, err := tx.Counters().Spend(key(end, "ip", n), 1, 0)
					return err
				})
			})
		})
	}
	b.Run("sweep", func(b *testing.B) { benchSweep(b, open, end) })
}

// benchSweep measures the deletion of one record.
func benchSweep(b *testing.B, open Open, end time.Time) {
	s := openBench(b, open)
	for n := 0; n < b.N; n += 1000 {
		update(b, s, func(tx storage.Tx) error {
			for i := n; i < n+1000; i++ {
				k := key(end.Add(time.Duration(i)*time.Second), "token", i)
				if err := tx.Tokens().Create(storage.Token{Key: k}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.ResetTimer()
	if _, err := s.Sweep(context.Background(), end.AddDate(1000, 0, 0), b.N); err != nil {
		b.Fatal(err)
	}
}

func openBench(b *testing.B, open Open) storage.Store {
	s := open(b)
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// Parallel runs b.N calls from a number of callers; n counts them from 1.
func Parallel(b *testing.B, callers int, call func(n int64) error) {
	var next atomic.Int64
	b.ResetTimer()
	together(callers, func(int) {
		for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
			if err := call(n); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// ask writes what a request for a link writes.
func ask(n int64, end time.Time) func(storage.Tx) error {
	name := fmt.Sprint(n)
	return func(tx storage.Tx) error {
		for _, limit := range []string{"ip", "address", "mailbox"} {
			if _, _, err := tx.Counters().Spend(key(end, limit, n), 1, 5); err != nil {
				return err
			}
		}
		f := flow(name, end)
		if err := tx.Flows().Create(f); err != nil {
			return err
		}
		for _, kind := range []storage.TokenKind{storage.TokenLink, storage.TokenCancel} {
			t := storage.Token{Key: key(end, "token", kind, n), Kind: kind, Flow: f.Key}
			if err := tx.Tokens().Create(t); err != nil {
				return err
			}
		}
		if err := tx.Outbox().Enqueue(mail(name, now, end)); err != nil {
			return err
		}
		return tx.Events().Append(storage.Event{Time: now, Name: "requested", Flow: f.ID}, end)
	}
}

// use writes what using a link writes.
func use(n int64, end time.Time) func(storage.Tx) error {
	name := fmt.Sprint(n)
	return func(tx storage.Tx) error {
		token, res, err := tx.Tokens().Consume(key(end, "token", storage.TokenLink, n), now)
		if err != nil || res != storage.TokenConsumed {
			return fmt.Errorf("token %d: %d, %w", n, res, err)
		}
		se := session(name, "me", end)
		if _, err := tx.Flows().Finish(token.Flow, storage.FlowRedeemed, token.Key.Digest, se.Key); err != nil {
			return err
		}
		if err := tx.Sessions().Create(se); err != nil {
			return err
		}
		return tx.Events().Append(storage.Event{Time: now, Name: "confirmed"}, end)
	}
}
