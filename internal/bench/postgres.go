package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/gatetest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// distance is how much longer each answer of a server takes that is far away.
	distance = 2 * time.Millisecond
	// tripsOfAsk and tripsOfUse are the round trips of the two steps, which TestSTO3_RoundTripsOfTheSteps counts.
	tripsOfAsk, tripsOfUse = 2, 3
	// warmers are as many callers at once as ever are: the statements of a message depend on how many steps it ends.
	warmers = 64
	// connections is the size of the pool.
	connections = 32
)

// postgresCallers are the numbers of callers at once.
var postgresCallers = []int{1, 16, 64}

// postgresRow compares the steps on PostgreSQL with those on bbolt, beside the server and at a distance from it, also when all callers come
// from one address, whose counters all of them change.
func postgresRow(b *bench) ([]figure, error) {
	p, err := b.newServer()
	if missing := new(missingError); errors.As(err, &missing) {
		return []figure{{what: "asking and following links", floor: "bbolt", missing: missing.reason}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer p.stop()
	file, err := newGateAt(b.path("postgres.db"), nil)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.path) //nolint:errcheck // temporary
	defer file.close()         //nolint:errcheck // read no more
	near, err := p.gate(p.dir, "near")
	if err != nil {
		return nil, err
	}
	defer near.close() //nolint:errcheck // read no more
	far, err := p.gate(p.proxy.dir, "far")
	if err != nil {
		return nil, err
	}
	defer far.close() //nolint:errcheck // read no more
	c := &comparison{b: b, file: file, near: near, far: far, proxy: p.proxy}
	for _, measure := range []func() error{c.warm, c.asks, c.uses, c.oneAddress, c.waits, c.signedIn} {
		if err := measure(); err != nil {
			return c.figures, err
		}
	}
	return c.figures, nil
}

// comparison is one run of the row: a gate on a file, one beside the server and one far from it.
type comparison struct {
	b               *bench
	file, near, far *gate
	proxy           *delayingProxy
	figures         []figure
}

// turn measures one gate, at the distance that it has.
func (c *comparison) turn(g *gate, measure func() (float64, error)) (float64, error) {
	if g == c.far {
		c.proxy.delay.Store(int64(distance))
		defer c.proxy.delay.Store(0)
	}
	return measure()
}

// pairs measures a step with each gate in turn, and adds its figures. target is the least share of bbolt's speed with 64 callers.
func (c *comparison) pairs(what string, target float64, step func(g *gate, callers int) (float64, error)) error {
	for _, n := range postgresCallers {
		bbolt := figure{what: fmt.Sprintf("%s, %d callers, bbolt", what, n), unit: "/s"}
		speed := figure{what: fmt.Sprintf("%s, %d callers, on a socket", what, n), unit: "/s"}
		distant := figure{what: fmt.Sprintf("%s, %d callers, %v away", what, n, distance), unit: "/s"}
		share := figure{what: speed.what, floor: "bbolt"}
		for range c.b.options.pairs {
			var per [3]float64
			for i, g := range []*gate{c.file, c.near, c.far} {
				var err error
				if per[i], err = step(g, n); err != nil {
					return err
				}
			}
			bbolt.values, speed.values, distant.values = append(bbolt.values, per[0]), append(speed.values, per[1]), append(distant.values, per[2])
			share.values = append(share.values, per[1]/per[0])
		}
		if n == 64 {
			share = atLeast(share, target)
		}
		c.figures = append(c.figures, share, bbolt, speed, distant)
	}
	return nil
}

// warm has each connection describe what it will be asked: that is a round trip of its own, once.
func (c *comparison) warm() error {
	for _, g := range []*gate{c.near, c.far} {
		for range 3 {
			list, err := g.prepareAtOnce(4 * connections)
			if err != nil {
				return err
			}
			var next atomic.Int64
			if _, err := during(time.Minute, warmers, func() (bool, error) {
				i := next.Add(1)
				if i > int64(len(list)) {
					return false, nil
				}
				return true, g.redeem(list[i-1])
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *comparison) asks() error {
	return c.pairs("asking", 0.4, func(g *gate, callers int) (float64, error) {
		return c.turn(g, func() (float64, error) { return asking(false)(c.b, g, callers) })
	})
}

func (c *comparison) uses() error {
	return c.pairs("following a link", 0.2, func(g *gate, callers int) (float64, error) {
		prepare, perSecond := g.prepareAtOnce, 2000.0
		if g == c.file {
			prepare, perSecond = g.prepare, 20_000
		}
		list, err := prepare(callers + int(c.b.step.Seconds()*perSecond))
		if err != nil {
			return 0, err
		}
		var next atomic.Int64
		return c.turn(g, func() (float64, error) {
			return during(c.b.step, callers, func() (bool, error) {
				i := next.Add(1)
				if i > int64(len(list)) {
					return false, nil
				}
				return true, g.redeem(list[i-1])
			})
		})
	})
}

// oneAddress has all callers come from one address, far away.
func (c *comparison) oneAddress() error {
	f := figure{what: fmt.Sprintf("asking, 64 callers of one address, %v away", distance), unit: "/s"}
	for range c.b.options.pairs {
		perSecond, err := c.turn(c.far, func() (float64, error) {
			return during(c.b.step, 64, func() (bool, error) {
				_, err := c.far.askFrom(c.far.seq.Add(1), client(1))
				return true, err
			})
		})
		if err != nil {
			return err
		}
		f.values = append(f.values, perSecond)
	}
	c.figures = append(c.figures, atLeast(f, 500))
	return nil
}

// waits measures how long one caller waits, far away.
func (c *comparison) waits() error {
	list, err := c.far.prepareAtOnce(20 * c.b.options.pairs)
	if err != nil {
		return err
	}
	for _, one := range []struct {
		what  string
		trips float64
		call  func(i int) error
	}{
		{"asking", tripsOfAsk, func(int) error { _, err := c.far.ask(c.far.seq.Add(1)); return err }},
		{"following a link", tripsOfUse, func(i int) error { return c.far.redeem(list[i]) }},
	} {
		var durations []float64
		p50, err := c.turn(c.far, func() (float64, error) {
			for i := range list {
				began := time.Now()
				if err := one.call(i); err != nil {
					return 0, err
				}
				durations = append(durations, float64(time.Since(began).Microseconds())/1000)
			}
			return median(durations), nil
		})
		if err != nil {
			return err
		}
		f := figure{what: fmt.Sprintf("%s, one caller, %v away, p50", one.what, distance), unit: "ms", values: []float64{p50}}
		c.figures = append(c.figures, atMost(f, one.trips*2.5+3))
	}
	return nil
}

// signedIn compares what the gate does for a request with a session that it has in memory.
func (c *comparison) signedIn() error {
	onFile, err := c.file.signedIn()
	if err != nil {
		return err
	}
	onServer, err := c.near.signedIn()
	if err != nil {
		return err
	}
	f := figure{what: "session checks from the cache", floor: "bbolt"}
	for range c.b.options.pairs {
		var durations [2]float64
		for _, i := range []int{0, 1, 1, 0} { // drift favours none
			one, _, err := each(c.b.step, []func() error{onFile, onServer}[i])
			if err != nil {
				return err
			}
			durations[i] += one
		}
		f.values = append(f.values, durations[0]/durations[1])
	}
	c.figures = append(c.figures, atLeast(f, 0.97))
	return nil
}

// signedIn opens a session and returns what finds it.
func (g *gate) signedIn() (find func() error, err error) {
	addr, err := address.Parse("grace.hopper@example.com")
	if err != nil {
		return nil, err
	}
	ctx, cookie := context.Background(), ""
	err = g.store.Update(ctx, func(tx storage.Tx) error {
		a, err := g.vault.Accounts.Create(tx, accounts.NewAccount{Address: addr, Name: "Grace Hopper"})
		if err != nil {
			return err
		}
		cookie, _, err = g.vault.Sessions.Open(tx, a, session.OpenInput{
			Site: origin, Mailbox: addr.Mailbox(g.vault.Ring), Methods: []string{"link"}, Idle: 24 * time.Hour, Absolute: 24 * time.Hour,
		})
		return err
	})
	return func() error {
		l, err := g.vault.Sessions.FindAt(ctx, g.vault.Clock.Now(), cookie, origin)
		if err == nil && l == nil {
			err = errors.New("the session was not found")
		}
		return err
	}, err
}

// prepareAtOnce asks for many links and has their mails sent, each in steps of its own.
func (g *gate) prepareAtOnce(many int) ([]pending, error) {
	if err := g.work.Flush(context.Background()); err != nil {
		return nil, err
	}
	list, errs := make([]pending, many), make([]error, many)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range warmers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(many); i = next.Add(1) - 1 {
				n := g.seq.Add(1)
				result, err := g.ask(n)
				list[i], errs[i] = pending{cookie: result.FlowCookie, n: n}, err
			}
		})
	}
	wg.Wait()
	g.sent = make(map[string]string, many)
	if err := errors.Join(errors.Join(errs...), g.work.Flush(context.Background())); err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].token = g.sent[emailOf(list[i].n)]; list[i].token == "" {
			return nil, errors.New("a mail has not come")
		}
	}
	return list, nil
}

// databaseServer is a PostgreSQL server of the benchmark's own, and a proxy in front of it.
type databaseServer struct {
	*gatetest.Child
	dir   string
	log   gatetest.Output
	proxy *delayingProxy
}

// newServer starts a server that loses nothing, as a server does by default.
func (b *bench) newServer() (*databaseServer, error) {
	if _, err := postgresPrograms(); err != nil {
		return nil, err
	}
	_, file, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(file), "..", "..", "scripts", "postgres")
	if _, err := os.Stat(script); err != nil {
		return nil, &missingError{"scripts/postgres is not here: run it in the repository"}
	}
	dir, err := os.MkdirTemp("", "pg") // a socket's path has 107 bytes at most
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // another user's server works in it
		return nil, err
	}
	p := &databaseServer{dir: dir}
	cmd := exec.Command(script, dir) //nolint:gosec,noctx // of this repository; ended by stop
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if p.Child, err = gatetest.Start(cmd); err != nil {
		return nil, err
	}
	b.atEnd(func() { // an orderly end waits for the gates
		p.Kill()
		_ = os.RemoveAll(dir)
	})
	socket := filepath.Join(dir, socketName)
	if err := p.Await(50*time.Millisecond, func() error {
		conn, err := net.Dial("unix", socket) //nolint:noctx // a socket of this machine
		if err != nil {
			return err
		}
		return conn.Close()
	}); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%w\n%s", err, &p.log)
	}
	if p.proxy, err = newDelayingProxy(socket); err != nil {
		p.Stop()
		return nil, err
	}
	b.atEnd(p.proxy.close)
	return p, nil
}

// stop ends the proxy and the server.
func (p *databaseServer) stop() {
	p.proxy.close()
	p.Stop()
	_ = os.RemoveAll(p.dir)
}

// gate makes a gate on a schema of the server, which is reached by a socket in a directory.
func (p *databaseServer) gate(dir, schema string) (*gate, error) {
	dsn := "host=" + dir + " user=gate dbname=postgres"
	var store storage.Store
	err := p.Await(100*time.Millisecond, func() (err error) { // it listens before it answers
		store, err = postgres.Open(context.Background(), postgres.Options{DSN: dsn, Schema: schema, Connections: connections})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, &p.log)
	}
	return newGateOn(store, nil)
}

// socketName is what a server calls its socket.
const socketName = ".s.PGSQL.5432"
