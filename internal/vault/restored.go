package vault

import (
	"context"
	"time"

	"github.com/caddy-email-link/caddy-email-link/storage"
)

const (
	// dropChunk is how many queued mails one step drops.
	dropChunk = 256
	// eventLife is how long the audit log keeps that a backup was restored.
	eventLife = 90 * 24 * time.Hour
)

// killRestored ends everything that was alive when a backup was made. The queued mails go first and the mark goes last,
// together with the old epoch, so that an opening that is cut off is done again by the next one. Flows, tokens and sessions
// die by the epoch and are swept at their ends.
func (v *Vault) killRestored(ctx context.Context) error {
	mails := 0
	for {
		n, err := v.dropMails(ctx)
		if err != nil {
			return err
		}
		mails += n
		if n < dropChunk {
			break
		}
	}
	now := v.Clock.Now()
	err := v.Store.Update(ctx, func(tx storage.Tx) error {
		if _, err := tx.Epochs().Raise(storage.GlobalEpoch); err != nil {
			return err
		}
		e := storage.Event{Time: now, Name: "changed", Purpose: "database", Outcome: "restored"}
		if err := tx.Events().Append(e, now.Add(eventLife)); err != nil {
			return err
		}
		if err := storage.SetMetaTime(tx, storage.MetaCreated, now); err != nil {
			return err
		}
		return tx.Meta().Delete(storage.MetaRestored)
	})
	if err != nil {
		return err
	}
	v.Restored = true
	v.log.Warn("this database is a restored backup: all links, sessions and queued mails it held have been ended",
		"event", "changed", "outcome", "restored", "mails", mails)
	return nil
}

// dropMails deletes some of the mails that wait, whenever they are due: nothing else uses the store yet.
func (v *Vault) dropMails(ctx context.Context) (n int, err error) {
	far := v.Clock.Now().AddDate(100, 0, 0)
	err = v.Store.Update(ctx, func(tx storage.Tx) error {
		mails, err := tx.Outbox().Lease(far, far.Add(time.Minute), dropChunk)
		if err != nil {
			return err
		}
		for _, m := range mails {
			if _, err := tx.Outbox().Finish(m.ID, m.Attempts); err != nil {
				return err
			}
		}
		n = len(mails)
		return nil
	})
	return n, err
}
