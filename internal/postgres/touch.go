package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// touches are uses of sessions and the answers to them. Which of them count is decided by the server, at the end of the step.
type touches struct {
	uses    []storage.Touch
	answers []storage.Touched
	kind    *kind[storage.Key, storage.Session]
}

// newTouchText returns the statement that records uses. It locks the rows in the order of their keys, and those that it changes alone.
func newTouchText(table string) string {
	return "with u as (select ends, digest, max(at) as at, max(idle) as idle, max(latest) as latest from unnest(" +
		"$1::timestamptz[], $2::bytea[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[]) as u (ends, digest, at, idle, latest) " +
		"group by ends, digest), " +
		"due as materialized (select u.* from u join " + table + " t on t.ends = u.ends and t.digest = u.digest " +
		"where u.at < t.ends and u.at < t.idle_ends and t.seen <= u.latest order by t.ends, t.digest for no key update of t) " +
		"update " + table + " t set seen = due.at, idle_ends = due.idle, ver = t.ver + 1 from due " +
		"where t.ends = due.ends and t.digest = due.digest returning t.ends, t.digest"
}

// TouchAll records uses of sessions. Nothing is read before.
func (t sessions) TouchAll(uses []storage.Touch) ([]storage.Touched, error) {
	if err := t.changeable(); err != nil {
		return nil, err
	}
	one := touches{uses, make([]storage.Touched, len(uses)), t.kind}
	if len(uses) > 0 {
		t.tx.touches = append(t.tx.touches, one)
		t.dirty = true
	}
	return one.answers, nil
}

// keys returns the parameters of the sessions that were used.
func (u touches) keys() []any {
	keys := make([]storage.Key, len(u.uses))
	for i, one := range u.uses {
		keys[i] = one.Key
	}
	args, _ := keyList(keys)
	return args
}

// queue queues the uses, and what they leave.
func (u touches) queue(t *tx, b *pgx.Batch) {
	var valid []storage.Key
	var at, idle, latest []time.Time
	for _, one := range u.uses {
		if validKey(one.Key) {
			valid = append(valid, one.Key)
			at, idle, latest = append(at, micro(one.Now)), append(idle, micro(one.IdleEnd)), append(latest, micro(one.Now.Add(-one.Every)))
		}
	}
	if len(valid) == 0 {
		return
	}
	ends, digests := keysArgs(valid)
	b.Queue(t.store.texts.touch, ends, digests, at, idle, latest).Query(each(func(answer pgx.Rows) error {
		var k storage.Key
		err := answer.Scan(endTo{&k}, digestTo{&k.Digest})
		u.answer(k, func(a *storage.Touched) { a.Touched = true })
		return err
	}))
	b.Queue(t.store.prefetch.sessions, ends, digests).Query(each(u.collect))
}

// collect notes one session as the step leaves it.
func (u touches) collect(answer pgx.Rows) error {
	k, s, _, err := u.kind.scan(answer)
	u.answer(k, func(a *storage.Touched) { a.Session = s })
	return err
}

// answer changes the answers to the uses of one session.
func (u touches) answer(k storage.Key, change func(*storage.Touched)) {
	for i := range u.uses {
		if u.uses[i].Key == k {
			change(&u.answers[i])
		}
	}
}

// readAnswers reads the answers to uses that were recorded by a step whose own answer was lost.
func (t *tx) readAnswers(ctx context.Context) error {
	if len(t.touches) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	for _, u := range t.touches {
		b.Queue(t.store.prefetch.sessions, u.keys()...).Query(each(u.collect))
	}
	if err := t.store.pool.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	for _, u := range t.touches {
		for i := range u.answers {
			u.answers[i].Touched = !u.answers[i].Session.Key.IsZero() && u.answers[i].Session.Seen.Equal(micro(u.uses[i].Now))
		}
	}
	return nil
}
