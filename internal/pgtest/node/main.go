//go:build postgres

// Command node is a process that works on a schema as one of several, for tests of builds that differ. It makes sessions one after the other
// until its input ends. A line of its input is the name of a session that it makes, or with a question mark one that it looks for; it prints
// what came of it.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caddy-email-link/caddy-email-link/internal/postgres"
	"github.com/caddy-email-link/caddy-email-link/storage"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
}

func run(dsn, schema string) error {
	ctx := context.Background()
	s, err := postgres.OpenShared(ctx, postgres.Options{DSN: dsn, Schema: schema, Connections: 4})
	if err != nil {
		return err
	}
	if err := put(ctx, s, fmt.Sprint(os.Getpid())); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "at work")
	over, worked := make(chan struct{}), make(chan error)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				worked <- nil
				return
			default:
			}
			if err := put(ctx, s, fmt.Sprint(os.Getpid(), ".", n)); err != nil {
				worked <- err
				return
			}
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		name, look := strings.CutSuffix(in.Text(), "?")
		found := true
		err := error(nil)
		if look {
			err = s.View(ctx, func(tx storage.Tx) error {
				_, found, err = tx.Sessions().Get(key(name))
				return err
			})
		} else {
			err = put(ctx, s, name)
		}
		fmt.Fprintln(os.Stdout, name, found, err)
	}
	close(over)
	if err := <-worked; err != nil {
		return err
	}
	return s.Close()
}

func key(name string) storage.Key {
	return storage.Key{End: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), Digest: sha256.Sum256([]byte(name))}
}

// put makes a session in a step that depends on another record.
func put(ctx context.Context, s storage.Store, name string) error {
	seen := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return s.Update(ctx, func(tx storage.Tx) error {
		if _, err := tx.Epochs().GetForUpdate(storage.GlobalEpoch); err != nil {
			return err
		}
		return tx.Sessions().Create(storage.Session{Key: key(name), ID: name, Account: "me", Seen: seen, IdleEnd: seen.Add(time.Hour)})
	})
}
