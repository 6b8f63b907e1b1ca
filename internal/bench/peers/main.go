// Command peers does in SQLite or PostgreSQL the bare writes of following a link: in one durable transaction a token is used
// once, its flow ends, a session and an event are written. It knows no sites, epochs, limits or mails, so it is a floor that no
// gate over these databases could reach.
//
// It is a module of its own: nothing of the product depends on a second database.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// engine is a database with the tables of a gate.
type engine interface {
	// fill makes tokens that nobody has used, with their flows, from one number on.
	fill(ctx context.Context, from, many int) error
	// redeem follows the link of a token; once is false when that has been done before.
	redeem(ctx context.Context, n int) (once bool, err error)
	close() error
}

// schema is that of both.
const schema = `
CREATE TABLE token (k %[1]s PRIMARY KEY, flow %[1]s NOT NULL, used bigint NOT NULL);
CREATE TABLE flow (k %[1]s PRIMARY KEY, state bigint NOT NULL, body %[1]s NOT NULL);
CREATE TABLE session (k %[1]s PRIMARY KEY, account %[1]s NOT NULL, body %[1]s NOT NULL);
CREATE TABLE event (n bigint PRIMARY KEY, body %[1]s NOT NULL);`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run() error {
	name := flag.String("engine", "", "sqlite or postgres")
	dir := flag.String("dir", "", "an empty directory for the database")
	programs := flag.String("programs", "", "where initdb and postgres are")
	callers := flag.Int("callers", 64, "how many call at once")
	length := flag.Duration("for", 300*time.Millisecond, "how long one turn lasts")
	flag.Parse()
	ctx := context.Background()
	e, err := open(ctx, *name, *dir, *programs, *callers)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		_ = e.close()
		os.Exit(0)
	}()
	r := &rounds{engine: e, callers: *callers, length: *length}
	// A line on the standard input is a turn; its result is a line on the standard output. The end of the input is the end.
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		perSecond, err := r.turn(ctx)
		if err != nil {
			return errors.Join(err, e.close())
		}
		fmt.Println(perSecond)
	}
	return e.close()
}

func open(ctx context.Context, name, dir, programs string, callers int) (engine, error) {
	switch name {
	case "sqlite":
		return openSQLite(ctx, dir)
	case "postgres":
		return openPostgres(ctx, dir, programs, callers)
	default:
		return nil, fmt.Errorf("-engine %q: write sqlite or postgres", name)
	}
}

type rounds struct {
	engine  engine
	callers int
	length  time.Duration
	// filled and used count tokens.
	filled int
	used   atomic.Int64
}

// perTurn is more than can be used in a second.
const perTurn = 100_000

// turn uses tokens from all callers at once, and says how many a second.
func (r *rounds) turn(ctx context.Context) (perSecond float64, err error) {
	many := int(r.length.Seconds()*perTurn) + r.callers
	if missing := int(r.used.Load()) + many - r.filled; missing > 0 {
		if err := r.engine.fill(ctx, r.filled, missing); err != nil {
			return 0, err
		}
		r.filled += missing
	}
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for range r.callers {
		wg.Go(func() {
			for time.Since(began) < r.length && failed.Load() == nil {
				n := int(r.used.Add(1)) - 1
				if n >= r.filled {
					return
				}
				once, err := r.engine.redeem(ctx, n)
				if err == nil && !once {
					err = errors.New("a token had been used")
				}
				if err != nil {
					failed.CompareAndSwap(nil, &err)
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
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

// key spreads numbers as digests are spread.
func key(kind byte, n int) []byte {
	b := make([]byte, 37)
	for i := 0; i < len(b); i += 8 {
		x := uint64(n)*0x9e3779b97f4a7c15 + uint64(kind) + uint64(i) //nolint:gosec // wraps on purpose
		x ^= x >> 29
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 32
		var w [8]byte
		binary.BigEndian.PutUint64(w[:], x)
		copy(b[i:], w[:])
	}
	return b
}

// Sizes of what the gate stores for a flow, a session and an event.
var flowBody, sessionBody, eventBody = make([]byte, 400), make([]byte, 200), make([]byte, 120)
