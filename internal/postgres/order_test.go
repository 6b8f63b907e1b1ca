package postgres

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestSTO3_CountersAreLockedLast looks at the last message of a step: what other steps wait for comes after everything else.
func TestSTO3_CountersAreLockedLast(t *testing.T) {
	const schema = "s"
	s := &Store{schema: schema, kinds: newKinds(schema), counters: newCounterTexts(schema), texts: newTexts(schema), nodes: newNodes(schema), shared: true}
	step := s.newTx(t.Context(), true)
	end := time.Unix(1<<31, 0)
	key := storage.Key{End: end.Unix(), Digest: storage.Digest{1}}
	step.counter(key, 1)
	if _, spent, err := step.Counters().Spend(key, 1, 9); !spent || err != nil {
		t.Fatal(spent, err)
	}
	if err := step.Flows().Create(storage.Flow{Key: key}); err != nil {
		t.Fatal(err)
	}
	if err := step.Outbox().Enqueue(storage.Mail{ID: storage.MailID{1}, End: end}); err != nil {
		t.Fatal(err)
	}
	if err := step.Events().Append(storage.Event{Time: end, Name: "requested"}, end); err != nil {
		t.Fatal(err)
	}
	if err := step.Changes().Publish(storage.Change{Kind: storage.ChangeAll}); err != nil {
		t.Fatal(err)
	}
	b := &pgx.Batch{}
	step.end(b)
	if last := b.QueuedQueries[len(b.QueuedQueries)-1].SQL; len(b.QueuedQueries) != 6 || !strings.Contains(last, schema+".counters") {
		t.Errorf("the last of %d statements is %s", len(b.QueuedQueries), last)
	}
}

// ended returns what a step leaves to be written, for tests of messages that nothing is sent of.
func ended(t *testing.T, s *Store, fn func(*tx) error) *ending {
	t.Helper()
	step := s.newTx(t.Context(), true)
	if err := fn(step); err != nil {
		t.Fatal(err)
	}
	return &ending{t: step, turn: make(chan turn, 1)}
}

// TestSTO3_LocksOfAStep looks at the locks of a step: rows that it only depends on are shared, those that it changes are not.
func TestSTO3_LocksOfAStep(t *testing.T) {
	const schema = "s"
	s := &Store{schema: schema, kinds: newKinds(schema), counters: newCounterTexts(schema), texts: newTexts(schema)}
	mailbox := storage.MailboxEpoch(storage.Digest{1})
	for name, c := range map[string]struct {
		change func(*tx) error
		want   bool
	}{
		"looks":  {func(step *tx) error { _, err := step.Epochs().GetForUpdate(mailbox); return err }, false},
		"raises": {func(step *tx) error { _, err := step.Epochs().Raise(mailbox); return err }, true},
	} {
		b := &pgx.Batch{}
		ended(t, s, func(step *tx) error {
			step.epochs.missing(mailbox)
			return c.change(step)
		}).t.end(b)
		first := b.QueuedQueries[0]
		if alone, ok := first.Arguments[1].([]bool); first.SQL != queryLocks || !ok || len(alone) != 1 || alone[0] != c.want {
			t.Errorf("a step that %s: %s %v", name, first.SQL, first.Arguments)
		}
	}
}

// TestDUR1_AGroupHoldsEachKind counts the kinds of rows of a step: one that groups leave out would be lost when steps end together.
func TestDUR1_AGroupHoldsEachKind(t *testing.T) {
	s := &Store{kinds: newKinds("s")}
	kinds := 0
	for _, field := range reflect.VisibleFields(reflect.TypeFor[tx]()) {
		if reflect.PointerTo(field.Type).Implements(reflect.TypeFor[recordSet]()) {
			kinds++
		}
	}
	if n := len(s.newTx(t.Context(), true).recordSets()); n != kinds {
		t.Errorf("groups hold %d kinds of rows, a step has %d", n, kinds)
	}
	invite := func(n byte) *ending {
		return ended(t, s, func(step *tx) error {
			return step.Invitations().Create(storage.Invitation{Key: storage.Key{End: 1 << 31, Digest: storage.Digest{n}}, ID: "i", Mailbox: storage.Digest{9}})
		})
	}
	all := s.newTx(t.Context(), true)
	all.merge(invite(1).t)
	if one := invite(2).t; !all.compatible(one) {
		t.Error("two invitations do not go together")
	} else if all.merge(one); all.invitations.written() != 2 {
		t.Errorf("%d of 2 invitations are written", all.invitations.written())
	}
	if all.compatible(invite(1).t) {
		t.Error("an invitation goes with another one of its key")
	}
}

// TestDUR1_AGroupHoldsWhatGoesTogether has steps wait to be written: a group takes those that do not depend on what another one of it changes,
// and whose counters suit all, and its message is not much longer than that of one step.
func TestDUR1_AGroupHoldsWhatGoesTogether(t *testing.T) {
	const schema = "s"
	s := &Store{schema: schema, kinds: newKinds(schema), counters: newCounterTexts(schema), texts: newTexts(schema)}
	end := time.Unix(1<<31, 0)
	key := func(n byte) storage.Key { return storage.Key{End: end.Unix(), Digest: storage.Digest{n}} }
	spend := func(limit int64, n byte) func(*tx) error {
		return func(step *tx) error {
			step.counter(key(0), 4)
			_, _, err := step.Counters().Spend(key(0), 2, limit)
			return errors.Join(err, step.Flows().Create(storage.Flow{Key: key(n)}))
		}
	}
	look := func(step *tx) error {
		step.epochs.missing(storage.GlobalEpoch)
		_, err := step.Epochs().GetForUpdate(storage.GlobalEpoch)
		return errors.Join(err, step.Flows().Create(storage.Flow{Key: key(9)}))
	}
	raise := func(step *tx) error {
		step.epochs.missing(storage.GlobalEpoch)
		_, err := step.Epochs().Raise(storage.GlobalEpoch)
		return err
	}
	for name, c := range map[string]struct {
		steps []func(*tx) error
		want  int
	}{
		"counters that suit all":         {[]func(*tx) error{spend(10, 1), spend(10, 2), spend(10, 3)}, 3},
		"more than a limit":              {[]func(*tx) error{spend(8, 1), spend(8, 2), spend(8, 3)}, 2},
		"one that is content with less":  {[]func(*tx) error{spend(10, 1), spend(6, 2)}, 1},
		"a row that one of them changes": {[]func(*tx) error{look, raise}, 1},
		"the same, the other way round":  {[]func(*tx) error{raise, look}, 1},
		"a row that none of them changes": {[]func(*tx) error{look, func(step *tx) error {
			step.epochs.missing(storage.GlobalEpoch)
			_, err := step.Epochs().GetForUpdate(storage.GlobalEpoch)
			return err
		}}, 2},
		"one that goes with the first one": {[]func(*tx) error{raise, look, spend(10, 1)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			g := &groups{}
			for _, fn := range c.steps {
				g.waiting = append(g.waiting, ended(t, s, fn))
			}
			first := g.waiting[0]
			group := g.next()
			if len(group) != c.want || group[0] != first || len(g.waiting) != len(c.steps)-c.want {
				t.Errorf("%d in the group, %d wait; want %d", len(group), len(g.waiting), c.want)
			}
		})
	}
	soon, cancel := context.WithTimeout(t.Context(), tripBound/2)
	defer cancel()
	hurry := func(e *ending) { e.t.ctx = soon }
	for _, order := range [][]bool{{true, false}, {false, true}} {
		g := &groups{}
		for i, hurried := range order {
			e := ended(t, s, spend(10, byte(1+i)))
			if hurried {
				hurry(e)
			}
			g.waiting = append(g.waiting, e)
		}
		if group := g.next(); len(group) != 1 {
			t.Errorf("hurried are %v: %d in a group", order, len(group))
		}
	}
	g := &groups{}
	for n := range groupMost + 1 {
		g.waiting = append(g.waiting, ended(t, s, spend(1000, byte(1+n))))
	}
	all := s.newTx(t.Context(), true)
	for _, e := range g.next() {
		all.merge(e.t)
	}
	b := &pgx.Batch{}
	all.end(b)
	if len(g.waiting) != 1 || len(b.QueuedQueries) != 3 {
		t.Errorf("%d steps wait, the others end with %d statements", len(g.waiting), len(b.QueuedQueries))
	}
	if delta := b.QueuedQueries[2].Arguments[2].([]int64); len(delta) != 1 || delta[0] != 2*groupMost {
		t.Errorf("%v is added to the counter of all", delta)
	}
}
