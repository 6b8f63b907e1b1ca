package postgres

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// nodeBeat is how often a node says that it is there, and nodeLife how long it is believed.
	nodeBeat, nodeLife = 10 * time.Second, "30 seconds"
	// dutyLife is how long others leave a duty to the node that has begun it.
	dutyLife = time.Minute
)

// nodes is what a store knows of itself as one of several.
type nodes struct {
	id                                     string
	poll, publish, announce, beat, leave   string
	list, claim, release, sweep, sweepGone string
	others                                 string
}

func newNodes(schema string) nodes {
	id := make([]byte, 9)
	_, _ = rand.Read(id)
	table, duties, changes := schema+".nodes", schema+".duties", schema+".changes"
	return nodes{
		id: base64.RawURLEncoding.EncodeToString(id),
		poll: "select s.oldest::text::numeric::bigint, clock_timestamp(), s.made, c.pos, c.kind, c.account, c.ends, c.digest " +
			"from (select pg_snapshot_xmin(pg_current_snapshot()) as oldest, " +
			"coalesce((select xmin::text from " + schema + ".migrations where number = 1), '') as made) s " +
			"left join " + changes + " c on c.xid >= $1::text::xid8 and c.node <> $2 and $1::text <> '0' order by c.pos",
		publish: "insert into " + changes + " (node, kind, account, ends, digest) values ($1, $2, $3, $4, $5)",
		announce: "insert into " + table + " (id, host, pid, version, schema, config, secrets) values ($1, $2, $3, $4, $5, $6, $7) " +
			"on conflict (id) do update set version = $4, config = $6, secrets = $7, beat = clock_timestamp()",
		beat:      "update " + table + " set beat = clock_timestamp(), skew = make_interval(secs => $2) where id = $1",
		others:    "select host, pid, beat from " + table + " where beat > clock_timestamp() - interval '" + nodeLife + "' order by beat desc limit 1",
		leave:     "delete from " + table + " where id = $1",
		sweepGone: "delete from " + table + " where beat < clock_timestamp() - interval '" + changesLife + "'",
		sweep:     "delete from " + changes + " where at < now() - interval '" + changesLife + "'",
		list: "select id, host, pid, version, schema, config, secrets, extract(epoch from skew)::float8, started, beat from " + table +
			" where beat > clock_timestamp() - interval '" + nodeLife + "' order by started, id",
		claim: "insert into " + duties + " as d (name, node, until) values ($1, $2, clock_timestamp() + make_interval(secs => $3)) " +
			"on conflict (name) do update set node = excluded.node, until = excluded.until where d.until <= clock_timestamp()",
		release: "delete from " + duties + " where name = $1 and node = $2",
	}
}

// Announce implements [storage.Shared].
func (s *Shared) Announce(ctx context.Context, self storage.NodeInfo) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.announce(ctx, self)
}

// announce puts this node into the list, where a process that works alone finds it as well.
func (s *Store) announce(ctx context.Context, self storage.NodeInfo) error {
	host, _ := os.Hostname() // a name for people
	_, err := s.pool.Exec(ctx, s.nodes.announce, s.nodes.id, host, os.Getpid(), self.Version, s.build.newest(), self.Config,
		append([]string{}, self.Secrets...)) // none is no null
	if err == nil && !s.announced.Swap(true) {
		s.background.Go(s.beats)
	}
	return unreachable(err)
}

// beats says that this node is there, until the store is closed.
func (s *Store) beats() {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, pollWait)
		now, _ := s.follower.now()
		_, err := s.pool.Exec(ctx, s.nodes.beat, s.nodes.id, time.Now().Round(0).Sub(now).Seconds())
		cancel()
		if err != nil && s.ctx.Err() == nil {
			s.log.Debug("this node could not say that it is there", "event", "store", "error", cause(err))
		}
		pause(s.ctx, nodeBeat)
		if s.ctx.Err() != nil {
			return
		}
	}
}

// depart takes this node out of the list.
func (s *Store) depart() {
	if !s.announced.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), pollWait)
	defer cancel()
	_, _ = s.pool.Exec(ctx, s.nodes.leave, s.nodes.id) // else its beat ends in half a minute
}

// Nodes implements [storage.Shared].
func (s *Shared) Nodes(ctx context.Context) ([]storage.Node, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	rows, err := s.pool.Query(ctx, s.nodes.list)
	if err != nil {
		return nil, unreachable(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (n storage.Node, err error) {
		var skew float64
		err = r.Scan(&n.ID, &n.Host, &n.Process, &n.Version, &n.Schema, &n.Config, &n.Secrets, &skew, &n.Started, &n.Beat)
		n.Skew, n.Self = time.Duration(skew*float64(time.Second)), n.ID == s.nodes.id
		return n, err
	})
	return list, unreachable(err)
}

// RunExclusive implements [storage.Shared].
func (s *Shared) RunExclusive(ctx context.Context, name string, fn func(ctx context.Context) error) (ran bool, err error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	tag, err := s.pool.Exec(ctx, s.nodes.claim, name, s.nodes.id, dutyLife.Seconds())
	s.leave() // fn enters by itself
	if err != nil || tag.RowsAffected() == 0 {
		return false, unreachable(err)
	}
	defer func() {
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollWait)
		defer cancel()
		_, _ = s.pool.Exec(free, s.nodes.release, name, s.nodes.id) // else it ends by itself
	}()
	// Two clocks measure the minute, and each message takes a while: fn ends well before others may begin.
	bound, cancel := context.WithTimeout(ctx, dutyLife*3/4)
	defer cancel()
	if err := fn(bound); err != nil {
		return true, fmt.Errorf("%s: %w", name, err)
	}
	return true, nil
}

// sweepShared deletes what nodes need no more.
func (s *Store) sweepShared(ctx context.Context) error {
	if !s.shared {
		return nil
	}
	for _, sql := range []string{s.nodes.sweep, s.nodes.sweepGone} {
		if _, err := s.pool.Exec(ctx, sql); err != nil {
			return unreachable(err)
		}
	}
	return nil
}
