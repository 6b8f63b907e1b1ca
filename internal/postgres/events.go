package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// eventColumns are the columns of an event after its sequence.
const eventColumns = "at, ends, name, purpose, outcome, account, flow, site, client, command, operator, host"

// eventPage is how many events are read at a time where a filter has to look at each.
const eventPage = 200

// event is one that a step has appended.
type event struct {
	storage.Event
	end time.Time
}

func (e event) args() []any {
	end := time.Unix(max(0, min(e.end.Unix(), maxEnd)), 0)
	return []any{
		e.Time, end, e.Name, e.Purpose, e.Outcome, e.Account, e.Flow, e.Site, e.Client, e.Operator.Command, e.Operator.User, e.Operator.Host,
	}
}

type events struct{ *tx }

// Append stores e under the given end.
func (t events) Append(e storage.Event, end time.Time) error {
	if err := t.changeable(); err != nil {
		return err
	}
	e.Time = micro(e.Time)
	t.tx.events = append(t.tx.events, event{e, end})
	return nil
}

// List returns up to limit of the newest events that pass a filter.
func (t events) List(f storage.EventFilter, limit int) (list []storage.Event, err error) {
	if limit <= 0 {
		return nil, t.usable()
	}
	if err := t.usable(); err != nil {
		return nil, err
	}
	pass := func(e storage.Event) bool {
		return (f.Account == "" || e.Account == f.Account) && (f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Match == nil || f.Match(e))
	}
	for i := range t.tx.events { // its own are the newest of their time
		if e := t.tx.events[len(t.tx.events)-1-i].Event; pass(e) {
			list = append(list, e)
		}
	}
	at, seq := time.Unix(maxEnd, 0), int64(1<<62)
	for found := 0; found < limit; {
		n := 0
		sql, args := t.store.texts.events, []any{at, seq, f.Since, eventPage}
		if f.Account != "" {
			sql, args = t.store.texts.accountEvents, append(args, f.Account)
		}
		err := t.query(sql, args, func(answer pgx.Rows) error {
			one, r, err := scanEvent(answer)
			if err != nil {
				return err
			}
			e := r.Event
			at, seq = e.Time, one
			n++
			if found < limit && pass(e) {
				list = append(list, e)
				found++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if n < eventPage {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b storage.Event) int { return b.Time.Compare(a.Time) })
	return list[:min(limit, len(list))], nil
}
