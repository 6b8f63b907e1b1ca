package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// callers are the numbers of callers at once.
var callers = []int{1, 16, 64, 256}

// during runs calls from a number of callers for a time, and returns how many were made a second. A call that answers false
// has nothing left to do.
func during(length time.Duration, callers int, call func() (more bool, err error)) (perSecond float64, err error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	end := began.Add(length)
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) && failed.Load() == nil {
				more, err := call()
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
				if !more {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return 0, *e
	}
	if done.Load() == 0 {
		return 0, errors.New("not one call was made in time")
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

// step is what a row on the store does again and again.
type step func(b *bench, g *gate, callers int) (perSecond float64, err error)

// asking asks for links, at flow level or over HTTP.
func asking(overHTTP bool) step {
	return func(b *bench, g *gate, callers int) (float64, error) {
		return during(b.step, callers, func() (bool, error) {
			n := g.seq.Add(1)
			if overHTTP {
				if status := g.askHTTP(n); status != 303 {
					return false, fmt.Errorf("asking for a link: status %d", status)
				}
				return true, nil
			}
			_, err := g.ask(n)
			return true, err
		})
	}
}

// redeeming follows links that were asked for before.
func redeeming(b *bench, g *gate, callers int) (float64, error) {
	// About as many as can be followed in the time: whoever finds none left ends the turn a little earlier.
	perSecond := 20_000.0
	slow := g.disk.delay.Load() > 0
	switch {
	case g.store.alone && slow:
		perSecond = 2000
	case g.store.alone || slow:
		perSecond = 10_000
	}
	many := min(callers+int(b.step.Seconds()*perSecond), 2000+callers*200)
	list, err := g.prepare(many)
	if err != nil {
		return 0, err
	}
	var next atomic.Int64
	return during(b.step, callers, func() (bool, error) {
		i := next.Add(1)
		if i > int64(len(list)) {
			return false, nil
		}
		return true, g.redeem(list[i-1])
	})
}

// stepRow compares the group commit with one transaction for each caller, on this disk and on one whose sync takes a
// millisecond longer.
func stepRow(do step, targets map[time.Duration]float64) func(*bench) ([]figure, error) {
	return func(b *bench) ([]figure, error) {
		g, err := newGateAt(b.path("steps.db"), nil)
		if err != nil {
			return nil, err
		}
		defer os.Remove(g.path) //nolint:errcheck // temporary
		defer g.close()         //nolint:errcheck // read no more
		var figures []figure
		for _, delay := range []time.Duration{0, time.Millisecond} {
			g.disk.delay.Store(int64(delay))
			name := "this disk"
			if delay > 0 {
				name = "a sync of 1 ms more"
			}
			for _, n := range callers {
				f := figure{what: fmt.Sprintf("%d callers, %s", n, name), floor: "one transaction each"}
				speed := figure{what: f.what, floor: "", unit: "/s"}
				for range b.options.pairs {
					var per [2]float64
					for i, alone := range []bool{true, false} {
						g.store.alone = alone
						if per[i], err = do(b, g, n); err != nil {
							return figures, err
						}
					}
					f.values = append(f.values, per[1]/per[0])
					speed.values = append(speed.values, per[1])
				}
				g.store.alone = false
				if target := targets[delay]; n == 64 && target > 0 {
					f = atLeast(f, target)
				}
				figures = append(figures, f, speed)
			}
		}
		return figures, nil
	}
}
