package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// TestSTO3_CountersAreLockedLast looks at the last message of a step: what other steps wait for comes after everything else.
func TestSTO3_CountersAreLockedLast(t *testing.T) {
	const schema = "s"
	s := &Store{schema: schema, kinds: newKinds(schema), counters: newCounterTexts(schema), texts: newTexts(schema)}
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
	b := &pgx.Batch{}
	step.end(b)
	if last := b.QueuedQueries[len(b.QueuedQueries)-1].SQL; len(b.QueuedQueries) != 4 || !strings.Contains(last, schema+".counters") {
		t.Errorf("the last of %d statements is %s", len(b.QueuedQueries), last)
	}
}
