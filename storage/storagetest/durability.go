package storagetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// Durable is how [RunDurability] opens a store again.
type Durable struct {
	// Open opens the store that lives in a directory, creating it the first time.
	Open func(dir string) (storage.Store, error)
	// Check looks for damage in an open store; nil checks nothing.
	Check func(storage.Store) error
}

const (
	// killRounds is the environment variable that sets the number of rounds, such as 200 for a long run.
	killRounds = "STORAGE_KILL_ROUNDS"
	// killChild is the variable with the child's directory and round.
	killChild = "STORAGE_KILL_CHILD"

	killWorkers = 8
)

// RunDurability starts the test binary again as a child that writes and says what was acknowledged, kills it in the middle,
// opens the store, and compares. The test that calls it must not do anything before.
func RunDurability(t *testing.T, d Durable) {
	if dir, round, ok := strings.Cut(os.Getenv(killChild), "|"); ok {
		d.child(dir, round)
	}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	if v := os.Getenv(killRounds); v != "" {
		var err error
		if rounds, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", killRounds, err)
		}
	}
	dir := t.TempDir()
	for round := range rounds {
		created, used := d.killed(t, dir, round)
		d.verify(t, dir, round, created, used)
		if t.Failed() {
			return
		}
	}
}

// chain is one token's way: it is created with its flow, then used in a step that touches everything.
type chain struct{ round, worker, n int }

func (c chain) name() string { return fmt.Sprint(c.round, ".", c.worker, ".", c.n) }

var killEnd = now.AddDate(10, 0, 0)

func (c chain) token() storage.Key   { return key(killEnd, "token", c.name()) }
func (c chain) counter() storage.Key { return key(killEnd, "counter", c.round) }

// create is the first step of a chain.
func (c chain) create(tx storage.Tx) error {
	f := flow(c.name(), killEnd)
	return errors.Join(
		tx.Flows().Create(f),
		tx.Tokens().Create(storage.Token{Key: c.token(), Kind: storage.TokenLink, Flow: f.Key}),
		tx.Outbox().Enqueue(mail(c.name(), now, killEnd)),
	)
}

// use is the second: all of it or none.
func (c chain) use(tx storage.Tx) error {
	if _, _, err := tx.Counters().Spend(c.counter(), 1, 1<<40); err != nil {
		return err
	}
	token, res, err := tx.Tokens().Consume(c.token(), now)
	if err != nil || res != storage.TokenConsumed {
		return errors.Join(err, fmt.Errorf("token: %d", res))
	}
	se := session(c.name(), "me", killEnd)
	if err := tx.Sessions().Create(se); err != nil {
		return err
	}
	finished, err := tx.Flows().Finish(token.Flow, storage.FlowRedeemed, token.Key.Digest, se.Key)
	if err != nil || !finished {
		return errors.Join(err, fmt.Errorf("finished: %v", finished))
	}
	return tx.Events().Append(storage.Event{Time: now, Name: "confirmed"}, now) // for the sweep
}

// child writes until it is killed.
func (d Durable) child(dir, roundText string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	round, err := strconv.Atoi(roundText)
	if err != nil {
		fail(err)
	}
	s, err := d.Open(dir)
	if err != nil {
		fail(err)
	}
	ctx := context.Background()
	var out sync.Mutex
	say := func(c chain, what string) {
		out.Lock()
		defer out.Unlock()
		if _, err := fmt.Printf("%s %d %d\n", what, c.worker, c.n); err != nil {
			fail(err)
		}
	}
	for worker := range killWorkers {
		go func() {
			for n := 0; ; n++ {
				c := chain{round, worker, n}
				if err := s.Update(ctx, c.create); err != nil {
					fail(err)
				}
				say(c, "created")
				if err := s.Update(ctx, c.use); err != nil {
					fail(err)
				}
				say(c, "used")
			}
		}()
	}
	for {
		if _, err := s.Sweep(ctx, now, 100); err != nil {
			fail(err)
		}
	}
}

// killed runs a child, kills it after some acknowledgements, and returns those.
func (d Durable) killed(t *testing.T, dir string, round int) (created, used map[chain]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=2m") //nolint:gosec // this very test
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", killChild, dir, round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	created, used = map[chain]bool{}, map[chain]bool{}
	lines, until := bufio.NewReader(out), 1+rand.N(800) //nolint:gosec // a moment, no secret
	for seen := 0; ; seen++ {
		if seen == until {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		line, err := lines.ReadString('\n')
		if err != nil { // what follows the last line break was not said
			break
		}
		var what string
		c := chain{round: round}
		if _, err := fmt.Sscanf(line, "%s %d %d", &what, &c.worker, &c.n); err != nil {
			t.Fatalf("the child said %q", line)
		}
		switch what {
		case "created":
			created[c] = true
		case "used":
			used[c] = true
		}
	}
	if err := cmd.Wait(); err == nil || len(created) == 0 {
		t.Fatalf("round %d: the child ended by itself: %v", round, err)
	}
	return created, used
}

// verify opens the store again and compares it with what was acknowledged.
func (d Durable) verify(t *testing.T, dir string, round int, created, used map[chain]bool) {
	t.Helper()
	s, err := d.Open(dir)
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if d.Check != nil {
		if err := d.Check(s); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	total := 0
	view(t, s, func(tx storage.Tx) error {
		for worker := range killWorkers {
			for n := 0; ; n++ {
				c := chain{round, worker, n}
				exists, isUsed, err := c.whole(tx)
				if err != nil {
					return err
				}
				if created[c] && !exists {
					t.Errorf("%s was acknowledged and is lost", c.name())
				}
				if used[c] && !isUsed {
					t.Errorf("the use of %s was acknowledged and is lost", c.name())
				}
				if isUsed {
					total++
				}
				if !exists && !created[c] {
					break
				}
			}
		}
		count, err := tx.Counters().Peek(chain{round: round}.counter())
		if count != int64(total) {
			t.Errorf("round %d: %d uses are counted, %d are there", round, count, total)
		}
		return err
	})
	update(t, s, func(tx storage.Tx) error {
		for c := range used {
			if _, res, err := tx.Tokens().Consume(c.token(), now); err != nil || res == storage.TokenConsumed {
				t.Errorf("%s is alive again: %d, %v", c.name(), res, err)
			}
		}
		return nil
	})
	t.Logf("round %d: %d created, %d used, %d found used", round, len(created), len(used), total)
}

// whole says how far a chain has come, and answers an error when a step of it was done in part.
func (c chain) whole(tx storage.Tx) (exists, used bool, err error) {
	token, exists, err1 := tx.Tokens().Get(c.token())
	f, hasFlow, err2 := tx.Flows().Get(key(killEnd, "flow", c.name()))
	se, hasSession, err3 := tx.Sessions().Get(key(killEnd, "session", c.name()))
	if err := errors.Join(err1, err2, err3); err != nil {
		return false, false, err
	}
	used = !token.Used.IsZero()
	if exists != hasFlow || used != hasSession || used != (f.State == storage.FlowRedeemed) || used && f.Session != se.Key {
		return false, false, fmt.Errorf("%s is half applied: token %v, flow %v %d, used %v, session %v",
			c.name(), exists, hasFlow, f.State, used, hasSession)
	}
	return exists, used, nil
}
