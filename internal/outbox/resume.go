package outbox

import (
	"context"
	"fmt"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

// maxResumed bounds how many mails Resume looks at; what is beyond waits for its lease to end.
const maxResumed = 1000

// Resume makes mails due at once that were on their way when the process before this one died, and says how many. Their
// leases would end by themselves, but a person waits for them. Call it before Run, and only where no other process sends
// from this store.
//
// A mail to which that has happened before keeps its lease: a program that dies again and again must not use its attempts up.
func (w *Worker) Resume(ctx context.Context) (n int, err error) {
	now := w.Clock.Now()
	err = w.Store.Update(ctx, func(tx storage.Tx) error {
		n = 0
		mails, err := tx.Outbox().List(false, maxResumed)
		if err != nil {
			return err
		}
		for _, m := range mails {
			before := readCounts(m.Reason)
			if before.unanswered > 0 || m.Attempts != before.answered+1 {
				continue
			}
			requeued, err := tx.Outbox().Requeue(m.ID, now)
			if err != nil {
				return err
			}
			if requeued {
				n++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("outbox: resume mails: %w", err)
	}
	return n, nil
}
