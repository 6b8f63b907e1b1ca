package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres is a server of our own on a Unix socket, with its defaults: synchronous_commit and fsync are on.
type postgres struct {
	server *exec.Cmd
	pool   *pgxpool.Pool
}

// startTime bounds how long the server may take to start.
const startTime = 30 * time.Second

func openPostgres(ctx context.Context, dir, programs string, callers int) (engine, error) {
	who, err := owner(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
		cmd.SysProcAttr, cmd.Dir, cmd.Stderr = who, dir, os.Stderr
		return cmd
	}
	if err := command("initdb", "-D", data, "-A", "trust", "-U", "bench", "-E", "UTF8", "--no-locale").Run(); err != nil {
		return nil, fmt.Errorf("initdb: %w", err)
	}
	p := &postgres{server: command("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "log_min_messages=panic",
		"-c", "max_connections="+strconv.Itoa(callers+10))}
	if err := p.server.Start(); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(fmt.Sprintf("host=%s user=bench dbname=postgres pool_max_conns=%d", dir, callers))
	if err == nil {
		p.pool, err = pgxpool.NewWithConfig(ctx, config)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if err = p.pool.Ping(ctx); err == nil || time.Since(began) > startTime {
			break
		}
	}
	if err == nil {
		_, err = p.pool.Exec(ctx, fmt.Sprintf(schema, "bytea"))
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// owner gives the directory to the user postgres where we are root, as whom no PostgreSQL runs.
func owner(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // we are who we are
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func (p *postgres) close() error {
	if p.pool != nil {
		p.pool.Close()
	}
	if err := p.server.Process.Signal(syscall.SIGINT); err != nil { // a fast shutdown
		return err
	}
	return p.server.Wait()
}

func (p *postgres) fill(ctx context.Context, from, many int) error {
	_, err := p.pool.CopyFrom(ctx, pgx.Identifier{"token"}, []string{"k", "flow", "used"}, pgx.CopyFromSlice(many, func(i int) ([]any, error) {
		return []any{key('t', from+i), key('f', from+i), int64(0)}, nil
	}))
	if err != nil {
		return err
	}
	_, err = p.pool.CopyFrom(ctx, pgx.Identifier{"flow"}, []string{"k", "state", "body"}, pgx.CopyFromSlice(many, func(i int) ([]any, error) {
		return []any{key('f', from+i), int64(1), flowBody}, nil
	}))
	return err
}

// redeem sends all statements at once: they are one transaction and one round trip.
func (p *postgres) redeem(ctx context.Context, n int) (once bool, err error) {
	var b pgx.Batch
	b.Queue("UPDATE token SET used = $1 WHERE k = $2 AND used = 0", time.Now().Unix(), key('t', n))
	b.Queue("UPDATE flow SET state = 2 WHERE k = $1 AND state = 1", key('f', n))
	b.Queue("INSERT INTO session VALUES ($1, $2, $3)", key('s', n), key('a', n), sessionBody)
	b.Queue("INSERT INTO event VALUES ($1, $2)", n, eventBody)
	results := p.pool.SendBatch(ctx, &b)
	used, err := results.Exec()
	return used.RowsAffected() == 1, errors.Join(err, results.Close())
}
