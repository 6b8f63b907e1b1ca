package main

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver
)

// sqlite writes through one connection: it has one writer in any case, and callers that wait for a lock only slow it down.
type sqlite struct {
	db *sql.DB
}

func openSQLite(ctx context.Context, dir string) (engine, error) {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "peer.sqlite")+"?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, fmt.Sprintf(schema, "blob"))
	return &sqlite{db}, err
}

func (s *sqlite) close() error { return s.db.Close() }

// within runs fn in a transaction.
func (s *sqlite) within(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (s *sqlite) fill(ctx context.Context, from, many int) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		token, err := tx.PrepareContext(ctx, "INSERT INTO token VALUES (?, ?, 0)")
		if err != nil {
			return err
		}
		flow, err := tx.PrepareContext(ctx, "INSERT INTO flow VALUES (?, 1, ?)")
		if err != nil {
			return err
		}
		for n := from; n < from+many; n++ {
			if _, err := token.ExecContext(ctx, key('t', n), key('f', n)); err != nil {
				return err
			}
			if _, err := flow.ExecContext(ctx, key('f', n), flowBody); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *sqlite) redeem(ctx context.Context, n int) (once bool, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE token SET used = ? WHERE k = ? AND used = 0", time.Now().Unix(), key('t', n))
		if err != nil {
			return err
		}
		if rows, err := res.RowsAffected(); err != nil || rows != 1 {
			return err
		}
		once = true
		if _, err := tx.ExecContext(ctx, "UPDATE flow SET state = 2 WHERE k = ? AND state = 1", key('f', n)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO session VALUES (?, ?, ?)", key('s', n), key('a', n), sessionBody); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO event VALUES (?, ?)", n, eventBody)
		return err
	})
	return once, err
}
