//go:build postgres

package migrate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-email-link/caddy-email-link/internal/pgtest"
	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
	"github.com/caddy-email-link/caddy-email-link/storage/bolt"
)

const (
	// killedSize is the environment variable that sets the number of accounts and sessions, such as 100000 for a long run; there are a tenth as many
	// flows and a hundredth as many mails.
	killedSize = "MIGRATE_ACCOUNTS"
	// killedChild has the child's source and target.
	killedChild = "MIGRATE_CHILD"
)

// place is a storage as a child of the test opens it: the path of a file, or a connection string and a schema.
type place string

func (p place) open(ctx context.Context) (storage.Store, error) {
	if dsn, schema, ok := strings.Cut(string(p), "#"); ok {
		for { // the server may not have seen yet that a child was killed
			s, err := postgres.Open(ctx, postgres.Options{DSN: dsn, Schema: schema})
			if !errors.Is(err, storage.ErrLocked) {
				return s, err
			}
		}
	}
	return bolt.Open(ctx, bolt.Options{Path: string(p)})
}

func (p place) with(t *testing.T, do func(storage.Store)) {
	t.Helper()
	s, err := p.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // the test has failed, or nothing is left to write
	do(s)
}

// move moves everything, and calls progress for each page.
func move(ctx context.Context, from, to place, page int, progress func(storage.RecordKind, int, int)) (Result, error) {
	source, err := from.open(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = source.Close() }() // nothing is left to write
	return Run(ctx, Options{Source: source, OpenTarget: to.open, CheckKey: checkKey, Page: page, Progress: progress})
}

// TestMOVE1_ThereAndBackKilled moves a database from a file to PostgreSQL and back, by processes that are killed in the middle of it.
func TestMOVE1_ThereAndBackKilled(t *testing.T) {
	of, page := size{accounts: 120, flows: 30, mails: 12}, 7
	if v := os.Getenv(killedSize); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		of, page = size{n, n / 10, n / 100}, 0
	}
	if places := strings.Split(os.Getenv(killedChild), "|"); len(places) == 2 {
		child(place(places[0]), place(places[1]), page)
	}
	server := pgtest.StartFor(t)
	file, schema, back := place(filepath.Join(t.TempDir(), "gate.db")), place(server.DSN()+"#moved"), place(filepath.Join(t.TempDir(), "back.db"))
	var before []Digest
	file.with(t, func(s storage.Store) { fill(t, s, of) })
	for _, way := range [][2]place{{file, schema}, {schema, back}} {
		begun := time.Now()
		for _, at := range []storage.RecordKind{storage.KindAccounts, storage.KindSessions, storage.KindMails} {
			kill(t, way[0], way[1], at)
		}
		done, err := move(t.Context(), way[0], way[1], page, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("killed three times and resumed in %v: %v", time.Since(begun).Round(time.Millisecond), done.Kinds)
		if !done.Resumed {
			t.Error("the last run began anew")
		}
		if before != nil && !cmp.Equal(before, done.Kinds) {
			t.Errorf("the way back copied something else: %v and %v", before, done.Kinds)
		}
		before = done.Kinds
	}
	if page == 0 {
		return // each run has compared the digests of what is too much to compare record by record
	}
	file.with(t, func(a storage.Store) {
		back.with(t, func(b storage.Store) { wantMoved(t, a, b) })
	})
}

// child moves, says how far it is, and waits at the end to be killed.
func child(from, to place, page int) {
	_, err := move(context.Background(), from, to, page, func(kind storage.RecordKind, done, total int) {
		fmt.Println("at", int(kind), done, total)
		if kind == storage.KindMeta {
			select {}
		}
	})
	fmt.Fprintln(os.Stderr, "the child came to its end:", err)
	os.Exit(1)
}

// kill runs a child until it is in the middle of a kind or behind it, and kills it at whatever it is doing then.
func kill(t *testing.T, from, to place, at storage.RecordKind) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$") //nolint:gosec // this test
	cmd.Env = append(os.Environ(), killedChild+"="+string(from)+"|"+string(to))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reached := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var kind storage.RecordKind
		var done, total int
		if n, _ := fmt.Sscan(strings.TrimPrefix(lines.Text(), "at "), &kind, &done, &total); n == 3 && !reached && (kind > at || kind == at && done > total/2) {
			reached = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if !reached {
		t.Fatalf("the child did not come to the %s", at)
	}
}
