package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/accounts"
	"github.com/caddy-email-link/caddy-email-link/internal/address"
	"github.com/caddy-email-link/caddy-email-link/internal/session"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// chunk is how many records one transaction of the filling writes: few transactions, of bounded memory.
	chunk = 50_000
	// samples is how many accounts and sessions among the filling are real ones, that can be asked for.
	samples = 2000
)

// inOrder is the i-th of n digests in ascending order, spread over all of them; records that come in order fill a database
// fast. The tail is random.
func inOrder(i, n int) (d storage.Digest) {
	binary.BigEndian.PutUint64(d[:], uint64(i)*(^uint64(0)/uint64(n))) //nolint:gosec // not negative
	_, _ = rand.Read(d[8:])
	return d
}

// idInOrder is an id that sorts as its number does.
func idInOrder(d storage.Digest) string {
	const sorted = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
	return base64.NewEncoding(sorted).WithPadding(base64.NoPadding).EncodeToString(d[:12])
}

// crowd is a database with many accounts, each with a session, many pending flows, and some of whom we know the cookies.
type crowd struct {
	*gate
	size    int
	emails  []address.Address
	cookies []string
}

// newCrowd fills a database.
func newCrowd(path string, size int) (*crowd, error) {
	g, err := newGateAt(path, nil) // time goes on, so that keys that begin with an end come in order
	if err != nil {
		return nil, err
	}
	c := &crowd{gate: g, size: size}
	if err := c.fill(); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return c, c.addSamples()
}

// fill writes the records that nobody will look at. Accounts are sealed with what opens nothing.
func (c *crowd) fill() error {
	now := c.vault.Clock.Now()
	sealed := make([]byte, 96)
	private := make([]byte, 180)
	for from := 0; from < c.size; from += chunk {
		err := c.bolt.Update(context.Background(), func(tx storage.Tx) error {
			for i := from; i < min(from+chunk, c.size); i++ {
				d := inOrder(i, c.size)
				part := float64(i+1) / float64(c.size) // they came one after the other
				id := idInOrder(d)
				a := storage.Account{ID: id, Mailbox: d, Status: storage.StatusActive, Private: sealed, Created: now}
				if _, err := tx.Accounts().Create(a); err != nil {
					return err
				}
				s := storage.Session{
					Key: storage.Key{End: now.Unix() + 3600 + int64(part*30*24*3600), Digest: d}, ID: id, Account: id, Mailbox: d, Site: origin,
					Methods: []string{"link"}, AuthTime: now, Created: now, Seen: now, IdleEnd: now.Add(7 * 24 * time.Hour), Device: "Firefox on Linux",
				}
				if err := tx.Sessions().Create(s); err != nil {
					return err
				}
				end := now.Unix() + 3600 + int64(part*23*3600)
				f := storage.Flow{
					Key: storage.Key{End: end, Digest: d}, ID: id, Site: origin, Purpose: "activation", Mailbox: d, Started: now,
					ResendsLeft: 5, NextResend: now, Codes: []storage.Digest{d}, State: storage.FlowOpen, Private: private,
				}
				if err := tx.Flows().Create(f); err != nil {
					return err
				}
				t := storage.Token{Key: f.Key, Kind: storage.TokenLink, Flow: f.Key}
				if err := tx.Tokens().Create(t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addSamples adds real accounts with sessions, a few in each transaction for the reason that prepareChunk gives.
func (c *crowd) addSamples() error {
	for from := 0; from < min(samples, c.size); from += prepareChunk {
		err := c.bolt.Update(context.Background(), func(tx storage.Tx) error {
			for i := from; i < min(from+prepareChunk, samples, c.size); i++ {
				if err := c.addSample(tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) addSample(tx storage.Tx, i int) error {
	addr, err := address.Parse(fmt.Sprintf("sample%d@example.com", i))
	if err != nil {
		return err
	}
	a, err := c.vault.Accounts.Create(tx, accounts.NewAccount{Address: addr, Name: "Ada Lovelace"})
	if err != nil {
		return err
	}
	cookie, _, err := c.vault.Sessions.Open(tx, a, session.OpenInput{
		Site: origin, Mailbox: addr.Mailbox(c.vault.Ring), Methods: []string{"link"}, Device: "Firefox on Linux",
		Idle: 7 * 24 * time.Hour, Absolute: 30 * 24 * time.Hour,
	})
	c.emails, c.cookies = append(c.emails, addr), append(c.cookies, cookie)
	return err
}

// operation is one thing that must not depend on the size of the database.
type operation struct {
	name string
	// run does it as often as can be and returns how often a second.
	run func(b *bench, c *crowd) (float64, error)
}

var operations = []operation{
	{"finding a session that is not cached", func(b *bench, c *crowd) (float64, error) {
		c.vault.Sessions.SetCacheBytes(0)
		return during(b.step, 1, func() (bool, error) {
			n := int(c.seq.Add(1)) % len(c.cookies)
			l, err := c.vault.Sessions.Find(context.Background(), c.cookies[n], origin)
			if err == nil && l == nil {
				err = errors.New("a session was not found")
			}
			return true, err
		})
	}},
	{"looking an address up", func(b *bench, c *crowd) (float64, error) {
		return during(b.step, 1, func() (bool, error) {
			n := int(c.seq.Add(1)) % len(c.emails)
			_, found, err := c.vault.Accounts.Lookup(context.Background(), c.emails[n].String())
			if err == nil && !found {
				err = errors.New("an account was not found")
			}
			return true, err
		})
	}},
	{"asking for a link, 1 caller", func(b *bench, c *crowd) (float64, error) { return asking(false)(b, c.gate, 1) }},
	{"asking for a link, 64 callers", func(b *bench, c *crowd) (float64, error) { return asking(false)(b, c.gate, 64) }},
	{"following a link, 1 caller", func(b *bench, c *crowd) (float64, error) { return redeeming(b, c.gate, 1) }},
	{"following a link, 64 callers", func(b *bench, c *crowd) (float64, error) { return redeeming(b, c.gate, 64) }},
}

// bytesOfCommit returns how many bytes one commit writes when one caller asks for links. It says why larger databases are
// slower, where they are, and hardly depends on how busy the machine is.
func bytesOfCommit(g *gate) (float64, error) {
	const times = 50
	commits := g.disk.commits.Load()
	before, err := written()
	if err != nil {
		return 0, err
	}
	for range times {
		if _, err := g.ask(g.seq.Add(1)); err != nil {
			return 0, err
		}
	}
	after, err := written()
	return (after - before) / float64(g.disk.commits.Load()-commits), err
}

// bytesFigure is that as a line of the table.
func bytesFigure(f figure, g *gate) (figure, error) {
	n, err := bytesOfCommit(g)
	if errors.Is(err, errNoAccounting) {
		f.missing = err.Error()
		return f, nil
	}
	f.unit, f.values = "KiB", []float64{n / 1024}
	return f, err
}

// growthRow compares databases of several sizes.
func growthRow(b *bench) ([]figure, error) {
	var crowds []*crowd
	defer func() {
		for _, c := range crowds {
			_ = c.close()
			_ = os.Remove(c.path)
		}
	}()
	var figures []figure
	for _, size := range b.sizes {
		began := time.Now()
		c, err := newCrowd(b.path("crowd.db"), size)
		if err != nil {
			return figures, err
		}
		crowds = append(crowds, c)
		f := figure{what: fmt.Sprintf("filling in %d accounts, sessions, flows", size), unit: "s", values: []float64{time.Since(began).Seconds()}}
		if size == 1_000_000 {
			f = atMost(f, 60)
		}
		figures = append(figures, f)
	}
	for i, c := range crowds {
		f, err := bytesFigure(figure{what: fmt.Sprintf("bytes written to ask for a link, 1 caller, %d", b.sizes[i])}, c.gate)
		if err != nil {
			return figures, err
		}
		figures = append(figures, f)
	}
	for _, op := range operations {
		costs := make([][]float64, len(crowds))
		for range b.options.pairs {
			for i, c := range crowds {
				per, err := op.run(b, c)
				if err != nil {
					return figures, fmt.Errorf("%s: %w", op.name, err)
				}
				costs[i] = append(costs[i], 1e6/per)
			}
		}
		figures = append(figures, figure{what: op.name, unit: "µs", values: costs[0], floor: fmt.Sprintf("(with %d)", b.sizes[0])})
		for i := 1; i < len(costs); i++ {
			f := figure{what: fmt.Sprintf("%s, %d", op.name, b.sizes[i]), floor: fmt.Sprintf("itself with %d", b.sizes[0])}
			for k := range costs[i] {
				f.values = append(f.values, costs[i][k]/costs[0][k])
			}
			figures = append(figures, atMost(f, 1.5))
		}
	}
	return figures, nil
}

const rounds = 20 // parts of the row about the plateau

// plateauRow issues flows and lets them expire, again and again, as 64 browsers at once, and looks at the file and at memory.
func plateauRow(b *bench) ([]figure, error) {
	g, err := newGate(b.path("plateau.db"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(g.path) //nolint:errcheck // temporary
	defer g.close()         //nolint:errcheck // read no more
	var sizes, heaps []float64
	var left int
	for range rounds {
		last := g.seq.Load() + int64(b.flows/rounds)
		if _, err := during(time.Hour, 64, func() (bool, error) {
			n := g.seq.Add(1)
			if n > last {
				return false, nil
			}
			_, err := g.ask(n)
			return true, err
		}); err != nil {
			return nil, err
		}
		g.clock.Advance(49 * time.Hour) // beyond every flow, limit and mail
		for {
			n, err := g.bolt.Sweep(context.Background(), g.vault.Clock.Now(), 4096)
			if err != nil {
				return nil, err
			}
			if n == 0 {
				break
			}
			left += n
		}
		info, err := os.Stat(g.path)
		if err != nil {
			return nil, err
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		sizes, heaps = append(sizes, float64(info.Size())/(1<<20)), append(heaps, float64(m.HeapAlloc)/(1<<20))
	}
	if left < b.flows {
		return nil, fmt.Errorf("only %d records were swept after %d flows", left, b.flows)
	}
	half := fmt.Sprintf("after %d", b.flows/2)
	return []figure{
		{what: fmt.Sprintf("file after %d flows have expired", b.flows), unit: "MiB", values: sizes[rounds-1:]},
		atMost(figure{what: "its growth", floor: half, values: []float64{sizes[rounds-1] / sizes[rounds/2-1]}}, 1.05),
		atMost(figure{what: "growth of memory", floor: half, unit: "MiB", values: []float64{heaps[rounds-1] - heaps[rounds/2-1]}}, 1),
	}, nil
}

// floodRow asks again and again from one address, far beyond the limit.
func floodRow(b *bench) ([]figure, error) {
	g, err := newGate(b.path("flood.db"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(g.path) //nolint:errcheck // temporary
	defer g.close()         //nolint:errcheck // read no more
	g.usualLimits()
	for n := int64(1); ; n++ {
		if status := g.askHTTP(0); status == 429 {
			break
		} else if n > 10_000 {
			return nil, errors.New("no limit is reached")
		}
	}
	before := g.disk.commits.Load()
	per, err := during(b.step, 16, func() (bool, error) {
		if status := g.askHTTP(0); status != 429 {
			return false, fmt.Errorf("status %d instead of 429", status)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return []figure{
		atMost(figure{what: "transactions written in a flood that is denied", values: []float64{float64(g.disk.commits.Load() - before)}}, 0),
		{what: "refusals, 16 callers, over HTTP", unit: "/s", values: []float64{per}},
	}, nil
}
