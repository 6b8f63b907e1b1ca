package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/password"
)

// hashMemory is the memory of one hash in MiB, and slack what may come on top.
const (
	hashMemory = 19
	slack      = 64
)

// checked is what the process that checks passwords has measured.
type checked struct {
	// One is the time of one check, All that of all, in seconds.
	One, All float64
	// Base and Peak are memory in MiB, 0 where not available.
	Base, Peak float64
}

// passwordsRole checks many passwords at once, in a process whose memory is its own.
func passwordsRole() error {
	many, err := strconv.Atoi(os.Getenv("EMAIL_LINK_BENCH_CHECKS"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	h, err := password.NewHasher(password.Options{Queue: many})
	if err != nil {
		return err
	}
	var out checked
	if m, err := memoryOf(os.Getpid()); err == nil {
		out.Base = m.resident
	}
	record, err := h.Hash(ctx, "correct horse battery staple")
	if err != nil {
		return err
	}
	check := func() error {
		v, err := h.Verify(ctx, record, "correct horse battery staple")
		if err == nil && !v.OK {
			err = fmt.Errorf("the right password is refused")
		}
		return err
	}
	const alone = 10
	began := time.Now()
	for range alone {
		if err := check(); err != nil {
			return err
		}
	}
	out.One = time.Since(began).Seconds() / alone
	began = time.Now()
	errs := make([]error, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() { errs[i] = check() })
	}
	wg.Wait()
	out.All = time.Since(began).Seconds()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if m, err := memoryOf(os.Getpid()); err == nil {
		out.Peak = m.peak
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// passwordRow checks many passwords at once.
func passwordRow(b *bench) ([]figure, error) {
	cores := float64(runtime.GOMAXPROCS(0))
	speed := figure{what: fmt.Sprintf("%d checks at once", b.checks), floor: "cores ÷ the time of one"}
	memory := figure{what: fmt.Sprintf("%d checks at once, memory on top", b.checks), floor: "before the first", unit: "MiB"}
	one := figure{what: "one check", unit: "ms"}
	for range b.options.pairs {
		p := self("passwords")
		p.env = append(p.env, "EMAIL_LINK_BENCH_CHECKS="+strconv.Itoa(b.checks))
		var got checked
		read := make(chan error, 1)
		c, err := b.start(p, func(cmd *exec.Cmd) {
			r, w, err := os.Pipe()
			if err != nil {
				read <- err
				return
			}
			cmd.Stdout = w
			go func() {
				defer r.Close()
				read <- json.NewDecoder(r).Decode(&got)
			}()
		})
		if err != nil {
			return nil, err
		}
		<-c.Ended
		if w, ok := c.Stdout.(*os.File); ok {
			_ = w.Close()
		}
		if err := <-read; err != nil {
			return nil, c.fate(err)
		}
		speed.values = append(speed.values, float64(b.checks)/got.All/(cores/got.One))
		one.values = append(one.values, got.One*1000)
		if got.Peak == 0 {
			memory.missing = errNoAccounting.Error()
		}
		memory.values = append(memory.values, got.Peak-got.Base)
	}
	return []figure{atLeast(speed, 0.9), atMost(memory, cores*hashMemory+slack), one}, nil
}
